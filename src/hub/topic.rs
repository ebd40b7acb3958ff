//! A topic that is alive on this node: its log, ring and fold under one lock, and its subscribers.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;
use uuid::Uuid;

use crate::hub::Config;
use crate::hub::fanout::{Description, Subscriber};
use crate::hub::seats::Seats;
use crate::store::Log;
use crate::topic::{
    Cursor, Entry, Epoch, Event, Fold, Ring, Seq, Slice, Status, TopicName, iso8601,
};

/// Most events that are read from the log at once.
const LOG_PAGE: usize = 64;

/// A topic on this node.
pub struct Topic {
    name: TopicName,
    state: Mutex<State>,
    /// Told whenever a question was asked or ended.
    pub(crate) clarified: Notify,
}

pub(crate) struct State {
    pub(crate) epoch: Epoch,
    pub(crate) ring: Ring,
    pub(crate) fold: Fold,
    pub(crate) log: Log,
    pub(crate) seats: Seats,
    pub(crate) touched_ms: i64,
    /// Whether a pump is walking the seats.
    pub(crate) is_pumping: bool,
    /// Set when the topic left the map: whoever still holds it must look it up again.
    pub(crate) is_retired: bool,
}

/// What a reader at a cursor finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// What follows the cursor was handed out, up to the bound; nothing if the reader is level.
    Entries,
    /// What follows the cursor is gone: see [`Topic::joining`].
    Gap,
}

/// What a late joiner must know of a topic.
#[derive(Debug)]
pub struct Snapshot {
    /// The newest event at the time.
    pub cursor: Cursor,
    /// How far the story has come.
    pub status: Status,
    /// The newest of each state, oldest first.
    pub states: Vec<Arc<Event>>,
    /// The facts, oldest first.
    pub facts: Vec<Arc<Event>>,
    /// The events that asked the open questions.
    pub clarifications: Vec<Arc<Event>>,
    /// The terminal event.
    pub terminal: Option<Arc<Event>>,
}

/// A topic in a few words.
#[derive(Debug, Clone)]
pub struct Summary {
    /// The newest event.
    pub cursor: Cursor,
    /// How far the story has come.
    pub status: Status,
    /// How many subscribers it has on this node.
    pub subscribers: usize,
    /// When the newest event came, or the topic was made; ISO 8601.
    pub updated_at: String,
}

/// A page of a topic's log.
#[derive(Debug)]
pub struct History {
    /// The events of the page.
    pub events: Vec<Arc<Event>>,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
}

impl Topic {
    pub(crate) fn new(name: TopicName, config: &Config, log: Log) -> Self {
        let state = Mutex::new(State::new(config, log, Seats::default()));
        Self {
            name,
            state,
            clarified: Notify::new(),
        }
    }

    /// The name of the topic.
    pub const fn name(&self) -> &TopicName {
        &self.name
    }

    /// The place of the newest event.
    pub fn head(&self) -> Cursor {
        self.lock().head()
    }

    /// How many subscribers it has on this node.
    pub fn subscribers(&self) -> usize {
        self.lock().seats.len()
    }

    /// The topic in a few words.
    pub fn summary(&self) -> Summary {
        let state = self.lock();
        Summary {
            cursor: state.head(),
            status: state.fold.status(),
            subscribers: state.seats.len(),
            updated_at: iso8601(state.touched_ms),
        }
    }

    /// Who subscribes on this node.
    pub fn presence(&self) -> Vec<Description> {
        let (head, seats): (_, Vec<Arc<dyn Subscriber>>) = {
            let state = self.lock();
            (state.ring.head(), state.seats.iter().cloned().collect())
        };
        seats
            .iter()
            .map(|subscriber| subscriber.describe(head))
            .collect()
    }

    /// Puts up to `max` entries after the cursor into `out`: from the ring, else from the log.
    pub fn read(&self, cursor: &Cursor, max: usize, out: &mut Vec<Arc<Entry>>) -> Read {
        let state = self.lock();
        if cursor.epoch != state.epoch || cursor.seq > state.ring.head() {
            return Read::Gap;
        }
        if state.ring.after(cursor.seq, max, out) == Slice::Here {
            return Read::Entries;
        }
        if cursor.seq.next() < state.log.oldest() {
            return Read::Gap;
        }
        let events = state.log.after(cursor.seq, max.min(LOG_PAGE));
        drop(state);
        out.extend(events.into_iter().map(|event| Arc::new(Entry::new(event))));
        Read::Entries
    }

    /// What a late joiner must know.
    pub fn snapshot(&self) -> Snapshot {
        let state = self.lock();
        let fold = &state.fold;
        Snapshot {
            cursor: state.head(),
            status: fold.status(),
            states: fold.states().into_iter().cloned().collect(),
            facts: fold.facts().cloned().collect(),
            clarifications: fold
                .open_clarifications()
                .map(|c| Arc::clone(&c.asked))
                .collect(),
            terminal: fold.terminal().cloned(),
        }
    }

