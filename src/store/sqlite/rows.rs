//! Rows: what stands in the tables, read and checked.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use uuid::Uuid;

use crate::store::record::{Place, sum_of};
use crate::store::{Fingerprint, Given};
use crate::topic::{Epoch, Seq, Status, TopicName};

/// What the file holds of a topic: where its chain begins and ends.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(super) id: i64,
    pub(crate) epoch: Epoch,
    /// The number of the oldest event whose row is there.
    pub(super) oldest: u64,
    /// The number of the newest event.
    pub(crate) head: u64,
    /// The offset of the newest event.
    pub(super) last: i64,
    pub(crate) status: Status,
    /// Whether a question was ever asked: its expiry may have to be waited for.
    pub(crate) has_asked: bool,
    pub(crate) updated_ms: i64,
}

impl Stored {
    /// An incarnation without events.
    pub(super) const fn new(id: i64, epoch: Epoch) -> Self {
        Self {
            id,
            epoch,
            oldest: 1,
            head: 0,
            last: 0,
            status: Status::Active,
            has_asked: false,
            updated_ms: 0,
        }
    }

    fn sum(&self, name: &str) -> i64 {
        sum_of([
            name.as_bytes(),
            self.epoch.as_str().as_bytes(),
            &self.id.to_le_bytes(),
            &self.oldest.to_le_bytes(),
            &self.head.to_le_bytes(),
            &self.last.to_le_bytes(),
            &[status_number(self.status), u8::from(self.has_asked)],
            &self.updated_ms.to_le_bytes(),
        ])
    }

    /// Writes the row of a topic.
    pub(super) fn write(&self, conn: &Connection, name: &TopicName) -> rusqlite::Result<()> {
        let mut statement = conn.prepare_cached(
            "INSERT OR REPLACE INTO topics \
             (id, name, epoch, oldest, head, last, status, asked, updated_ms, sum) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?;
        statement.execute(params![
            self.id,
            name.as_str(),
            self.epoch.as_str(),
            self.oldest.cast_signed(),
            self.head.cast_signed(),
            self.last,
            status_number(self.status),
            self.has_asked,
            self.updated_ms,
            self.sum(name.as_str()),
        ])?;
        Ok(())
    }

    /// Reads the row of a topic; nothing if its checksum is wrong.
    fn read(row: &Row<'_>) -> rusqlite::Result<Option<(TopicName, Self)>> {
        let (name, epoch): (String, String) = (row.get(1)?, row.get(2)?);
        let (Ok(topic), Ok(epoch)) = (name.parse(), Epoch::new(&epoch)) else {
            return Ok(None);
        };
        let status = match row.get::<_, i64>(6)? {
            0 => Status::Active,
            1 => Status::Completed,
            2 => Status::Failed,
            _ => return Ok(None),
        };
        let stored = Self {
            id: row.get(0)?,
            epoch,
            oldest: row.get::<_, i64>(3)?.cast_unsigned(),
            head: row.get::<_, i64>(4)?.cast_unsigned(),
            last: row.get(5)?,
            status,
            has_asked: row.get(7)?,
            updated_ms: row.get(8)?,
        };
        let is_sound = row.get::<_, i64>(9)? == stored.sum(&name) && stored.head > 0;
        Ok(is_sound.then_some((topic, stored)))
    }
}

const fn status_number(status: Status) -> u8 {
    match status {
        Status::Active => 0,
        Status::Completed => 1,
        Status::Failed => 2,
    }
}

/// Where the tables end: the highest numbers that were given, and how many resumes there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub(super) offset: i64,
    pub(super) topic: i64,
    pub(super) receipt: i64,
    pub(super) resume: i64,
    pub(super) resumes: i64,
}

impl Ends {
    pub(super) fn read(conn: &Connection) -> rusqlite::Result<Self> {
        let number = |sql: &str| {
            conn.query_row(sql, [], |row| {
                Ok(row.get::<_, Option<i64>>(0)?.unwrap_or(0))
            })
        };
        let topic = number("SELECT max(id) FROM topics")?;
        let kept = number("SELECT max(topic) FROM kept")?;
        let last = number("SELECT max(last) FROM topics")?;
        Ok(Self {
            offset: number("SELECT max(offset) FROM events")?.max(last),
            topic: topic.max(kept),
            receipt: number("SELECT max(number) FROM receipts")?,
            resume: number("SELECT max(number) FROM resumes")?,
            resumes: number("SELECT count(*) FROM resumes")?,
        })
    }
}

/// All topics; nothing for those whose row is damaged.
pub(super) fn topics(conn: &Connection) -> rusqlite::Result<Vec<Option<(TopicName, Stored)>>> {
    let mut statement = conn.prepare(
        "SELECT id, name, epoch, oldest, head, last, status, asked, updated_ms, sum FROM topics",
    )?;
    let rows = statement.query_map([], |row| Ok(Stored::read(row).unwrap_or(None)))?;
    rows.collect()
}

