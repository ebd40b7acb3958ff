//! How often limits were reached.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::limit::Limit;

/// The counters of limits.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    reached: Family<LimitLabel, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabel {
    limit: &'static str,
}

impl Metrics {
    /// The counters, under their names in the registry.
    pub fn register(registry: &mut Registry) -> Self {
        let m = Self::default();
        registry.register(
            "tidings_limits_reached",
            "How often somebody was refused at a limit, by its key in the config",
            m.reached.clone(),
        );
        m
    }

    /// Somebody reached a limit.
    pub fn reached(&self, limit: Limit) {
        let limit = limit.as_str();
        self.reached.get_or_create(&LimitLabel { limit }).inc();
    }
}
