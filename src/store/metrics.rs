//! The counters of the store.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

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
    }
}
