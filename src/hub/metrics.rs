//! The counters of the hub.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::histogram::{Histogram, is_timed};
use crate::topic::{Class, Event};

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
    /// Publishes that were acknowledged.
    published: Family<FaceLabel, Counter>,
    /// Events written to subscribers.
    deliveries: Family<FaceLabel, Counter>,
    /// How long some of them took.
    delivery: Family<FaceLabel, Histogram>,
    /// From a publish on any node to this node's copy.
    pub(crate) node_lag: Histogram,
}

/// The counters of what one subscriber is sent. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Delivered {
    face: &'static str,
    events: Counter,
    delay: Histogram,
}

impl Delivered {
    /// So many events were written. `oldest` is asked for the oldest live one of them, now and then.
    pub(crate) fn count<'a>(&self, events: usize, oldest: impl FnOnce() -> Option<&'a Event>) {
        if events == 0 {
            return;
        }
        self.events.inc_by(events as u64);
        if is_timed()
            && let Some(oldest) = oldest()
        {
            self.delay.observe(age(oldest));
        }
    }

    /// The face.
    pub(crate) const fn face(&self) -> &'static str {
        self.face
    }
}

/// How long ago an event was numbered; if that was on another node, by the clocks of both.
pub(crate) fn age(event: &Event) -> Duration {
    match event.arrival.at {
        Some(at) => at.elapsed(),
        None => {
            let now_ms = jiff::Timestamp::now().as_millisecond();
            Duration::from_millis(u64::try_from(now_ms - event.timestamp_ms).unwrap_or(0))
        }
    }
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
        m.register_flow(registry);
        m
    }

    fn register_flow(&self, registry: &mut Registry) {
        registry.register(
            "tidings_publishes",
            "Publishes acknowledged, by the face that they came by",
            self.published.clone(),
        );
        registry.register(
            "tidings_deliveries",
            "Events written to subscribers after they had joined, by face",
            self.deliveries.clone(),
        );
        registry.register(
            "tidings_delivery_seconds",
            "From a publish to the write to a subscriber, of one delivery in 16, by face",
            self.delivery.clone(),
        );
        registry.register(
            "tidings_node_lag_seconds",
            "From a publish on any node to the copy of this node, by the clocks of both",
            self.node_lag.clone(),
        );
    }

    /// The counters of what a subscriber of a face is sent.
    pub(crate) fn delivered(&self, face: &'static str) -> Delivered {
        let label = FaceLabel { face };
        Delivered {
            face,
            events: self.deliveries.get_or_create(&label).clone(),
            delay: self.delivery.get_or_create(&label).clone(),
        }
    }

    pub(crate) fn published(&self, face: &'static str) {
        self.published.get_or_create(&FaceLabel { face }).inc();
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
