//! The log of one topic, whatever keeps it.

use std::sync::Arc;

use crate::store::{Damaged, Error, MemoryLog, SqliteLog, Stored, Trim};
use crate::topic::{Event, Seq};

/// The log of one topic.
#[derive(Debug)]
pub enum Log {
    /// In memory.
    Memory(MemoryLog),
    /// In a file, with an index in memory.
    Sqlite(SqliteLog),
}

impl Log {
    /// Takes in the next event: appends it, or notes where the writer has put it.
    ///
    /// # Errors
    /// [`Error::Full`] when all logs together are at their bound; nothing was appended then.
    pub(crate) fn append(&mut self, event: &Arc<Event>, offset: Option<i64>) -> Result<(), Error> {
        match self {
            Self::Memory(log) => log.append(event),
            Self::Sqlite(log) => {
                let offset = offset.expect("the writer says where it put an event");
                log.committed(event, offset);
                Ok(())
            }
        }
    }

    /// Up to `max` events after `seq`, oldest first. Empty also when the log no longer holds the
    /// next one: see [`Log::oldest`].
    ///
    /// # Errors
    /// When what is stored is damaged.
    pub fn after(&self, seq: Seq, max: usize) -> Result<Vec<Arc<Event>>, Damaged> {
        match self {
            Self::Memory(log) => Ok(log.after(seq, max)),
            Self::Sqlite(log) => log.after(seq, max),
        }
    }

    /// Up to `max` events before `seq` (from the newest if none), newest first.
    ///
    /// # Errors
    /// When what is stored is damaged.
    pub fn before(&self, seq: Option<Seq>, max: usize) -> Result<Vec<Arc<Event>>, Damaged> {
        match self {
            Self::Memory(log) => Ok(log.before(seq, max)),
            Self::Sqlite(log) => log.before(seq, max),
        }
    }

    /// The number of the oldest event that is still held, or of the next one if there is none.
    pub fn oldest(&self) -> Seq {
        match self {
            Self::Memory(log) => log.oldest(),
            Self::Sqlite(log) => log.oldest(),
        }
    }

    /// Takes in the next event of a copy; the oldest make room also when all are at their bound.
    pub(crate) fn copy(&mut self, event: &Arc<Event>) {
        if let Self::Memory(log) = self {
            log.copy(event);
        }
    }

    /// An empty copy that goes on after `head`.
    #[must_use]
    pub(crate) fn copy_from(&self, head: Seq) -> Self {
        match self {
            Self::Memory(log) => Self::Memory(log.copy_from(head)),
            Self::Sqlite(log) => Self::Sqlite(log.anew()),
        }
    }

    /// An empty log in its place, for an incarnation of the topic that begins now.
    #[must_use]
    pub(crate) fn anew(&self) -> Self {
        match self {
            Self::Memory(log) => Self::Memory(log.anew()),
            Self::Sqlite(log) => Self::Sqlite(log.anew()),
        }
    }

    /// What was found when the store was opened, if it has not been read yet.
    pub(crate) const fn unread(&self) -> Option<&Stored> {
        match self {
            Self::Memory(_) => None,
            Self::Sqlite(log) => log.unread(),
        }
    }

    /// Reads what was found when the store was opened: the events that late joiners need though
    /// the log no longer holds them, then the log, in order.
    ///
    /// # Errors
    /// When what is stored is damaged.
    pub(crate) fn read_found(&mut self) -> Result<Vec<Arc<Event>>, Damaged> {
        match self {
            Self::Memory(_) => Ok(Vec::new()),
            Self::Sqlite(log) => log.read_found(),
        }
    }

    /// What is to be deleted with the next event, if it is worth it. `wanted` are the events that
    /// late joiners must still get.
    pub(crate) fn trim(&mut self, wanted: impl FnOnce() -> Vec<Arc<Event>>) -> Option<Trim> {
        match self {
            Self::Memory(_) => None,
            Self::Sqlite(log) => log.trim(wanted),
        }
    }

    /// What became of a trim.
    pub(crate) fn trimmed(&mut self, trim: &Trim, is_done: bool) {
        if let Self::Sqlite(log) = self {
            log.trimmed(trim, is_done);
        }
    }
}
