//! Reads: how far somebody has read of a topic that is published to them, and who brings them what
//! waited.
//!
//! A place goes forward only, and is forgotten when it matters no more. Before somebody is brought
//! what waited, that is claimed: of two connections that come at the same time, on whatever nodes,
//! the second learns where the first has come to. A claim ends by itself, so one that dies with its
//! node holds nobody up for long. In memory places end with the process, with a data directory they
//! outlive it, in Redis all nodes have them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use crate::store::sqlite::{Job, KeptRead};
use crate::store::{Error, Store};
use crate::topic::{Cursor, TopicName};

/// How far somebody has read of a topic.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    pub(crate) topic: TopicName,
    pub(crate) cursor: Cursor,
    /// When it matters no more, in milliseconds since the Unix epoch.
    pub(crate) until_ms: i64,
}

/// What came of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// Somebody else has it.
    Held,
    /// It is the caller's; how far somebody has read, if that is known.
    Mine(Option<Cursor>),
}

/// A handle to the reads. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reads(Store);

/// What this process knows: all there is, unless Redis is underneath.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<Local>);

#[derive(Debug, Default)]
struct Local {
    places: HashMap<TopicName, (Cursor, i64)>,
    claims: HashMap<TopicName, (Uuid, Instant)>,
}

impl Known {
    fn lock(&self) -> MutexGuard<'_, Local> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Local {
    /// Takes a place in, unless it is behind the one that is known.
    fn take(&mut self, read: &Read, max: usize) {
        let known = self.places.get(&read.topic);
        let is_behind = known.is_some_and(|(known, _)| {
            known.epoch == read.cursor.epoch && known.seq >= read.cursor.seq
        });
        if is_behind {
            return;
        }
        let place = (read.cursor.clone(), read.until_ms);
        self.places.insert(read.topic.clone(), place);
        if self.places.len() > max {
            self.forget_oldest(max - max / 16);
        }
    }

    fn forget_oldest(&mut self, left: usize) {
        let mut ages: Vec<i64> = self.places.values().map(|(_, until)| *until).collect();
        let last = ages.len().saturating_sub(1);
        let gone = ages.len().saturating_sub(left.max(1)).min(last);
        let (_, oldest, _) = ages.select_nth_unstable(gone);
        let oldest = *oldest;
        self.places.retain(|_, (_, until)| *until > oldest);
    }
}

impl Reads {
    pub(super) const fn new(store: Store) -> Self {
        Self(store)
    }

    /// Claims, for `age` at most, to bring somebody what waits in a topic.
    ///
    /// # Errors
    /// When it cannot be known how far they have read.
    pub async fn claim(
        &self,
        topic: &TopicName,
        holder: Uuid,
        age: Duration,
    ) -> Result<Claimed, Error> {
        if let Some(redis) = self.0.redis() {
            return redis.claim_read(topic, (holder, age)).await;
        }
        {
            let now = Instant::now();
            let mut local = self.0.0.reads.lock();
            local.claims.retain(|_, (_, until)| *until > now);
            let held = local.claims.get(topic);
            if held.is_some_and(|(by, _)| *by != holder) {
                return Ok(Claimed::Held);
            }
            local.claims.insert(topic.clone(), (holder, now + age));
            if let Some((known, _)) = local.places.get(topic) {
                return Ok(Claimed::Mine(Some(known.clone())));
            }
        }
        self.find(topic).await.map(Claimed::Mine)
    }

    async fn find(&self, topic: &TopicName) -> Result<Option<Cursor>, Error> {
        let Some(sqlite) = self.0.sqlite().cloned() else {
            return Ok(None);
        };
        let topic = topic.clone();
        let read = tokio::task::spawn_blocking(move || sqlite.read_place(&topic));
        read.await
            .unwrap_or_else(|error| Err(Error::Unavailable(error.to_string().into())))
    }

    /// Gives a claim back, if it still holds.
    pub async fn release(&self, topic: &TopicName, holder: Uuid) {
        if let Some(redis) = self.0.redis() {
            return redis.release_read(topic, holder).await;
        }
        let mut local = self.0.0.reads.lock();
        let is_held = local.claims.get(topic).is_some_and(|(by, _)| *by == holder);
        if is_held {
            local.claims.remove(topic);
        }
    }

    /// Keeps how far somebody has read; it matters for `age`.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn keep(
        &self,
        topic: &TopicName,
        cursor: Cursor,
        age: Duration,
    ) -> Result<(), Error> {
        let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let until_ms = jiff::Timestamp::now().as_millisecond();
        let read = Read {
            topic: topic.clone(),
            cursor,
            until_ms: until_ms.saturating_add(age_ms),
        };
        if let Some(redis) = self.0.redis() {
            return redis.keep_read(&read, age).await;
        }
        self.0.0.reads.lock().take(&read, self.0.0.config.reads_max);
        let Some(room) = self.0.room(0).await? else {
            return Ok(());
        };
        let (told, kept) = oneshot::channel();
        room.send(Job::KeepRead(Box::new(KeptRead {
            read,
            done: Box::new(|result| drop(told.send(result))),
        })));
        kept.await
            .unwrap_or_else(|_| Err(Error::Unavailable("the store has been closed".into())))
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::{Epoch, Seq};

    fn read(n: u64, seq: u64) -> Read {
        Read {
            topic: format!("documents:u{n}").parse().unwrap(),
            cursor: Cursor {
                epoch: Epoch::new("e").unwrap(),
                seq: Seq(seq),
            },
            until_ms: i64::try_from(n).unwrap(),
        }
    }

    #[test]
    fn a_place_goes_forward_only_and_the_oldest_make_room() {
        let mut local = Local::default();
        local.take(&read(1, 5), 32);
        local.take(&read(1, 3), 32);
        let known = &local.places[&"documents:u1".parse().unwrap()];
        assert_eq!(known.0.seq, Seq(5));
        for n in 2..=40 {
            local.take(&read(n, 1), 32);
        }
        assert!(local.places.len() <= 32, "{}", local.places.len());
        assert!(local.places.contains_key(&"documents:u40".parse().unwrap()));
        assert!(!local.places.contains_key(&"documents:u1".parse().unwrap()));
    }
}
