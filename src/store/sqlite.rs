//! The durable store: one SQLite file, one writer thread, an index in memory per topic.
//!
//! Jobs go through a bounded queue to the writer, which commits as many as wait in one transaction
//! and then answers each. Rows lie in the order of their appends, so a commit touches the end of
//! the file. A topic's rows are chained: each names the row before it, and the topic's own row
//! names the newest. The index of a topic is made from that chain when the topic is first touched.
//! Every row has a checksum; a chain that does not hold is damage, and the topic begins anew.

mod file;
mod log;
mod rows;
mod salvage;
mod writer;

pub(crate) use self::log::Trim;
pub use self::log::{Damaged, SqliteLog};
pub(crate) use self::rows::Stored;

use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::store::memory::Bounds;
use crate::store::{Config, Error, Fingerprint, Given, OpenError};
use crate::topic::{Epoch, Event, TopicName};

/// Connections that read.
const READERS: usize = 4;

/// The unit in which the queue's bytes are counted: permits of a semaphore are few.
const UNIT_BYTES: usize = 1024;

/// A handle to the open file. Cheap to clone; the last one to go waits for the writer to end.
#[derive(Debug, Clone)]
pub(crate) struct Sqlite(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    bounds: Bounds,
    queue: Option<mpsc::Sender<Queued>>,
    queue_bytes: Arc<Semaphore>,
    queue_units_max: usize,
    readers: [Mutex<Connection>; READERS],
    found: Mutex<Vec<(TopicName, Stored)>>,
    bytes: Arc<AtomicUsize>,
    is_backed_up: AtomicBool,
    writer: Option<JoinHandle<()>>,
    /// Held while the file is open: a second process is refused by it.
    _lock: File,
}

/// What is told when a job is done: the offset of an event, zero for other jobs.
pub(crate) type Done = Box<dyn FnOnce(Result<i64, Error>) + Send>;

/// What the writer does.
pub(crate) enum Job {
    /// Appends an event.
    Append(Box<Append>),
    /// Forgets an incarnation of a topic.
    Forget(Forget),
    /// Forgets old receipts and gives space back.
    Tidy {
        receipts_max: usize,
        receipt_age_max: Duration,
    },
}

/// An event to be appended, with what is written in the same transaction.
pub(crate) struct Append {
    pub(crate) event: Arc<Event>,
    pub(crate) trim: Option<Arc<Trim>>,
    pub(crate) receipt: Option<ReceiptRow>,
    pub(crate) done: Done,
}

/// The key of an idempotent publish.
pub(crate) struct ReceiptRow {
    pub(crate) key: Box<str>,
    pub(crate) fingerprint: Fingerprint,
}

/// A topic to be forgotten, if it still has this epoch.
pub(crate) struct Forget {
    pub(crate) topic: TopicName,
    pub(crate) epoch: Epoch,
    pub(crate) done: Done,
}

impl Job {
    fn finish(self, result: Result<i64, Error>) {
        match self {
            Self::Append(append) => (append.done)(result),
            Self::Forget(forget) => (forget.done)(result),
            Self::Tidy { .. } => {
                if let Err(error) = result {
                    tracing::warn!(%error, "old receipts could not be forgotten");
                }
            }
        }
    }
}

/// A job in the queue, with the bytes that it holds there.
struct Queued {
    job: Job,
    _bytes: OwnedSemaphorePermit,
}

/// A place in the queue. Dropped, it is given back.
pub(crate) struct Room {
    place: mpsc::OwnedPermit<Queued>,
    bytes: OwnedSemaphorePermit,
}

impl Room {
    /// Hands a job to the writer. Jobs are done in the order of these calls.
    pub(crate) fn send(self, job: Job) {
        self.place.send(Queued {
            job,
            _bytes: self.bytes,
        });
    }
}

