//! What a topic holds, under its one lock.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::time::Instant;

use crate::hub::cap::Held;
use crate::hub::follow::Following;
use crate::hub::lane;
use crate::hub::presence::Elsewhere;
use crate::hub::seats::Seats;
use crate::hub::{Config, Tally};
use crate::store::{Log, new_epoch};
use crate::topic::{self, Cursor, Epoch, Event, Fold, Ring, Seq, Stage, Status};

/// What a topic holds.
pub(crate) struct State {
    pub(crate) epoch: Epoch,
    /// The epoch that it began with, if it was new: see `beginnings`.
    pub(super) first_epoch: Option<Epoch>,
    /// The last number that was given out; ahead of the ring while events are on their way.
    pub(crate) tail: Seq,
    /// Counts refusals of the store: see `settle`.
    pub(crate) generation: u64,
    /// The ids of questions about which an event is on its way.
    pub(crate) claims: HashSet<String>,
    /// Where the job stands after what is on its way; level with the fold when nothing is.
    pub(crate) stage: Stage,
    /// Events of traces that nobody was sent yet.
    pub(super) traced: Vec<Arc<Event>>,
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

/// What a topic may hold in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    ring_events_max: usize,
    ring_bytes_max: usize,
    fold: topic::Bounds,
    pub(crate) lanes: lane::Config,
}

impl State {
    pub(super) fn new(config: &Config, log: Log) -> Self {
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
    pub(super) fn renew(&mut self) {
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
    pub(super) fn read_found(&mut self) {
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

    pub(super) fn status(&self) -> Status {
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
