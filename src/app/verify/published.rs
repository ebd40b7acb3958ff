//! What the producers have receipts of.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::event::Stream;
use super::ledger::Place;

/// The receipts of one topic: for each stream the place of each event, by number.
#[derive(Debug, Default)]
pub(super) struct Log {
    streams: Vec<(Stream, Vec<Place>)>,
}

impl Log {
    /// All streams with their receipts.
    pub(super) fn streams(&self) -> impl Iterator<Item = (&Stream, &[Place])> {
        let streams = self.streams.iter();
        streams.map(|(stream, receipts)| (stream, receipts.as_slice()))
    }

    /// The next event of the stream was acknowledged, at this place.
    pub(super) fn acknowledged(&mut self, stream: Stream, place: Place) {
        match self.streams.iter_mut().find(|(known, _)| *known == stream) {
            Some((_, receipts)) => receipts.push(place),
            None => self.streams.push((stream, vec![place])),
        }
    }

    /// How many were acknowledged.
    pub(super) fn len(&self) -> u64 {
        let streams = self.streams.iter();
        streams.map(|(_, receipts)| receipts.len() as u64).sum()
    }
}

/// The receipts of all topics. Each is written by its producers and read when they are done.
#[derive(Debug)]
pub(super) struct Published(Vec<Mutex<Log>>);

impl Published {
    /// Nothing yet, for so many topics.
    pub(super) fn new(topics: usize) -> Self {
        Self((0..topics).map(|_| Mutex::default()).collect())
    }

    /// The receipts of a topic.
    pub(super) fn topic(&self, topic: usize) -> MutexGuard<'_, Log> {
        self.0[topic].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many were acknowledged.
    pub(super) fn len(&self) -> u64 {
        (0..self.0.len()).map(|topic| self.topic(topic).len()).sum()
    }
}
