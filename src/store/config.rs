//! What the store may take.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::quantity::ByteSize;
use crate::store::OpenError;
use crate::store::documents;
use crate::store::memory::Bounds;
use crate::topic::Kind;

/// What the store may take.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Which store it is.
    pub kind: Chosen,
    /// Where the durable store lives; without it logs are in memory.
    #[serde(default)]
    pub data_dir: Option<PathBuf>,
    /// Most events of one topic; the oldest make room.
    pub log_events_max: usize,
    /// Most bytes of one topic; the oldest events make room.
    pub log_bytes_max: ByteSize,
    /// How long an event stays in its log; it leaves when a later one comes. Absent: no bound.
    #[serde(
        default,
        with = "crate::quantity::duration::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub log_age_max: Option<Duration>,
    /// Where kinds of topics have bounds of their own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kinds: BTreeMap<Kind, KindConfig>,
    /// Most bytes of all topics together in memory; a publish beyond it is refused.
    pub bytes_max: ByteSize,
    /// Most idempotency receipts; the oldest make room.
    pub receipts_max: usize,
    /// How long a receipt is kept.
    #[serde(with = "crate::quantity::duration")]
    pub receipt_age_max: Duration,
    /// Most resumes (records of sessions that can be recovered after a restart); the oldest make
    /// room.
    pub resumes_max: usize,
    /// Most places of readers (how far somebody has read of what is published to them); the oldest
    /// make room.
    pub reads_max: usize,
    /// The durable store.
    pub sqlite: Sqlite,
    /// The store of many nodes.
    pub redis: crate::store::redis::config::Redis,
    /// Libraries and their documents.
    pub documents: documents::Config,
}

/// Which store it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Chosen {
    /// Redis if its URL is set, else SQLite if a data directory is, else memory.
    Auto,
    /// In memory.
    Memory,
    /// In a file.
    Sqlite,
    /// In Redis.
    Redis,
}

/// The store that is to be opened.
#[derive(Debug)]
pub(crate) enum Opening<'a> {
    Memory,
    /// In this directory.
    Sqlite(&'a Path),
    /// At this URL.
    Redis(&'a str),
}

/// The bounds of the logs of one kind of topics. What is absent is as for all.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "the extreme goes last in a name")]
pub struct KindConfig {
    /// Most events of one topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_events_max: Option<usize>,
    /// Most bytes of one topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_bytes_max: Option<ByteSize>,
    /// How long an event stays in its log.
    #[serde(
        default,
        with = "crate::quantity::duration::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub log_age_max: Option<Duration>,
}

/// What the durable store may take.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sqlite {
    /// When a publish is acknowledged.
    pub durability: Durability,
    /// Most bytes of the file; a publish beyond it is refused.
    pub bytes_max: ByteSize,
    /// Most events that wait for the writer; publishers wait for a place.
    pub queue_events_max: usize,
    /// Most bytes that wait for the writer; publishers wait for a place.
    pub queue_bytes_max: ByteSize,
    /// Most events of one commit.
    pub batch_events_max: usize,
    /// Memory for pages of the file.
    pub cache_bytes: ByteSize,
}

/// When a publish is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// When the disk has it: survives a loss of power.
    Fsync,
    /// When the operating system has it: survives the end of the process.
    Wal,
}

impl Durability {
    /// For the start-up line.
    pub(crate) const fn told(self) -> &'static str {
        match self {
            Self::Fsync => "fsync",
            Self::Wal => "the write-ahead log was written",
        }
    }
}

impl Config {
    /// Which store is meant.
    ///
    /// # Errors
    /// When it is not said where that store is.
    pub(crate) fn chosen(&self) -> Result<Opening<'_>, OpenError> {
        let (dir, url) = (self.data_dir.as_deref(), self.redis.url.as_deref());
        match (self.kind, url, dir) {
            (Chosen::Auto | Chosen::Redis, Some(url), _) => Ok(Opening::Redis(url)),
            (Chosen::Auto | Chosen::Sqlite, _, Some(dir)) => Ok(Opening::Sqlite(dir)),
            (Chosen::Auto | Chosen::Memory, _, _) => Ok(Opening::Memory),
            (Chosen::Redis, None, _) => Err(OpenError::Nowhere {
                kind: "redis",
                key: "store.redis.url",
            }),
            (Chosen::Sqlite, _, None) => Err(OpenError::Nowhere {
                kind: "sqlite",
                key: "store.data_dir",
            }),
        }
    }

    /// The bounds of the logs of a kind of topics. Age is none for the gateway's own topics: what
    /// they hold (revocations) counts until it is taken back.
    pub(crate) fn bounds(&self, kind: Kind) -> Bounds {
        let own = self.kinds.get(&kind).cloned().unwrap_or_default();
        let age_max = own
            .log_age_max
            .or(self.log_age_max)
            .filter(|_| kind != Kind::System);
        Bounds {
            events_max: own.log_events_max.unwrap_or(self.log_events_max),
            bytes_max: own.log_bytes_max.unwrap_or(self.log_bytes_max).bytes(),
            age_seconds_max: age_max.map_or(u64::MAX, |age_max| age_max.as_secs()),
            total_bytes_max: self.bytes_max.bytes(),
        }
    }
}