    /// What a joiner is sent, in log order, with the place where reading goes on.
    pub fn joining(&self) -> (Vec<Arc<Event>>, Cursor) {
        let state = self.lock();
        (state.fold.snapshot(), state.head())
    }

    /// Up to `limit` events after a cursor, from the oldest if there is none.
    ///
    /// # Errors
    /// The oldest place that can still be read from, when the cursor is of another epoch, ahead
    /// of the head, or older than the log.
    pub fn history(&self, since: Option<&Cursor>, limit: usize) -> Result<History, Cursor> {
        let state = self.lock();
        let oldest = Seq(state.log.oldest().0 - 1);
        let after = match since {
            None => oldest,
            Some(cursor)
                if cursor.epoch == state.epoch
                    && (oldest..=state.ring.head()).contains(&cursor.seq) =>
            {
                cursor.seq
            }
            Some(_) => {
                return Err(Cursor {
                    epoch: state.epoch.clone(),
                    seq: oldest,
                });
            }
        };
        let events = state.log.after(after, limit);
        let last = events.last().map(|event| event.cursor());
        Ok(History {
            next: last.filter(|last| last.seq < state.ring.head()),
            events,
        })
    }

    /// Up to `limit` events before a cursor, newest first; from the newest if there is none.
    ///
    /// # Errors
    /// The head, when the cursor is of another epoch.
    pub fn history_reverse(
        &self,
        before: Option<&Cursor>,
        limit: usize,
    ) -> Result<History, Cursor> {
        let state = self.lock();
        if before.is_some_and(|cursor| cursor.epoch != state.epoch) {
            return Err(state.head());
        }
        let events = state.log.before(before.map(|cursor| cursor.seq), limit);
        let last = events.last().map(|event| event.cursor());
        Ok(History {
            next: last.filter(|last| last.seq > state.log.oldest()),
            events,
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of a topic panics")
    }

    /// Lets the pump rest if nothing came after `head`.
    pub(crate) fn rest_at(&self, head: &Cursor) -> bool {
        let mut state = self.lock();
        let is_level = state.head() == *head;
        state.is_pumping = !is_level;
        is_level
    }

    /// Begins a new epoch without events. Returns whether there were any.
    pub(crate) fn reset(&self, config: &Config, log: Log) -> bool {
        let mut state = self.lock();
        let had_events = state.ring.head() > Seq::ZERO;
        let seats = std::mem::take(&mut state.seats);
        let is_pumping = state.is_pumping;
        *state = State {
            is_pumping,
            ..State::new(config, log, seats)
        };
        drop(state);
        self.clarified.notify_waiters();
        had_events
    }

    /// The same, unless somebody subscribes. Returns whether it was done.
    pub(crate) fn reset_if_unwatched(&self, config: &Config, log: Log) -> bool {
        if self.lock().seats.len() > 0 {
            return false;
        }
        self.reset(config, log)
    }

    /// Whether it ended or fell silent so long ago that it may be forgotten.
    pub(crate) fn is_forgettable(&self, config: &Config, now_ms: i64) -> bool {
        let state = self.lock();
        let age_max = match state.fold.status() {
            Status::Active => config.idle_age_max,
            Status::Completed | Status::Failed => config.ended_age_max,
        };
        let age_ms = u128::try_from(now_ms - state.touched_ms).unwrap_or(0);
        state.seats.len() == 0 && age_ms > age_max.as_millis()
    }

    /// Marks the topic as out of the map if it holds no event and has no subscriber.
    pub(crate) fn retire_if_unused(&self) -> bool {
        let mut state = self.lock();
        state.is_retired = state.seats.len() == 0 && state.ring.head() == Seq::ZERO;
        state.is_retired
    }
}

impl State {
    fn new(config: &Config, log: Log, seats: Seats) -> Self {
        Self {
            epoch: new_epoch(),
            ring: Ring::new(
                Seq::ZERO,
                config.ring_events_max,
                config.ring_bytes_max.bytes(),
            ),
            fold: Fold::new(config.fold_bounds()),
            log,
            seats,
            touched_ms: jiff::Timestamp::now().as_millisecond(),
            is_pumping: false,
            is_retired: false,
        }
    }

    pub(crate) fn head(&self) -> Cursor {
        Cursor {
            epoch: self.epoch.clone(),
            seq: self.ring.head(),
        }
    }
}

/// Eight random characters: the chance that two incarnations of a topic share one is negligible.
fn new_epoch() -> Epoch {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let bits = Uuid::now_v7().as_u128();
    let digit = |n: u32| char::from(ALPHABET[usize::try_from((bits >> (5 * n)) & 31).unwrap_or(0)]);
    let text: String = (0..8).map(digit).collect();
    Epoch::new(&text).expect("the alphabet is allowed in an epoch")
}
