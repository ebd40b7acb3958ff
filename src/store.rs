//! The store: where logs and idempotency receipts live.
//!
//! The hub is the only caller. An append that has returned is as durable as the store promises: in
//! memory for the life of the process, with a data directory for as long as the disk keeps it.
//! Memory answers at once; SQLite takes jobs through a bounded queue (`Store::room`) and answers
//! each when it is committed, in the order in which they were handed in.

mod condition;
mod config;
pub mod documents;
mod log;
mod memory;
mod metrics;
mod reads;
mod receipts;
mod record;
mod redis;
mod resumes;
mod sqlite;

pub use self::condition::Condition;
pub use self::config::{Chosen, Config, Durability, Sqlite as SqliteConfig};
pub use self::log::Log;
pub use self::memory::MemoryLog;
pub use self::metrics::Metrics;
pub use self::reads::{Claimed, Reads};
pub use self::receipts::{Claim, Fingerprint, Given, Receipts, Reservation};
pub use self::redis::config::{Ack, Redis as RedisConfig, Restarts};
pub(crate) use self::redis::{
    Appended, Beat, Guard, Listed, News, OnNews, Page, Redis, Sign, Write,
};
pub use self::redis::{Arrival, Arrivals, Content, Heard, Inbox, InboxBounds, Intake, Lease};
pub use self::resumes::Resumes;
pub(crate) use self::sqlite::{Append, Forget, Job, ReceiptRow, Room, Stored, Trim};
pub use self::sqlite::{Damaged, SqliteLog};

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use self::config::Opening;
use uuid::Uuid;

use self::sqlite::Sqlite;
use crate::drain::Drain;
use crate::topic::{Epoch, TopicName};

/// Why the store refused an event.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// All logs together have reached their bound.
    #[error("the store is full: all logs together have reached `store.bytes_max`")]
    Full,
    /// The disk, or the file's bound, has no room.
    #[error(
        "the store is full: the disk has no room, or the file has reached \
         `store.sqlite.bytes_max`; what is stored stays readable"
    )]
    DiskFull,
    /// The file could not be written.
    #[error("the store cannot write: {0}; try again in a moment")]
    Unavailable(Arc<str>),
    /// Redis cannot be reached, or did not answer in time.
    #[error("the store is away: redis cannot be reached; try again in a moment")]
    Away,
    /// Too much is asked of Redis at once.
    #[error("the store has too much to do (`store.redis.commands_max`): try again in a moment")]
    Busy,
    /// An event of the topic that came just before was refused.
    #[error("an event just before this one was refused by the store: publish this one again")]
    Overtaken,
}

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "the data directory `{0}` is in use by another process: end that one, or give this one \
         a directory of its own (`--data-dir`)"
    )]
    InUse(String),
    /// A later version wrote it.
    #[error(
        "`{path}` has format {found}, and this version knows formats up to {known}: start the \
         version that wrote it, or give this one another directory (`--data-dir`)"
    )]
    Newer {
        /// The file.
        path: String,
        /// Its format.
        found: i64,
        /// The newest that is known here.
        known: i64,
    },
    /// What is configured of Redis cannot be used.
    #[error("{0}")]
    Redis(String),
    /// The config asks for a store and does not say where it is.
    #[error("`store.kind` is `{kind}`: set `{key}`")]
    Nowhere {
        /// The store.
        kind: &'static str,
        /// The key that is missing.
        key: &'static str,
    },
    /// The directory or the file cannot be used.
    #[error("the data directory `{path}` cannot be used: {why}")]
    Unusable {
        /// The directory.
        path: String,
        /// Why.
        why: String,
    },
}

/// The store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    bytes: Arc<AtomicUsize>,
    receipts: Receipts,
    reads: reads::Known,
    sqlite: Option<Sqlite>,
    redis: Option<Redis>,
    metrics: Metrics,
    promise: String,
}

