//! A copy as such: how it stands, and what a page of the log makes of it. Nothing here waits.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use crate::hub::topic::State;
use crate::store::{Page, new_epoch};
use crate::topic::{Cursor, Epoch, Event, Seq};

const PARKED_MAX: usize = 4096;

/// How long a topic is kept that must not be forgotten.
/// How a copy stands.
#[derive(Debug)]
pub(crate) struct Following {
    stage: Stage,
    /// The epoch that it had before anything was read. Who came then has a place in it.
    unread: Epoch,
    /// The first epoch that was read.
    first: Option<Epoch>,
    /// Whether a reader is at work.
    pub(super) is_reading: bool,
    /// Whether something came that the reader has not seen.
    pub(super) is_behind: bool,
    parked: BTreeMap<u64, Arc<Event>>,
    /// How many wait for something of the topic without a seat.
    pub(crate) pins: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing of it counts: it is read from the beginning.
    Unknown,
    /// Some pages were read, and more are to come.
    Partial,
    /// It is what the log was a moment ago.
    Known,
}

/// What a page led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// The copy is level with the log.
    Level,
    /// There is more to read.
    More,
}

impl Following {
    /// A copy of which nothing was read yet.
    pub(crate) const fn new(unread: Epoch) -> Self {
        Self {
            stage: Stage::Unknown,
            unread,
            first: None,
            is_reading: false,
            is_behind: false,
            parked: BTreeMap::new(),
            pins: 0,
        }
    }

    /// The epoch of the topic if it turns out that there is none: the one that those who came
    /// before it was looked for have a place in, if it was not read yet.
    pub(super) fn epoch_if_new(&self) -> Epoch {
        match self.stage {
            Stage::Unknown if self.first.is_none() => self.unread.clone(),
            Stage::Unknown | Stage::Partial | Stage::Known => new_epoch(),
        }
    }

    /// Whether readers may see the copy.
    pub(crate) fn is_known(&self) -> bool {
        self.stage == Stage::Known
    }
}

impl Following {
    pub(super) fn park(&mut self, event: Arc<Event>) {
        if self.parked.len() < PARKED_MAX {
            self.parked.insert(event.seq.0, event);
        } else {
            self.is_behind = true;
        }
    }
}

impl State {
    /// Whether readers may see it.
    pub(crate) fn is_known(&self) -> bool {
        self.following.as_ref().is_none_or(Following::is_known)
    }

    /// Whether a place is one that was taken before anything of the topic was read, and the story is
    /// the one that was read then: whoever has it joins only now.
    pub(crate) fn joins_now(&self, from: &Cursor) -> bool {
        let Some(following) = &self.following else {
            return false;
        };
        from.seq == Seq::ZERO
            && from.epoch == following.unread
            && following.first.as_ref() == Some(&self.epoch)
    }

    /// Where the copy is read on; nothing if from the beginning.
    pub(super) fn read_after(&self) -> Option<Cursor> {
        let following = self.following.as_ref()?;
        (following.stage != Stage::Unknown).then(|| self.head())
    }

    /// Makes an event of the log visible to readers.
    pub(crate) fn copy(&mut self, event: &Arc<Event>) {
        self.log.copy(event);
        self.fold.apply(event);
        self.ring.push(Arc::clone(event));
        if let Some(held) = &mut self.held {
            held.take(event, &self.ring);
        }
        self.tail = event.seq;
        self.stage = self.fold.stage();
        self.heard_at = Instant::now();
        self.touched_ms = event.timestamp_ms;
    }

    pub(super) fn take_in(&mut self, page: Page) -> Taken {
        let Some(mut following) = self.following.take() else {
            return Taken::Level;
        };
        let taken = self.take_in_with(&mut following, page);
        if taken == Taken::Level {
            following.stage = Stage::Known;
            following.is_reading = false;
            following.parked.clear();
        }
        self.following = Some(following);
        taken
    }

    fn take_in_with(&mut self, following: &mut Following, page: Page) -> Taken {
        let first = page.events.first().map(|event| event.seq);
        if page.is_whole {
            following.first.get_or_insert_with(|| page.epoch.clone());
            following.stage = Stage::Partial;
            let before = first.map_or(page.head, |first| Seq(first.0 - 1));
            self.begin_copy(page.epoch, before);
            let gone = page.kept.iter().filter(|event| event.seq <= before);
            gone.for_each(|event| self.fold.apply(event));
            self.fold.own(page.owner);
        } else if self.epoch != page.epoch
            || first.is_some_and(|first| first > self.ring.head().next())
            || (first.is_none() && page.head > self.ring.head())
        {
            // What follows has left the log: the copy is read from the beginning.
            following.stage = Stage::Unknown;
            return Taken::More;
        }
        let parked = std::mem::take(&mut following.parked);
        for event in page.events.iter().chain(parked.values()) {
            if event.epoch == self.epoch && event.seq == self.ring.head().next() {
                self.copy(event);
            } else if event.epoch != self.epoch || event.seq > self.ring.head() {
                following.parked.insert(event.seq.0, Arc::clone(event));
            }
        }
        let is_level = self.ring.head() >= page.head
            && !following.is_behind
            && following
                .parked
                .values()
                .all(|event| event.epoch != self.epoch);
        if is_level { Taken::Level } else { Taken::More }
    }
}
