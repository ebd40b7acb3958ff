//! How the node does: what is counted for onlookers, and told every two seconds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use socketioxide::operators::BroadcastOperators;

use crate::face::socketio::admin::{ADMIN, Admin, Arguments};
use crate::producer::monitor::host_name;

/// How often it is told.
pub(super) const INTERVAL: Duration = Duration::from_secs(2);

/// What has happened since it was told last.
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

    /// What has happened since this was asked last.
    fn take(&self) -> Vec<Value> {
        let second = jiff::Timestamp::now().as_second() * 1000;
        let counted = [
            ("rawConnection", &self.connections),
            ("rawDisconnection", &self.disconnections),
            ("packetsIn", &self.packets_in),
            ("packetsOut", &self.packets_out),
            ("bytesOut", &self.bytes_out),
        ];
        let taken = counted.map(|(kind, counter)| (kind, counter.swap(0, Ordering::Relaxed)));
        let some = taken.into_iter().filter(|(_, count)| *count > 0);
        some.map(|(kind, count)| json!({"timestamp": second, "type": kind, "count": count}))
            .collect()
    }
}

impl Admin {
    /// Tells onlookers how the node does.
    pub(super) fn tell_stats(&self) {
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
        let host = host_name();
        let clients: usize = namespaces
            .iter()
            .filter_map(|namespace| namespace["socketsCount"].as_u64())
            .map(|count| usize::try_from(count).unwrap_or(0))
            .sum();
        let stats = json!({
            "serverId": self.0.config.server_id.as_ref().unwrap_or(&host),
            "hostname": host,
            "pid": std::process::id(),
            "uptime": self.0.born.elapsed().as_secs_f64(),
            "clientsCount": clients,
            "pollingClientsCount": polling,
            "aggregatedEvents": self.0.stats.take(),
            "namespaces": namespaces,
        });
        self.send("server_stats", &Arguments(vec![stats]));
    }
}
