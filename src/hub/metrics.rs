//! The counters of the hub.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::topic::Class;

/// The counters of the hub.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Topics on this node.
    pub(crate) topics: Gauge,
    /// Topics refused at `hub.topics_max`.
    pub(crate) topics_refused: Counter,
    /// Topics forgotten by age.
    pub(crate) topics_forgotten: Counter,
    /// Subscriptions of all faces.
    pub(crate) subscriptions: Gauge,
    /// Subscribers refused at `hub.topic_subscribers_max`.
    pub(crate) subscribers_refused: Counter,
    /// Events appended.
    events: Family<ClassLabel, Counter>,
    /// Retries answered with the first receipt.
    pub(crate) receipts_replayed: Counter,
    /// Subscribers told of a gap.
    pub(crate) gaps: Counter,
    /// States left out for subscribers that are behind.
    left_out: Family<FaceLabel, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClassLabel {
    class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FaceLabel {
    face: &'static str,
}

impl Metrics {
    /// The counters, under their names in the registry.
    pub fn register(registry: &mut Registry) -> Self {
        let m = Self::default();
        registry.register("tidings_topics", "Topics on this node", m.topics.clone());
        registry.register(
            "tidings_topics_refused",
            "Topics refused at hub.topics_max",
            m.topics_refused.clone(),
        );
        registry.register(
            "tidings_topics_forgotten",
            "Topics forgotten by age",
            m.topics_forgotten.clone(),
        );
        registry.register(
            "tidings_subscriptions",
            "Subscriptions of all faces",
            m.subscriptions.clone(),
        );
        registry.register(
            "tidings_subscribers_refused",
            "Subscribers refused at hub.topic_subscribers_max",
            m.subscribers_refused.clone(),
        );
        registry.register(
            "tidings_events",
            "Events appended, by class",
            m.events.clone(),
        );
        registry.register(
            "tidings_receipts_replayed",
            "Publishes answered with the first receipt of their key",
            m.receipts_replayed.clone(),
        );
        registry.register("tidings_gaps", "Subscribers told of a gap", m.gaps.clone());
        registry.register(
            "tidings_events_conflated",
            "States that subscribers were not sent since a newer one stands for them, by face",
            m.left_out.clone(),
        );
        m
    }

    pub(crate) fn appended(&self, class: Class) {
        self.events
            .get_or_create(&ClassLabel {
                class: class.as_str(),
            })
            .inc();
    }

    /// Notes that a subscriber of a face was not sent so many events.
    pub(crate) fn left_out(&self, face: &'static str, events: u64) {
        if events > 0 {
            self.left_out
                .get_or_create(&FaceLabel { face })
                .inc_by(events);
        }
    }

    /// How many subscriptions there are.
    pub fn subscriptions(&self) -> i64 {
        self.subscriptions.get()
    }

    /// How many topics there are.
    pub fn topics(&self) -> i64 {
        self.topics.get()
    }
}
