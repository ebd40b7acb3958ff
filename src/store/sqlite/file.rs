//! The file: lock, format, settings, and what is done when it is damaged.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::rows::{self, Ends, Stored};
use super::{READERS, salvage, wal};
use crate::store::OpenError;
use crate::store::config::{Durability, Sqlite};
use crate::topic::TopicName;

/// The name of the file.
const NAME: &str = "tidings.db";

/// Present when damage was found: the file is looked through when it is opened next.
const MARK: &str = "tidings.db.damaged";

/// Bytes of a page.
const PAGE_BYTES: u64 = 4096;

/// Pages of the write-ahead log after which they are moved into the file.
const WAL_PAGES: u32 = 4000;

/// What leads from each format to the next. The format of a file is the number of those done.
const MIGRATIONS: [&str; 3] = [
    include_str!("format_1.sql"),
    include_str!("format_2.sql"),
    include_str!("format_3.sql"),
];

/// The file, open.
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) readers: [Connection; READERS],
    pub(super) found: Vec<(TopicName, Stored)>,
    pub(super) ends: Ends,
}

/// Why a file could not be opened as it is.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    Refused(OpenError),
    #[error("{0}")]
    Damaged(String),
}

/// The file of a directory.
pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join(NAME)
}

/// Opens the file of a directory. A damaged one is copied, and what is whole is taken over.
/// The lock on the directory is held for as long as the second is not dropped.
pub(super) fn open(dir: &Path, config: &Sqlite) -> Result<(Opened, File), OpenError> {
    let unusable = |why: String| OpenError::Unusable {
        path: dir.display().to_string(),
        why,
    };
    fs::create_dir_all(dir).map_err(|error| unusable(error.to_string()))?;
    let lock = lock(dir)?;
    let path = path(dir);
    salvage::finish(&path).map_err(|error| unusable(error.to_string()))?;
    let known = if dir.join(MARK).exists() {
        Err(Refusal::Damaged(
            "damage was found while it was in use".to_owned(),
        ))
    } else {
        sound(&path, config)
    };
    let opened = match known {
        Ok(opened) => opened,
        Err(Refusal::Refused(error)) => return Err(error),
        Err(Refusal::Damaged(why)) => {
            let kept = back_up(dir).map_err(|error| unusable(error.to_string()))?;
            tracing::error!(
                why,
                kept = %kept.display(),
                "the store is damaged: a copy was kept, and what is whole is taken over"
            );
            salvage::build(&path, config)
                .and_then(|_| salvage::put_in_place(&path))
                .and_then(|()| unmark(dir))
                .map_err(|error| unusable(error.to_string()))?;
            match sound(&path, config) {
                Ok(opened) => opened,
                Err(Refusal::Refused(error)) => return Err(error),
                Err(Refusal::Damaged(why)) => return Err(unusable(why)),
            }
        }
    };
    Ok((opened, lock))
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let unusable = |why: String| OpenError::Unusable {
        path: dir.display().to_string(),
        why,
    };
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.join("tidings.lock"))
        .map_err(|error| unusable(error.to_string()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(dir.display().to_string())),
        Err(TryLockError::Error(error)) => Err(unusable(error.to_string())),
    }
}

/// Opens a file and looks at everything that is small: the header, the size, the topics.
pub(super) fn sound(path: &Path, config: &Sqlite) -> Result<Opened, Refusal> {
    let trouble = |error: rusqlite::Error| {
        if is_damage(&error) {
            Refusal::Damaged(error.to_string())
        } else {
            Refusal::Refused(OpenError::Unusable {
                path: path.display().to_string(),
                why: error.to_string(),
            })
        }
    };
    if let Some(why) = wal::damage(path) {
        return Err(Refusal::Damaged(why));
    }
    let connection = Connection::open(path).map_err(trouble)?;
    let format: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(trouble)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if format > known {
        return Err(Refusal::Refused(OpenError::Newer {
            path: path.display().to_string(),
            found: format,
            known,
        }));
    }
    prepare(&connection, config).map_err(trouble)?;
    migrate(&connection, format).map_err(trouble)?;
    check_length(&connection, path).map_err(trouble)?;
    let topics = rows::topics(&connection).map_err(trouble)?;
    let found: Option<Vec<_>> = topics.into_iter().collect();
    let Some(found) = found else {
        return Err(Refusal::Damaged("the row of a topic is damaged".to_owned()));
    };
    let ends = Ends::read(&connection).map_err(trouble)?;
    let mut readers = Vec::with_capacity(READERS);
    for _ in 0..READERS {
        readers.push(reader(path).map_err(trouble)?);
    }
    Ok(Opened {
        connection,
        readers: readers.try_into().expect("as many as asked for"),
        found,
        ends,
    })
}