impl Store {
    /// Opens the store that the config names.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(config: Config) -> Result<Self, OpenError> {
        let metrics = Metrics::default();
        metrics.is_writable.set(1);
        let chosen = config.chosen()?;
        let (mut sqlite, mut redis) = (None, None);
        match chosen {
            Opening::Memory => {}
            Opening::Sqlite(dir) => sqlite = Some(Sqlite::open(dir, &config, &metrics)?),
            Opening::Redis(url) => redis = Some(Redis::open(&config, url, &metrics)?),
        }
        let promise = match (&sqlite, &redis) {
            (Some(sqlite), _) => format!(
                "sqlite at {}; acknowledged after {}",
                sqlite.dir().display(),
                config.sqlite.durability.told()
            ),
            (_, Some(redis)) => redis.promise(),
            (None, None) => "memory; data is lost on exit".to_owned(),
        };
        let receipts = Receipts::new(config.receipts_max, config.receipt_age_max);
        Ok(Self(Arc::new(Shared {
            config,
            bytes: Arc::default(),
            receipts,
            reads: reads::Known::default(),
            sqlite,
            redis,
            metrics,
            promise,
        })))
    }

    /// Its name and promise, for the start-up line.
    pub fn promise(&self) -> &str {
        &self.0.promise
    }

    /// Whether it can be written.
    pub fn condition(&self) -> Condition {
        match &self.0.redis {
            Some(redis) => redis.condition(),
            None => self.sqlite().map(Sqlite::condition).unwrap_or_default(),
        }
    }

    /// What others publish in Redis on channels of these patterns, and whether this node is the one
    /// that acts on it; nothing without Redis.
    pub fn intake(
        &self,
        patterns: Vec<String>,
        (lease_age, drain): (Duration, &Drain),
    ) -> Option<(Intake, Lease)> {
        let redis = self.0.redis.as_ref()?;
        let lease = redis.lease("bridges", lease_age, drain);
        Some((redis.intake(patterns), lease))
    }

    /// The stream to which workers add entries, and whether this node is the one that empties it;
    /// nothing without Redis.
    pub fn inbox(
        &self,
        bounds: InboxBounds,
        (lease_age, drain): (Duration, &Drain),
    ) -> Option<(Inbox, Lease)> {
        let redis = self.0.redis.as_ref()?;
        let lease = redis.lease("inbox", lease_age, drain);
        Some((redis.inbox(bounds), lease))
    }

    /// Notes how many connections a user has here, for other nodes.
    pub fn note_connections(&self, user: &str, count: u32) {
        if let Some(redis) = &self.0.redis {
            redis.note_connections(user, count as usize);
        }
    }

    /// Whether a user may have so many connections here, with those on other nodes. Nobody knows
    /// of those while the store is away: then they do not count.
    pub async fn may_connect(&self, user: &str, (here, max): (u32, u32)) -> bool {
        let Some(redis) = &self.0.redis else {
            return true;
        };
        let told = redis.may_connect(user, here as usize, max as usize).await;
        told.unwrap_or(true)
    }

    /// Whether other nodes, and whoever else uses Redis, work on the same topics.
    pub fn is_shared(&self) -> bool {
        self.0.redis.is_some()
    }

    /// Says a word to all nodes for `age`; nothing where there is one alone.
    ///
    /// # Errors
    /// While the store is away.
    pub async fn light(&self, name: &str, age: Duration) -> Result<(), Error> {
        match &self.0.redis {
            Some(redis) => redis.light(name, age).await,
            None => Ok(()),
        }
    }

    /// Whether some node says a word; no where there is one alone.
    ///
    /// # Errors
    /// While the store is away.
    pub async fn is_lit(&self, name: &str) -> Result<bool, Error> {
        match &self.0.redis {
            Some(redis) => redis.is_lit(name).await,
            None => Ok(false),
        }
    }

    /// How long it may be away before clients are told.
    pub fn outage_told_after(&self) -> Duration {
        self.0.config.redis.outage_told_after
    }

    /// Redis, if that is underneath: then the logs of this node are copies of what it watches.
    pub(crate) fn redis(&self) -> Option<&Redis> {
        self.0.redis.as_ref()
    }

    /// Sets who is told when events of a topic were lost while the process runs: the topic, and
    /// the epoch that it had. Called by the writer, before anybody can read what is left.
    pub(crate) fn on_lost(&self, told: impl Fn(&TopicName, &Epoch) + Send + Sync + 'static) {
        if let Some(sqlite) = self.sqlite() {
            sqlite.on_lost(Box::new(told));
        }
    }

    /// The counters of the store.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Brings what is measured, rather than counted, up to date.
    pub fn measure(&self) {
        let queue = self.sqlite().map_or(0, Sqlite::waiting);
        let metrics = &self.0.metrics;
        metrics.queue.set(i64::try_from(queue).unwrap_or(i64::MAX));
        metrics
            .bytes
            .set(i64::try_from(self.bytes()).unwrap_or(i64::MAX));
        let is_writable = matches!(self.condition(), Condition::Writable);
        metrics.is_writable.set(i64::from(is_writable));
    }

    /// Records by which somebody is known again after the process was killed.
    pub fn resumes(&self) -> Resumes {
        Resumes::new(self.clone())
    }

    /// How far somebody has read of what is published to them.
    pub fn reads(&self) -> Reads {
        Reads::new(self.clone())
    }

    fn sqlite(&self) -> Option<&Sqlite> {
        self.0.sqlite.as_ref()
    }

    /// The log of a topic that is new.
    pub fn log(&self, topic: &TopicName) -> Log {
        match &self.0.sqlite {
            Some(sqlite) => Log::Sqlite(SqliteLog::new(sqlite.clone(), topic.clone(), None)),
            None => Log::Memory(MemoryLog::new(
                self.0.config.bounds(topic.kind()),
                Arc::clone(&self.0.bytes),
            )),
        }
    }

    /// The log of a topic that was found when the store was opened.
    pub(crate) fn found(&self, topic: &TopicName, stored: Stored) -> Log {
        match &self.0.sqlite {
            Some(sqlite) => {
                Log::Sqlite(SqliteLog::new(sqlite.clone(), topic.clone(), Some(stored)))
            }
            None => self.log(topic),
        }
    }

    /// The topics that were found when the store was opened; a second call finds none.
    pub(crate) fn take_found(&self) -> Vec<(TopicName, Stored)> {
        self.0
            .sqlite
            .as_ref()
            .map(Sqlite::take_found)
            .unwrap_or_default()
    }

    /// A place in the queue of the writer, for that many bytes; waits while the queue is full.
    /// Nothing for a store that answers at once. Dropping the future takes no place.
    ///
    /// # Errors
    /// When the writer has ended.
    pub(crate) async fn room(&self, bytes: usize) -> Result<Option<Room>, Error> {
        match &self.0.sqlite {
            Some(sqlite) => Ok(Some(sqlite.room(bytes).await?)),
            None => Ok(None),
        }
    }

    /// Claims an idempotency key of a topic.
    pub fn claim(&self, topic: &TopicName, key: &str, fingerprint: Fingerprint) -> Claim {
        let claim = self.0.receipts.claim(topic, key, fingerprint);
        let (Claim::New(_), Some(sqlite)) = (&claim, &self.0.sqlite) else {
            return claim;
        };
        // Unknown in memory: it may be from before the restart. The reservation is held meanwhile.
        let age_max = self.0.config.receipt_age_max;
        match sqlite.receipt(topic, key, age_max) {
            Some((print, _)) if print != fingerprint => Claim::Reused,
            Some((_, given)) => Claim::Done(given),
            None => claim,
        }
    }

    /// Most events of one topic.
    pub fn log_events_max(&self) -> usize {
        self.0.config.log_events_max
    }

    /// The bytes of all logs together.
    pub fn bytes(&self) -> usize {
        match &self.0.sqlite {
            Some(sqlite) => sqlite.bytes(),
            None => self.0.bytes.load(Ordering::Relaxed),
        }
    }

    /// Gives space back and forgets receipts that are too old. Called now and then.
    pub(crate) async fn tidy(&self) {
        if let Ok(Some(room)) = self.room(0).await {
            room.send(Job::Tidy {
                receipts_max: self.0.config.receipts_max,
                receipt_age_max: self.0.config.receipt_age_max,
                reads_max: self.0.config.reads_max,
            });
        }
    }
}

/// Eight random characters: the chance that two incarnations of a topic share one is negligible.
pub(crate) fn new_epoch() -> Epoch {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let bits = Uuid::now_v7().as_u128();
    let digit = |n: u32| char::from(ALPHABET[usize::try_from((bits >> (5 * n)) & 31).unwrap_or(0)]);
    let text: String = (0..8).map(digit).collect();
    Epoch::new(&text).expect("the alphabet is allowed in an epoch")
}
