//! How often workers were told.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// How often workers were told.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    messages: Family<OutcomeLabel, Counter>,
    calls: Counter,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The worker has it.
    Taken,
    /// It was not wanted any more.
    Moot,
    /// The worker refused it, or the address may not be called.
    Refused,
    /// It was tried as often as it may be.
    Failed,
    /// Too many were under way.
    Dropped,
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
            "tidings_webhook_messages",
            "Messages to workers by webhook, by what became of them",
            m.messages.clone(),
        );
        registry.register(
            "tidings_webhook_calls",
            "Calls of webhooks, repetitions included",
            m.calls.clone(),
        );
        m
    }

    pub(super) fn called(&self) {
        self.calls.inc();
    }

    pub(super) fn ended(&self, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Taken => "taken",
            Outcome::Moot => "moot",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
            Outcome::Dropped => "dropped",
        };
        self.messages.get_or_create(&OutcomeLabel { outcome }).inc();
    }
}
