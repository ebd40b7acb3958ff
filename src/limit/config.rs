//! How much somebody may take, as the configuration says it.

use serde::{Deserialize, Serialize};

/// The limits of users, addresses and keys.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Most connections of one user, on all nodes.
    pub connections_per_user_max: u32,
    /// Most connections from one address on this node.
    pub connections_per_address_max: u32,
    /// Most sockets from one address on this node, whatever they do.
    pub sockets_per_address_max: u32,
    /// Most handshakes from one address in a second.
    pub handshakes_per_second: u32,
    /// Most connections of this node whose handshake is not finished.
    pub handshakes_unfinished_max: u32,
    /// Most messages of one user in a minute.
    pub messages_per_minute: u32,
    /// Most topics that one user may ask for in a minute; where nobody shows who they are, those of
    /// one address, and on this machine those of one connection.
    pub subscribes_per_minute: u32,
    /// Most events of one producer in a second.
    pub events_per_second: u32,
    /// Most users, addresses and keys whose rates are remembered, for each limit.
    pub accounts_max: usize,
    /// How many connections that have ended are remembered, with the reason.
    pub connections_ended_max: usize,
    /// The networks of proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<String>,
}
