//! The counters of the inbox.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The counters of the inbox.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    entries: Family<FateLabel, Counter>,
    waiting: Gauge,
}

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Its event is in the log.
    Appended,
    /// It can never be appended, and was put aside.
    Refused,
    /// It could not be appended at a try.
    Delayed,
    /// Somebody had deleted it.
    Gone,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FateLabel {
    fate: &'static str,
}

impl Metrics {
    /// The counters, under their names in the registry.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "tidings_inbox_entries",
            "Entries of the inbox that this node took, by what became of them",
            metrics.entries.clone(),
        );
        registry.register(
            "tidings_inbox_waiting",
            "Entries in the inbox when this node looked last",
            metrics.waiting.clone(),
        );
        metrics
    }

    pub(super) fn count(&self, fate: Fate) {
        let fate = match fate {
            Fate::Appended => "appended",
            Fate::Refused => "refused",
            Fate::Delayed => "delayed",
            Fate::Gone => "gone",
        };
        self.entries.get_or_create(&FateLabel { fate }).inc();
    }

    pub(super) fn waiting(&self, entries: u64) {
        self.waiting.set(i64::try_from(entries).unwrap_or(i64::MAX));
    }
}
