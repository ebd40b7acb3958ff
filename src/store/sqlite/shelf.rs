//! The shelf: what the readers and the writer share of the file that is open.
//!
//! The writer alone changes the file. When it was rebuilt, the writer closes the readers, puts the
//! new file in place, and opens them again, while it holds their locks: a connection to a file
//! that was replaced would take away the write-ahead log of the new one when it closes.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};

use rusqlite::Connection;

use super::recovery::Trouble;
use super::{READERS, file};
use crate::store::Metrics;
use crate::store::condition::Now;
use crate::topic::{Epoch, TopicName};

/// Told of every topic whose events are gone, with the epoch that they had.
pub(crate) type Lost = Box<dyn Fn(&TopicName, &Epoch) + Send + Sync>;

pub(super) struct Shelf {
    pub(super) dir: PathBuf,
    readers: [Mutex<Connection>; READERS],
    /// Device and number of the file.
    identity: Mutex<Option<(u64, u64)>>,
    /// The bytes of the file.
    pub(super) bytes: AtomicUsize,
    pub(super) now: Now,
    pub(super) lost: OnceLock<Lost>,
    pub(super) metrics: Metrics,
    /// Damage was found by a reader, and no copy of the file was kept yet.
    is_suspect: AtomicBool,
    /// A copy was kept since the file was opened or rebuilt.
    is_backed_up: AtomicBool,
}

impl Shelf {
    pub(super) fn new(dir: &Path, readers: [Connection; READERS], metrics: Metrics) -> Self {
        Self {
            dir: dir.to_owned(),
            readers: readers.map(Mutex::new),
            identity: Mutex::new(file::identity(dir)),
            bytes: AtomicUsize::new(0),
            now: Now::default(),
            lost: OnceLock::new(),
            metrics,
            is_suspect: AtomicBool::new(false),
            is_backed_up: AtomicBool::new(false),
        }
    }

    /// A connection to read of something with; always the same one for the same thing.
    pub(super) fn reader(&self, of: &str) -> MutexGuard<'_, Connection> {
        let mut hasher = DefaultHasher::new();
        of.hash(&mut hasher);
        let number = usize::try_from(hasher.finish() % READERS as u64).unwrap_or(0);
        locked(&self.readers[number])
    }

    /// All readers; nobody reads while they are held.
    pub(super) fn all_readers(&self) -> [MutexGuard<'_, Connection>; READERS] {
        self.readers.each_ref().map(locked)
    }

    /// Notes that a reader found damage. The writer keeps a copy of the file before it changes
    /// anything more, and the whole file is looked through when it is opened next.
    pub(super) fn suspect(&self, what: &str, why: &str) {
        tracing::error!(what, why, "what is stored is damaged: it begins anew");
        self.is_suspect.store(true, Ordering::Relaxed);
        if let Err(error) = file::mark(&self.dir) {
            tracing::error!(%error, "the damage could not be noted");
        }
    }

    /// Keeps a copy of the file if a reader found damage. Called by the writer.
    pub(super) fn back_up_suspect(&self) {
        if self.is_suspect.swap(false, Ordering::Relaxed)
            && let Err(error) = self.back_up()
        {
            tracing::error!(%error, "the damaged file could not be copied");
        }
    }

    /// Keeps a copy of the file, unless there is one of it.
    pub(super) fn back_up(&self) -> io::Result<()> {
        if self.is_backed_up.load(Ordering::Relaxed) {
            return Ok(());
        }
        let kept = file::back_up(&self.dir)?;
        self.is_backed_up.store(true, Ordering::Relaxed);
        tracing::error!(kept = %kept.display(), "the damaged file was copied");
        Ok(())
    }

    /// Whether the file that is open is the one that the next start will find.
    pub(super) fn is_in_place(&self) -> Result<(), Trouble> {
        let identity = *self.identity.lock().expect("no holder of it panics");
        if file::identity(&self.dir) == identity {
            return Ok(());
        }
        let path = file::path(&self.dir);
        let why = format!(
            "`{}` was moved, removed or replaced: put it back, or restart the gateway",
            path.display()
        );
        Err(Trouble::Unwritable(why.into()))
    }

    /// Notes that the file is another one, and sound.
    pub(super) fn rebuilt(&self) {
        *self.identity.lock().expect("no holder of it panics") = file::identity(&self.dir);
        self.is_suspect.store(false, Ordering::Relaxed);
        self.is_backed_up.store(false, Ordering::Relaxed);
    }
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

fn locked(reader: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    reader.lock().expect("no holder of a reader panics")
}
