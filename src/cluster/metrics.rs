//! What is counted of other nodes.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What is sent to another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A poll.
    Poll,
    /// What a polling client posts.
    Post,
    /// A switch to websocket.
    Upgrade,
    /// A question about sockets.
    Ask,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Post => "post",
            Self::Upgrade => "upgrade",
            Self::Ask => "ask",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Sent {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Taken {
    outcome: &'static str,
}

/// The counters of requests between nodes.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    nodes: Gauge,
    sent: Family<Sent, Counter>,
    taken: Family<Taken, Counter>,
    tunnels: Gauge,
}

impl Metrics {
    /// The counters, under their names in the registry.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "tidings_nodes",
            "Nodes that share the store, this one included, as this one knows them",
            metrics.nodes.clone(),
        );
        registry.register(
            "tidings_relays",
            "Requests that were sent to other nodes, by kind and outcome",
            metrics.sent.clone(),
        );
        registry.register(
            "tidings_relays_taken",
            "Requests that said to come from another node, by outcome",
            metrics.taken.clone(),
        );
        registry.register(
            "tidings_tunnels",
            "Websockets of other nodes' sessions that go through this one",
            metrics.tunnels.clone(),
        );
        metrics
    }

    pub(super) fn nodes(&self, count: usize) {
        self.nodes.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(super) fn sent(&self, kind: Kind, outcome: &'static str) {
        let kind = kind.as_str();
        self.sent.get_or_create(&Sent { kind, outcome }).inc();
    }

    pub(super) fn taken(&self, outcome: &'static str) {
        self.taken.get_or_create(&Taken { outcome }).inc();
    }

    /// A tunnel is open for as long as what is returned lives.
    pub(super) fn tunnel(&self) -> Open {
        self.tunnels.inc();
        Open(self.tunnels.clone())
    }
}

/// An open tunnel.
pub(super) struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
