//! A topic that is alive on this node: its log, ring and fold under one lock, and its subscribers.

mod state;

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Notify;

pub(crate) use self::state::State;
use crate::hub::fanout::{Description, Subscriber};
use crate::hub::follow::Following;
use crate::hub::{Config, Tally, TopicLine};
use crate::origin;
use crate::store::Log;
use crate::topic::{
    self, Cursor, Entry, Epoch, Event, Job, Seq, Slice, Status, TopicName, iso8601,
};

/// Most events that are read from the log at once.
const LOG_PAGE: usize = 64;

/// Most events of traces that one walk is recorded for.
const TRACED_MAX: usize = 64;

/// A topic on this node.
pub struct Topic {
    name: TopicName,
    state: Mutex<State>,
    /// Whether states of some names are held for a while.
    pub(crate) has_caps: bool,
    /// Told whenever a question was asked or ended, or a job is to stop.
    pub(crate) clarified: Notify,
    /// Told whenever a copy has grown.
    pub(crate) moved: Notify,
}

/// A topic that left the map.
pub(crate) struct Retired {
    /// Its epoch, if it is not the one that it began with.
    pub(crate) renewed: Option<Epoch>,
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

/// What a list shows of a topic.
#[derive(Debug, Clone, Default)]
pub struct Glance {
    /// The newest event that tells how far it is.
    pub told: Option<Arc<Event>>,
    /// How far the job is, in percent, if it is one.
    pub job: Option<f64>,
    /// How many questions are open.
    pub questions: usize,
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
    pub(crate) fn new(name: TopicName, config: &Config, log: Log, is_copy: bool) -> Self {
        let mut state = State::new(config, log);
        state.following = is_copy.then(|| Following::new(state.epoch.clone()));
        Self {
            name,
            state: Mutex::new(state),
            has_caps: !config.rate_caps.is_empty(),
            clarified: Notify::new(),
            moved: Notify::new(),
        }
    }

    /// The same, beginning in an epoch, if nothing is known of it.
    pub(crate) fn begin_with(self, epoch: Epoch) -> Self {
        {
            let mut state = self.peek();
            if state.following.is_none() && state.log.unread().is_none() {
                state.epoch = epoch.clone();
                state.first_epoch = Some(epoch);
            }
        }
        self
    }

    /// The name of the topic.
    pub const fn name(&self) -> &TopicName {
        &self.name
    }

    /// The place of the newest event.
    pub fn head(&self) -> Cursor {
        self.peek().head()
    }

    /// The user whose topic it is, once an event has said so.
    pub fn owner(&self) -> Option<Arc<str>> {
        self.lock().fold.owner().cloned()
    }

    /// Whose it is, if an event has said that it is somebody else's.
    pub(crate) fn owner_other_than(&self, user: &str) -> Option<Arc<str>> {
        let state = self.lock();
        state
            .fold
            .owner()
            .filter(|owner| ***owner != *user)
            .cloned()
    }

    /// How many subscribers it has on this node.
    pub fn subscribers(&self) -> usize {
        self.peek().seats.len()
    }

    /// The topic in a few words.
    pub fn line(&self) -> TopicLine {
        let state = self.peek();
        TopicLine {
            topic: self.name.clone(),
            cursor: state.head(),
            status: state.status(),
            subscribers: state.seats.len(),
            updated_at: iso8601(state.touched_ms),
        }
    }

    /// What a list shows of it, as far as that is in memory.
    pub fn glance(&self) -> Glance {
        let state = self.peek();
        let fold = &state.fold;
        Glance {
            told: fold.newest_progress().cloned(),
            job: fold.job().map(Job::progress),
            questions: fold.open_clarifications().count(),
        }
    }

    /// What became of its events, by those who watch it no more.
    pub fn departed(&self) -> Tally {
        self.peek().departed
    }

    /// Who subscribes on this node.
    pub fn presence(&self) -> Vec<Description> {
        let (head, seats): (_, Vec<Arc<dyn Subscriber>>) = {
            let state = self.peek();
            (state.ring.head(), state.seats.iter().cloned().collect())
        };
        seats
            .iter()
            .map(|subscriber| subscriber.describe(head))
            .collect()
    }

