//! The writer: one thread that commits whatever waits, and then answers.
//!
//! All of a commit is visible before any of it is told, so that one walk of the subscribers hands
//! on all of it.
//!
//! A transaction that fails as a whole is tried again job by job, so that a refusal concerns the
//! jobs that cannot be done and no others.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use tokio::sync::mpsc;

use super::changes::{Changes, Next};
use super::file;
use super::recovery::Trouble;
use super::resumes::Resumes;
use super::rows::{Ends, Stored};
use super::shelf::Shelf;
use super::{Job, Queued, Tell};
use crate::store::condition::Condition;
use crate::store::config::Sqlite;
use crate::store::{Config, Error};
use crate::topic::TopicName;

/// Most pages that are given back at once.
const VACUUM_PAGES: i64 = 4096;

pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) heads: HashMap<TopicName, Stored>,
    next: Next,
    pub(super) config: Sqlite,
    pub(super) resumes: Resumes,
    pub(super) shelf: Arc<Shelf>,
    /// How often the file was rebuilt by this process.
    pub(super) rebuilds: u32,
    /// Why the last batch could not be written, if it is not for lack of room.
    trouble: Option<Trouble>,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        (heads, ends): (HashMap<TopicName, Stored>, Ends),
        config: &Config,
        shelf: Arc<Shelf>,
    ) -> Self {
        let resumes = Resumes::new(&ends, config.resumes_max);
        resumes.tell(&resumes, &shelf.metrics);
        shelf.metrics.is_writable.set(1);
        let writer = Self {
            connection,
            heads,
            next: Next {
                offset: ends.offset + 1,
                topic: ends.topic + 1,
                receipt: ends.receipt + 1,
            },
            config: config.sqlite.clone(),
            resumes,
            shelf,
            rebuilds: 0,
            trouble: None,
        };
        writer.measure();
        writer
    }

    /// Does jobs until nobody can send one any more.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Queued>) {
        let batch_max = self.config.batch_events_max.max(1);
        let mut batch = Vec::with_capacity(batch_max);
        while queue.blocking_recv_many(&mut batch, batch_max) > 0 {
            self.shelf.back_up_suspect();
            let results = self.commit(&batch);
            self.measure();
            let tells: Vec<Tell> = batch
                .drain(..)
                .zip(results)
                .map(|(queued, result)| queued.job.settle(result))
                .collect();
            for tell in tells {
                tell();
            }
            if let Some(trouble) = self.trouble.take() {
                self.recover(&mut queue, trouble);
            }
        }
    }

    fn commit(&mut self, batch: &[Queued]) -> Vec<Result<i64, Error>> {
        let jobs: Vec<&Job> = batch.iter().map(|queued| &queued.job).collect();
        if let Err(trouble) = self.shelf.is_in_place() {
            let why = trouble.why();
            self.trouble = Some(trouble);
            return vec![Err(Error::Unavailable(why)); jobs.len()];
        }
        let results = match self.transaction(&jobs) {
            Ok(results) => {
                self.has_room(true);
                results
            }
            Err(error) if is_full(&error) && self.made_room() => self.one_by_one(&jobs),
            Err(error) if jobs.len() == 1 => vec![Err(self.told(&error))],
            Err(_) => self.one_by_one(&jobs),
        };
        if jobs.iter().any(|job| matches!(job, Job::Tidy { .. }))
            && let Err(error) = self.give_back()
        {
            tracing::warn!(%error, "space of the store could not be given back");
            if file::is_damage(&error) {
                self.trouble.get_or_insert(Trouble::of(&error));
            }
        }
        results
    }

    /// Does each job in a transaction of its own, so that one that cannot be done stops no other.
    fn one_by_one(&mut self, jobs: &[&Job]) -> Vec<Result<i64, Error>> {
        let results: Vec<_> = jobs
            .iter()
            .map(|job| {
                if let Some(trouble) = &self.trouble {
                    return Err(Error::Unavailable(trouble.why()));
                }
                match self.transaction(&[job]) {
                    Ok(mut results) => results.pop().expect("one result a job"),
                    Err(error) => Err(self.told(&error)),
                }
            })
            .collect();
        if results.iter().all(Result::is_ok) {
            self.has_room(true);
        }
        results
    }

    /// Empties the write-ahead log when there is no room: that may be all the room there is.
    /// Returns whether it got smaller.
    fn made_room(&self) -> bool {
        let before = file::wal_bytes(&self.shelf.dir);
        self.checkpoint();
        file::wal_bytes(&self.shelf.dir) < before
    }

    /// Does jobs in one transaction. An error means that none was done.
    fn transaction(&mut self, jobs: &[&Job]) -> rusqlite::Result<Vec<Result<i64, Error>>> {
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behavior)?;
        let mut changes = Changes {
            transaction: &transaction,
            heads: &self.heads,
            touched: HashMap::new(),
            next: self.next,
            resumes: self.resumes,
        };
        let results = jobs
            .iter()
            .map(|job| changes.make(job))
            .collect::<rusqlite::Result<Vec<_>>>()?;
        changes.write_heads()?;
        let Changes {
            touched,
            next,
            resumes,
            ..
        } = changes;
        transaction.commit()?;
        self.next = next;
        resumes.tell(&self.resumes, &self.shelf.metrics);
        self.resumes = resumes;
        for (topic, stored) in touched {
            match stored {
                Some(stored) => self.heads.insert(topic, stored),
                None => self.heads.remove(&topic),
            };
        }
        Ok(results)
    }

    /// Gives free pages back to the disk, some at a time; a few are left for what comes next.
    fn give_back(&self) -> rusqlite::Result<()> {
        let free = self.pragma("freelist_count")?;
        let spare = self.pragma("page_count")? / 16;
        let pages = (free - spare).min(VACUUM_PAGES);
        if pages > 0 {
            let sql = format!("PRAGMA incremental_vacuum({pages})");
            let mut statement = self.connection.prepare(&sql)?;
            let mut rows = statement.query([])?;
            while rows.next()?.is_some() {}
        }
        Ok(())
    }

    /// What the publisher is told of a failed write. Whatever is not lack of room is noted, and
    /// looked after when the batch is answered.
    fn told(&mut self, error: &rusqlite::Error) -> Error {
        if is_full(error) {
            self.has_room(false);
            return Error::DiskFull;
        }
        let trouble = Trouble::of(error);
        let why = trouble.why();
        self.trouble.get_or_insert(trouble);
        Error::Unavailable(why)
    }

    /// Notes whether the last write found room.
    fn has_room(&self, has_room: bool) {
        let is_full = matches!(self.shelf.now.get(), Condition::Full);
        match (has_room, is_full) {
            (true, true) => {
                tracing::info!("the store has room again");
                self.shelf.now.set(Condition::Writable);
            }
            (false, false) => {
                tracing::warn!("the store has no room");
                self.shelf.now.set(Condition::Full);
            }
            _ => {}
        }
    }

    /// Moves the write-ahead log into the file and empties it, as far as there is room.
    pub(super) fn checkpoint(&self) {
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        if let Err(error) = self.connection.query_row(sql, [], |_| Ok(())) {
            tracing::debug!(%error, "the write-ahead log was not emptied");
        }
    }

    fn measure(&self) {
        let pages = self.pragma("page_count").unwrap_or(0);
        let bytes = pages * self.pragma("page_size").unwrap_or(0);
        let bytes = usize::try_from(bytes).unwrap_or(0);
        self.shelf.bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn pragma(&self, name: &str) -> rusqlite::Result<i64> {
        let sql = format!("PRAGMA {name}");
        let mut statement = self.connection.prepare_cached(&sql)?;
        statement.query_row([], |row| row.get(0))
    }
}

fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}
