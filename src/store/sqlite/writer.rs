//! The writer: one thread that commits whatever waits, and then answers.
//!
//! A transaction that fails as a whole is tried again job by job, so that a refusal concerns the
//! jobs that cannot be done and no others. The heads of the topics are kept in memory: an event
//! that does not follow its topic's head is refused, so a refused event never leaves a hole.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior, params};
use tokio::sync::mpsc;

use super::file;
use super::log::Trim;
use super::rows::{Stored, receipt_hash, receipt_sum};
use super::{Append, Forget, Job, Queued, ReceiptRow};
use crate::store::config::Sqlite;
use crate::store::record::{Place, encode};
use crate::store::{Error, Given};
use crate::topic::{Class, Event, Kind, Status, TopicName};

/// Most pages that are given back at once.
const VACUUM_PAGES: i64 = 4096;

pub(super) struct Writer {
    connection: Connection,
    heads: HashMap<TopicName, Stored>,
    next: Next,
    batch_max: usize,
    bytes: Arc<AtomicUsize>,
}

/// The next numbers of rows.
#[derive(Debug, Clone, Copy)]
struct Next {
    offset: i64,
    topic: i64,
    receipt: i64,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        found: &[(TopicName, Stored)],
        config: &Sqlite,
        bytes: &Arc<AtomicUsize>,
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
        let writer = Self {
            connection,
            heads: found.iter().cloned().collect(),
            next,
            batch_max: config.batch_events_max.max(1),
            bytes: Arc::clone(bytes),
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
        };
        let results = jobs
            .iter()
            .map(|job| changes.make(job))
            .collect::<rusqlite::Result<Vec<_>>>()?;
        changes.write_heads()?;
        let Changes { touched, next, .. } = changes;
        transaction.commit()?;
        self.next = next;
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

/// A transaction, with what it changes of what is known in memory.
struct Changes<'a> {
    transaction: &'a Transaction<'a>,
    heads: &'a HashMap<TopicName, Stored>,
    touched: HashMap<TopicName, Option<Stored>>,
    next: Next,
}

