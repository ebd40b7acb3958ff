//! What the plain WebSocket dialects may take, and their habits.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::quantity::ByteSize;

/// The bounds and habits of the plain WebSocket dialects.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Largest message from a client; a larger one closes the connection with 1009.
    pub message_bytes_max: ByteSize,
    /// Most messages of a connection in a minute; one more closes it with 1008.
    pub messages_per_minute_max: u32,
    /// Most topics that one connection may follow.
    pub subscriptions_max: usize,
    /// Most requests of one connection that are being served; its next message waits meanwhile.
    pub asks_max: usize,
    /// How often a client is pinged.
    #[serde(with = "crate::quantity::duration")]
    pub ping_interval: Duration,
    /// How long a client may take to answer a ping.
    #[serde(with = "crate::quantity::duration")]
    pub ping_timeout: Duration,
    /// The read buffer of a connection between its messages.
    pub read_buffer_bytes: ByteSize,
    /// How long a client of the progress channel may be silent before it is sent a heartbeat.
    #[serde(with = "crate::quantity::duration")]
    pub heartbeat_interval: Duration,
    /// Compression of messages.
    pub compression: Compression,
    /// Clients of Assist.
    pub assistant: Assistant,
}

/// permessage-deflate (RFC 7692).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compression {
    /// Whether a client that offers it gets it.
    pub enabled: bool,
    /// The smallest message to a client that is compressed.
    pub message_bytes_min: ByteSize,
    /// Most compressors, and most inflaters, of each window size that are kept for the next message.
    pub idle_max: usize,
}

/// The bounds and habits of Assist.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assistant {
    /// Most messages of a user, over all connections, in a window; one more is refused.
    pub messages_max: u32,
    /// How long a window is.
    #[serde(with = "crate::quantity::duration")]
    pub rate_window: Duration,
    /// How often users who left long ago are forgotten.
    #[serde(with = "crate::quantity::duration")]
    pub cleanup_interval: Duration,
    /// How long what is published to a user who is away waits for them.
    #[serde(with = "crate::quantity::duration")]
    pub offline_age_max: Duration,
    /// Most users that are remembered.
    pub users_max: usize,
    /// Most rooms that one connection may be in.
    pub rooms_max: usize,
}
