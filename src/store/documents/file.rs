//! The file of the documents: format and settings. It lies beside the log, which holds the lock of
//! the directory.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::lanes::Shared;
use crate::store::config::{Config, Durability};
use crate::store::{OpenError, documents};

/// The name of the file.
const NAME: &str = "library.db";

/// What leads from each format to the next. The format of a file is the number of those done.
const MIGRATIONS: [&str; 2] = [include_str!("format_1.sql"), include_str!("format_2.sql")];

/// Bytes of a page.
const PAGE_BYTES: u64 = 4096;

/// Prepared statements that a connection keeps: those of one search differ by library.
const STATEMENTS: usize = 128;

/// The connections of the store.
pub(super) struct Opened {
    pub(super) writer: Shared,
    pub(super) readers: Vec<Shared>,
}

/// Opens the file of the data directory, or documents in memory.
pub(super) fn open(config: &Config) -> Result<Opened, OpenError> {
    let wanted = &config.documents;
    let Some(dir) = &config.data_dir else {
        let connection = Connection::open_in_memory()
            .and_then(|connection| {
                prepare(&connection, wanted, "OFF")?;
                migrate(&connection, 0)?;
                Ok(connection)
            })
            .map_err(|error| unusable(Path::new(":memory:"), &error))?;
        let shared = Arc::new(Mutex::new(connection));
        return Ok(Opened {
            readers: vec![Arc::clone(&shared); wanted.readers.max(1)],
            writer: shared,
        });
    };
    let refused = |error: &dyn std::fmt::Display| unusable(dir, error);
    std::fs::create_dir_all(dir).map_err(|error| refused(&error))?;
    let path = dir.join(NAME);
    let connection = Connection::open(&path).map_err(|error| refused(&error))?;
    let found: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|error| refused(&error))?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        let path = path.display().to_string();
        return Err(OpenError::Newer { path, found, known });
    }
    let synchronous = match config.sqlite.durability {
        Durability::Fsync => "FULL",
        Durability::Wal => "NORMAL",
    };
    prepare(&connection, wanted, synchronous)
        .and_then(|()| migrate(&connection, found))
        .map_err(|error| refused(&error))?;
    let mut readers = Vec::new();
    for _ in 0..wanted.readers.max(1) {
        let reader = reader(&path, wanted).map_err(|error| refused(&error))?;
        readers.push(Arc::new(Mutex::new(reader)));
    }
    Ok(Opened {
        writer: Arc::new(Mutex::new(connection)),
        readers,
    })
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> OpenError {
    OpenError::Unusable {
        path: path.display().to_string(),
        why: error.to_string(),
    }
}

fn prepare(
    connection: &Connection,
    config: &documents::Config,
    synchronous: &str,
) -> rusqlite::Result<()> {
    let cache_kib = config.cache_bytes.0 / 1024;
    let pages_max = (config.bytes_max.0 / PAGE_BYTES).clamp(64, u64::from(u32::MAX) - 1);
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.execute_batch(&format!(
        "PRAGMA page_size = {PAGE_BYTES};
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = {synchronous};
         PRAGMA cache_size = -{cache_kib};
         PRAGMA temp_store = MEMORY;
         PRAGMA max_page_count = {pages_max};
         PRAGMA journal_size_limit = 67108864;"
    ))
}

fn migrate(connection: &Connection, format: i64) -> rusqlite::Result<()> {
    let done = usize::try_from(format).unwrap_or(0);
    for (number, migration) in MIGRATIONS.iter().enumerate().skip(done) {
        let format = number + 1;
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {migration} PRAGMA user_version = {format}; COMMIT;"
        ))?;
    }
    Ok(())
}

fn reader(path: &Path, config: &documents::Config) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    let cache_kib = config.cache_bytes.0 / 1024;
    connection.execute_batch(&format!("PRAGMA cache_size = -{cache_kib};"))?;
    Ok(connection)
}
