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
    }
}