/// The row of an event.
pub(super) struct EventRow {
    pub(super) offset: i64,
    pub(super) seq: u64,
    pub(super) prev: i64,
    pub(super) record: Vec<u8>,
    pub(super) sum: i64,
}

/// The event at an offset, checked against the place where it must be. Nothing if it is not there
/// or is not what was written.
pub(super) fn event(
    conn: &Connection,
    topic: &TopicName,
    epoch: &Epoch,
    (seq, offset): (u64, i64),
) -> rusqlite::Result<Option<EventRow>> {
    let mut statement =
        conn.prepare_cached("SELECT seq, prev, record, sum FROM events WHERE offset = ?1")?;
    let found = statement
        .query_row([offset], |row| {
            Ok(EventRow {
                offset,
                seq: row.get::<_, i64>(0)?.cast_unsigned(),
                prev: row.get(1)?,
                record: row.get(2)?,
                sum: row.get(3)?,
            })
        })
        .optional()?;
    Ok(found.filter(|event| {
        let place = Place {
            topic,
            epoch,
            seq,
            prev: event.prev,
        };
        event.seq == seq && event.sum == place.sum(&event.record)
    }))
}

/// The whole chain of a topic, newest first. Nothing if it does not hold.
pub(super) fn chain(
    conn: &Connection,
    topic: &TopicName,
    stored: &Stored,
) -> rusqlite::Result<Option<Vec<EventRow>>> {
    let mut chain = Vec::new();
    let mut offset = stored.last;
    for seq in (stored.oldest..=stored.head).rev() {
        let Some(event) = event(conn, topic, &stored.epoch, (seq, offset))? else {
            return Ok(None);
        };
        offset = event.prev;
        chain.push(event);
    }
    Ok(Some(chain))
}

/// The events that outlived their place in the log, oldest first. Nothing if one is damaged.
pub(super) fn kept(
    conn: &Connection,
    topic: &TopicName,
    stored: &Stored,
) -> rusqlite::Result<Option<Vec<EventRow>>> {
    let mut statement =
        conn.prepare_cached("SELECT seq, record, sum FROM kept WHERE topic = ?1 ORDER BY seq")?;
    let rows = statement.query_map([stored.id], |row| {
        Ok(EventRow {
            offset: 0,
            seq: row.get::<_, i64>(0)?.cast_unsigned(),
            prev: 0,
            record: row.get(1)?,
            sum: row.get(2)?,
        })
    })?;
    let mut kept = Vec::new();
    for row in rows {
        let row = row?;
        let place = Place {
            topic,
            epoch: &stored.epoch,
            seq: row.seq,
            prev: 0,
        };
        if row.seq >= stored.oldest || row.sum != place.sum(&row.record) {
            return Ok(None);
        }
        kept.push(row);
    }
    Ok(Some(kept))
}

/// By what a receipt is looked up.
pub(super) fn receipt_hash(topic: &TopicName, key: &str) -> i64 {
    sum_of([topic.as_str().as_bytes(), key.as_bytes()])
}

/// The checksum of a receipt.
pub(super) fn receipt_sum(key: &str, fingerprint: &Fingerprint, given: &Given) -> i64 {
    sum_of([
        given.topic.as_str().as_bytes(),
        key.as_bytes(),
        fingerprint,
        given.epoch.as_str().as_bytes(),
        &given.seq.0.to_le_bytes(),
        given.id.as_bytes(),
        &given.timestamp_ms.to_le_bytes(),
    ])
}

/// The newest receipt of a key; one that is damaged counts as none.
pub(super) fn receipt(
    conn: &Connection,
    topic: &TopicName,
    key: &str,
) -> rusqlite::Result<Option<(Fingerprint, Given)>> {
    let mut statement = conn.prepare_cached(
        "SELECT topic, key, fingerprint, epoch, seq, id, at_ms, sum FROM receipts \
         WHERE hash = ?1 ORDER BY number DESC",
    )?;
    let mut rows = statement.query([receipt_hash(topic, key)])?;
    while let Some(row) = rows.next()? {
        let (owner, known): (String, String) = (row.get(0)?, row.get(1)?);
        let Ok(epoch) = Epoch::new(&row.get::<_, String>(3)?) else {
            continue;
        };
        let fingerprint: Fingerprint = row.get(2)?;
        let given = Given {
            topic: topic.clone(),
            epoch,
            seq: Seq(row.get::<_, i64>(4)?.cast_unsigned()),
            id: Uuid::from_bytes(row.get(5)?),
            timestamp_ms: row.get(6)?,
        };
        if owner == topic.as_str()
            && known == key
            && row.get::<_, i64>(7)? == receipt_sum(key, &fingerprint, &given)
        {
            return Ok(Some((fingerprint, given)));
        }
    }
    Ok(None)
}
