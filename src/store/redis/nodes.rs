//! Nodes: who shares this Redis, and where each is reached. A node beats at intervals: it tells that it
//! is there and hears who else is, for whoever sends to the others and for whoever counts them.

use std::net::IpAddr;

use bytes::Bytes;
use fred::interfaces::ClientLike as _;
use tokio::net::UdpSocket;
use uuid::Uuid;

use crate::store::Error;
use crate::store::redis::{Answer, Redis, argument, text};

/// What a node tells of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beat<'a> {
    /// Where others reach it; empty when it leaves.
    pub(crate) address: &'a str,
    /// The secret that is taken if there is none yet; empty if it is not kept in Redis.
    pub(crate) secret: &'a [u8],
}

/// Who is there.
#[derive(Debug)]
pub(crate) struct Present {
    /// The secret that the nodes share; empty if it is not kept in Redis.
    pub(crate) secret: Bytes,
    /// The nodes, and where each is reached.
    pub(crate) nodes: Vec<(Uuid, String)>,
}

impl Redis {
    /// This node, among those that share the prefix: another one after each start.
    pub(crate) fn node_id(&self) -> Uuid {
        self.0.kept.node()
    }

    /// Milliseconds by the clock of Redis, which all nodes share.
    pub(crate) fn clock_ms(&self) -> i64 {
        (self.0.health.borrow().ahead_us + self.now_us()) / 1000
    }

    /// Tells that this node is there, and hears who else is.
    ///
    /// # Errors
    /// While Redis is away.
    pub(crate) async fn beat(&self, beat: Beat<'_>) -> Result<Present, Error> {
        self.generation()?;
        let prefix = &self.0.config.redis.prefix;
        let keys = vec![
            format!("{prefix}{{nodes}}"),
            format!("{prefix}{{nodes}}:secret"),
        ];
        let args = vec![
            argument(self.node_id()),
            argument(beat.address),
            argument(self.config().node_age.as_millis()),
            Bytes::copy_from_slice(beat.secret),
        ];
        match self.run(&self.0.scripts.beat, keys, args).await? {
            Answer::Told(_, mut told) => {
                let secret = told.next().and_then(fred::types::Value::into_bytes);
                let mut nodes = Vec::new();
                while let (Some(id), Some(address)) = (told.next(), told.next()) {
                    if let Ok(id) = text(id).parse() {
                        nodes.push((id, text(address)));
                    }
                }
                self.0.house.see(nodes.iter().map(|(id, _)| *id));
                Ok(Present {
                    secret: secret.unwrap_or_default(),
                    nodes,
                })
            }
            Answer::Stale => Err(Error::Busy),
        }
    }

    /// The address of this machine on the way to Redis: others that use it come by the same way.
    pub(crate) async fn own_address(&self) -> Option<IpAddr> {
        let servers = self.0.commands.client_config().server.hosts();
        let server = servers.first()?;
        let target = (server.host.to_string(), server.port);
        for own in ["0.0.0.0:0", "[::]:0"] {
            // Nothing is sent: connecting only chooses the way.
            if let Ok(socket) = UdpSocket::bind(own).await
                && socket.connect(&target).await.is_ok()
                && let Ok(address) = socket.local_addr()
            {
                return Some(address.ip());
            }
        }
        None
    }
}
