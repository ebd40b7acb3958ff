//! What a Socket.IO client may do.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::hub;
use crate::quantity::ByteSize;

/// The habits and bounds of the Socket.IO face.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How often the server pings.
    #[serde(with = "crate::quantity::duration")]
    pub ping_interval: Duration,
    /// How long a client may take to answer a ping.
    #[serde(with = "crate::quantity::duration")]
    pub ping_timeout: Duration,
    /// How long a new session may take to join a namespace.
    #[serde(with = "crate::quantity::duration")]
    pub connect_timeout: Duration,
    /// How long a switch from polling to websocket may take.
    #[serde(with = "crate::quantity::duration")]
    pub upgrade_timeout: Duration,
    /// Largest body of a poll, in either direction; told to the client at the handshake.
    pub payload_bytes_max: ByteSize,
    /// Largest websocket message from a client.
    pub message_bytes_max: ByteSize,
    /// Most binary attachments of one packet from a client.
    pub attachments_max: usize,
    /// What a client that subscribes without a cursor is sent first.
    pub on_join: OnJoin,
    /// Most topics that one connection may subscribe to.
    pub subscriptions_max: usize,
    /// Most ids in one `subscribe`.
    pub subscribe_ids_max: usize,
    /// Most requests of one connection that wait for their turn.
    pub requests_max: usize,
    /// Most answers and replayed events of one connection that wait to be written; a client that
    /// lets more pile up is closed.
    pub answers_max: usize,
    /// Most packets of the engine (pings, acknowledgements) that wait for one connection.
    pub engine_packets_max: usize,
    /// Most rooms that one operation on sockets may name.
    pub rooms_max: usize,
    /// Most sockets that one list of them has.
    pub sockets_max: usize,
    /// The read buffer of a websocket connection.
    pub read_buffer_bytes: ByteSize,
    /// What a client that comes back may go on with.
    pub recovery: Recovery,
    /// Who may use the admin UI of Socket.IO.
    pub admin_ui: crate::face::socketio::admin::Config,
    /// Whether a session is given up when its client's address changes.
    pub bind_address: bool,
    /// The `dist` folder of the npm package socket.io-client, to serve `socket.io.js` from.
    #[serde(default)]
    pub client_dir: Option<PathBuf>,
}

/// What a client that comes back may go on with.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recovery {
    /// Whether sessions can be recovered at all. Without, no event bears an offset.
    pub enabled: bool,
    /// How long a client may be away.
    #[serde(with = "crate::quantity::duration")]
    pub window: Duration,
    /// Most sessions whose client is away; beyond it the one that is away longest is forgotten.
    pub sessions_max: usize,
}

/// What a client that subscribes without a cursor is sent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnJoin {
    /// The newest of each state, the facts, the open questions and the terminal event.
    Snapshot,
    /// Everything that the log still holds.
    All,
    /// Nothing.
    None,
}

impl From<OnJoin> for hub::From {
    fn from(on_join: OnJoin) -> Self {
        match on_join {
            OnJoin::Snapshot => Self::Snapshot,
            OnJoin::All => Self::Oldest,
            OnJoin::None => Self::Head,
        }
    }
}
