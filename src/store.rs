//! The store: where logs and idempotency receipts live.
//!
//! The hub is the only caller. An append that has returned is as durable as the store promises;
//! the memory store promises the life of the process.

mod memory;
mod receipts;

pub use self::memory::MemoryLog;
pub use self::receipts::{Claim, Fingerprint, Receipts, Reservation};

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use serde::{Deserialize, Serialize};

use crate::quantity::ByteSize;
use crate::topic::Event;

/// What the store may take.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Which store: only `memory` today.
    pub backend: Backend,
    /// Most events of one topic; the oldest make room.
    pub log_events_max: usize,
    /// Most bytes of one topic; the oldest events make room.
    pub log_bytes_max: ByteSize,
    /// Most bytes of all topics together; a publish beyond it is refused.
    pub bytes_max: ByteSize,
    /// Most idempotency receipts; the oldest make room.
    pub receipts_max: usize,
    /// How long a receipt is kept.
    #[serde(with = "crate::quantity::duration")]
    pub receipt_age_max: std::time::Duration,
}

/// Where logs live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// In the memory of the process; lost on exit.
    Memory,
}

/// Why the store refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// All logs together have reached their bound.
    #[error("the store is full: all logs together have reached `store.bytes_max`")]
    Full,
}

/// The store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    bytes: Arc<AtomicUsize>,
    receipts: Receipts,
}

impl Store {
    /// Opens the store that the config names.
    pub fn open(config: Config) -> Self {
        let receipts = Receipts::new(config.receipts_max, config.receipt_age_max);
        Self(Arc::new(Shared {
            config,
            bytes: Arc::default(),
            receipts,
        }))
    }

    /// Its name and promise, for the start-up line.
    pub fn promise(&self) -> &'static str {
        match self.0.config.backend {
            Backend::Memory => "memory; data is lost on exit",
        }
    }

    /// The log of a topic that is new.
    pub fn log(&self) -> Log {
        let Config {
            log_events_max,
            log_bytes_max,
            bytes_max,
            ..
        } = &self.0.config;
        let bounds = memory::Bounds {
            events_max: *log_events_max,
            bytes_max: log_bytes_max.bytes(),
            total_bytes_max: bytes_max.bytes(),
        };
        Log::Memory(MemoryLog::new(bounds, Arc::clone(&self.0.bytes)))
    }

    /// The receipts of idempotent publishes.
    pub fn receipts(&self) -> &Receipts {
        &self.0.receipts
    }

    /// The bytes of all logs together.
    pub fn bytes(&self) -> usize {
        self.0.bytes.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// The log of one topic.
#[derive(Debug)]
pub enum Log {
    /// In memory.
    Memory(MemoryLog),
}

impl Log {
    /// Appends the next event.
    ///
    /// # Errors
    /// [`Error::Full`] when all logs together are at their bound; nothing was appended then.
    pub fn append(&mut self, event: &Arc<Event>) -> Result<(), Error> {
        match self {
            Self::Memory(log) => log.append(event),
        }
    }

    /// Up to `max` events after `seq`, oldest first. Empty also when the log no longer holds the
    /// next one: see [`Log::oldest`].
    pub fn after(&self, seq: crate::topic::Seq, max: usize) -> Vec<Arc<Event>> {
        match self {
            Self::Memory(log) => log.after(seq, max),
        }
    }

    /// Up to `max` events before `seq` (from the newest if none), newest first.
    pub fn before(&self, seq: Option<crate::topic::Seq>, max: usize) -> Vec<Arc<Event>> {
        match self {
            Self::Memory(log) => log.before(seq, max),
        }
    }

    /// The number of the oldest event that is still held, or of the next one if there is none.
    pub fn oldest(&self) -> crate::topic::Seq {
        match self {
            Self::Memory(log) => log.oldest(),
        }
    }

    /// How many events it holds.
    pub fn len(&self) -> usize {
        match self {
            Self::Memory(log) => log.len(),
        }
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
