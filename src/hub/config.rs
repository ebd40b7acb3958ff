//! What the hub may take.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::hub::cap::RateCaps;
use crate::hub::lane;
use crate::quantity::ByteSize;
use crate::topic::{Bounds, Classes, Kind, Status};

/// The bounds and habits of the hub.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Most topics on this node; a publish or subscribe to one more is refused.
    pub topics_max: usize,
    /// Most events of a topic in memory with their frames; readers further behind use the log.
    pub ring_events_max: usize,
    /// Most bytes of a topic's ring; the oldest events leave it.
    pub ring_bytes_max: ByteSize,
    /// Largest payload.
    pub payload_bytes_max: ByteSize,
    /// Deepest nesting of arrays and objects in a payload.
    pub payload_depth_max: usize,
    /// Most (name, key) pairs of a topic whose newest state is kept for late joiners.
    pub snapshot_states_max: usize,
    /// Most facts that a late joiner gets.
    pub snapshot_facts_max: usize,
    /// Most questions of a topic that are kept, answered ones included.
    pub clarifications_max: usize,
    /// Longest that an answer may be waited for in one request.
    #[serde(with = "crate::quantity::duration")]
    pub answer_wait_max: Duration,
    /// Most subscribers of a topic, on all nodes.
    pub topic_subscribers_max: usize,
    /// How long a topic is kept after its terminal event.
    #[serde(with = "crate::quantity::duration")]
    pub ended_age_max: Duration,
    /// How long a topic is kept without a new event.
    #[serde(with = "crate::quantity::duration")]
    pub idle_age_max: Duration,
    /// Where kinds of topics are kept for times of their own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kinds: BTreeMap<Kind, KindConfig>,
    /// How often old topics are looked for.
    #[serde(with = "crate::quantity::duration")]
    pub sweep_interval: Duration,
    /// What subscribers that are behind get.
    pub lanes: lane::Config,
    /// Most states a second of each (name, key) that subscribers are sent, by event name.
    pub rate_caps: RateCaps,
    /// The class of each event name; names that are not listed are facts.
    pub classes: Classes,
}

/// How long topics of one kind are kept. What is absent is as for all.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindConfig {
    /// How long a topic is kept after its terminal event.
    #[serde(
        default,
        with = "crate::quantity::duration::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub ended_age_max: Option<Duration>,
    /// How long a topic is kept without a new event.
    #[serde(
        default,
        with = "crate::quantity::duration::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub idle_age_max: Option<Duration>,
}

impl Config {
    /// How long a topic of a kind is kept, once nobody is subscribed.
    pub(crate) fn age_max(&self, kind: Kind, status: Status) -> Duration {
        let own = self.kinds.get(&kind);
        match status {
            Status::Active => own
                .and_then(|own| own.idle_age_max)
                .unwrap_or(self.idle_age_max),
            Status::Completed | Status::Failed => own
                .and_then(|own| own.ended_age_max)
                .unwrap_or(self.ended_age_max),
        }
    }

    pub(crate) const fn fold_bounds(&self) -> Bounds {
        Bounds {
            states_max: self.snapshot_states_max,
            facts_max: self.snapshot_facts_max,
            clarifications_max: self.clarifications_max,
        }
    }
}
