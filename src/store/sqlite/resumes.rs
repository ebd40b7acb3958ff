//! The rows of resumes, in the order in which they were written.
//!
//! A row that is written again moves to the end. So the oldest is the one with the lowest number,
//! and those of earlier processes are below the number with which this one began.

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::rows::Ends;
use crate::store::Metrics;
use crate::store::record::sum_of;

/// Most rows that are deleted in one transaction.
const PORTION: i64 = 500;

/// What the writer knows of the rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resumes {
    /// The number with which this process began.
    first: i64,
    next: i64,
    count: i64,
    max: i64,
    displaced: u64,
}

impl Resumes {
    pub(super) fn new(ends: &Ends, max: usize) -> Self {
        let next = ends.resume + 1;
        Self {
            first: next,
            next,
            count: ends.resumes,
            max: i64::try_from(max).unwrap_or(i64::MAX),
            displaced: 0,
        }
    }

    /// The file was rebuilt, and may hold fewer.
    pub(super) const fn rebuilt(&mut self, ends: &Ends) {
        self.count = ends.resumes;
    }

    /// Tells the counters what changed since it was `before`.
    pub(super) fn tell(&self, before: &Self, metrics: &Metrics) {
        metrics.resumes.set(self.count);
        metrics
            .resumes_displaced
            .inc_by(self.displaced - before.displaced);
    }

    /// Writes a record; the oldest make room.
    pub(super) fn keep(
        &mut self,
        transaction: &Transaction<'_>,
        id: &str,
        record: &[u8],
    ) -> rusqlite::Result<()> {
        let number = self.next;
        self.forget(transaction, id)?;
        transaction
            .prepare_cached("INSERT INTO resumes (number, id, record, sum) VALUES (?1,?2,?3,?4)")?
            .execute(params![number, id, record, sum(number, id, record)])?;
        self.next += 1;
        self.count += 1;
        let excess = (self.count - self.max).clamp(0, PORTION);
        if excess > 0 {
            let gone = transaction
                .prepare_cached(
                    "DELETE FROM resumes WHERE number IN \
                     (SELECT number FROM resumes ORDER BY number LIMIT ?1)",
                )?
                .execute([excess])?;
            self.count -= i64::try_from(gone).unwrap_or(0);
            self.displaced += gone as u64;
        }
        Ok(())
    }

    /// Deletes the record of an id.
    pub(super) fn forget(
        &mut self,
        transaction: &Transaction<'_>,
        id: &str,
    ) -> rusqlite::Result<()> {
        let gone = transaction
            .prepare_cached("DELETE FROM resumes WHERE id = ?1")?
            .execute([id])?;
        self.count -= i64::try_from(gone).unwrap_or(0);
        Ok(())
    }

    /// Deletes some of the records of earlier processes. Returns how many.
    pub(super) fn forget_earlier(
        &mut self,
        transaction: &Transaction<'_>,
    ) -> rusqlite::Result<i64> {
        let gone = transaction
            .prepare_cached(
                "DELETE FROM resumes WHERE number IN \
                 (SELECT number FROM resumes WHERE number < ?1 ORDER BY number LIMIT ?2)",
            )?
            .execute(params![self.first, PORTION])?;
        let gone = i64::try_from(gone).unwrap_or(0);
        self.count -= gone;
        Ok(gone)
    }
}

fn sum(number: i64, id: &str, record: &[u8]) -> i64 {
    sum_of([&number.to_le_bytes(), id.as_bytes(), record])
}

/// The record of an id. An error if it is not what was written.
pub(super) fn find(connection: &Connection, id: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    let found = connection
        .prepare_cached("SELECT number, record, sum FROM resumes WHERE id = ?1")?
        .query_row([id], |row| {
            let record: Vec<u8> = row.get(1)?;
            let is_sound = row.get::<_, i64>(2)? == sum(row.get(0)?, id, &record);
            Ok(is_sound.then_some(record))
        })
        .optional()?;
    found.map_or(Ok(None), |record| {
        record.map(Some).ok_or(rusqlite::Error::QueryReturnedNoRows)
    })
}

/// Takes the rows of another file over, as far as they are what was written.
pub(super) fn take_over(old: &Connection, fresh: &Connection) -> rusqlite::Result<()> {
    let transaction = fresh.unchecked_transaction()?;
    let mut select = old.prepare("SELECT number, id, record, sum FROM resumes")?;
    let mut rows = select.query([])?;
    while let Ok(Some(row)) = rows.next() {
        let (Ok(number), Ok(id)) = (row.get::<_, i64>(0), row.get::<_, String>(1)) else {
            continue;
        };
        let (Ok(record), Ok(known)) = (row.get::<_, Vec<u8>>(2), row.get::<_, i64>(3)) else {
            continue;
        };
        if known == sum(number, &id, &record) {
            transaction
                .prepare_cached("INSERT OR REPLACE INTO resumes VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![number, id, record, known])?;
        }
    }
    transaction.commit()
}
