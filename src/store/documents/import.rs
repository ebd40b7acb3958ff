//! Imports in the background: lines are laid up in the file first and become documents later, so
//! an import goes on after a restart and no line is read twice.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Change, Documents, Error, write};
use crate::document::{LibraryId, NewDocument};

/// How far an import is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The id of its job.
    pub job: String,
    /// Where the documents go.
    pub library: LibraryId,
    /// How many lines there were.
    pub total: u64,
    /// How many of them became documents.
    pub successful: u64,
    /// How many of them could not.
    pub failed: u64,
}

/// Lines that wait, with the numbers under which they do.
pub type Lines = Vec<(i64, String)>;

/// What a page of lines became.
#[derive(Debug)]
pub struct Imported {
    /// How far the import is now.
    pub import: Import,
    /// What is to be told.
    pub changes: Vec<Change>,
}

impl Documents {
    /// Lays up lines for an import that is not whole yet. Whether there is such a library is not
    /// asked: a service may have it.
    pub async fn lay_up(
        &self,
        job: String,
        library: LibraryId,
        lines: Vec<String>,
    ) -> Result<(), Error> {
        let work = move |connection: &Connection| {
            connection.execute(
                "INSERT INTO import (job, library, total) VALUES (?1, ?2, ?3)
                 ON CONFLICT (job) DO UPDATE SET total = total + ?3",
                params![
                    job,
                    library.0,
                    i64::try_from(lines.len()).unwrap_or(i64::MAX)
                ],
            )?;
            let mut insert =
                connection.prepare_cached("INSERT INTO line (job, text) VALUES (?, ?)")?;
            for line in &lines {
                insert.execute(params![job, line])?;
            }
            Ok(())
        };
        self.0.lanes.write(work).await
    }

    /// Says that all lines of an import are there.
    pub async fn is_whole(&self, job: String) -> Result<(), Error> {
        let work = move |connection: &Connection| {
            connection.execute("UPDATE import SET is_whole = 1 WHERE job = ?", [&job])?;
            Ok(())
        };
        self.0.lanes.write(work).await
    }

    /// Forgets an import with the lines that wait.
    pub async fn forget_import(&self, job: String) -> Result<(), Error> {
        let work = move |connection: &Connection| {
            connection.execute("DELETE FROM line WHERE job = ?", [&job])?;
            connection.execute("DELETE FROM import WHERE job = ?", [&job])?;
            Ok(())
        };
        self.0.lanes.write(work).await
    }

    /// The imports that are to go on. Those that never became whole are forgotten.
    pub async fn imports(&self) -> Result<Vec<Import>, Error> {
        let work = |connection: &Connection| {
            connection.execute_batch(
                "DELETE FROM line WHERE job IN (SELECT job FROM import WHERE is_whole = 0);
                 DELETE FROM import WHERE is_whole = 0;",
            )?;
            let mut statement = connection
                .prepare_cached("SELECT job, library, total, successful, failed FROM import")?;
            let rows = statement.query_map([], import)?;
            Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?)
        };
        self.0.lanes.write(work).await
    }

    /// The next lines of an import.
    pub async fn lines(&self, job: String, limit: usize) -> Result<Lines, Error> {
        let work = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(
                "SELECT number, text FROM line WHERE job = ? ORDER BY number LIMIT ?",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = statement.query_map(params![job, limit], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
            })?;
            Ok(rows.collect::<rusqlite::Result<Lines>>()?)
        };
        self.0.lanes.read(work).await
    }

    /// Makes documents of lines: what each line held, or nothing if it was no document. The lines
    /// are forgotten in the same transaction. Nothing if the import is not known any more.
    pub async fn import(
        &self,
        job: String,
        lines: Vec<(i64, Option<NewDocument>)>,
    ) -> Result<Option<Imported>, Error> {
        let bytes_max = self.0.config.chunk_bytes_max.bytes().max(4);
        let work = move |connection: &Connection| {
            let found = connection
                .query_row(
                    "SELECT job, library, total, successful, failed FROM import WHERE job = ?",
                    [&job],
                    import,
                )
                .optional()?;
            let Some(mut import) = found else {
                return Ok(None);
            };
            let mut changes = Vec::new();
            let mut forget = connection.prepare_cached("DELETE FROM line WHERE number = ?")?;
            for (number, document) in &lines {
                forget.execute([number])?;
                match document {
                    Some(new) => {
                        changes.push(write::add(connection, import.library, new, bytes_max)?.1);
                        import.successful += 1;
                    }
                    None => import.failed += 1,
                }
            }
            connection.execute(
                "UPDATE import SET successful = ?, failed = ? WHERE job = ?",
                params![
                    import.successful.cast_signed(),
                    import.failed.cast_signed(),
                    job
                ],
            )?;
            Ok(Some(Imported { import, changes }))
        };
        self.0.lanes.write(work).await
    }
}

pub(super) fn import(row: &rusqlite::Row<'_>) -> rusqlite::Result<Import> {
    Ok(Import {
        job: row.get(0)?,
        library: LibraryId(row.get(1)?),
        total: row.get::<_, i64>(2)?.cast_unsigned(),
        successful: row.get::<_, i64>(3)?.cast_unsigned(),
        failed: row.get::<_, i64>(4)?.cast_unsigned(),
    })
}
