//! What changes the file: each in the transaction of the writer, with the change that is to be
//! told noted in the same one.

use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::{Value, json};
use uuid::Uuid;

use super::read::{Placed, library_at, summary_of};
use super::{Change, Error, split};
use crate::document::{
    Document, DocumentId, Library, LibraryId, Metadata, NewDocument, NewLibrary, Summary,
};

/// Makes a library.
pub(super) fn create(
    connection: &Connection,
    new: &NewLibrary,
    libraries_max: usize,
) -> Result<(Library, Change), Error> {
    let known: usize = connection.query_row("SELECT count(*) FROM library", [], |row| {
        row.get::<_, i64>(0)
            .map(|count| usize::try_from(count).unwrap_or(usize::MAX))
    })?;
    if known >= libraries_max {
        return Err(Error::TooManyLibraries(libraries_max));
    }
    let id = LibraryId(Uuid::new_v4());
    let now_ms = jiff::Timestamp::now().as_millisecond();
    connection.execute(
        "INSERT INTO library (id, name, description, created_ms) VALUES (?, ?, ?, ?)",
        params![id.0, new.name, new.description, now_ms],
    )?;
    let number = connection.last_insert_rowid();
    connection.execute_batch(&format!(
        "CREATE VIRTUAL TABLE words_{number} USING fts5(
             title, text, content = 'chunk', content_rowid = 'number',
             tokenize = 'porter unicode61 remove_diacritics 2')"
    ))?;
    let library = Library {
        id,
        name: new.name.clone(),
        description: new.description.clone(),
        num_documents: 0,
        num_chunks: 0,
        created_ms: now_ms,
    };
    let data = json!({ "library_id": id, "name": library.name });
    let change = note(connection, id, "library.created", &data)?;
    Ok((library, change))
}

/// Deletes a library with its documents.
pub(super) fn delete_library(connection: &Connection, id: LibraryId) -> Result<Change, Error> {
    let Placed { number, library } = library_at(connection, id)?;
    connection.execute(
        "DELETE FROM chunk WHERE document IN (SELECT number FROM document WHERE library = ?)",
        [number],
    )?;
    connection.execute("DELETE FROM document WHERE library = ?", [number])?;
    connection.execute("DELETE FROM library WHERE number = ?", [number])?;
    connection.execute_batch(&format!("DROP TABLE words_{number}"))?;
    let data = json!({ "library_id": id, "name": library.name });
    note(connection, id, "library.deleted", &data)
}

/// Adds a document.
pub(super) fn add(
    connection: &Connection,
    id: LibraryId,
    new: &NewDocument,
    chunk_bytes_max: usize,
) -> Result<(Summary, Change), Error> {
    let Placed { number, .. } = library_at(connection, id)?;
    let pieces = split::pieces(&new.texts, chunk_bytes_max);
    let summary = Summary {
        id: DocumentId(Uuid::new_v4()),
        title: new.title.clone(),
        num_chunks: pieces.len() as u64,
        metadata: new.metadata.clone(),
        created_ms: jiff::Timestamp::now().as_millisecond(),
    };
    let chunks = i64::try_from(pieces.len()).unwrap_or(i64::MAX);
    connection
        .prepare_cached(
            "INSERT INTO document (id, library, title, metadata, chunks, created_ms)
             VALUES (?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            summary.id.0,
            number,
            summary.title,
            serde_json::to_string(&summary.metadata).unwrap_or_default(),
            chunks,
            summary.created_ms
        ])?;
    let document = connection.last_insert_rowid();
    let mut insert = connection.prepare_cached(
        "INSERT INTO chunk (document, part, glue, title, text) VALUES (?, ?, ?, ?, ?)",
    )?;
    let mut index = connection.prepare_cached(&format!(
        "INSERT INTO words_{number} (rowid, title, text) VALUES (?, ?, ?)"
    ))?;
    for (part, piece) in pieces.iter().enumerate() {
        let title = if part == 0 {
            summary.title.as_str()
        } else {
            ""
        };
        let part = i64::try_from(part).unwrap_or(i64::MAX);
        insert.execute(params![document, part, piece.glue, title, piece.text])?;
        index.execute(params![connection.last_insert_rowid(), title, piece.text])?;
    }
    count(connection, number, 1, chunks)?;
    let change = note(connection, id, "document.added", &told(&summary))?;
    Ok((summary, change))
}

/// Deletes a document.
pub(super) fn delete(
    connection: &Connection,
    id: LibraryId,
    document: DocumentId,
) -> Result<Change, Error> {
    let Placed { number, .. } = library_at(connection, id)?;
    let found = connection
        .prepare_cached(
            "SELECT number, id, title, metadata, chunks, created_ms FROM document
             WHERE id = ? AND library = ?",
        )?
        .query_row(params![document.0, number], |row| {
            Ok((row.get::<_, i64>(0)?, summary_of(row)?))
        })
        .optional()?;
    let (row, summary) = found.ok_or(Error::DocumentUnknown(document))?;
    // The index is told what it had been given: it holds no text of its own.
    connection
        .prepare_cached(&format!(
            "INSERT INTO words_{number} (words_{number}, rowid, title, text)
             SELECT 'delete', number, title, text FROM chunk WHERE document = ?"
        ))?
        .execute([row])?;
    connection.execute("DELETE FROM chunk WHERE document = ?", [row])?;
    connection.execute("DELETE FROM document WHERE number = ?", [row])?;
    let chunks = i64::try_from(summary.num_chunks).unwrap_or(i64::MAX);
    count(connection, number, -1, -chunks)?;
    note(connection, id, "document.deleted", &told(&summary))
}

/// Forgets changes that are in their topics' logs.
pub(super) fn forget(connection: &Connection, changes: &[i64]) -> Result<(), Error> {
    let mut delete = connection.prepare_cached("DELETE FROM change WHERE number = ?")?;
    for number in changes {
        delete.execute([number])?;
    }
    Ok(())
}

fn count(connection: &Connection, library: i64, documents: i64, chunks: i64) -> Result<(), Error> {
    connection
        .prepare_cached(
            "UPDATE library SET documents = documents + ?, chunks = chunks + ? WHERE number = ?",
        )?
        .execute(params![documents, chunks, library])?;
    Ok(())
}

fn told(summary: &Summary) -> Value {
    let Summary {
        id,
        title,
        num_chunks,
        ..
    } = summary;
    json!({ "document_id": id, "title": title, "num_chunks": num_chunks })
}

/// Notes a change, so that its event is told even if the process ends before.
fn note(
    connection: &Connection,
    library: LibraryId,
    name: &'static str,
    data: &Value,
) -> Result<Change, Error> {
    let (id, data) = (Uuid::now_v7(), data.to_string());
    connection
        .prepare_cached("INSERT INTO change (id, library, name, data) VALUES (?, ?, ?, ?)")?
        .execute(params![id, library.0, name, data])?;
    Ok(Change {
        number: connection.last_insert_rowid(),
        id,
        library,
        name: name.to_owned(),
        data,
    })
}

/// The metadata of a row.
pub(super) fn metadata(text: &str) -> Metadata {
    serde_json::from_str(text).unwrap_or_default()
}

/// A document with its text from its pieces.
pub(super) fn put_together(
    summary: Summary,
    pieces: impl Iterator<Item = (String, String)>,
) -> Document {
    let text = pieces.fold(String::new(), |mut text, (glue, piece)| {
        text.push_str(&glue);
        text.push_str(&piece);
        text
    });
    Document { summary, text }
}
