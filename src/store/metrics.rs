//! The counters of the store.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::histogram::Histogram;

/// The counters of the store. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Resumes in the file.
    pub(crate) resumes: Gauge,
    /// Resumes that made room for others.
    pub(crate) resumes_displaced: Counter,
    /// Whether the file can be written.
    pub(crate) is_writable: Gauge,
    /// How often the file was rebuilt from what was whole of it.
    pub(crate) rebuilds: Counter,
    /// Topics that were lost to damage while the process ran.
    pub(crate) topics_lost: Counter,
    /// How long the store took to append an event.
    pub(crate) append: Histogram,
    /// How long Redis took to answer.
    redis: Family<ScriptLabel, Histogram>,
    /// Jobs that wait for the writer.
    pub(crate) queue: Gauge,
    /// Bytes of all logs together.
    pub(crate) bytes: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ScriptLabel {
    script: &'static str,
}

impl Metrics {
    /// Puts the counters under their names into the registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "tidings_resumes",
            "Records of sessions that can be recovered after a restart",
            self.resumes.clone(),
        );
        registry.register(
            "tidings_resumes_displaced",
            "Such records that made room for others at store.resumes_max",
            self.resumes_displaced.clone(),
        );
        registry.register(
            "tidings_store_writable",
            "1 while the store can be written, else 0",
            self.is_writable.clone(),
        );
        registry.register(
            "tidings_store_rebuilds",
            "How often a damaged file was rebuilt while the process ran",
            self.rebuilds.clone(),
        );
        registry.register(
            "tidings_topics_lost",
            "Topics that began anew since a damaged file was rebuilt without them",
            self.topics_lost.clone(),
        );
        self.register_work(registry);
    }

    fn register_work(&self, registry: &mut Registry) {
        registry.register(
            "tidings_store_append_seconds",
            "How long the store took to append an event, waiting for its turn included",
            self.append.clone(),
        );
        registry.register(
            "tidings_redis_seconds",
            "How long Redis took to answer, by script",
            self.redis.clone(),
        );
        registry.register(
            "tidings_store_queue_events",
            "Events and other jobs that wait for the writer of the store",
            self.queue.clone(),
        );
        registry.register(
            "tidings_store_bytes",
            "Bytes of all logs together",
            self.bytes.clone(),
        );
    }

    /// How long Redis took to answer a script.
    pub(super) fn redis(&self, script: &'static str) -> Histogram {
        self.redis.get_or_create(&ScriptLabel { script }).clone()
    }
}
