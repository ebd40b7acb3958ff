//! Presence: who subscribes to a topic, on all nodes.
//!
//! Each node notes how many subscribers a topic has on it, and the sum bounds them
//! (`hub.topic_subscribers_max`). Who they are is asked of the nodes when somebody wants to know.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::hub::{Description, Hub, Tally, Topic};
use crate::store::{self, Redis};
use crate::topic::TopicName;

/// How long a count of other nodes is good enough, unless the topic is nearly full.
const FRESH: Duration = Duration::from_secs(1);

/// Most subscribers that a node describes to others.
const DESCRIBED_MAX: usize = 10_000;

/// A subscriber, on this or another node.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Present {
    /// On this node.
    Here(Description),
    /// On another node, as that describes it.
    Elsewhere(Value),
}

impl Present {
    /// What it was handed, and what it was spared.
    pub fn tally(&self) -> Tally {
        match self {
            Self::Here(description) => description.tally,
            Self::Elsewhere(described) => {
                let count = |name: &str| described[name].as_u64().unwrap_or(0);
                Tally {
                    delivered: count("delivered"),
                    replayed: count("replayed"),
                    conflated: count("conflated"),
                }
            }
        }
    }
}

/// How many subscribers other nodes have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Elsewhere {
    pub(crate) subscribers: usize,
    /// When they were counted.
    at: Option<Instant>,
}

impl Elsewhere {
    pub(crate) const NOT_COUNTED: Self = Self {
        subscribers: 0,
        at: None,
    };

    fn is_fresh(&self) -> bool {
        self.at.is_some_and(|at| at.elapsed() < FRESH)
    }
}

impl Hub {
    /// How many subscribers a topic has on all nodes; while the store is away those on this node and
    /// those that were known of.
    pub async fn subscribers(&self, topic: &Topic) -> usize {
        if let Some(redis) = self.0.store.redis() {
            self.count_elsewhere(redis, topic).await;
        }
        // A topic that is only looked at here has its subscribers in the map.
        let here = self
            .topic(topic.name())
            .map_or(0, |known| known.subscribers());
        here + topic.peek().elsewhere.subscribers
    }

    /// Who subscribes to a topic, on all nodes that answer in time.
    ///
    /// # Errors
    /// While the store is away.
    pub async fn presence(&self, topic: &Topic) -> Result<Vec<Present>, store::Error> {
        let Some(redis) = self.0.store.redis() else {
            return Ok(topic.presence().into_iter().map(Present::Here).collect());
        };
        let mut present = Vec::new();
        for answer in redis.ask(topic.name()).await? {
            match serde_json::from_slice::<Vec<Value>>(&answer) {
                Ok(described) => present.extend(described.into_iter().map(Present::Elsewhere)),
                Err(error) => tracing::debug!(%error, "an answer of another node is unreadable"),
            }
        }
        Ok(present)
    }

    /// Describes the subscribers of a topic to another node.
    pub(crate) fn describe(&self, name: &TopicName, question: String) {
        let (Some(redis), Some(topic)) = (self.0.store.redis().cloned(), self.topic(name)) else {
            return;
        };
        self.0.drain.spawn(async move {
            let mut here = topic.presence();
            here.truncate(DESCRIBED_MAX);
            let described = serde_json::to_vec(&here).expect("descriptions are JSON");
            redis
                .answer(topic.name(), &question, Bytes::from(described))
                .await;
        });
    }

    /// Counts the subscribers that other nodes have, if that is not known well enough.
    pub(crate) async fn count_elsewhere(&self, redis: &Redis, topic: &Topic) {
        {
            let state = topic.peek();
            let together = state.seats.len() + state.elsewhere.subscribers;
            let is_nearly_full = together >= self.0.config.topic_subscribers_max * 9 / 10;
            if redis.is_away() || (state.elsewhere.is_fresh() && !is_nearly_full) {
                return;
            }
        }
        match redis.subscribers_elsewhere(topic.name()).await {
            Ok(subscribers) => {
                let at = Some(Instant::now());
                topic.peek().elsewhere = Elsewhere { subscribers, at };
            }
            Err(error) => tracing::debug!(%error, "subscribers of other nodes were not counted"),
        }
    }

    /// Tells the other nodes how many subscribers a topic has here.
    pub(crate) fn note_subscribers(&self, topic: &TopicName, count: usize) {
        if let Some(redis) = self.0.store.redis() {
            redis.note_subscribers(topic, count);
        }
    }
}
