//! The durable store: one SQLite file, one writer thread, an index in memory per topic.
//!
//! Jobs go through a bounded queue to the writer, which commits as many as wait in one transaction
//! and then answers each. Rows lie in the order of their appends, so a commit touches the end of
//! the file. A topic's rows are chained: each names the row before it, and the topic's own row
//! names the newest. The index of a topic is made from that chain when the topic is first touched.
//! Every row has a checksum; a chain that does not hold is damage, and the topic begins anew.

mod changes;
mod file;
mod log;
mod reads;
mod recovery;
mod resumes;
mod rows;
mod salvage;
mod shelf;
mod wal;
mod writer;

pub(crate) use self::log::Trim;
pub use self::log::{Damaged, SqliteLog};
pub(crate) use self::rows::Stored;
pub(crate) use self::shelf::Lost;

use std::fs::File;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use self::shelf::Shelf;
use self::writer::Writer;
use crate::store::condition::Condition;
use crate::store::reads::Read;
use crate::store::{Config, Error, Fingerprint, Given, Metrics, OpenError};
use crate::topic::{Cursor, Epoch, Event, TopicName};

/// Connections that read.
const READERS: usize = 4;

/// The unit in which the queue's bytes are counted: permits of a semaphore are few.
const UNIT_BYTES: usize = 1024;

/// A handle to the open file. Cheap to clone; the last one to go waits for the writer to end.
#[derive(Debug, Clone)]
pub(crate) struct Sqlite(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    shelf: Arc<Shelf>,
    config: Config,
    queue: Option<mpsc::Sender<Queued>>,
    queue_bytes: Arc<Semaphore>,
    queue_units_max: usize,
    found: Mutex<Vec<(TopicName, Stored)>>,
    writer: Option<JoinHandle<()>>,
    /// Held while the file is open: a second process is refused by it.
    _lock: File,
}

/// What is told when a job is done: the offset of an event, how many rows were forgotten, or zero.
pub(crate) type Done = Box<dyn FnOnce(Result<i64, Error>) + Send>;

/// What makes an event visible that is at this offset, or takes it back.
pub(crate) type Settle = Box<dyn FnOnce(Result<i64, Error>) -> Tell + Send>;

/// What tells of a job, when all that was committed with it is visible.
pub(crate) type Tell = Box<dyn FnOnce() + Send>;

/// What the writer does.
pub(crate) enum Job {
    /// Appends an event.
    Append(Box<Append>),
    /// Forgets an incarnation of a topic.
    Forget(Forget),
    /// Keeps a resume.
    KeepResume(Box<KeptResume>),
    /// Forgets the resume of an id.
    ForgetResume(Box<str>),
    /// Forgets some of the resumes of earlier processes.
    ForgetEarlierResumes(Done),
    /// Keeps how far somebody has read.
    KeepRead(Box<KeptRead>),
    /// Forgets old receipts and reads, and gives space back.
    Tidy {
        receipts_max: usize,
        receipt_age_max: Duration,
        reads_max: usize,
    },
}