impl Changes<'_> {
    fn make(&mut self, job: &Job) -> rusqlite::Result<Result<i64, Error>> {
        match job {
            Job::Append(append) => self.append(append),
            Job::Forget(forget) => self.forget(forget).map(|()| Ok(0)),
            Job::Tidy {
                receipts_max,
                receipt_age_max,
            } => self
                .forget_receipts(*receipts_max, *receipt_age_max)
                .map(|()| Ok(0)),
        }
    }

    fn known(&self, topic: &TopicName) -> Option<Stored> {
        match self.touched.get(topic) {
            Some(touched) => touched.clone(),
            None => self.heads.get(topic).cloned(),
        }
    }

    fn append(&mut self, append: &Append) -> rusqlite::Result<Result<i64, Error>> {
        let event = &append.event;
        let known = self.known(&event.topic);
        let mut stored = match known {
            Some(known) if known.epoch == event.epoch => known,
            _ if event.seq.0 != 1 => return Ok(Err(Error::Overtaken)),
            known => {
                if let Some(known) = known {
                    self.delete(&known)?;
                }
                self.next.topic += 1;
                Stored::new(self.next.topic - 1, event.epoch.clone())
            }
        };
        if event.seq.0 != stored.head + 1 {
            return Ok(Err(Error::Overtaken));
        }
        if let Some(trim) = &append.trim {
            self.trim(&mut stored, event, trim)?;
        }
        let offset = self.insert(&stored, event)?;
        stored.head = event.seq.0;
        stored.last = offset;
        stored.updated_ms = event.timestamp_ms;
        if event.class == Class::Terminal {
            stored.status = Status::after(&event.name);
        }
        stored.has_asked |=
            event.topic.kind() == Kind::Session && event.name.as_str() == "clarification";
        if let Some(receipt) = &append.receipt {
            self.insert_receipt(event, receipt)?;
        }
        self.touched.insert(event.topic.clone(), Some(stored));
        Ok(Ok(offset))
    }

    fn insert(&mut self, stored: &Stored, event: &Event) -> rusqlite::Result<i64> {
        let offset = self.next.offset;
        let record = encode(event);
        let place = Place {
            topic: &event.topic,
            epoch: &event.epoch,
            seq: event.seq.0,
            prev: stored.last,
        };
        self.transaction
            .prepare_cached(
                "INSERT INTO events (offset, topic, seq, prev, record, sum) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                offset,
                stored.id,
                event.seq.0.cast_signed(),
                stored.last,
                record,
                place.sum(&record)
            ])?;
        self.next.offset += 1;
        Ok(offset)
    }

    fn insert_receipt(&mut self, event: &Event, receipt: &ReceiptRow) -> rusqlite::Result<()> {
        let given = Given::of(event);
        let ReceiptRow { key, fingerprint } = receipt;
        self.transaction
            .prepare_cached(
                "INSERT INTO receipts \
                 (number, hash, topic, key, fingerprint, at_ms, epoch, seq, id, sum) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                self.next.receipt,
                receipt_hash(&given.topic, key),
                given.topic.as_str(),
                key,
                fingerprint,
                given.timestamp_ms,
                given.epoch.as_str(),
                given.seq.0.cast_signed(),
                given.id.as_bytes(),
                receipt_sum(key, fingerprint, &given),
            ])?;
        self.next.receipt += 1;
        Ok(())
    }

    /// Deletes the oldest rows of a topic, and keeps what late joiners must still get.
    fn trim(&self, stored: &mut Stored, event: &Event, trim: &Trim) -> rusqlite::Result<()> {
        let mut delete = self
            .transaction
            .prepare_cached("DELETE FROM events WHERE offset = ?1 AND topic = ?2")?;
        for offset in &trim.offsets {
            delete.execute(params![offset, stored.id])?;
        }
        let mut release = self
            .transaction
            .prepare_cached("DELETE FROM kept WHERE topic = ?1 AND seq = ?2")?;
        for seq in &trim.released {
            release.execute(params![stored.id, seq.cast_signed()])?;
        }
        let mut keep = self.transaction.prepare_cached(
            "INSERT OR REPLACE INTO kept (topic, seq, record, sum) VALUES (?1, ?2, ?3, ?4)",
        )?;
        for kept in &trim.kept {
            let record = encode(kept);
            let place = Place {
                topic: &event.topic,
                epoch: &event.epoch,
                seq: kept.seq.0,
                prev: 0,
            };
            let sum = place.sum(&record);
            keep.execute(params![stored.id, kept.seq.0.cast_signed(), record, sum])?;
        }
        stored.oldest = trim.oldest;
        Ok(())
    }

    fn forget(&mut self, forget: &Forget) -> rusqlite::Result<()> {
        let known = self.known(&forget.topic);
        if let Some(known) = known.filter(|known| known.epoch == forget.epoch) {
            self.delete(&known)?;
            self.touched.insert(forget.topic.clone(), None);
        }
        Ok(())
    }

    /// Deletes all rows of a topic, along its chain.
    fn delete(&self, stored: &Stored) -> rusqlite::Result<()> {
        let mut delete = self
            .transaction
            .prepare_cached("DELETE FROM events WHERE offset = ?1 AND topic = ?2 RETURNING prev")?;
        let mut offset = stored.last;
        while offset > 0 {
            let mut rows = delete.query(params![offset, stored.id])?;
            let before = match rows.next()? {
                Some(row) => row.get(0)?,
                None => 0,
            };
            while rows.next()?.is_some() {}
            // A chain only leads back: a damaged one must not lead in circles.
            offset = if before < offset { before } else { 0 };
        }
        let id = [stored.id];
        self.transaction
            .prepare_cached("DELETE FROM kept WHERE topic = ?1")?
            .execute(id)?;
        self.transaction
            .prepare_cached("DELETE FROM topics WHERE id = ?1")?
            .execute(id)?;
        Ok(())
    }

    /// Deletes receipts that are too old or too many. They lie in the order of their time.
    fn forget_receipts(&self, max: usize, age_max: Duration) -> rusqlite::Result<()> {
        let age_max_ms = i64::try_from(age_max.as_millis()).unwrap_or(i64::MAX);
        let before_ms = jiff::Timestamp::now()
            .as_millisecond()
            .saturating_sub(age_max_ms);
        let max = i64::try_from(max).unwrap_or(i64::MAX);
        let number = self.next.receipt.saturating_sub(max);
        self.transaction
            .prepare_cached("DELETE FROM receipts WHERE number < ?1")?
            .execute([number])?;
        let mut delete = self.transaction.prepare_cached(
            "DELETE FROM receipts WHERE number IN \
             (SELECT number FROM receipts ORDER BY number LIMIT 1000) AND at_ms < ?1",
        )?;
        while delete.execute([before_ms])? == 1000 {}
        Ok(())
    }

    fn write_heads(&self) -> rusqlite::Result<()> {
        for (topic, stored) in &self.touched {
            if let Some(stored) = stored {
                stored.write(self.transaction, topic)?;
            }
        }
        Ok(())
    }
}
