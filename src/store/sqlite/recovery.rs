//! Recovery: how the writer comes back when the file cannot be written.
//!
//! While the store is away, publishes are refused at once and reads go on. The writer tries again
//! in growing intervals. A file that only could not be written is tried with a small write. A
//! damaged one is copied, rebuilt from what is whole, and put in place while the readers are held;
//! topics that were lost begin a new epoch before anybody can read of them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::mpsc;

use super::rows::Stored;
use super::writer::Writer;
use super::{Queued, file, salvage};
use crate::store::Error;
use crate::store::condition::Condition;
use crate::topic::TopicName;

/// Between two tries, the first time and at most.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Most rebuilds of one process: a disk that damages one file after the other is left alone.
const REBUILDS_MAX: u32 = 8;

/// Why the store is away.
#[derive(Debug, Clone)]
pub(super) enum Trouble {
    /// The file could not be written, and may be sound.
    Unwritable(Arc<str>),
    /// The file is damaged.
    Damaged(Arc<str>),
}

impl Trouble {
    pub(super) fn of(error: &rusqlite::Error) -> Self {
        let why = error.to_string().into();
        if file::is_damage(error) {
            Self::Damaged(why)
        } else {
            Self::Unwritable(why)
        }
    }

    /// What publishers are told.
    pub(super) fn why(&self) -> Arc<str> {
        match self {
            Self::Unwritable(why) => Arc::clone(why),
            Self::Damaged(why) => format!("{why}; what is whole is being taken over").into(),
        }
    }
}

impl Writer {
    /// Tries until the file can be written, and refuses what comes meanwhile. Returns early when
    /// nobody can send a job any more.
    pub(super) fn recover(&mut self, queue: &mut mpsc::Receiver<Queued>, mut trouble: Trouble) {
        let shelf = Arc::clone(&self.shelf);
        let mut pause = PAUSE_MIN;
        loop {
            tracing::error!(?trouble, "the store cannot write");
            shelf.metrics.is_writable.set(0);
            shelf.now.set(Condition::Away(trouble.why()));
            refuse(queue, &trouble);
            trouble = match self.try_again(&trouble) {
                Ok(()) => break,
                Err(trouble) => trouble,
            };
            refuse(queue, &trouble);
            if queue.is_closed() {
                return;
            }
            std::thread::park_timeout(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
        shelf.metrics.is_writable.set(1);
        shelf.now.set(Condition::Writable);
        tracing::warn!("the store can write again");
    }

    fn try_again(&mut self, trouble: &Trouble) -> Result<(), Trouble> {
        match trouble {
            Trouble::Unwritable(_) => {
                self.shelf.is_in_place()?;
                self.probe().map_err(|error| Trouble::of(&error))
            }
            Trouble::Damaged(why) => self.rebuild().map_err(|error| {
                let why = format!("{why}; it could not be rebuilt yet: {error}");
                Trouble::Damaged(why.into())
            }),
        }
    }

    /// Writes something small that changes nothing, as durable as a publish.
    fn probe(&self) -> rusqlite::Result<()> {
        // Makes room in the write-ahead log, if that is what lacks.
        self.checkpoint();
        let format = self.pragma("user_version")?;
        self.connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; PRAGMA user_version = {format}; COMMIT;"
        ))
    }

    /// Copies the file, takes over what is whole, and goes on with that.
    fn rebuild(&mut self) -> io::Result<()> {
        if self.rebuilds == REBUILDS_MAX {
            let why = "it was rebuilt often: look at the disk, then restart the gateway";
            return Err(io::Error::other(why));
        }
        let shelf = Arc::clone(&self.shelf);
        let path = file::path(&shelf.dir);
        // Should the process end meanwhile, the next start rebuilds.
        file::mark(&shelf.dir)?;
        shelf.back_up()?;
        let whole = salvage::build(&path, &self.config)?;
        let is_kept = |topic: &TopicName, stored: &Stored| {
            whole.get(topic) == Some(&(stored.epoch.clone(), stored.head))
        };
        let lost = self
            .heads
            .extract_if(|topic, stored| !is_kept(topic, stored));
        for (topic, stored) in lost {
            shelf.metrics.topics_lost.inc();
            if let Some(told) = shelf.lost.get() {
                told(&topic, &stored.epoch);
            }
        }
        let mut readers = shelf.all_readers();
        for reader in &mut readers {
            **reader = Connection::open_in_memory().map_err(io::Error::other)?;
        }
        self.connection = Connection::open_in_memory().map_err(io::Error::other)?;
        salvage::put_in_place(&path)?;
        let opened = file::sound(&path, &self.config)
            .map_err(|refusal| io::Error::other(refusal.to_string()))?;
        for (reader, opened) in readers.iter_mut().zip(opened.readers) {
            **reader = opened;
        }
        drop(readers);
        self.connection = opened.connection;
        self.heads = opened.found.into_iter().collect();
        self.resumes.rebuilt(&opened.ends);
        self.rebuilds += 1;
        shelf.metrics.rebuilds.inc();
        shelf.rebuilt();
        file::unmark(&shelf.dir)
    }
}

/// Answers what waits.
fn refuse(queue: &mut mpsc::Receiver<Queued>, trouble: &Trouble) {
    while let Ok(queued) = queue.try_recv() {
        queued.job.settle(Err(Error::Unavailable(trouble.why())))();
    }
}
