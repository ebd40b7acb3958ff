//! Salvage: what is whole of a damaged file is taken over into a new one.
//!
//! A topic is whole when its row, its chain and what it keeps for late joiners are what was
//! written. Any other topic is left out, and begins a new epoch when it is touched next. When the
//! write-ahead log is damaged, its last commits are gone without a trace in the rows, so that every
//! topic may be older than what its clients have seen: what is whole is taken over then under new
//! epochs, so that nobody takes one for the other.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, params};

use super::rows::{self, EventRow, Stored};
use super::{file, reads, resumes, wal};
use crate::store::config::Sqlite;
use crate::store::new_epoch;
use crate::store::record::{Place, decode, encode};
use crate::topic::{Epoch, TopicName};

/// The topics that were whole, with their epochs and heads.
pub(super) type Whole = HashMap<TopicName, (Epoch, u64)>;

/// Makes a new file of what is whole of a damaged one, beside it. It is complete and on the disk
/// when this returns, and waits to be put in place.
pub(super) fn build(path: &Path, config: &Sqlite) -> io::Result<Whole> {
    let fresh = beside(path, "new");
    remove_all(&fresh)?;
    let whole = filled(path, &fresh, config).map_err(io::Error::other)?;
    remove(&with_suffix(&fresh, "-wal"))?;
    fs::rename(&fresh, beside(path, "rebuilt"))?;
    sync_dir(path)?;
    Ok(whole)
}

fn filled(path: &Path, fresh: &Path, config: &Sqlite) -> rusqlite::Result<Whole> {
    let connection = Connection::open(fresh)?;
    file::prepare(&connection, config)?;
    file::migrate(&connection, 0)?;
    let mut whole = Whole::new();
    if let Err(error) = take_over(path, &connection, &mut whole) {
        tracing::error!(%error, "nothing more of the damaged file can be read");
    }
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    connection.close().map_err(|(_, error)| error)?;
    Ok(whole)
}

/// Puts the new file in place of the damaged one, which nobody has open. Should the process end
/// meanwhile, the next start does the rest.
pub(super) fn put_in_place(path: &Path) -> io::Result<()> {
    for suffix in ["-wal", "-shm"] {
        remove(&with_suffix(path, suffix))?;
    }
    fs::rename(beside(path, "rebuilt"), path)?;
    sync_dir(path)
}

/// Puts a new file in place that an earlier process had ready.
pub(super) fn finish(path: &Path) -> io::Result<()> {
    if beside(path, "rebuilt").exists() {
        put_in_place(path)?;
    }
    Ok(())
}

fn take_over(path: &Path, fresh: &Connection, whole: &mut Whole) -> rusqlite::Result<()> {
    let is_older = wal::damage(path).is_some();
    let old = Connection::open(path)?;
    let mut damaged = 0_u64;
    for row in rows::topics(&old)? {
        let taken = row
            .as_ref()
            .and_then(|(topic, stored)| Some((topic, found(&old, topic, stored)?)))
            .and_then(|(topic, held)| {
                let held = if is_older { held.anew(topic)? } else { held };
                Some((topic, held))
            });
        let Some((topic, held)) = taken else {
            damaged += 1;
            continue;
        };
        held.insert(fresh, topic)?;
        whole.insert(topic.clone(), (held.stored.epoch, held.stored.head));
    }
    tracing::warn!(
        whole = whole.len(),
        damaged,
        "topics were taken over from a damaged file"
    );
    if let Err(error) = resumes::take_over(&old, fresh) {
        tracing::warn!(%error, "no resumes were taken over");
    }
    if let Err(error) = reads::take_over(&old, fresh) {
        tracing::warn!(%error, "no places of readers were taken over");
    }
    receipts(&old, fresh)
}

/// All that is stored of a topic.
struct Held {
    stored: Stored,
    kept: Vec<EventRow>,
    chain: Vec<EventRow>,
}

fn found(old: &Connection, topic: &TopicName, stored: &Stored) -> Option<Held> {
    Some(Held {
        stored: stored.clone(),
        kept: rows::kept(old, topic, stored).ok()??,
        chain: rows::chain(old, topic, stored).ok()??,
    })
}

impl Held {
    /// The same events in an epoch of their own. Nothing if one is no event.
    fn anew(mut self, topic: &TopicName) -> Option<Self> {
        let epoch = new_epoch();
        for row in self.kept.iter_mut().chain(&mut self.chain) {
            let mut place = Place {
                topic,
                epoch: &self.stored.epoch,
                seq: row.seq,
                prev: row.prev,
            };
            let mut event = Arc::into_inner(decode(&place, &row.record)?)?;
            event.payload = event.payload.in_epoch(&self.stored.epoch, &epoch);
            place.epoch = &epoch;
            row.record = encode(&event);
            row.sum = place.sum(&row.record);
        }
        self.stored.epoch = epoch;
        Some(self)
    }

    fn insert(&self, fresh: &Connection, topic: &TopicName) -> rusqlite::Result<()> {
        let transaction = fresh.unchecked_transaction()?;
        self.stored.write(&transaction, topic)?;
        for row in &self.chain {
            transaction
                .prepare_cached("INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
                .execute(params![
                    row.offset,
                    self.stored.id,
                    row.seq.cast_signed(),
                    row.prev,
                    row.record,
                    row.sum
                ])?;
        }
        for row in &self.kept {
            transaction
                .prepare_cached("INSERT INTO kept VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![
                    self.stored.id,
                    row.seq.cast_signed(),
                    row.record,
                    row.sum
                ])?;
        }
        transaction.commit()
    }
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

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    with_suffix(path, &format!(".{suffix}"))
}

/// A file of SQLite with what it has beside it.
fn remove_all(path: &Path) -> io::Result<()> {
    ["", "-wal", "-shm"]
        .into_iter()
        .try_for_each(|suffix| remove(&with_suffix(path, suffix)))
}

fn sync_dir(path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |dir| fs::File::open(dir)?.sync_all())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
