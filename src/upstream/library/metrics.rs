//! The counters of calls to the library service.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::BreakerState;

/// The counters of calls to the library service.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    calls: Family<OutcomeLabel, Counter>,
    breaker: Gauge,
    opened: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

impl Metrics {
    /// The counters, under their names in the registry.
    pub fn register(registry: &mut Registry) -> Self {
        let m = Self::default();
        registry.register(
            "tidings_upstream_library_calls",
            "Calls to the library service, by whether it was well",
            m.calls.clone(),
        );
        registry.register(
            "tidings_upstream_library_breaker_state",
            "The circuit breaker: 0 closed, 1 half open, 2 open",
            m.breaker.clone(),
        );
        registry.register(
            "tidings_upstream_library_breaker_opened",
            "How often the circuit breaker opened",
            m.opened.clone(),
        );
        m
    }

    pub(super) fn called(&self, is_well: bool) {
        let outcome = if is_well { "ok" } else { "failed" };
        self.calls.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    pub(super) fn breaker_is(&self, state: BreakerState) {
        self.breaker.set(match state {
            BreakerState::Closed => 0,
            BreakerState::HalfOpen => 1,
            BreakerState::Open => 2,
        });
        if state == BreakerState::Open {
            self.opened.inc();
        }
    }
}
