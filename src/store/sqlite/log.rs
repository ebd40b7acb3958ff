//! The log of a topic in the file, with an index in memory: where each event lies.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::Sqlite;
use super::rows::{self, EventRow, Stored};
use crate::store::memory::Bounds;
use crate::store::record::{Place, decode};
use crate::topic::{Event, Seq, TopicName};

/// Rows are deleted when as many have left the log, or this many bytes.
const TRIM_EVENTS: usize = 256;
const TRIM_BYTES: usize = 1 << 20;

/// What is stored of a topic is not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what is stored of the topic is damaged")]
pub struct Damaged;

/// The log of a topic in the file.
#[derive(Debug)]
pub struct SqliteLog {
    store: Sqlite,
    topic: TopicName,
    bounds: Bounds,
    /// The incarnation, once it has an event.
    stored: Option<Stored>,
    is_unread: bool,
    head: u64,
    /// The newest events, oldest first.
    index: VecDeque<Indexed>,
    bytes: usize,
    /// Offsets of rows that have left the log and are still in the file.
    left: Vec<i64>,
    left_bytes: usize,
    is_trimming: bool,
    /// Events that left the log and are kept for late joiners.
    kept: BTreeSet<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Indexed {
    offset: i64,
    bytes: u32,
    /// Seconds since the Unix epoch.
    at: u32,
}

/// What is to be deleted, and what of it is to be kept for late joiners.
#[derive(Debug)]
pub(crate) struct Trim {
    pub(super) offsets: Vec<i64>,
    /// The number of the oldest event that stays.
    pub(super) oldest: u64,
    pub(super) kept: Vec<Arc<Event>>,
    /// Numbers of events that were kept and need not be any more.
    pub(super) released: Vec<u64>,
}

impl SqliteLog {
    pub(crate) fn new(store: Sqlite, topic: TopicName, found: Option<Stored>) -> Self {
        Self {
            bounds: store.0.config.bounds(topic.kind()),
            store,
            topic,
            is_unread: found.is_some(),
            head: found.as_ref().map_or(0, |stored| stored.head),
            stored: found,
            index: VecDeque::new(),
            bytes: 0,
            left: Vec::new(),
            left_bytes: 0,
            is_trimming: false,
            kept: BTreeSet::new(),
        }
    }

    pub(crate) fn anew(&self) -> Self {
        Self::new(self.store.clone(), self.topic.clone(), None)
    }

    pub(crate) const fn unread(&self) -> Option<&Stored> {
        match &self.stored {
            Some(stored) if self.is_unread => Some(stored),
            _ => None,
        }
    }

    pub(crate) fn oldest(&self) -> Seq {
        Seq(self.head + 1 - self.index.len() as u64)
    }

    /// Notes where the writer has put the next event.
    pub(crate) fn committed(&mut self, event: &Arc<Event>, offset: i64) {
        let stored = self
            .stored
            .get_or_insert_with(|| Stored::new(0, event.epoch.clone()));
        stored.head = event.seq.0;
        self.head = event.seq.0;
        self.push(offset, event);
    }

    fn push(&mut self, offset: i64, event: &Event) {
        let newest = Indexed {
            offset,
            bytes: u32::try_from(event.footprint_bytes()).unwrap_or(u32::MAX),
            at: u32::try_from(event.timestamp_ms / 1000).unwrap_or(0),
        };
        self.index.push_back(newest);
        self.bytes += newest.bytes as usize;
        while self.index.len() > 1 && self.is_beyond(newest.at) {
            let Some(oldest) = self.index.pop_front() else {
                return;
            };
            self.bytes -= oldest.bytes as usize;
            self.left.push(oldest.offset);
            self.left_bytes += oldest.bytes as usize;
        }
    }

    /// Whether the oldest event has to leave.
    fn is_beyond(&self, now: u32) -> bool {
        let bounds = &self.bounds;
        let oldest = self.index.front().map_or(now, |oldest| oldest.at);
        self.index.len() > bounds.events_max
            || self.bytes > bounds.bytes_max
            || u64::from(now.saturating_sub(oldest)) > bounds.age_seconds_max
    }

