//! The rows of reads: how far somebody has read of a topic.

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use crate::store::reads::Read;
use crate::store::record::sum_of;
use crate::topic::{Cursor, Epoch, Seq, TopicName};

/// Writes how far somebody has read; never further back in the same incarnation of the topic.
pub(super) fn keep(transaction: &Transaction<'_>, read: &Read) -> rusqlite::Result<()> {
    let Read {
        topic,
        cursor,
        until_ms,
    } = read;
    transaction
        .prepare_cached(
            "INSERT INTO reads (topic, epoch, seq, until_ms, sum) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (topic) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq, \
             until_ms = excluded.until_ms, sum = excluded.sum \
             WHERE excluded.epoch <> reads.epoch OR excluded.seq > reads.seq",
        )?
        .execute(params![
            topic.as_str(),
            cursor.epoch.as_str(),
            cursor.seq.0.cast_signed(),
            until_ms,
            sum(topic, cursor, *until_ms),
        ])?;
    Ok(())
}

/// Deletes those that matter no more, and the oldest of too many.
pub(super) fn tidy(
    transaction: &Transaction<'_>,
    (now_ms, max): (i64, usize),
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("DELETE FROM reads WHERE until_ms < ?1")?
        .execute([now_ms])?;
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    transaction
        .prepare_cached(
            "DELETE FROM reads WHERE topic IN \
             (SELECT topic FROM reads ORDER BY until_ms DESC LIMIT -1 OFFSET ?1)",
        )?
        .execute([max])?;
    Ok(())
}

/// How far somebody has read. An error if the row is not what was written.
pub(super) fn find(conn: &Connection, topic: &TopicName) -> rusqlite::Result<Option<Cursor>> {
    let found = conn
        .prepare_cached("SELECT epoch, seq, until_ms, sum FROM reads WHERE topic = ?1")?
        .query_row([topic.as_str()], |row| {
            let epoch = Epoch::new(&row.get::<_, String>(0)?).ok();
            let seq = Seq(row.get::<_, i64>(1)?.cast_unsigned());
            let cursor = epoch.map(|epoch| Cursor { epoch, seq });
            let (until_ms, known): (i64, i64) = (row.get(2)?, row.get(3)?);
            Ok(cursor.filter(|cursor| known == sum(topic, cursor, until_ms)))
        })
        .optional()?;
    found.map_or(Ok(None), |cursor| {
        cursor.map(Some).ok_or(rusqlite::Error::QueryReturnedNoRows)
    })
}

/// Takes the rows of another file over, as far as they are what was written.
pub(super) fn take_over(old: &Connection, fresh: &Connection) -> rusqlite::Result<()> {
    let transaction = fresh.unchecked_transaction()?;
    let mut select = old.prepare("SELECT topic, until_ms FROM reads")?;
    let mut rows = select.query([])?;
    while let Ok(Some(row)) = rows.next() {
        let (Ok(topic), Ok(until_ms)) = (row.get::<_, String>(0), row.get::<_, i64>(1)) else {
            continue;
        };
        let Ok(topic) = topic.parse::<TopicName>() else {
            continue;
        };
        if let Ok(Some(cursor)) = find(old, &topic) {
            let read = Read {
                topic,
                cursor,
                until_ms,
            };
            keep(&transaction, &read)?;
        }
    }
    transaction.commit()
}

fn sum(topic: &TopicName, cursor: &Cursor, until_ms: i64) -> i64 {
    sum_of([
        topic.as_str().as_bytes(),
        cursor.epoch.as_str().as_bytes(),
        &cursor.seq.0.to_le_bytes(),
        &until_ms.to_le_bytes(),
    ])
}
