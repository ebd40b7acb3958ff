//! A topic that is alive on this node: its log, ring and fold under one lock, and its subscribers.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::hub::cap::Held;
use crate::hub::fanout::{Description, Subscriber};
use crate::hub::follow::Following;
use crate::hub::lane;
use crate::hub::presence::Elsewhere;
use crate::hub::seats::Seats;
use crate::hub::{Config, Tally, TopicLine};
use crate::origin;
use crate::store::{Log, new_epoch};
use crate::topic::{
    self, Cursor, Entry, Epoch, Event, Fold, Job, Ring, Seq, Slice, Stage, Status, TopicName,
    iso8601,
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

pub(crate) struct State {
    pub(crate) epoch: Epoch,
    /// The epoch that it began with, if it was new: see `beginnings`.
    first_epoch: Option<Epoch>,
    /// The last number that was given out; ahead of the ring while events are on their way.
    pub(crate) tail: Seq,
    /// Counts refusals of the store: see `settle`.
    pub(crate) generation: u64,
    /// The ids of questions about which an event is on its way.
    pub(crate) claims: HashSet<String>,
    /// Where the job stands after what is on its way; level with the fold when nothing is.
    pub(crate) stage: Stage,
    /// Events of traces that nobody was sent yet.
    traced: Vec<Arc<Event>>,
    /// When its worker was last heard of, on this node.
    pub(crate) heard_at: Instant,
    /// Whether somebody waits for the end of the lease.
    pub(crate) is_lease_watched: bool,
    pub(crate) ring: Ring,
    pub(crate) fold: Fold,
    pub(crate) held: Option<Box<Held>>,
    pub(crate) log: Log,
    pub(crate) seats: Seats,
    /// How many subscribers other nodes have.
    pub(crate) elsewhere: Elsewhere,
    pub(crate) touched_ms: i64,
    /// What those counted in this epoch who watch it no more.
    pub(crate) departed: Tally,
    /// The owner that an event on its way has claimed the topic for.
    pub(crate) claimed_for: Option<Arc<str>>,
    /// Whether a pump is walking the seats.
    pub(crate) is_pumping: bool,
    /// How it stands, if this is a copy of a log that is elsewhere.
    pub(crate) following: Option<Following>,
    /// Set when the topic left the map: whoever still holds it must look it up again.
    pub(crate) is_retired: bool,
    pub(crate) bounds: Bounds,
}

/// A topic that left the map.
pub(crate) struct Retired {
    /// Its epoch, if it is not the one that it began with.
    pub(crate) renewed: Option<Epoch>,
}

/// What a topic may hold in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    ring_events_max: usize,
    ring_bytes_max: usize,
    fold: topic::Bounds,
    pub(crate) lanes: lane::Config,
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

impl State {
    fn new(config: &Config, log: Log) -> Self {
        let bounds = Bounds {
            ring_events_max: config.ring_events_max,
            ring_bytes_max: config.ring_bytes_max.bytes(),
            fold: config.fold_bounds(),
            lanes: config.lanes,
        };
        let (epoch, head, touched_ms) = match log.unread() {
            Some(found) => (found.epoch.clone(), Seq(found.head), found.updated_ms),
            None => {
                let now_ms = jiff::Timestamp::now().as_millisecond();
                (new_epoch(), Seq::ZERO, now_ms)
            }
        };
        Self {
            epoch,
            first_epoch: None,
            tail: head,
            generation: 0,
            claims: HashSet::new(),
            stage: Stage::default(),
            traced: Vec::new(),
            heard_at: Instant::now(),
            is_lease_watched: false,
            ring: Ring::new(head, bounds.ring_events_max, bounds.ring_bytes_max),
            fold: Fold::new(bounds.fold),
            held: (!config.rate_caps.is_empty()).then(|| {
                Box::new(Held::new(
                    &config.rate_caps,
                    head,
                    bounds.ring_events_max / 2,
                ))
            }),
            log,
            seats: Seats::default(),
            elsewhere: Elsewhere::NOT_COUNTED,
            touched_ms,
            departed: Tally::default(),
            claimed_for: None,
            is_pumping: false,
            following: None,
            is_retired: false,
            bounds,
        }
    }

    /// Begins a new epoch without events. Subscribers stay; their cursors tell them of the gap.
    fn renew(&mut self) {
        self.epoch = new_epoch();
        self.tail = Seq::ZERO;
        self.generation += 1;
        self.claims.clear();
        self.claimed_for = None;
        self.departed = Tally::default();
        self.stage = Stage::default();
        self.ring = Ring::new(
            Seq::ZERO,
            self.bounds.ring_events_max,
            self.bounds.ring_bytes_max,
        );
        self.fold = Fold::new(self.bounds.fold);
        if let Some(held) = &mut self.held {
            held.renew(Seq::ZERO);
        }
        self.log = self.log.anew();
        self.touched_ms = jiff::Timestamp::now().as_millisecond();
    }

    /// An empty copy of an epoch, which goes on after `before`.
    pub(crate) fn begin_copy(&mut self, epoch: Epoch, before: Seq) {
        self.renew();
        self.epoch = epoch;
        self.tail = before;
        self.ring = Ring::new(
            before,
            self.bounds.ring_events_max,
            self.bounds.ring_bytes_max,
        );
        if let Some(held) = &mut self.held {
            held.renew(before);
        }
        self.log = self.log.copy_from(before);
    }

    /// Whether nobody needs it here: it holds no event of its own, and nobody watches it.
    pub(crate) fn is_unused(&self) -> bool {
        let is_empty = match &self.following {
            None => self.tail == Seq::ZERO,
            Some(following) => following.pins == 0,
        };
        is_empty && self.seats.len() == 0
    }

    /// Reads what the store has of the topic. If that is damaged, a new epoch begins.
    fn read_found(&mut self) {
        match self.log.read_found() {
            Ok(events) => {
                for event in &events {
                    self.fold.apply(event);
                }
                self.stage = self.fold.stage();
            }
            Err(_) => self.renew(),
        }
    }

    fn status(&self) -> Status {
        match self.log.unread() {
            Some(found) => found.status,
            None => self.fold.status(),
        }
    }

    pub(crate) fn head(&self) -> Cursor {
        Cursor {
            epoch: self.epoch.clone(),
            seq: self.ring.head(),
        }
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