    /// Reads the events that are kept for late joiners, then the chain, and makes the index.
    pub(crate) fn read_found(&mut self) -> Result<Vec<Arc<Event>>, Damaged> {
        let Some(stored) = self.stored.clone().filter(|_| self.is_unread) else {
            return Ok(Vec::new());
        };
        self.is_unread = false;
        let (kept, chain) = {
            let reader = self.store.reader(self.topic.as_str());
            (
                rows::kept(&reader, &self.topic, &stored),
                rows::chain(&reader, &self.topic, &stored),
            )
        };
        let (Ok(Some(kept)), Ok(Some(chain))) = (kept, chain) else {
            return Err(self.damaged("a row is missing or not what was written"));
        };
        let mut events = Vec::with_capacity(kept.len() + chain.len());
        for row in kept.iter().chain(chain.iter().rev()) {
            let event = self.decoded(&stored, row)?;
            if row.offset == 0 {
                self.kept.insert(row.seq);
            } else {
                self.push(row.offset, &event);
            }
            events.push(event);
        }
        Ok(events)
    }

    fn decoded(&self, stored: &Stored, row: &EventRow) -> Result<Arc<Event>, Damaged> {
        let place = Place {
            topic: &self.topic,
            epoch: &stored.epoch,
            seq: row.seq,
            prev: row.prev,
        };
        decode(&place, &row.record).ok_or_else(|| self.damaged("a row is no event"))
    }

    fn damaged(&self, why: &str) -> Damaged {
        self.store.damaged(self.topic.as_str(), why);
        Damaged
    }

    pub(crate) fn after(&self, seq: Seq, max: usize) -> Result<Vec<Arc<Event>>, Damaged> {
        if seq.next() < self.oldest() || seq.0 >= self.head {
            return Ok(Vec::new());
        }
        let last = self.head.min(seq.0.saturating_add(max as u64));
        self.read(seq.0 + 1..=last)
    }

    pub(crate) fn before(&self, seq: Option<Seq>, max: usize) -> Result<Vec<Arc<Event>>, Damaged> {
        let upto = seq.map_or(self.head + 1, |seq| seq.0.min(self.head + 1));
        let first = upto.saturating_sub(max as u64).max(self.oldest().0);
        let mut events = self.read(first..=upto.saturating_sub(1))?;
        events.reverse();
        Ok(events)
    }

    fn read(&self, seqs: std::ops::RangeInclusive<u64>) -> Result<Vec<Arc<Event>>, Damaged> {
        let Some(stored) = &self.stored else {
            return Ok(Vec::new());
        };
        let oldest = self.oldest().0;
        let reader = self.store.reader(self.topic.as_str());
        let mut events = Vec::new();
        for seq in seqs {
            let place = usize::try_from(seq - oldest).unwrap_or(usize::MAX);
            let Some(indexed) = self.index.get(place) else {
                break;
            };
            let found = rows::event(&reader, &self.topic, &stored.epoch, (seq, indexed.offset));
            let Ok(Some(row)) = found else {
                drop(reader);
                return Err(self.damaged("an event is missing or not what was written"));
            };
            events.push(self.decoded(stored, &row)?);
        }
        Ok(events)
    }

    /// What is to be deleted with the next event, if it is worth it and nothing is on its way.
    pub(crate) fn trim(&mut self, wanted: impl FnOnce() -> Vec<Arc<Event>>) -> Option<Trim> {
        let is_due = self.left.len() >= TRIM_EVENTS || self.left_bytes >= TRIM_BYTES;
        if self.is_trimming || !is_due {
            return None;
        }
        self.is_trimming = true;
        let oldest = self.oldest().0;
        let mut wanted = wanted();
        wanted.retain(|event| event.seq.0 < oldest);
        let is_wanted: BTreeSet<u64> = wanted.iter().map(|event| event.seq.0).collect();
        wanted.retain(|event| !self.kept.contains(&event.seq.0));
        Some(Trim {
            offsets: self.left.clone(),
            oldest,
            kept: wanted,
            released: self.kept.difference(&is_wanted).copied().collect(),
        })
    }

    pub(crate) fn trimmed(&mut self, trim: &Trim, is_done: bool) {
        self.is_trimming = false;
        if !is_done {
            return;
        }
        self.left.drain(..trim.offsets.len());
        self.left_bytes = 0;
        for seq in &trim.released {
            self.kept.remove(seq);
        }
        self.kept.extend(trim.kept.iter().map(|event| event.seq.0));
    }
}
