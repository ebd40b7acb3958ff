//! What all who take part in a run share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::plan::Plan;
use super::published::Published;
use crate::app::cli::Fault;
use crate::app::latencies::Latencies;

/// Most complaints that are kept; the rest is only counted.
const COMPLAINTS_MAX: usize = 10;

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Clients connect and subscribe.
    Gathering,
    /// Events are published and faults are made.
    Storm,
    /// Nothing new is published and nothing fails; producers finish what they have begun.
    Lull,
    /// Nothing more is published and nothing fails: what is due is awaited.
    Calm,
    /// Patience has ended.
    Over,
}

/// What all who take part in a run share.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) plan: Plan,
    pub(super) published: Published,
    pub(super) tally: Tally,
    pub(super) phase: watch::Sender<Phase>,
    /// Raised by one when all connections are to be cut at once.
    pub(super) herd: watch::Sender<u64>,
    begun: Instant,
}

impl Scene {
    /// The begin of a run.
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            published: Published::new(plan.topics.len()),
            tally: Tally::default(),
            phase: watch::Sender::new(Phase::Gathering),
            herd: watch::Sender::new(0),
            begun: Instant::now(),
            plan,
        }
    }

    /// The time of the run, in microseconds.
    pub(super) fn now(&self) -> u64 {
        micros(self.begun.elapsed())
    }

    /// How far the run is.
    pub(super) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }
}

/// A duration in microseconds.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// What is counted while the run goes on.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Clients that have all their subscriptions now.
    pub(super) present: Count,
    pub(super) delivered: Count,
    /// Times that a client came back, recovered by the gateway.
    pub(super) recovered: Count,
    /// Times that a client came back and resumed by itself, with `since`.
    pub(super) resumed: Count,
    /// Clients that did not come back in time.
    pub(super) never_back: Count,
    /// Attempts to come back that failed.
    pub(super) attempts_failed: Count,
    /// Times that a client which did not read was closed by the gateway, or was not.
    pub(super) stuck_closed: Count,
    pub(super) stuck_open: Count,
    /// Publishes that were sent again.
    pub(super) repeats: Count,
    /// Publishes whose repetition brought another receipt.
    pub(super) receipts_changed: Count,
    /// Publishes that were never acknowledged.
    pub(super) unacknowledged: Count,
    notes: Mutex<Notes>,
}

/// What does not fit a number.
#[derive(Debug, Default, Clone)]
pub(super) struct Notes {
    /// From publish to delivery, on connections that nothing disturbed meanwhile.
    pub(super) delivery: Latencies,
    /// From the first attempt to come back to the last `subscribed`.
    pub(super) resumption: Latencies,
    /// How often each fault was made.
    pub(super) faults: BTreeMap<Fault, u64>,
    /// The first things that went wrong, in words.
    pub(super) complaints: Vec<String>,
}

impl Tally {
    /// What does not fit a number.
    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A fault was made.
    pub(super) fn made(&self, fault: Fault) {
        *self.notes().faults.entry(fault).or_default() += 1;
    }

    /// Something went wrong.
    pub(super) fn complain(&self, what: String) {
        let mut notes = self.notes();
        if notes.complaints.len() < COMPLAINTS_MAX {
            notes.complaints.push(what);
        }
    }
}

/// A number that many count.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    /// One more.
    pub(super) fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One less.
    pub(super) fn down(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// The number.
    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
