//! Imports whose documents a service keeps: lines are taken out, sent, and settled.
//!
//! A line that is out when the process ends was sent or not: nobody knows. It is not sent again,
//! since the service would have the document twice; [`Documents::give_up`] counts it as failed.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::import::{Lines, import};
use super::{Documents, Error, Import};

/// What became of a line that was taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is a document.
    Made,
    /// It is none, or nobody knows.
    Failed,
    /// It was not sent: it waits again.
    Waits,
}

impl Documents {
    /// Takes out the next lines of an import.
    pub async fn take_out(&self, job: String, limit: usize) -> Result<Lines, Error> {
        let work = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(
                "SELECT number, text FROM line WHERE job = ? AND is_out = 0
                 ORDER BY number LIMIT ?",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = statement.query_map(params![job, limit], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
            })?;
            let lines = rows.collect::<rusqlite::Result<Lines>>()?;
            let mut mark =
                connection.prepare_cached("UPDATE line SET is_out = 1 WHERE number = ?")?;
            for (number, _) in &lines {
                mark.execute([number])?;
            }
            Ok(lines)
        };
        self.0.lanes.write(work).await
    }

    /// Settles lines that were taken out. Nothing if the import is not known any more.
    pub async fn settle(
        &self,
        job: String,
        lines: Vec<(i64, Fate)>,
    ) -> Result<Option<Import>, Error> {
        let work = move |connection: &Connection| {
            let mut forget = connection.prepare_cached("DELETE FROM line WHERE number = ?")?;
            let mut wait =
                connection.prepare_cached("UPDATE line SET is_out = 0 WHERE number = ?")?;
            let (mut made, mut failed) = (0, 0);
            for (number, fate) in &lines {
                match fate {
                    Fate::Waits => wait.execute([number])?,
                    Fate::Made => {
                        made += 1;
                        forget.execute([number])?
                    }
                    Fate::Failed => {
                        failed += 1;
                        forget.execute([number])?
                    }
                };
            }
            counted(connection, &job, (made, failed))
        };
        self.0.lanes.write(work).await
    }

    /// Counts the lines that are out as failed. Nothing if the import is not known any more.
    pub async fn give_up(&self, job: String) -> Result<Option<Import>, Error> {
        let work = move |connection: &Connection| {
            let out =
                connection.execute("DELETE FROM line WHERE job = ? AND is_out = 1", [&job])?;
            counted(
                connection,
                &job,
                (0, i64::try_from(out).unwrap_or(i64::MAX)),
            )
        };
        self.0.lanes.write(work).await
    }
}

/// How far the import is with so many more lines.
fn counted(
    connection: &Connection,
    job: &str,
    (made, failed): (i64, i64),
) -> Result<Option<Import>, Error> {
    let mut count = connection.prepare_cached(
        "UPDATE import SET successful = successful + ?2, failed = failed + ?3 WHERE job = ?1
         RETURNING job, library, total, successful, failed",
    )?;
    let counted = count.query_row(params![job, made, failed], import);
    Ok(counted.optional()?)
}
