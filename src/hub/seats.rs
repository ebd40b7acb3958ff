//! The seats of a topic: its subscribers, at places that never move.
//!
//! The pump walks the seats in chunks and lets go of the topic's lock in between. A seat keeps its
//! number for as long as its subscriber stays, so nobody is passed over when others come and go.

use std::sync::Arc;

use crate::hub::Subscriber;

#[derive(Default)]
pub(crate) struct Seats {
    seats: Vec<Option<Arc<dyn Subscriber>>>,
    free: Vec<usize>,
}

impl Seats {
    pub(crate) const fn len(&self) -> usize {
        self.seats.len() - self.free.len()
    }

    /// Takes a seat and returns its number.
    pub(crate) fn take(&mut self, subscriber: Arc<dyn Subscriber>) -> usize {
        if let Some(number) = self.free.pop() {
            self.seats[number] = Some(subscriber);
            number
        } else {
            self.seats.push(Some(subscriber));
            self.seats.len() - 1
        }
    }

    /// Gives a seat back. The memory follows when all are gone.
    pub(crate) fn leave(&mut self, number: usize) {
        if self.seats.get_mut(number).and_then(Option::take).is_some() {
            self.free.push(number);
        }
        if self.len() == 0 {
            *self = Self::default();
        }
    }

    /// Puts the subscribers of up to `max` seats from `start` on into `out`; returns where to go on,
    /// or nothing at the end.
    pub(crate) fn chunk(
        &self,
        start: usize,
        max: usize,
        out: &mut Vec<Arc<dyn Subscriber>>,
    ) -> Option<usize> {
        let end = (start + max).min(self.seats.len());
        out.extend(self.seats.get(start..end)?.iter().flatten().cloned());
        (end < self.seats.len()).then_some(end)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<dyn Subscriber>> {
        self.seats.iter().flatten()
    }
}