impl Sqlite {
    /// Opens the file of a directory, makes it if there is none, and starts the writer.
    pub(crate) fn open(dir: &Path, config: &Config) -> Result<Self, OpenError> {
        let opened = file::open(dir, &config.sqlite)?;
        let unusable = |why: String| OpenError::Unusable {
            path: dir.display().to_string(),
            why,
        };
        let bytes = Arc::new(AtomicUsize::new(0));
        let writer = writer::Writer::new(opened.connection, &opened.found, &config.sqlite, &bytes)
            .map_err(|error| unusable(error.to_string()))?;
        let (queue, jobs) = mpsc::channel(config.sqlite.queue_events_max.max(1));
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(jobs))
            .map_err(|error| unusable(error.to_string()))?;
        let queue_units_max = (config.sqlite.queue_bytes_max.bytes() / UNIT_BYTES)
            .clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Ok(Self(Arc::new(Shared {
            dir: dir.to_owned(),
            bounds: config.bounds(),
            queue: Some(queue),
            queue_bytes: Arc::new(Semaphore::new(queue_units_max)),
            queue_units_max,
            readers: opened.readers.map(Mutex::new),
            found: Mutex::new(opened.found),
            bytes,
            is_backed_up: AtomicBool::new(false),
            writer: Some(thread),
            _lock: opened.lock,
        })))
    }

    /// The directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// The bytes of the file.
    pub(crate) fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn take_found(&self) -> Vec<(TopicName, Stored)> {
        let mut found = self.0.found.lock().expect("no holder of the list panics");
        std::mem::take(&mut found)
    }

    /// A place in the queue; waits for it.
    pub(crate) async fn room(&self, bytes: usize) -> Result<Room, Error> {
        let ended = || Error::Unavailable("the store has been closed".into());
        let queue = self.0.queue.clone().ok_or_else(ended)?;
        let units = (bytes / UNIT_BYTES + 1).min(self.0.queue_units_max);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let bytes = Arc::clone(&self.0.queue_bytes)
            .acquire_many_owned(units)
            .await
            .map_err(|_| ended())?;
        let place = queue.reserve_owned().await.map_err(|_| ended())?;
        Ok(Room { place, bytes })
    }

    /// What a key was given before, if that is not too long ago.
    pub(crate) fn receipt(
        &self,
        topic: &TopicName,
        key: &str,
        age_max: Duration,
    ) -> Option<(Fingerprint, Given)> {
        let now_ms = jiff::Timestamp::now().as_millisecond();
        let age_max_ms = i64::try_from(age_max.as_millis()).unwrap_or(i64::MAX);
        let found = rows::receipt(&self.reader(topic), topic, key);
        match found {
            Ok(found) => found.filter(|(_, given)| now_ms - given.timestamp_ms < age_max_ms),
            Err(error) => {
                self.damaged(topic, &error.to_string());
                None
            }
        }
    }

    fn reader(&self, topic: &TopicName) -> MutexGuard<'_, Connection> {
        let mut hasher = DefaultHasher::new();
        topic.hash(&mut hasher);
        let number = usize::try_from(hasher.finish() % READERS as u64).unwrap_or(0);
        self.0.readers[number]
            .lock()
            .expect("no holder of a reader panics")
    }

    /// Notes that what is stored of a topic is damaged. At the first time a copy of the file is
    /// kept, and the whole file is looked through when it is opened next.
    fn damaged(&self, topic: &TopicName, why: &str) {
        tracing::error!(%topic, why, "what is stored of the topic is damaged: it begins anew");
        if self.0.is_backed_up.swap(true, Ordering::Relaxed) {
            return;
        }
        match file::back_up(&self.0.dir).and_then(|kept| {
            file::mark(&self.0.dir)?;
            Ok(kept)
        }) {
            Ok(kept) => tracing::error!(kept = %kept.display(), "the damaged file was copied"),
            Err(error) => tracing::error!(%error, "the damaged file could not be copied"),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.queue = None;
        let Some(writer) = self.writer.take() else {
            return;
        };
        // The last handle may be one that a job held.
        if writer.thread().id() != std::thread::current().id() {
            let _ = writer.join();
        }
    }
}