/// An event to be appended, with what is written in the same transaction.
pub(crate) struct Append {
    pub(crate) event: Arc<Event>,
    pub(crate) trim: Option<Arc<Trim>>,
    pub(crate) receipt: Option<ReceiptRow>,
    pub(crate) settle: Settle,
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

/// A record to be kept under an id.
pub(crate) struct KeptResume {
    pub(crate) id: Box<str>,
    pub(crate) record: Vec<u8>,
    pub(crate) done: Done,
}

/// How far somebody has read.
pub(crate) struct KeptRead {
    pub(crate) read: Read,
    pub(crate) done: Done,
}

impl Job {
    fn settle(self, result: Result<i64, Error>) -> Tell {
        let done = match self {
            Self::Append(append) => return (append.settle)(result),
            Self::Forget(forget) => forget.done,
            Self::KeepResume(kept) => kept.done,
            Self::KeepRead(kept) => kept.done,
            Self::ForgetEarlierResumes(done) => done,
            Self::ForgetResume(_) | Self::Tidy { .. } => Box::new(|result| {
                if let Err(error) = result {
                    tracing::warn!(%error, "what is not needed any more could not be forgotten");
                }
            }),
        };
        Box::new(move || done(result))
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
    pub(crate) fn open(dir: &Path, config: &Config, metrics: &Metrics) -> Result<Self, OpenError> {
        let (opened, lock) = file::open(dir, &config.sqlite)?;
        let unusable = |why: String| OpenError::Unusable {
            path: dir.display().to_string(),
            why,
        };
        let shelf = Arc::new(Shelf::new(dir, opened.readers, metrics.clone()));
        let heads = opened.found.iter().cloned().collect();
        let known = (heads, opened.ends);
        let writer = Writer::new(opened.connection, known, config, Arc::clone(&shelf));
        let (queue, jobs) = mpsc::channel(config.sqlite.queue_events_max.max(1));
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(jobs))
            .map_err(|error| unusable(error.to_string()))?;
        let queue_units_max = (config.sqlite.queue_bytes_max.bytes() / UNIT_BYTES)
            .clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Ok(Self(Arc::new(Shared {
            shelf,
            config: config.clone(),
            queue: Some(queue),
            queue_bytes: Arc::new(Semaphore::new(queue_units_max)),
            queue_units_max,
            found: Mutex::new(opened.found),
            writer: Some(thread),
            _lock: lock,
        })))
    }

    /// The directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.0.shelf.dir
    }

    /// The bytes of the file.
    pub(crate) fn bytes(&self) -> usize {
        self.0.shelf.bytes.load(Ordering::Relaxed)
    }

    /// How many jobs wait for the writer.
    pub(crate) fn waiting(&self) -> usize {
        let queue = self.0.queue.as_ref();
        queue.map_or(0, |queue| queue.max_capacity() - queue.capacity())
    }

    pub(crate) fn take_found(&self) -> Vec<(TopicName, Stored)> {
        let mut found = self.0.found.lock().expect("no holder of the list panics");
        std::mem::take(&mut found)
    }

    /// A place in the queue; waits for it. Refused at once while the file cannot be written.
    pub(crate) async fn room(&self, bytes: usize) -> Result<Room, Error> {
        if let Some(refusal) = self.condition().refusal() {
            return Err(refusal);
        }
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
        let found = rows::receipt(&self.reader(topic.as_str()), topic, key);
        match found {
            Ok(found) => found.filter(|(_, given)| now_ms - given.timestamp_ms < age_max_ms),
            Err(error) => {
                self.damaged(topic.as_str(), &error.to_string());
                None
            }
        }
    }

    /// The resume of an id; one that is damaged counts as none.
    pub(crate) fn resume(&self, id: &str) -> Result<Option<Vec<u8>>, Error> {
        let found = resumes::find(&self.reader(id), id);
        match found {
            Err(error) if file::is_damage(&error) => {
                self.damaged("a resume", &error.to_string());
                Ok(None)
            }
            other => other.map_err(|error| Error::Unavailable(error.to_string().into())),
        }
    }

    /// How far somebody has read of a topic; a row that is damaged counts as none.
    pub(crate) fn read_place(&self, topic: &TopicName) -> Result<Option<Cursor>, Error> {
        let found = reads::find(&self.reader(topic.as_str()), topic);
        match found {
            Err(error) if file::is_damage(&error) => {
                self.damaged("a place of a reader", &error.to_string());
                Ok(None)
            }
            other => other.map_err(|error| Error::Unavailable(error.to_string().into())),
        }
    }

    fn reader(&self, of: &str) -> MutexGuard<'_, Connection> {
        self.0.shelf.reader(of)
    }

    fn damaged(&self, what: &str, why: &str) {
        self.0.shelf.suspect(what, why);
    }

    /// Whether the file can be written.
    pub(crate) fn condition(&self) -> Condition {
        self.0.shelf.now.get()
    }

    /// Sets who is told of topics that were lost; the first call alone counts.
    pub(crate) fn on_lost(&self, told: Lost) {
        let _ = self.0.shelf.lost.set(told);
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
            // It may be waiting for its next try.
            writer.thread().unpark();
            let _ = writer.join();
        }
    }
}
