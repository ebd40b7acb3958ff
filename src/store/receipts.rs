//! Idempotency receipts: the same key and body get the first receipt again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use crate::topic::{Cursor, Epoch, Event, Seq, TopicName};

/// A digest of everything a publish says, to tell a retry from another publish with the same key.
pub type Fingerprint = [u8; 32];

type Key = (TopicName, Box<str>);

/// What a publisher was told of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The topic.
    pub topic: TopicName,
    /// The event's number in it.
    pub seq: Seq,
    /// The incarnation of the log.
    pub epoch: Epoch,
    /// The event's id.
    pub id: Uuid,
    /// When it was appended, in milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
}

impl Given {
    /// What is told of an event.
    pub fn of(event: &Event) -> Self {
        Self {
            topic: event.topic.clone(),
            seq: event.seq,
            epoch: event.epoch.clone(),
            id: event.id,
            timestamp_ms: event.timestamp_ms,
        }
    }

    /// The place just behind the event.
    pub fn cursor(&self) -> Cursor {
        Cursor {
            epoch: self.epoch.clone(),
            seq: self.seq,
        }
    }
}

/// What a key is found to be.
#[derive(Debug)]
pub enum Claim {
    /// Nobody has used it: publish, then complete the reservation.
    New(Reservation),
    /// The same publish was done already: this is what it was told.
    Done(Given),
    /// The same key is being published right now.
    InFlight,
    /// The key was used for something else.
    Reused,
}

/// The receipts of the last while, bounded by number and age. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Receipts(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    max: usize,
    age_max: Duration,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    entries: HashMap<Key, Entry>,
    /// Keys in the order they were reserved, with the number of the reservation.
    order: VecDeque<(Instant, u64, Key)>,
    reservations: u64,
}

#[derive(Debug)]
struct Entry {
    reservation: u64,
    fingerprint: Fingerprint,
    given: Option<Given>,
}

impl Receipts {
    pub(crate) fn new(max: usize, age_max: Duration) -> Self {
        Self(Arc::new(Shared {
            max,
            age_max,
            known: Mutex::default(),
        }))
    }

    /// Claims a key of a topic.
    pub fn claim(&self, topic: &TopicName, key: &str, fingerprint: Fingerprint) -> Claim {
        let key: Key = (topic.clone(), key.into());
        let mut known = self.lock();
        self.forget_old(&mut known);
        if let Some(entry) = known.entries.get(&key) {
            return match &entry.given {
                _ if entry.fingerprint != fingerprint => Claim::Reused,
                Some(given) => Claim::Done(given.clone()),
                None => Claim::InFlight,
            };
        }
        known.reservations += 1;
        let reservation = known.reservations;
        known
            .order
            .push_back((Instant::now(), reservation, key.clone()));
        known.entries.insert(
            key.clone(),
            Entry {
                reservation,
                fingerprint,
                given: None,
            },
        );
        Claim::New(Reservation {
            receipts: self.clone(),
            key: Some(key),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0
            .known
            .lock()
            .expect("no holder of the receipts panics")
    }

    fn forget_old(&self, known: &mut Known) {
        while let Some((at, reservation, _)) = known.order.front() {
            if known.order.len() < self.0.max && at.elapsed() < self.0.age_max {
                break;
            }
            let reservation = *reservation;
            let Some((_, _, key)) = known.order.pop_front() else {
                break;
            };
            if known
                .entries
                .get(&key)
                .is_some_and(|entry| entry.reservation == reservation)
            {
                known.entries.remove(&key);
            }
        }
    }
}

/// A key that is being published. Dropped without completion, the key is free again.
#[derive(Debug)]
pub struct Reservation {
    receipts: Receipts,
    key: Option<Key>,
}

impl Reservation {
    /// Keeps what was told as the answer to every retry.
    pub fn complete(mut self, given: Given) {
        if let Some(key) = self.key.take()
            && let Some(entry) = self.receipts.lock().entries.get_mut(&key)
        {
            entry.given = Some(given);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.receipts.lock().entries.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given() -> Given {
        Given {
            topic: "session:a".parse().unwrap(),
            seq: Seq(1),
            epoch: Epoch::new("e").unwrap(),
            id: Uuid::nil(),
            timestamp_ms: 0,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_claimed_once_and_forgotten_in_time() {
        let receipts = Receipts::new(10, Duration::from_mins(1));
        let topic: TopicName = "session:a".parse().unwrap();
        let claim = |print: u8| receipts.claim(&topic, "k", [print; 32]);

        let Claim::New(reservation) = claim(1) else {
            panic!("a new key is free")
        };
        assert!(matches!(claim(1), Claim::InFlight));
        drop(reservation);
        let Claim::New(reservation) = claim(1) else {
            panic!("a dropped key is free")
        };
        reservation.complete(given());
        assert!(matches!(claim(1), Claim::Done(_)));
        assert!(matches!(claim(2), Claim::Reused));
        tokio::time::advance(Duration::from_secs(61)).await;
        assert!(matches!(claim(2), Claim::New(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_make_room() {
        let receipts = Receipts::new(3, Duration::from_mins(1));
        let topic: TopicName = "session:a".parse().unwrap();
        for key in ["a", "b", "c", "d"] {
            let Claim::New(reservation) = receipts.claim(&topic, key, [0; 32]) else {
                panic!()
            };
            reservation.complete(given());
        }
        assert_eq!(receipts.lock().entries.len(), 3);
        assert!(matches!(
            receipts.claim(&topic, "d", [0; 32]),
            Claim::Done(_)
        ));
    }
}
