//! Attach: a subscriber joins a topic without a seam between what was and what comes.
//!
//! The seat is taken and the head is read under one lock. Up to that head the subscriber gets the
//! backlog or the log at its cursor; after it, the ring. A subscriber that is woken before it knows
//! its cursor ignores the wake and reads when it does: nothing is lost, since every read is by cursor.

use std::sync::Arc;

use crate::hub::{Hub, Subscriber, TooManyTopics, Topic};
use crate::topic::{Cursor, Event, Seq, TopicName};

/// Where a subscriber wants to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// With the snapshot: the newest state, the facts, open questions, the terminal event.
    Snapshot,
    /// With the oldest event that the log holds.
    Oldest,
    /// With what comes next.
    Head,
    /// After this place.
    Since(Cursor),
}

/// What a subscriber missed and cannot have any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Where the subscriber was.
    pub from: Cursor,
    /// Where the story goes on.
    pub to: Cursor,
}

/// A subscriber's place in a topic.
pub struct Attached {
    /// The seat; dropping it detaches.
    pub seat: Seat,
    /// Where reading begins.
    pub cursor: Cursor,
    /// The newest event at the time: what is read up to here is not live.
    pub head: Seq,
    /// What is to be sent first, in log order, none of it live. It lies before `cursor`.
    pub backlog: Vec<Arc<Event>>,
    /// Set when what followed the wanted cursor is gone; the backlog is the snapshot then.
    pub gap: Option<Gap>,
}

/// Why a subscriber was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// There are too many topics.
    #[error(transparent)]
    TooManyTopics(#[from] TooManyTopics),
    /// The topic has too many subscribers.
    #[error("the topic has as many subscribers as `hub.topic_subscribers_max` allows")]
    TooManySubscribers,
}

/// A subscriber's seat. Dropped, the subscriber is woken no more.
pub struct Seat {
    hub: Hub,
    topic: Arc<Topic>,
    number: usize,
}

impl Hub {
    /// Attaches a subscriber to a topic, which need not exist yet.
    ///
    /// # Errors
    /// [`AttachError`] when a bound is reached.
    pub fn attach(
        &self,
        name: &TopicName,
        from: From,
        subscriber: Arc<dyn Subscriber>,
    ) -> Result<Attached, AttachError> {
        loop {
            let topic = self.topic_or_new(name)?;
            let mut state = topic.lock();
            if state.is_retired {
                continue;
            }
            if state.seats.len() >= self.0.config.topic_subscribers_max {
                self.0.metrics.subscribers_refused.inc();
                return Err(AttachError::TooManySubscribers);
            }
            let number = state.seats.take(subscriber);
            let head = state.head();
            let oldest = Seq(state.log.oldest().0 - 1);
            let mut attached = Attached {
                seat: Seat {
                    hub: self.clone(),
                    topic: Arc::clone(&topic),
                    number,
                },
                head: head.seq,
                cursor: head,
                backlog: Vec::new(),
                gap: None,
            };
            match from {
                From::Head => {}
                From::Oldest => attached.cursor.seq = oldest,
                From::Snapshot => attached.backlog = state.fold.snapshot(),
                From::Since(cursor)
                    if cursor.epoch == state.epoch
                        && (oldest..=attached.head).contains(&cursor.seq) =>
                {
                    attached.cursor = cursor;
                }
                From::Since(cursor) => {
                    self.0.metrics.gaps.inc();
                    attached.gap = Some(Gap {
                        from: cursor,
                        to: attached.cursor.clone(),
                    });
                    attached.backlog = state.fold.snapshot();
                }
            }
            drop(state);
            self.0.metrics.subscriptions.inc();
            return Ok(attached);
        }
    }
}

impl Seat {
    /// The topic.
    pub const fn topic(&self) -> &Arc<Topic> {
        &self.topic
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let is_unused = {
            let mut state = self.topic.lock();
            state.seats.leave(self.number);
            state.seats.len() == 0 && state.ring.head() == Seq::ZERO
        };
        self.hub.0.metrics.subscriptions.dec();
        if is_unused {
            self.hub.forget_if_unused(&self.topic);
        }
    }
}
