//! What became of the events of a topic on this node, counted seat by seat.
//!
//! A seat counts for its subscriber; what it counted goes to the topic when it is given up, so that
//! the sum over those who watch and those who did is the whole. Nothing here is exact to a reader
//! that looks while a batch is handed over; nothing depends on it.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// What became of events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Handed over, and not seen before by whoever got them.
    pub delivered: u64,
    /// Handed over from the snapshot or the log: they are older than the subscription.
    pub replayed: u64,
    /// Not handed over, since a newer state stands for them.
    pub conflated: u64,
}

impl Tally {
    /// Takes another one in.
    pub const fn add(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.replayed += other.replayed;
        self.conflated += other.conflated;
    }
}

/// The counters of one seat. One task writes at a time (whoever hands over holds its subscriber's
/// lock), so adding is a load and a store.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    delivered: AtomicU64,
    replayed: AtomicU64,
    conflated: AtomicU64,
}

impl Counters {
    pub(crate) fn delivered(&self, events: u64) {
        add(&self.delivered, events);
    }

    pub(crate) fn replayed(&self, events: u64) {
        add(&self.replayed, events);
    }

    pub(crate) fn conflated(&self, events: u64) {
        add(&self.conflated, events);
    }

    pub(crate) fn tally(&self) -> Tally {
        Tally {
            delivered: self.delivered.load(Ordering::Relaxed),
            replayed: self.replayed.load(Ordering::Relaxed),
            conflated: self.conflated.load(Ordering::Relaxed),
        }
    }
}

fn add(counter: &AtomicU64, events: u64) {
    if events > 0 {
        let before = counter.load(Ordering::Relaxed);
        counter.store(before + events, Ordering::Relaxed);
    }
}
