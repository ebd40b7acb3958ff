//! Who is connected to this node, and who was lately: for those who run it.
//!
//! Every face enters its clients here and says why they ended. The roster keeps an entry a client
//! and asks the client itself how it stands; of those that are gone it remembers the newest
//! `limit.connections_ended_max`.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::connection::CloseReason;
use crate::topic::{TopicName, iso8601};

/// A client that can say how it stands.
pub trait Attendee: Send + Sync {
    /// How it stands now; nothing if it is gone.
    fn describe(&self) -> Option<Standing>;
}

/// How a client stands.
#[derive(Debug, Clone, Serialize)]
pub struct Standing {
    /// The public id of the connection.
    pub connection: String,
    /// How it is connected: `websocket`, `polling`, `sse`, `ndjson`.
    pub transport: &'static str,
    /// Who is connected.
    pub principal: Option<String>,
    /// Where the client is.
    pub address: Option<IpAddr>,
    /// The path that it asked for.
    pub path: String,
    /// Some of the topics that it watches.
    pub topics: Vec<TopicName>,
    /// How many topics it watches, if that is known.
    pub subscriptions: Option<usize>,
    /// How many events it is behind in the topic where it is behind most, if that is known.
    pub lag: Option<u64>,
}

/// A client in the roster.
#[derive(Debug, Clone, Serialize)]
pub struct Present {
    /// The face, as in metrics.
    pub face: &'static str,
    /// When it came, ISO 8601.
    pub connected_at: String,
    /// How it stands.
    #[serde(flatten)]
    pub standing: Standing,
}

/// A client that is gone.
#[derive(Debug, Clone, Serialize)]
pub struct Ended {
    /// What the roster knew of it.
    #[serde(flatten)]
    pub present: Present,
    /// When it went, ISO 8601.
    pub ended_at: String,
    /// Why.
    pub close_reason: &'static str,
}

/// The roster of a node. Cheap to clone.
#[derive(Clone)]
pub struct Roster(Arc<Shared>);

struct Shared {
    ended_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The last number that was given out.
    last: u64,
    here: BTreeMap<u64, Entry>,
    ended: VecDeque<Ended>,
    /// How many ended, by reason.
    closed: BTreeMap<&'static str, u64>,
}

#[derive(Clone)]
struct Entry {
    face: &'static str,
    since_ms: i64,
    attendee: Arc<dyn Attendee>,
}

impl Entry {
    fn present(&self) -> Option<Present> {
        Some(Present {
            face: self.face,
            connected_at: iso8601(self.since_ms),
            standing: self.attendee.describe()?,
        })
    }
}

/// The entry of a client; dropped, the client is gone.
pub struct Attendance {
    roster: Roster,
    number: u64,
}

impl Roster {
    /// A roster that remembers so many clients that are gone.
    pub fn new(ended_max: usize) -> Self {
        let state = Mutex::default();
        Self(Arc::new(Shared { ended_max, state }))
    }

    /// Enters a client of a face.
    pub fn enter(&self, face: &'static str, attendee: Arc<dyn Attendee>) -> Attendance {
        let since_ms = jiff::Timestamp::now().as_millisecond();
        let mut state = self.lock();
        state.last += 1;
        let number = state.last;
        let entry = Entry {
            face,
            since_ms,
            attendee,
        };
        state.here.insert(number, entry);
        drop(state);
        let roster = self.clone();
        Attendance { roster, number }
    }

    /// How many clients there are.
    pub fn len(&self) -> usize {
        self.lock().here.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Up to `limit` clients that fit, newest first. They are asked without the roster's lock.
    pub fn present(&self, limit: usize, fits: impl Fn(&Present) -> bool) -> Vec<Present> {
        let entries: Vec<Entry> = self.lock().here.values().rev().cloned().collect();
        let present = entries.iter().filter_map(Entry::present);
        present.filter(fits).take(limit).collect()
    }

    /// How many clients there are of each face.
    pub fn faces(&self) -> BTreeMap<&'static str, u64> {
        let mut faces = BTreeMap::new();
        for entry in self.lock().here.values() {
            *faces.entry(entry.face).or_default() += 1;
        }
        faces
    }

    /// How many clients ended, by reason.
    pub fn closed(&self) -> BTreeMap<&'static str, u64> {
        self.lock().closed.clone()
    }

    /// Clients that are gone, the last first.
    pub fn ended(&self) -> Vec<Ended> {
        self.lock().ended.iter().rev().cloned().collect()
    }

    fn end(&self, number: u64, reason: CloseReason) {
        let Some(entry) = self.take(number, reason) else {
            return;
        };
        // A client may take its own lock to say how it stood.
        let Some(present) = entry.present() else {
            return;
        };
        let ended_at = iso8601(jiff::Timestamp::now().as_millisecond());
        let mut state = self.lock();
        while state.ended.len() >= self.0.ended_max.max(1) {
            state.ended.pop_front();
        }
        state.ended.push_back(Ended {
            present,
            ended_at,
            close_reason: reason.as_str(),
        });
    }

    fn take(&self, number: u64, reason: CloseReason) -> Option<Entry> {
        let mut state = self.lock();
        let entry = state.here.remove(&number)?;
        *state.closed.entry(reason.as_str()).or_default() += 1;
        Some(entry)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let state = self.0.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attendance {
    /// The client is gone, for this reason. Only the first is remembered.
    pub fn end(&self, reason: CloseReason) {
        self.roster.end(self.number, reason);
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        self.end(CloseReason::Client);
    }
}

impl Attendee for Standing {
    fn describe(&self) -> Option<Standing> {
        Some(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(connection: &str) -> Arc<Standing> {
        Arc::new(Standing {
            connection: connection.to_owned(),
            transport: "sse",
            principal: None,
            address: None,
            path: "/v1/topics".to_owned(),
            topics: Vec::new(),
            subscriptions: None,
            lag: None,
        })
    }

    fn ids(present: &[Present]) -> Vec<&str> {
        present
            .iter()
            .map(|one| one.standing.connection.as_str())
            .collect()
    }

    #[test]
    fn the_newest_come_first_and_those_who_went_are_remembered_with_the_reason() {
        let roster = Roster::new(2);
        let first = roster.enter("http", client("a"));
        let second = roster.enter("http", client("b"));
        let third = roster.enter("http", client("c"));
        assert_eq!(ids(&roster.present(2, |_| true)), ["c", "b"]);
        let only_a = roster.present(9, |one| one.standing.connection == "a");
        assert_eq!(ids(&only_a), ["a"]);
        first.end(CloseReason::Stalled);
        first.end(CloseReason::Drain);
        drop(first);
        drop(second);
        drop(third);
        assert!(roster.is_empty());
        let closed = roster.closed();
        assert_eq!((closed["stalled"], closed["client"]), (1, 2));
        let ended = roster.ended();
        let told: Vec<_> = ended
            .iter()
            .map(|one| (one.present.standing.connection.as_str(), one.close_reason))
            .collect();
        assert_eq!(
            told,
            [("c", "client"), ("b", "client")],
            "the oldest made room"
        );
    }
}
