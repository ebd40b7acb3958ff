//! The ring: the newest events of a topic in memory, each with its wire forms built at most once.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::topic::{Event, Seq};

/// How many wire forms an entry can hold; which is which is for the faces to say.
pub const FORMS: usize = 4;

/// An event in the ring, with the frames built from it so far.
#[derive(Debug)]
pub struct Entry {
    /// The event.
    pub event: Arc<Event>,
    forms: [OnceLock<Bytes>; FORMS],
    is_withheld: AtomicBool,
}

impl Entry {
    /// An entry without frames.
    pub fn new(event: Arc<Event>) -> Self {
        Self {
            event,
            forms: [const { OnceLock::new() }; FORMS],
            is_withheld: AtomicBool::new(false),
        }
    }

    /// Whether live readers are not sent it, since a newer one took its place.
    pub fn is_withheld(&self) -> bool {
        self.is_withheld.load(Ordering::Relaxed)
    }

    /// The frame of a form; built by the first that asks and shared by all others.
    pub fn form(&self, form: usize, build: impl FnOnce(&Event) -> Bytes) -> Bytes {
        self.forms[form].get_or_init(|| build(&self.event)).clone()
    }
}

/// What a reader at a cursor finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slice {
    /// Everything after the cursor is in the ring (and was handed out up to the bound).
    Here,
    /// The event after the cursor has left the ring; the log may still hold it.
    Older,
}

/// The newest events of a topic, in order, without holes. Bounded by number and bytes, but never
/// below one event.
#[derive(Debug)]
pub struct Ring {
    entries: VecDeque<Arc<Entry>>,
    head: Seq,
    bytes: usize,
    events_max: usize,
    bytes_max: usize,
}

impl Ring {
    /// An empty ring of a log whose newest event is `head`.
    pub const fn new(head: Seq, events_max: usize, bytes_max: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            head,
            bytes: 0,
            events_max,
            bytes_max,
        }
    }

    /// The number of the newest event.
    pub const fn head(&self) -> Seq {
        self.head
    }

    /// The mean size of the events in the ring, in bytes.
    pub fn mean_bytes(&self) -> usize {
        self.bytes / self.entries.len().max(1)
    }

    /// Adds the next event; the oldest leave when a bound is passed.
    ///
    /// # Panics
    /// When the event's number is not the one after the head: append is the only caller and
    /// numbers under one lock.
    pub fn push(&mut self, event: Arc<Event>) {
        assert_eq!(
            event.seq,
            self.head.next(),
            "events enter the ring in order"
        );
        self.head = event.seq;
        self.bytes += event.footprint_bytes();
        self.entries.push_back(Arc::new(Entry::new(event)));
        while self.entries.len() > 1
            && (self.entries.len() > self.events_max || self.bytes > self.bytes_max)
        {
            if let Some(oldest) = self.entries.pop_front() {
                self.bytes -= oldest.event.footprint_bytes();
            }
        }
    }

    /// Notes that live readers are not to be sent an event, if it is still here.
    pub fn withhold(&self, seq: Seq) {
        let behind = usize::try_from(self.head.0.saturating_sub(seq.0)).unwrap_or(usize::MAX);
        let at = self.entries.len().checked_sub(behind.saturating_add(1));
        if let Some(entry) = at.and_then(|at| self.entries.get(at)) {
            entry.is_withheld.store(true, Ordering::Relaxed);
        }
    }

    /// Puts up to `max` entries after `seq` into `out`, in order. A cursor at or ahead of the head
    /// gets nothing.
    pub fn after(&self, seq: Seq, max: usize, out: &mut Vec<Arc<Entry>>) -> Slice {
        let behind = self.head.0.saturating_sub(seq.0);
        let Ok(behind) = usize::try_from(behind) else {
            return Slice::Older;
        };
        if behind > self.entries.len() {
            return Slice::Older;
        }
        let start = self.entries.len() - behind;
        out.extend(self.entries.iter().skip(start).take(max).cloned());
        Slice::Here
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::topic::{Class, Epoch, Payload};

    fn event(seq: u64, bytes: usize) -> Arc<Event> {
        Arc::new(Event {
            topic: "session:a".parse().unwrap(),
            seq: Seq(seq),
            epoch: Epoch::new("e").unwrap(),
            id: uuid::Uuid::nil(),
            name: "progress".parse().unwrap(),
            timestamp_ms: 0,
            class: Class::State,
            key: None,
            attempt: None,
            owner: None,
            payload: Payload::Value(vec![b'1'; bytes].into()),
            arrival: crate::topic::Arrival::default(),
        })
    }

    #[test]
    fn a_form_is_built_once() {
        let entry = Entry::new(event(1, 1));
        let first = entry.form(0, |_| Bytes::from_static(b"a"));
        let second = entry.form(0, |_| unreachable!("built already"));
        assert_eq!(first, second);
    }

    proptest! {
        /// Against a plain list of everything: the ring never skips, never repeats, and says so
        /// when it no longer has what is asked for.
        #[test]
        fn it_hands_out_exactly_what_follows(
            first in 0_u64..5,
            sizes in proptest::collection::vec(0_usize..600, 0..60),
            events_max in 1_usize..20,
            bytes_max in 200_usize..8000,
            since in 0_u64..70,
            max in 1_usize..70,
        ) {
            let mut ring = Ring::new(Seq(first), events_max, bytes_max);
            for (n, size) in sizes.iter().enumerate() {
                ring.push(event(first + 1 + n as u64, *size));
            }
            let head = first + sizes.len() as u64;
            prop_assert_eq!(ring.head(), Seq(head));
            prop_assert!(ring.entries.len() <= events_max);
            let held: usize = ring.entries.iter().map(|e| e.event.footprint_bytes()).sum();
            prop_assert_eq!(held, ring.bytes);
            prop_assert!(ring.entries.len() <= 1 || held <= bytes_max);

            let mut out = Vec::new();
            let slice = ring.after(Seq(since), max, &mut out);
            let got: Vec<u64> = out.iter().map(|e| e.event.seq.0).collect();
            let oldest = head - ring.entries.len() as u64;
            if since < oldest {
                prop_assert_eq!(slice, Slice::Older);
                prop_assert!(got.is_empty());
            } else {
                let want: Vec<u64> = (since + 1..=head).take(max).collect();
                prop_assert_eq!(slice, Slice::Here);
                prop_assert_eq!(got, want);
            }
        }
    }
}
