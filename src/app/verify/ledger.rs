//! What one client's application saw of one topic, and what was wrong with it.
//!
//! Fed with nothing but what a callback gets: events, `subscribed` and `gap`. It knows nothing of
//! connections. The facts of each producer are numbered from 1 without holes, so whatever is
//! missing, twice or late shows. At the end it is compared with what the producers have receipts of.

use std::ops::RangeInclusive;

use super::event::{Lane, Payload, Stream};
use super::published::Log;

/// A place in one incarnation of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) epoch: String,
    pub(super) seq: u64,
}

impl Place {
    /// Reads `<epoch>:<seq>`.
    pub(super) fn parse(cursor: &str) -> Option<Self> {
        let (epoch, seq) = cursor.split_once(':')?;
        Some(Self {
            epoch: epoch.to_owned(),
            seq: seq.parse().ok()?,
        })
    }
}

/// An announced gap.
#[derive(Debug, Clone)]
struct Gap {
    from: Place,
    to: Place,
}

impl Gap {
    /// Whether what has this place was announced as missing.
    fn covers(&self, place: &Place) -> bool {
        let (is_old, is_new) = (place.epoch == self.from.epoch, place.epoch == self.to.epoch);
        match (is_old, is_new) {
            (true, true) => place.seq > self.from.seq && place.seq <= self.to.seq,
            (true, false) => place.seq > self.from.seq,
            (false, true) => place.seq <= self.to.seq,
            // An incarnation between the two.
            (false, false) => true,
        }
    }

    /// Whether the snapshot after the gap may tell this place once more.
    fn retells(&self, place: &Place) -> bool {
        place.epoch == self.to.epoch && place.seq <= self.to.seq
    }
}

/// What one client's application saw of one topic.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    streams: Vec<(Stream, Seen)>,
    /// Where the first subscription began.
    base: Option<Place>,
    gaps: Vec<Gap>,
    wrong: Wrong,
}

/// What was seen of a stream.
#[derive(Debug, Default)]
struct Seen {
    newest: u64,
    /// Numbers that were jumped over.
    holes: Vec<RangeInclusive<u64>>,
}

/// What went wrong.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Acknowledged to the producer, never seen, not announced.
    pub(super) lost: u64,
    /// Seen before.
    pub(super) doubled: u64,
    /// Later than one that was published after it.
    pub(super) disordered: u64,
    /// Jumps over what was lost, without a word.
    pub(super) unannounced: u64,
    /// Not what the producer sent.
    pub(super) corrupt: u64,
    /// Announced gaps, and the events that they cost.
    pub(super) gaps: u64,
    pub(super) missing: u64,
}

impl Wrong {
    /// Whether a promise was broken.
    #[cfg(test)]
    const fn is_breach(&self) -> bool {
        self.lost + self.doubled + self.disordered + self.unannounced + self.corrupt > 0
    }

    /// Adds another's.
    pub(super) const fn add(&mut self, other: &Self) {
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.disordered += other.disordered;
        self.unannounced += other.unannounced;
        self.corrupt += other.corrupt;
        self.gaps += other.gaps;
        self.missing += other.missing;
    }
}

impl Ledger {
    /// `subscribed` came. Only the first sets where the client's story begins.
    pub(super) fn subscribed(&mut self, cursor: Option<Place>) {
        if self.base.is_none() {
            self.base = cursor;
        }
    }

    /// `gap` came.
    pub(super) fn gap(&mut self, from: Place, to: Place) {
        self.wrong.gaps += 1;
        self.gaps.push(Gap { from, to });
    }

    /// What was wrong up to now.
    pub(super) const fn wrong(&self) -> &Wrong {
        &self.wrong
    }

    /// Something came that is no event of the run.
    pub(super) const fn unreadable(&mut self) {
        self.wrong.corrupt += 1;
    }

    /// An event came.
    pub(super) fn see(&mut self, lane: Lane, event: &Payload) {
        if !event.is_genuine(lane) {
            self.wrong.corrupt += 1;
            return;
        }
        let place = Place {
            epoch: event.epoch.clone(),
            seq: event.seq,
        };
        let is_retold = event.is_replayed && self.gaps.iter().any(|gap| gap.retells(&place));
        let stream = event.stream(lane);
        let seen = match self.streams.iter().position(|(known, _)| *known == stream) {
            Some(at) => &mut self.streams[at].1,
            None => {
                self.streams.push((stream, Seen::default()));
                &mut self.streams.last_mut().expect("it was pushed").1
            }
        };
        match seen.see(event.n, lane) {
            _ if is_retold => {}
            Sight::New => {}
            Sight::Again => self.wrong.doubled += 1,
            Sight::Late => self.wrong.disordered += 1,
        }
    }

    /// Whether everything has come that producers have receipts of.
    pub(super) fn is_whole(&self, log: &Log) -> bool {
        self.compare(log).lost == 0
    }

    /// The verdict.
    pub(super) fn verdict(&self, log: &Log) -> Wrong {
        let mut wrong = self.compare(log);
        wrong.add(&self.wrong);
        wrong
    }

    /// What of the log is missing here.
    fn compare(&self, log: &Log) -> Wrong {
        let mut wrong = Wrong::default();
        for (stream, receipts) in log.streams() {
            let last = receipts.len() as u64;
            let unseen = Seen::default();
            let known = self.streams.iter().find(|(known, _)| known == stream);
            let seen = known.map_or(&unseen, |(_, seen)| seen);
            for hole in &seen.holes {
                let lost = self.missed(hole.clone(), receipts, &mut wrong);
                wrong.unannounced += u64::from(lost);
            }
            let tail = match stream.lane {
                Lane::Fact => seen.newest + 1..=last,
                // Only the newest has to come.
                Lane::State => (seen.newest + 1).max(last)..=last,
            };
            self.missed(tail, receipts, &mut wrong);
        }
        wrong
    }

    /// Counts what is missing of a range. Whether anything is lost.
    fn missed(&self, range: RangeInclusive<u64>, receipts: &[Place], wrong: &mut Wrong) -> bool {
        let before = wrong.lost;
        for n in range {
            let Some(place) = usize::try_from(n - 1).ok().and_then(|at| receipts.get(at)) else {
                // No receipt: the run ended before there was one.
                continue;
            };
            let base = self.base.as_ref();
            if base.is_some_and(|base| base.epoch == place.epoch && place.seq <= base.seq) {
                // Before this client's time.
            } else if self.gaps.iter().any(|gap| gap.covers(place)) {
                wrong.missing += 1;
            } else {
                wrong.lost += 1;
            }
        }
        wrong.lost > before
    }
}

/// What it means to see a number.
enum Sight {
    New,
    Again,
    Late,
}

impl Seen {
    fn see(&mut self, n: u64, lane: Lane) -> Sight {
        if n > self.newest {
            if lane == Lane::Fact && n > self.newest + 1 {
                self.holes.push(self.newest + 1..=n - 1);
            }
            self.newest = n;
            return Sight::New;
        }
        let Some(at) = self.holes.iter().position(|hole| hole.contains(&n)) else {
            return match lane {
                Lane::State if n < self.newest => Sight::Late,
                Lane::Fact | Lane::State => Sight::Again,
            };
        };
        let hole = self.holes.swap_remove(at);
        let (before, after) = (*hole.start()..=n - 1, n + 1..=*hole.end());
        let rest = [before, after].into_iter().filter(|rest| !rest.is_empty());
        self.holes.extend(rest);
        Sight::Late
    }
}

#[cfg(test)]
mod tests;
