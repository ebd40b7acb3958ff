//! What a connection may take, before it speaks.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::quantity::ByteSize;

/// The bounds of the listener and its connections.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Most connections of this node, of any kind; one more is refused with 503.
    pub connections_max: usize,
    /// How long a new connection may stay silent.
    #[serde(with = "crate::quantity::duration")]
    pub first_byte_timeout: Duration,
    /// How long the head of a request may take; also how long a kept-alive connection may idle.
    #[serde(with = "crate::quantity::duration")]
    pub header_timeout: Duration,
    /// How long the body of a request may take.
    #[serde(with = "crate::quantity::duration")]
    pub body_timeout: Duration,
    /// Largest head of a request.
    pub header_bytes_max: ByteSize,
    /// How long a client may take less than `write_stall_bytes_min` while something waits for it;
    /// then it is closed.
    #[serde(with = "crate::quantity::duration")]
    pub write_stall_max: Duration,
    /// What a client must take within `write_stall_max`, while something waits for it.
    pub write_stall_bytes_min: ByteSize,
    /// Most bytes of a connection that the system holds and has not sent yet. What a client has
    /// taken is noticed when half of it has gone.
    pub unsent_bytes_max: ByteSize,
    /// Most bytes that wait in a connection's outbox for the engine's own packets.
    pub outbox_bytes_max: ByteSize,
    /// How long a closed connection may take to send what waits in its outbox.
    #[serde(with = "crate::quantity::duration")]
    pub linger_max: Duration,
}
