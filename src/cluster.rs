//! Other nodes: who they are, and what of theirs comes here.
//!
//! Nodes that share a Redis tell there, at intervals, where they are reached. Each can send requests
//! to each: one that a client sent to the wrong node is relayed to the right one ([`Nodes::relay`]),
//! and one about all nodes is asked of all ([`Nodes::ask_all`]). Such a request bears a proof that a
//! node sent it, and is never sent on. Nothing here knows what the requests are about.
//!
//! A session's id names its node, signed, so that whoever gets a request knows whose it is without
//! asking, and a client cannot make a node talk to anything but a node.

mod asking;
mod config;
mod metrics;
mod proof;
mod registry;
mod relay;
mod secrets;
mod sid;
mod tunnel;

pub use self::asking::Answered;
pub use self::config::Config;
pub use self::metrics::{Kind, Metrics};
pub use self::proof::{Proven, is_relayed};
pub use self::relay::{RelayError, Relayed};
pub use self::sid::Whose;
pub use self::tunnel::{Opened, Tunnel};

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::sync::Semaphore;
use uuid::Uuid;

use self::registry::Registry;
use self::secrets::Secrets;
use crate::drain::Drain;
use crate::store::Store;
use crate::wire;

/// The body of a request or an answer between nodes.
pub type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// This node among the others. Cheap to clone.
#[derive(Clone)]
pub struct Nodes(Option<Arc<Shared>>);

struct Shared {
    id: Uuid,
    config: Config,
    wire: Arc<wire::Config>,
    /// Where this node listens.
    listen: SocketAddr,
    store: Store,
    secrets: Secrets,
    registry: Registry,
    client: Client<HttpConnector, Body>,
    /// Places for what is relayed.
    relays: Arc<Semaphore>,
    drain: Drain,
    metrics: Metrics,
}

impl Nodes {
    /// A node that has no others.
    pub const fn alone() -> Self {
        Self(None)
    }

    /// Joins the nodes that share the store, until the drain. A store that is not shared has none.
    pub fn join(
        config: Config,
        (listen, wire): (SocketAddr, Arc<wire::Config>),
        (store, drain): (&Store, &Drain),
        metrics: Metrics,
    ) -> Self {
        let Some(redis) = store.redis() else {
            return Self::alone();
        };
        let nodes = Self(Some(Arc::new(Shared {
            id: redis.node_id(),
            secrets: Secrets::new(config.secret.as_ref()),
            registry: Registry::default(),
            client: relay::client(&config, &wire),
            relays: Arc::new(Semaphore::new(config.relays_max)),
            config,
            wire,
            listen,
            store: store.clone(),
            drain: drain.clone(),
            metrics,
        })));
        let keeping = nodes.clone();
        drain.spawn(async move { keeping.keep().await });
        nodes
    }

    /// Whether other nodes can know of this one: a session that begins here is known everywhere.
    pub fn is_joined(&self) -> bool {
        self.0.as_ref().is_none_or(|own| own.registry.is_joined())
    }

    /// Waits until this node knows the others, for `cluster.join_timeout` at most: what other nodes'
    /// clients show means nothing to it before.
    pub async fn joined(&self) {
        if let Some(own) = &self.0 {
            own.registry.join(own.config.join_timeout).await;
        }
    }

    /// The other nodes that are known, with where they are reached.
    pub fn others(&self) -> Vec<(Uuid, String)> {
        let known = self.0.as_ref().map(|own| own.registry.all());
        let known = known.unwrap_or_default().into_iter();
        known.map(|(id, at)| (id, at.to_string())).collect()
    }

    /// Where others reach this node, if there are others.
    pub fn address(&self) -> Option<String> {
        self.0.as_ref().and_then(|own| own.registry.address())
    }

    /// The name of this node.
    pub fn id(&self) -> Uuid {
        self.0.as_ref().map_or(Uuid::nil(), |own| own.id)
    }
}
