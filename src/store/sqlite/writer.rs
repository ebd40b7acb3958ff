//! The writer: one thread that commits whatever waits, and then answers.
//!
//! A transaction that fails as a whole is tried again job by job, so that a refusal concerns the
//! jobs that cannot be done and no others.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use tokio::sync::mpsc;

use super::changes::{Changes, Next};
use super::file;
use super::resumes::Resumes;
use super::rows::Stored;
use super::{Job, Queued};
use crate::store::{Config, Error, Metrics};
use crate::topic::TopicName;

/// Most pages that are given back at once.
const VACUUM_PAGES: i64 = 4096;

pub(super) struct Writer {
    connection: Connection,
    heads: HashMap<TopicName, Stored>,
    next: Next,
    batch_max: usize,
    resumes: Resumes,
    bytes: Arc<AtomicUsize>,
    metrics: Metrics,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        found: &[(TopicName, Stored)],
        config: &Config,
        (bytes, metrics): (Arc<AtomicUsize>, Metrics),
    ) -> rusqlite::Result<Self> {
        let newest = |sql: &str| -> rusqlite::Result<i64> {
            connection.query_row(sql, [], |row| {
                Ok(row.get::<_, Option<i64>>(0)?.unwrap_or(0))
            })
        };
        let rows = newest("SELECT max(offset) FROM events")?;
        let last = found.iter().map(|(_, stored)| stored.last).max();
        let topic = found.iter().map(|(_, stored)| stored.id).max();
        let kept = newest("SELECT max(topic) FROM kept")?;
        let next = Next {
            offset: rows.max(last.unwrap_or(0)) + 1,
            topic: topic.unwrap_or(0).max(kept) + 1,
            receipt: newest("SELECT max(number) FROM receipts")? + 1,
        };
        let resumes = Resumes::new(&connection, config.resumes_max)?;
        resumes.tell(&resumes, &metrics);
        let writer = Self {
            connection,
            heads: found.iter().cloned().collect(),
            next,
            batch_max: config.sqlite.batch_events_max.max(1),
            resumes,
            bytes,
            metrics,
        };
        writer.measure();
        Ok(writer)
    }

    /// Does jobs until nobody can send one any more.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Queued>) {
        let mut batch = Vec::with_capacity(self.batch_max);
        while queue.blocking_recv_many(&mut batch, self.batch_max) > 0 {
            let results = self.commit(&batch);
            self.measure();
            for (queued, result) in batch.drain(..).zip(results) {
                queued.job.finish(result);
            }
        }
    }

    fn commit(&mut self, batch: &[Queued]) -> Vec<Result<i64, Error>> {
        let jobs: Vec<&Job> = batch.iter().map(|queued| &queued.job).collect();
        let results = match self.transaction(&jobs) {
            Ok(results) => results,
            Err(error) if jobs.len() == 1 => vec![Err(self.told(&error))],
            Err(_) => jobs.iter().map(|job| self.alone(job)).collect(),
        };
        if jobs.iter().any(|job| matches!(job, Job::Tidy { .. }))
            && let Err(error) = self.give_back()
        {
            tracing::warn!(%error, "space of the store could not be given back");
        }
        results
    }

    fn alone(&mut self, job: &Job) -> Result<i64, Error> {
        match self.transaction(&[job]) {
            Ok(mut results) => results.pop().expect("one result a job"),
            Err(error) => Err(self.told(&error)),
        }
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
        resumes.tell(&self.resumes, &self.metrics);
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

    /// What the publisher is told of a failed write. Damage leaves the mark that makes the next
    /// start look through the whole file.
    fn told(&self, error: &rusqlite::Error) -> Error {
        if error.sqlite_error_code() == Some(ErrorCode::DiskFull) {
            tracing::warn!(%error, "the store has no room");
            return Error::DiskFull;
        }
        tracing::error!(%error, "the store cannot write");
        if !file::is_damage(error) {
            return Error::Unavailable(error.to_string().into());
        }
        let dir = self.connection.path().map(Path::new).and_then(Path::parent);
        if let Some(Err(error)) = dir.map(file::mark) {
            tracing::error!(%error, "the damage could not be noted");
        }
        let what = format!("{error}; restart the gateway, which takes over what is whole");
        Error::Unavailable(what.into())
    }

    fn measure(&self) {
        let pages = self.pragma("page_count").unwrap_or(0);
        let bytes = pages * self.pragma("page_size").unwrap_or(0);
        let bytes = usize::try_from(bytes).unwrap_or(0);
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    fn pragma(&self, name: &str) -> rusqlite::Result<i64> {
        let sql = format!("PRAGMA {name}");
        let mut statement = self.connection.prepare_cached(&sql)?;
        statement.query_row([], |row| row.get(0))
    }
}
