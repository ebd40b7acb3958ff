//! Logs in memory: bounded by number and bytes each, and by bytes all together.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::store::Error;
use crate::topic::{Event, Seq};

/// The bounds of a log.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_field_names, reason = "the extreme goes last in a name")]
pub(crate) struct Bounds {
    pub(crate) events_max: usize,
    pub(crate) bytes_max: usize,
    pub(crate) age_seconds_max: u64,
    pub(crate) total_bytes_max: usize,
}

impl Bounds {
    /// Most age of an event in seconds, if that is bounded.
    pub(crate) fn age_seconds(&self) -> Option<u64> {
        Some(self.age_seconds_max).filter(|age| *age < u64::MAX)
    }
}

/// The log of one topic in memory. Its bytes are given back when it is dropped.
#[derive(Debug)]
pub struct MemoryLog {
    events: VecDeque<Arc<Event>>,
    head: Seq,
    bytes: usize,
    bounds: Bounds,
    total: Arc<AtomicUsize>,
}

impl MemoryLog {
    pub(crate) const fn new(bounds: Bounds, total: Arc<AtomicUsize>) -> Self {
        Self {
            events: VecDeque::new(),
            head: Seq::ZERO,
            bytes: 0,
            bounds,
            total,
        }
    }

    /// An empty log with the same bounds.
    pub(crate) fn anew(&self) -> Self {
        Self::new(self.bounds, Arc::clone(&self.total))
    }

    pub(crate) fn append(&mut self, event: &Arc<Event>) -> Result<(), Error> {
        let bytes = event.footprint_bytes();
        let before = self.total.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > self.bounds.total_bytes_max {
            self.total.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Error::Full);
        }
        self.bytes += bytes;
        self.head = event.seq;
        self.events.push_back(Arc::clone(event));
        while self.events.len() > 1 && self.is_beyond(event.timestamp_ms) {
            self.drop_oldest();
        }
        Ok(())
    }

    /// An empty log that goes on after `head`.
    pub(crate) fn copy_from(&self, head: Seq) -> Self {
        let mut log = self.anew();
        log.head = head;
        log
    }

    /// Appends whatever the bound of all logs together is: the event is in the log elsewhere. The
    /// oldest of this one make room.
    pub(crate) fn copy(&mut self, event: &Arc<Event>) {
        let bytes = event.footprint_bytes();
        self.total.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        self.head = event.seq;
        self.events.push_back(Arc::clone(event));
        while self.events.len() > 1
            && (self.is_beyond(event.timestamp_ms)
                || self.total.load(Ordering::Relaxed) > self.bounds.total_bytes_max)
        {
            self.drop_oldest();
        }
    }

    /// Whether the oldest event has to leave.
    fn is_beyond(&self, now_ms: i64) -> bool {
        let bounds = &self.bounds;
        let age_ms = |event: &Arc<Event>| now_ms.saturating_sub(event.timestamp_ms);
        let age_seconds = u64::try_from(self.events.front().map_or(0, age_ms) / 1000);
        self.events.len() > bounds.events_max
            || self.bytes > bounds.bytes_max
            || age_seconds.unwrap_or(0) > bounds.age_seconds_max
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.events.pop_front() {
            let bytes = oldest.footprint_bytes();
            self.bytes -= bytes;
            self.total.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    pub(crate) fn oldest(&self) -> Seq {
        self.events
            .front()
            .map_or_else(|| self.head.next(), |event| event.seq)
    }

    pub(crate) fn after(&self, seq: Seq, max: usize) -> Vec<Arc<Event>> {
        if seq.next() < self.oldest() {
            return Vec::new();
        }
        let skip = usize::try_from(seq.next().0 - self.oldest().0).unwrap_or(usize::MAX);
        self.events.iter().skip(skip).take(max).cloned().collect()
    }

    pub(crate) fn before(&self, seq: Option<Seq>, max: usize) -> Vec<Arc<Event>> {
        let upto = seq.unwrap_or_else(|| self.head.next());
        self.events
            .iter()
            .rev()
            .skip_while(|e| e.seq >= upto)
            .take(max)
            .cloned()
            .collect()
    }
}

impl Drop for MemoryLog {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
