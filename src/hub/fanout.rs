//! Fan-out: one pump per topic that has news walks its subscribers.
//!
//! There is at most one pump a topic at a time (`is_pumping`, under the topic's lock). Append sets
//! it and spawns; the pump clears it under the same lock when the head has not moved since its
//! walk began, so no event is left without a walk after it. What arrives during a walk is gathered
//! by the next one: batching comes by itself.

use std::sync::Arc;

use serde::Serialize;
use tokio::time::Instant;

use crate::hub::metrics::age;
use crate::hub::{Hub, Tally, Topic};
use crate::origin::{SpanKind, Step};
use crate::topic::{Event, Seq};

/// Subscribers that are woken between two yields.
const CHUNK: usize = 64;

/// Somebody who is attached to a topic.
///
/// `wake` is called by the pump, one call at a time for a topic, without the topic's lock. It must
/// not block: what cannot be handed on now is read later, at the subscriber's own cursor.
pub trait Subscriber: Send + Sync {
    /// The topic has news.
    fn wake(&self, topic: &Arc<Topic>);

    /// What its client speaks, for metrics.
    fn face(&self) -> &'static str;

    /// Who this is, for the presence list. `head` is the topic's newest event.
    fn describe(&self, head: Seq) -> Description;
}

/// A subscriber in the presence list.
#[derive(Debug, Clone, Serialize)]
pub struct Description {
    /// The public id of the connection.
    pub connection: String,
    /// Who is connected.
    pub principal: Option<String>,
    /// How: `websocket`, `polling`, `sse`, `ndjson`.
    pub transport: &'static str,
    /// How many events the subscriber is behind.
    pub lag: u64,
    /// What it was handed, and what it was spared.
    #[serde(flatten)]
    pub tally: Tally,
}

/// Records that an event of a trace has been handed to all subscribers that had room.
fn told(event: &Event, topic: &Topic) {
    let Some(above) = &event.arrival.trace else {
        return;
    };
    // What came from another node was numbered by that node's clock.
    let numbered = Instant::now().checked_sub(age(event));
    let Some(began) = event.arrival.at.or(numbered) else {
        return;
    };
    if let Some(step) = Step::of(above.child(), Some(above.span), began) {
        let facts = vec![
            ("messaging.destination.name", topic.name().to_string()),
            ("messaging.message.id", event.id.to_string()),
            ("tidings.subscribers", topic.subscribers().to_string()),
        ];
        step.end("deliver", SpanKind::Internal, facts);
    }
}

impl Hub {
    /// Sees to it that every subscriber of the topic is woken.
    pub(crate) fn fan_out(&self, topic: &Arc<Topic>) {
        {
            let mut state = topic.peek();
            let is_held = state.visible() < state.ring.head();
            if state.is_pumping || is_held || state.seats.len() == 0 {
                return;
            }
            state.is_pumping = true;
        }
        let (hub, topic) = (self.clone(), Arc::clone(topic));
        self.0.drain.spawn(async move { hub.pump(&topic).await });
    }

    async fn pump(&self, topic: &Arc<Topic>) {
        let mut chunk = Vec::with_capacity(CHUNK);
        loop {
            let traced = topic.take_traced();
            let head = topic.head();
            let mut next = Some(0);
            while let Some(start) = next {
                next = topic.peek().seats.chunk(start, CHUNK, &mut chunk);
                for subscriber in chunk.drain(..) {
                    subscriber.wake(topic);
                }
                if next.is_some() {
                    topic.give_way();
                    tokio::task::yield_now().await;
                }
            }
            for event in traced {
                told(&event, topic);
            }
            if topic.rest_at(&head) {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}
