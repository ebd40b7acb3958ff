//! Attach: a subscriber joins a topic without a seam between what was and what comes.
//!
//! The seat is taken and the head is read under one lock. Up to that head the subscriber gets the
//! backlog or the log at its cursor; after it, the ring. A subscriber that is woken before it knows
//! its cursor ignores the wake and reads when it does: nothing is lost, since every read is by cursor.

use std::sync::Arc;

use crate::hub::metrics::Delivered;
use crate::hub::tally::Counters;
use crate::hub::topic::State;
use crate::hub::{Holder, Hub, Subscriber, Tally, TooManyTopics, Topic};
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

impl From {
    /// The place, if it is one that the subscriber names.
    pub const fn cursor(&self) -> Option<&Cursor> {
        match self {
            Self::Since(cursor) => Some(cursor),
            Self::Snapshot | Self::Oldest | Self::Head => None,
        }
    }
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
    counters: Counters,
    delivered: Delivered,
    holder: Option<Box<Holder>>,
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
        let delivered = self.0.metrics.delivered(subscriber.face());
        loop {
            let topic = self.topic_or_new(name)?;
            let mut state = topic.lock();
            if state.is_retired {
                continue;
            }
            if state.seats.len() + state.elsewhere.subscribers
                >= self.0.config.topic_subscribers_max
            {
                self.0.metrics.subscribers_refused.inc();
                return Err(AttachError::TooManySubscribers);
            }
            let number = state.seats.take(subscriber);
            let head = state.head();
            let Beginning {
                cursor,
                backlog,
                gap,
            } = state.beginning(from);
            if gap.is_some() {
                self.0.metrics.gaps.inc();
            }
            let attached = Attached {
                seat: Seat {
                    hub: self.clone(),
                    topic: Arc::clone(&topic),
                    number,
                    counters: Counters::default(),
                    delivered,
                    holder: None,
                },
                head: head.seq,
                cursor,
                backlog,
                gap,
            };
            self.note_subscribers(name, state.seats.len());
            drop(state);
            self.0.metrics.subscriptions.inc();
            return Ok(attached);
        }
    }
}

/// Where a subscriber begins, and what it is told first.
pub(crate) struct Beginning {
    pub(crate) cursor: Cursor,
    pub(crate) backlog: Vec<Arc<Event>>,
    pub(crate) gap: Option<Gap>,
}

impl State {
    /// Where a subscriber begins. In a copy that is not known yet it begins nowhere: its place is
    /// looked at when it is known.
    pub(crate) fn beginning(&self, from: From) -> Beginning {
        let head = self.head();
        let oldest = Seq(self.log.oldest().0 - 1);
        let (mut backlog, mut gap) = (Vec::new(), None);
        let cursor = match from {
            From::Since(cursor) if !self.is_known() => cursor,
            _ if !self.is_known() => head,
            From::Head => head,
            From::Oldest => Cursor {
                seq: oldest,
                ..head
            },
            From::Snapshot => {
                backlog = self.fold.snapshot();
                head
            }
            From::Since(cursor)
                if cursor.epoch == self.epoch && (oldest..=head.seq).contains(&cursor.seq) =>
            {
                cursor
            }
            From::Since(from) => {
                backlog = self.fold.snapshot();
                let to = head.clone();
                gap = Some(Gap { from, to });
                head
            }
        };
        Beginning {
            cursor,
            backlog,
            gap,
        }
    }
}

impl Hub {
    /// Whether everything after this place can still be read. Of a topic of which nobody has seen
    /// anything (place 0) that is so as long as the log has its first event, whatever its epoch.
    pub fn holds(&self, name: &TopicName, cursor: &Cursor) -> bool {
        let Some(topic) = self.topic(name) else {
            return cursor.seq == Seq::ZERO;
        };
        let state = topic.lock();
        if !state.is_known() {
            // It is told when it is known.
            return true;
        }
        let oldest = Seq(state.log.oldest().0 - 1);
        if cursor.seq == Seq::ZERO {
            return oldest == Seq::ZERO;
        }
        cursor.epoch == state.epoch && (oldest..=state.head().seq).contains(&cursor.seq)
    }
}

impl Seat {
    /// The topic.
    pub const fn topic(&self) -> &Arc<Topic> {
        &self.topic
    }

    /// Binds its subscriber to a topic that is its own, if it may follow it for no other reason.
    pub fn bind(&mut self, holder: Option<Holder>) {
        self.holder = holder.map(Box::new);
    }

    /// Whether the topic is another user's by now, so that what was read is not handed on. Whoever
    /// judges rights has been told then, and ends the subscription.
    pub fn is_lost(&self) -> bool {
        let holder = self.holder.as_ref();
        holder.is_some_and(|holder| holder.has_lost(&self.topic))
    }

    /// Counts that the subscriber was told of a gap after it had attached.
    pub(crate) fn count_gap(&self) {
        self.hub.0.metrics.gaps.inc();
    }

    /// Counts the events between two of its subscriber that follow each other: those that it was
    /// not sent since a newer state stands for them.
    pub(crate) fn count_left_out(&self, events: u64) {
        self.hub.0.metrics.left_out(self.delivered.face(), events);
        self.counters.conflated(events);
    }

    /// The counters of what its subscriber is sent.
    pub(crate) const fn delivered(&self) -> &Delivered {
        &self.delivered
    }

    /// Counts the live events that its subscriber was handed.
    pub(crate) fn count_delivered(&self, events: u64) {
        self.counters.delivered(events);
    }

    /// Counts the events older than itself that its subscriber was handed.
    pub(crate) fn count_replayed(&self, events: u64) {
        self.counters.replayed(events);
    }

    /// What its subscriber was handed, and spared.
    pub(crate) fn tally(&self) -> Tally {
        self.counters.tally()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let is_unused = {
            let mut state = self.topic.peek();
            state.seats.leave(self.number);
            state.departed.add(self.counters.tally());
            // Under the lock, so that the newest count is noted last.
            let subscribers = state.seats.len();
            self.hub.note_subscribers(self.topic.name(), subscribers);
            state.is_unused()
        };
        self.hub.0.metrics.subscriptions.dec();
        if is_unused {
            self.hub.forget_if_unused(&self.topic);
        }
    }
}

#[cfg(test)]
mod tests;