/// The settings of a connection that writes.
pub(super) fn prepare(connection: &Connection, config: &Sqlite) -> rusqlite::Result<()> {
    let synchronous = match config.durability {
        Durability::Fsync => "FULL",
        Durability::Wal => "NORMAL",
    };
    let cache_kib = config.cache_bytes.0 / 1024;
    let pages_max = (config.bytes_max.0 / PAGE_BYTES).clamp(16, u64::from(u32::MAX) - 1);
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.execute_batch(&format!(
        "PRAGMA page_size = {PAGE_BYTES};
         PRAGMA auto_vacuum = INCREMENTAL;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = {synchronous};
         PRAGMA cache_size = -{cache_kib};
         PRAGMA temp_store = MEMORY;
         PRAGMA max_page_count = {pages_max};
         PRAGMA wal_autocheckpoint = {WAL_PAGES};
         PRAGMA journal_size_limit = 67108864;"
    ))
}

/// Brings a file of an older format, or an empty one, to the present format.
pub(super) fn migrate(connection: &Connection, format: i64) -> rusqlite::Result<()> {
    let done = usize::try_from(format).unwrap_or(0);
    for (number, migration) in MIGRATIONS.iter().enumerate().skip(done) {
        let format = number + 1;
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {migration} PRAGMA user_version = {format}; COMMIT;"
        ))?;
    }
    Ok(())
}

/// Moves the write-ahead log into the file, and compares the file's length with what it says.
fn check_length(connection: &Connection, path: &Path) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    let pages: u64 = connection
        .query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0))?
        .cast_unsigned();
    let length = fs::metadata(path).map_or(0, |metadata| metadata.len());
    if length < pages * PAGE_BYTES || !length.is_multiple_of(PAGE_BYTES) {
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
            Some(format!("the file has {length} bytes for {pages} pages")),
        ));
    }
    Ok(())
}

/// A connection that reads. It has the file open when this returns, so that it reads on even if
/// the file is moved.
fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    let sql = "SELECT count(*) FROM (SELECT 1 FROM topics LIMIT 1)";
    connection.query_row(sql, [], |_| Ok(()))?;
    Ok(connection)
}

/// What tells the file from another one at its place.
pub(super) fn identity(dir: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path(dir)).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// The bytes of the write-ahead log.
pub(super) fn wal_bytes(dir: &Path) -> u64 {
    fs::metadata(dir.join(format!("{NAME}-wal"))).map_or(0, |metadata| metadata.len())
}

/// Whether an error tells of damage rather than of a disk that is full or away.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqliteFailure(error, message) => {
            matches!(
                error.code,
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase
            ) || message.as_ref().is_some_and(|m| {
                [
                    "no such table",
                    "no such col",
                    "malformed",
                    "already exists",
                ]
                .iter()
                .any(|told| m.contains(told))
            })
        }
        rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::QueryReturnedNoRows
        | rusqlite::Error::Utf8Error(..) => true,
        _ => false,
    }
}

/// Copies the file and its write-ahead log beside it. Returns the copy.
pub(super) fn back_up(dir: &Path) -> io::Result<PathBuf> {
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let kept = dir.join(format!("{NAME}.damaged-{now_ms}"));
    fs::copy(dir.join(NAME), &kept)?;
    let wal = dir.join(format!("{NAME}-wal"));
    if wal.exists() {
        fs::copy(wal, dir.join(format!("{NAME}.damaged-{now_ms}-wal")))?;
    }
    Ok(kept)
}

/// Takes the mark away: the file was rebuilt.
pub(super) fn unmark(dir: &Path) -> io::Result<()> {
    match fs::remove_file(dir.join(MARK)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Leaves the mark that makes the next start look through the whole file.
pub(super) fn mark(dir: &Path) -> io::Result<()> {
    fs::write(dir.join(MARK), b"")
}