    /// Puts up to `max` entries after the cursor into `out`: from the ring, else from the log.
    pub fn read(&self, cursor: &Cursor, max: usize, out: &mut Vec<Arc<Entry>>) -> Read {
        let mut state = self.lock();
        if !state.is_known() {
            return Read::Entries;
        }
        if cursor.epoch != state.epoch || cursor.seq > state.ring.head() {
            return Read::Gap;
        }
        let before_held = state.visible().0.saturating_sub(cursor.seq.0);
        let max = max.min(usize::try_from(before_held).unwrap_or(max));
        if state.ring.after(cursor.seq, max, out) == Slice::Here {
            return Read::Entries;
        }
        if cursor.seq.next() < state.log.oldest() {
            return Read::Gap;
        }
        let Ok(events) = state.log.after(cursor.seq, max.min(LOG_PAGE)) else {
            state.renew();
            return Read::Gap;
        };
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

    /// The job, and the place up to which its events are told in it; nothing if none of them is a
    /// step.
    pub fn job(&self) -> Option<(Job, Cursor)> {
        let state = self.lock();
        state.fold.job().map(|job| (job.clone(), state.head()))
    }

    /// Whether who has this place joins only now, though its epoch is another one: it was taken before
    /// the log could be read. Such a subscriber is sent the snapshot, and has missed nothing.
    pub fn joins_now(&self, from: &Cursor) -> bool {
        self.peek().joins_now(from)
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
        let mut state = self.lock();
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
        let Ok(events) = state.log.after(after, limit) else {
            state.renew();
            return Err(state.head());
        };
        let last = events.last().map(|event| event.cursor());
        Ok(History {
            next: last.filter(|last| last.seq < state.ring.head()),
            events,
        })
    }

    /// Up to `limit` events before a cursor, newest first; from the newest if there is none.
    ///
    /// # Errors
    /// The head, when the cursor is of another epoch, or the log was found damaged.
    pub fn history_reverse(
        &self,
        before: Option<&Cursor>,
        limit: usize,
    ) -> Result<History, Cursor> {
        let mut state = self.lock();
        if before.is_some_and(|cursor| cursor.epoch != state.epoch) {
            return Err(state.head());
        }
        let Ok(events) = state.log.before(before.map(|cursor| cursor.seq), limit) else {
            state.renew();
            return Err(state.head());
        };
        let last = events.last().map(|event| event.cursor());
        Ok(History {
            next: last.filter(|last| last.seq > state.log.oldest()),
            events,
        })
    }

    /// The state, with what the store has of the topic.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.peek();
        if state.log.unread().is_some() {
            blocking(|| state.read_found());
        }
        state
    }

    /// The state; its fold and log may not have been read from the store yet.
    pub(crate) fn peek(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of a topic panics")
    }

    /// Lets the pump rest if nothing came after `head`.
    pub(crate) fn rest_at(&self, head: &Cursor) -> bool {
        let mut state = self.lock();
        let is_level = state.head() == *head;
        state.is_pumping = !is_level;
        is_level
    }

    /// Lets the store's writer run, if it has an event of this topic and shares the processor: what
    /// is committed during a walk goes out with it.
    pub(crate) fn give_way(&self) {
        let is_awaited = {
            let state = self.peek();
            state.tail > state.ring.head()
        };
        if is_awaited {
            std::thread::yield_now();
        }
    }

    /// Notes an event that belongs to a trace, if somebody is to be sent it.
    pub(crate) fn trace(&self, event: &Arc<Event>) {
        if event.arrival.trace.is_some() {
            let mut state = self.peek();
            if state.seats.len() > 0 && state.traced.len() < TRACED_MAX {
                state.traced.push(Arc::clone(event));
            }
        }
    }

    /// The events of traces that are sent now.
    pub(crate) fn take_traced(&self) -> Vec<Arc<Event>> {
        if origin::spans().is_none() {
            return Vec::new();
        }
        std::mem::take(&mut self.peek().traced)
    }

    /// Begins a new epoch without events. Returns whether there were any; then `told` is called with
    /// the old one under the lock, so that the store learns of it in the order of the events.
    pub(crate) fn reset(&self, told: impl FnOnce(&Epoch)) -> bool {
        let mut state = self.peek();
        let had_events = state.tail > Seq::ZERO;
        if had_events {
            told(&state.epoch);
        }
        state.renew();
        drop(state);
        self.clarified.notify_waiters();
        had_events
    }

    /// Begins a new epoch if it has this one, whose events are gone from the store.
    pub(crate) fn lose(&self, epoch: &Epoch) -> bool {
        let mut state = self.peek();
        let is_lost = state.epoch == *epoch;
        if is_lost {
            state.renew();
        }
        drop(state);
        self.clarified.notify_waiters();
        is_lost
    }

    /// Whether it ended or fell silent so long ago that it may be forgotten.
    pub(crate) fn is_forgettable(&self, config: &Config, now_ms: i64) -> bool {
        let state = self.peek();
        let age_max = config.age_max(self.name.kind(), state.status());
        let age_ms = u128::try_from(now_ms - state.touched_ms).unwrap_or(0);
        let is_kept = state.following.is_some() || self.name.as_str() == topic::REVOCATIONS;
        !is_kept && state.seats.len() == 0 && age_ms > age_max.as_millis()
    }

    /// Marks the topic as out of the map if it holds no event and has no subscriber.
    pub(crate) fn retire_if_unused(&self) -> Option<Retired> {
        let mut state = self.peek();
        state.is_retired = state.is_unused();
        let is_renewed =
            state.following.is_none() && state.first_epoch.as_ref() != Some(&state.epoch);
        state.is_retired.then(|| Retired {
            renewed: is_renewed.then(|| state.epoch.clone()),
        })
    }
}

/// Runs what reads from the disk, and lets other tasks of this worker go on elsewhere.
fn blocking(read: impl FnOnce()) {
    let is_worker =
        Handle::try_current().is_ok_and(|h| h.runtime_flavor() == RuntimeFlavor::MultiThread);
    if is_worker {
        tokio::task::block_in_place(read);
    } else {
        read();
    }
}
