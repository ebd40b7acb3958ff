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
mod tests {
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::*;
    use crate::drain::Drain;
    use crate::hub::{Config, Description, Metrics, Read};
    use crate::store::Store;
    use crate::topic::Draft;

    const EVENTS_IN_RING: usize = 4;
    const EVENTS_IN_LOG: usize = 10;

    /// A subscriber that notes every sequence it is handed, and every gap it is told of.
    #[derive(Default)]
    struct Reader(Mutex<Reading>);

    #[derive(Default)]
    struct Reading {
        is_blocked: bool,
        place: Option<(Seat, Cursor)>,
        seen: Vec<u64>,
        /// (the last number before, the number where the story goes on)
        gaps: Vec<(u64, u64)>,
    }

    impl Reading {
        fn read(&mut self) {
            let Some((seat, cursor)) = &mut self.place else {
                return;
            };
            while !self.is_blocked {
                let mut page = Vec::new();
                match seat.topic().read(cursor, 3, &mut page) {
                    Read::Entries if page.is_empty() => return,
                    Read::Entries => {}
                    Read::Gap => {
                        let (_, to) = seat.topic().joining();
                        self.gaps.push((cursor.seq.0, to.seq.0));
                        *cursor = to;
                    }
                }
                for entry in page {
                    self.seen.push(entry.event.seq.0);
                    *cursor = entry.event.cursor();
                }
            }
        }
    }

    impl Subscriber for Reader {
        fn wake(&self, _: &Arc<Topic>) {
            self.0.lock().unwrap().read();
        }

        fn face(&self) -> &'static str {
            "test"
        }

        fn describe(&self, _: Seq) -> Description {
            unreachable!("nobody asks")
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Append,
        /// Attaches a reader, at this many events before the head.
        Attach(Option<u64>),
        /// Lets the last attached reader begin.
        Begin,
        /// Blocks or frees the reader of this number.
        Toggle(usize),
        /// Lets the pump run for a while.
        Pump,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => Just(Step::Append),
            1 => proptest::option::of(0_u64..14).prop_map(Step::Attach),
            1 => Just(Step::Begin),
            1 => (0_usize..4).prop_map(Step::Toggle),
            3 => Just(Step::Pump),
        ]
    }

    fn hub() -> Hub {
        let defaults: toml::Table =
            toml::from_str(include_str!("../../config/tidings.toml")).unwrap();
        let mut config: Config = defaults["hub"].clone().try_into().unwrap();
        config.ring_events_max = EVENTS_IN_RING;
        let mut store: crate::store::Config = defaults["store"].clone().try_into().unwrap();
        store.log_events_max = EVENTS_IN_LOG;
        Hub::new(
            config,
            Store::open(store).unwrap(),
            Drain::new(),
            Metrics::default(),
        )
    }

    struct Follower {
        reader: Arc<Reader>,
        attached: Option<Attached>,
        start: u64,
    }

    impl Follower {
        fn begin(&mut self) {
            let Some(attached) = self.attached.take() else {
                return;
            };
            let mut reading = self.reader.0.lock().unwrap();
            if let Some(gap) = attached.gap {
                reading.gaps.push((gap.from.seq.0, gap.to.seq.0));
            }
            reading.place = Some((attached.seat, attached.cursor));
            reading.read();
        }
    }

    async fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
        let hub = hub();
        let name: TopicName = "session:a".parse().unwrap();
        let mut followers: Vec<Follower> = Vec::new();
        for step in steps {
            match step {
                Step::Append => {
                    let name = (name.clone(), "progress".parse().unwrap());
                    let draft = Draft::json(name.0, name.1, "{}").unwrap();
                    hub.append(draft, None).await.unwrap();
                }
                Step::Attach(back) => {
                    let head = hub.topic_or_new(&name).unwrap().head();
                    let seq = head.seq.0.saturating_sub(back.unwrap_or(0));
                    let from = match back {
                        None => From::Head,
                        Some(_) => From::Since(Cursor {
                            seq: Seq(seq),
                            ..head
                        }),
                    };
                    let reader = Arc::new(Reader::default());
                    let attached = hub
                        .attach(&name, from, Arc::<Reader>::clone(&reader))
                        .unwrap();
                    followers.push(Follower {
                        reader,
                        attached: Some(attached),
                        start: seq,
                    });
                }
                Step::Begin => followers.iter_mut().for_each(Follower::begin),
                Step::Toggle(number) => {
                    if let Some(follower) = followers.get(number) {
                        let mut reading = follower.reader.0.lock().unwrap();
                        reading.is_blocked = !reading.is_blocked;
                        reading.read();
                    }
                }
                Step::Pump => tokio::task::yield_now().await,
            }
        }
        let head = hub.topic_or_new(&name).unwrap().head().seq.0;
        for follower in &mut followers {
            follower.begin();
            let mut reading = follower.reader.0.lock().unwrap();
            reading.is_blocked = false;
            reading.read();
            check(&reading, follower.start, head)?;
            drop(reading);
            // The seat is held by the reader, and the reader by its seat.
            let place = follower.reader.0.lock().unwrap().place.take();
            drop(place);
        }
        prop_assert_eq!(hub.metrics().subscriptions(), 0);
        Ok(())
    }

    /// Everything after the start is seen once and in order, or lies in a gap that was told.
    fn check(reading: &Reading, start: u64, head: u64) -> Result<(), TestCaseError> {
        let mut at = start;
        let mut gaps = reading.gaps.iter();
        for seen in &reading.seen {
            while at + 1 != *seen {
                let gap = gaps.next();
                prop_assert!(gap.is_some(), "{at} -> {seen} without a gap");
                let (from, to) = gap.expect("checked");
                prop_assert_eq!(*from, at, "the gap begins where the reader was");
                at = *to;
            }
            at = *seen;
        }
        for (from, to) in gaps {
            prop_assert_eq!(*from, at);
            at = *to;
        }
        prop_assert_eq!(at, head, "the reader is level at the end");
        Ok(())
    }

    proptest! {
        #[test]
        fn no_interleaving_loses_doubles_or_reorders(
            steps in proptest::collection::vec(step(), 0..120),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(run(steps))?;
        }
    }
}
