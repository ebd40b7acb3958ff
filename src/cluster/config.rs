//! How nodes find and reach each other.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::auth::Secret;

/// How nodes find and reach each other.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the other nodes reach this one, `HOST:PORT`, if not where it listens.
    #[serde(default)]
    pub address: Option<String>,
    /// What nodes prove with that they are nodes. Without one they make one and keep it in Redis.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// Most requests and websockets that are relayed to other nodes at a time.
    pub relays_max: usize,
    /// Longest that connecting to another node may take.
    #[serde(with = "crate::quantity::duration")]
    pub connect_timeout: Duration,
    /// Longest that a request waits for this node, which was just started, to learn of the others.
    #[serde(with = "crate::quantity::duration")]
    pub join_timeout: Duration,
    /// How long a node that is silent is still sent what is for its sessions.
    #[serde(with = "crate::quantity::duration")]
    pub silence_max: Duration,
    /// How long a connection to another node is kept for the next request.
    #[serde(with = "crate::quantity::duration")]
    pub idle_timeout: Duration,
    /// Most connections to one other node that are kept for the next request.
    pub idle_max: usize,
    /// Longest that another node may take to answer a question about its sockets.
    #[serde(with = "crate::quantity::duration")]
    pub answer_timeout: Duration,
}

impl Config {
    /// What is wrong with it, by key.
    pub fn problem(&self) -> Option<(&'static str, String)> {
        const SECRET_BYTES_MIN: usize = 32;
        let is_address = |text: &String| {
            text.parse::<http::uri::Authority>()
                .is_ok_and(|authority| authority.port().is_some() && !text.contains('@'))
        };
        if let Some(address) = self.address.as_ref().filter(|text| !is_address(text)) {
            let why = format!("`{address}` is no address: write it as HOST:PORT");
            return Some(("address", why));
        }
        let secret = self.secret.as_ref();
        if secret.is_some_and(|secret| secret.reveal().len() < SECRET_BYTES_MIN) {
            let why = format!("the secret is too short: give {SECRET_BYTES_MIN} bytes or more");
            return Some(("secret", why));
        }
        None
    }
}
