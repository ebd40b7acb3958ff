//! Salvage: what is whole of a damaged file is taken over into a new one.
//!
//! A topic is whole when its row, its chain and what it keeps for late joiners are what was
//! written. Any other topic is left out, and begins a new epoch when it is touched next. When the
//! write-ahead log is damaged, its last commits are gone without a trace in the rows, so that every
//! topic may be older than what its clients have seen: nothing is taken over then.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use super::file;
use super::resumes;
use super::rows::{self, EventRow, Stored};
use crate::store::config::Sqlite;
use crate::topic::TopicName;

/// Makes a new file in place of a damaged one.
pub(super) fn rebuild(path: &Path, config: &Sqlite) -> rusqlite::Result<()> {
    let fresh = beside(path, "new");
    let gone = |path: &Path| {
        for suffix in ["", "-wal", "-shm"] {
            remove(&with_suffix(path, suffix))?;
        }
        Ok::<_, io::Error>(())
    };
    let failed = |error: io::Error| rusqlite::Error::ToSqlConversionFailure(Box::new(error));
    gone(&fresh).map_err(failed)?;
    let connection = Connection::open(&fresh)?;
    file::prepare(&connection, config)?;
    file::migrate(&connection, 0)?;
    if wal_damage(path).is_none()
        && let Err(error) = take_over(path, &connection)
    {
        tracing::error!(%error, "nothing more of the damaged file can be read");
    }
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    connection.close().map_err(|(_, error)| error)?;
    gone(path).map_err(failed)?;
    fs::rename(&fresh, path).map_err(failed)?;
    gone(&fresh).map_err(failed)
}

fn take_over(path: &Path, fresh: &Connection) -> rusqlite::Result<()> {
    let old = Connection::open(path)?;
    let (mut whole, mut damaged) = (0_u64, 0_u64);
    for row in rows::topics(&old)? {
        let taken = row
            .as_ref()
            .and_then(|(topic, stored)| Some((topic, stored, found(&old, topic, stored)?)));
        let Some((topic, stored, (kept, chain))) = taken else {
            damaged += 1;
            continue;
        };
        insert(fresh, (topic, stored), &kept, &chain)?;
        whole += 1;
    }
    tracing::warn!(whole, damaged, "topics were taken over from a damaged file");
    if let Err(error) = resumes::take_over(&old, fresh) {
        tracing::warn!(%error, "no resumes were taken over");
    }
    receipts(&old, fresh)
}

fn found(
    old: &Connection,
    topic: &TopicName,
    stored: &Stored,
) -> Option<(Vec<EventRow>, Vec<EventRow>)> {
    let kept = rows::kept(old, topic, stored).ok()??;
    let chain = rows::chain(old, topic, stored).ok()??;
    Some((kept, chain))
}

fn insert(
    fresh: &Connection,
    (topic, stored): (&TopicName, &Stored),
    kept: &[EventRow],
    chain: &[EventRow],
) -> rusqlite::Result<()> {
    let transaction = fresh.unchecked_transaction()?;
    stored.write(&transaction, topic)?;
    for row in chain {
        transaction
            .prepare_cached("INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![
                row.offset,
                stored.id,
                row.seq.cast_signed(),
                row.prev,
                row.record,
                row.sum
            ])?;
    }
    for row in kept {
        transaction
            .prepare_cached("INSERT INTO kept VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![
                stored.id,
                row.seq.cast_signed(),
                row.record,
                row.sum
            ])?;
    }
    transaction.commit()
}

/// Takes receipts over as they are: each is checked when it is looked up.
fn receipts(old: &Connection, fresh: &Connection) -> rusqlite::Result<()> {
    let transaction = fresh.unchecked_transaction()?;
    let mut select = old.prepare(
        "SELECT number, hash, topic, key, fingerprint, at_ms, epoch, seq, id, sum FROM receipts",
    )?;
    let mut rows = select.query([])?;
    while let Ok(Some(row)) = rows.next() {
        let values = (0..10)
            .map(|column| row.get::<_, rusqlite::types::Value>(column))
            .collect::<rusqlite::Result<Vec<_>>>()?;
        // A row that does not fit the table any more is damaged.
        let _ = transaction
            .prepare_cached("INSERT INTO receipts VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)")?
            .execute(rusqlite::params_from_iter(values));
    }
    transaction.commit()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    with_suffix(path, &format!(".{suffix}"))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Looks for commits in the write-ahead log that lie behind a frame whose checksum is wrong: they
/// were acknowledged, and SQLite would pass over them in silence. A frame that is cut off at the
/// end, as an interrupted write leaves it, is no damage.
///
/// The form is that of "The WAL File Format" of SQLite's documentation.
pub(super) fn wal_damage(path: &Path) -> Option<String> {
    let wal = fs::read(with_suffix(path, "-wal")).ok()?;
    let (header, mut frames) = wal.split_at_checked(32)?;
    let word = |bytes: &[u8], at: usize| -> u32 {
        bytes[at..at + 4]
            .iter()
            .fold(0, |word, byte| (word << 8) | u32::from(*byte))
    };
    let is_big = word(header, 0) & 1 == 1;
    let page_bytes = usize::try_from(word(header, 8)).ok()?;
    let mut sums = summed(is_big, (0, 0), &header[..24]);
    if sums != (word(header, 24), word(header, 28)) || page_bytes < 512 {
        let is_used = frames.len() > page_bytes && frames.iter().any(|byte| *byte != 0);
        return is_used.then(|| "the head of the write-ahead log is damaged".to_owned());
    }
    let mut is_broken = false;
    while let Some((frame, rest)) = frames.split_at_checked(24 + page_bytes) {
        if frame[8..16] != header[16..24] {
            return None;
        }
        if is_broken && word(frame, 4) != 0 {
            return Some("a frame of the write-ahead log is damaged".to_owned());
        }
        sums = summed(is_big, summed(is_big, sums, &frame[..8]), &frame[24..]);
        is_broken |= sums != (word(frame, 16), word(frame, 20));
        frames = rest;
    }
    None
}

/// The checksum of the write-ahead log, carried on.
fn summed(is_big: bool, start: (u32, u32), bytes: &[u8]) -> (u32, u32) {
    bytes
        .as_chunks::<8>()
        .0
        .iter()
        .fold(start, |(first, second), chunk| {
            let whole = u64::from_be_bytes(*chunk);
            let high = u32::try_from(whole >> 32).unwrap_or(0);
            let low = u32::try_from(whole & u64::from(u32::MAX)).unwrap_or(0);
            let (left, right) = if is_big {
                (high, low)
            } else {
                (high.swap_bytes(), low.swap_bytes())
            };
            let first = first.wrapping_add(left).wrapping_add(second);
            (first, second.wrapping_add(right).wrapping_add(first))
        })
}
