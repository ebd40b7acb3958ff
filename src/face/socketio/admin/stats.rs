//! How the nodes do: what is counted for onlookers, and told every two seconds.
//!
//! Each node counts for itself, from its beginning on; whoever has onlookers asks the others and
//! tells what has been added since it asked last. So several can ask, and none takes from another.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use socketioxide::operators::BroadcastOperators;
use uuid::Uuid;

use crate::face::socketio::admin::{ADMIN, Admin, Arguments};
use crate::producer::monitor::host_name;

/// How often it is told.
pub(super) const INTERVAL: Duration = Duration::from_secs(2);

/// Where a node asks another how it does.
pub(crate) const PATH: &str = "/nodes/admin";

/// Largest answer of a node.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// What is counted, in the order of [`Totals`].
const KINDS: [&str; 5] = [
    "rawConnection",
    "rawDisconnection",
    "packetsIn",
    "packetsOut",
    "bytesOut",
];

/// How much of everything there has been since the node began.
type Totals = [u64; KINDS.len()];

/// What onlookers were told of each node last.
pub(super) type Told = HashMap<Uuid, Totals>;

/// How a node does.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// The fields of `server_stats`, but for what has happened.
    stats: Value,
    totals: Totals,
}

/// What has happened since the node began.
#[derive(Default)]
pub(crate) struct Stats {
    connections: AtomicU64,
    disconnections: AtomicU64,
    packets_in: AtomicU64,
    packets_out: AtomicU64,
    bytes_out: AtomicU64,
    /// The second in which events were told last, and how many.
    second: AtomicU64,
    told: AtomicU64,
}

impl Stats {
    /// A session has begun.
    pub(crate) fn opened(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// A session has ended.
    pub(crate) fn closed(&self) {
        self.disconnections.fetch_add(1, Ordering::Relaxed);
    }

    /// A client has sent something.
    pub(crate) fn packet_in(&self) {
        self.packets_in.fetch_add(1, Ordering::Relaxed);
    }

    /// A client was sent something.
    pub(crate) fn packets_out(&self, packets: usize, bytes: usize) {
        self.packets_out
            .fetch_add(packets as u64, Ordering::Relaxed);
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Whether one more event may be told in this second.
    pub(super) fn may_tell(&self, max: u64) -> bool {
        let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0);
        if self.second.swap(now, Ordering::Relaxed) != now {
            self.told.store(0, Ordering::Relaxed);
        }
        self.told.fetch_add(1, Ordering::Relaxed) < max
    }

    fn totals(&self) -> Totals {
        [
            &self.connections,
            &self.disconnections,
            &self.packets_in,
            &self.packets_out,
            &self.bytes_out,
        ]
        .map(|counter| counter.load(Ordering::Relaxed))
    }
}

/// What was added, as onlookers read it.
fn added(before: &Totals, now: &Totals) -> Vec<Value> {
    let second = jiff::Timestamp::now().as_second() * 1000;
    let counts = KINDS.iter().zip(now.iter().zip(before));
    counts
        .map(|(kind, (now, before))| (kind, now.saturating_sub(*before)))
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| json!({"timestamp": second, "type": kind, "count": count}))
        .collect()
}

impl Admin {
    /// Tells onlookers how this node does.
    pub(super) fn tell_own(&self) {
        self.tell_standing(self.0.sockets.nodes().id(), self.standing());
    }

    /// Tells onlookers how the other nodes do, of those that have an admin UI.
    pub(super) async fn tell_others(&self) {
        let nodes = self.0.sockets.nodes();
        let asked = nodes.ask_all(PATH, Bytes::new(), ANSWER_BYTES_MAX).await;
        let is_there =
            |node: &Uuid| *node == nodes.id() || asked.iter().any(|one| one.node == *node);
        self.told().retain(|node, _| is_there(node));
        for answered in asked {
            let standing = answered.answer.as_deref().map(serde_json::from_slice);
            if let Some(Ok(standing)) = standing {
                self.tell_standing(answered.node, standing);
            }
        }
    }

    fn tell_standing(&self, node: Uuid, standing: Standing) {
        let Standing { mut stats, totals } = standing;
        let before = self.told().insert(node, totals).unwrap_or(totals);
        if let Some(fields) = stats.as_object_mut() {
            let events = json!(added(&before, &totals));
            fields.insert("aggregatedEvents".to_owned(), events);
        }
        self.send("server_stats", &Arguments(vec![stats]));
    }

    /// What onlookers were told last.
    pub(super) fn told(&self) -> MutexGuard<'_, Told> {
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How this node does.
    pub(crate) fn standing(&self) -> Standing {
        let sockets = |path: &str| -> Vec<_> {
            let found = self.0.sockets.namespaces(path);
            found.flat_map(BroadcastOperators::sockets).collect()
        };
        let main = sockets("/");
        let polling = main
            .iter()
            .filter(|socket| socket.transport_type() == socketioxide::TransportType::Polling)
            .count();
        let namespaces = ["/", "/producers", ADMIN].map(|path| {
            let count = if path == "/" {
                main.len()
            } else {
                sockets(path).len()
            };
            json!({"name": path, "socketsCount": count})
        });
        let (host, pid) = (host_name(), std::process::id());
        // Nodes of one host are told apart.
        let id = self.0.config.server_id.clone();
        let clients: usize = namespaces
            .iter()
            .filter_map(|namespace| namespace["socketsCount"].as_u64())
            .map(|count| usize::try_from(count).unwrap_or(0))
            .sum();
        let stats = json!({
            "serverId": id.unwrap_or_else(|| format!("{host}#{pid}")),
            "hostname": host,
            "pid": pid,
            "uptime": self.0.born.elapsed().as_secs_f64(),
            "clientsCount": clients,
            "pollingClientsCount": polling,
            "namespaces": namespaces,
        });
        Standing {
            stats,
            totals: self.0.stats.totals(),
        }
    }
}
