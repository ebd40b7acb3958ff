//! What a transaction of the writer changes: jobs become rows.
//!
//! The heads of the topics are kept in memory: an event that does not follow its topic's head is
//! refused, so a refused event never leaves a hole. What is known in memory changes only when the
//! transaction was committed.

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::{Transaction, params};

use super::log::Trim;
use super::reads;
use super::resumes::Resumes;
use super::rows::{Stored, receipt_hash, receipt_sum};
use super::{Append, Forget, Job, ReceiptRow};
use crate::store::record::{Place, encode};
use crate::store::{Error, Given};
use crate::topic::{Class, Event, Kind, Status, TopicName};

/// The next numbers of rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Next {
    pub(super) offset: i64,
    pub(super) topic: i64,
    pub(super) receipt: i64,
}

/// A transaction, with what it changes of what is known in memory.
pub(super) struct Changes<'a> {
    pub(super) transaction: &'a Transaction<'a>,
    pub(super) heads: &'a HashMap<TopicName, Stored>,
    pub(super) touched: HashMap<TopicName, Option<Stored>>,
    pub(super) next: Next,
    pub(super) resumes: Resumes,
}

impl Changes<'_> {
    /// Does a job. An error means that the transaction must not be committed.
    pub(super) fn make(&mut self, job: &Job) -> rusqlite::Result<Result<i64, Error>> {
        match job {
            Job::Append(append) => self.append(append),
            Job::Forget(forget) => self.forget(forget).map(|()| Ok(0)),
            Job::KeepResume(kept) => {
                self.resumes
                    .keep(self.transaction, &kept.id, &kept.record)?;
                Ok(Ok(0))
            }
            Job::KeepRead(kept) => {
                reads::keep(self.transaction, &kept.read)?;
                Ok(Ok(0))
            }
            Job::ForgetResume(id) => {
                self.resumes.forget(self.transaction, id)?;
                Ok(Ok(0))
            }
            Job::ForgetEarlierResumes(_) => {
                Ok(Ok(self.resumes.forget_earlier(self.transaction)?))
            }
            Job::Tidy {
                receipts_max,
                receipt_age_max,
                reads_max,
            } => {
                let now_ms = jiff::Timestamp::now().as_millisecond();
                reads::tidy(self.transaction, (now_ms, *reads_max))?;
                self.forget_receipts(*receipts_max, *receipt_age_max)?;
                Ok(Ok(0))
            }
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
        } else if event.topic.kind() == Kind::Job && event.name.as_str() == "job_retried" {
            stored.status = Status::Active;
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

    /// Writes the rows of the topics that were touched.
    pub(super) fn write_heads(&self) -> rusqlite::Result<()> {
        for (topic, stored) in &self.touched {
            if let Some(stored) = stored {
                stored.write(self.transaction, topic)?;
            }
        }
        Ok(())
    }
}
