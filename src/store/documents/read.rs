//! What is read of libraries and documents.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use uuid::Uuid;

use super::write::{metadata, put_together};
use super::{Change, Error, Page};
use crate::document::{Document, DocumentId, Library, LibraryId, Summary};

/// A library, and the number under which it is in the file.
pub(super) struct Placed {
    pub(super) number: i64,
    pub(super) library: Library,
}

const LIBRARY: &str =
    "SELECT number, id, name, description, documents, chunks, created_ms FROM library";

fn placed(row: &Row<'_>) -> rusqlite::Result<Placed> {
    let library = Library {
        id: LibraryId(row.get(1)?),
        name: row.get(2)?,
        description: row.get(3)?,
        num_documents: row.get::<_, i64>(4)?.cast_unsigned(),
        num_chunks: row.get::<_, i64>(5)?.cast_unsigned(),
        created_ms: row.get(6)?,
    };
    Ok(Placed {
        number: row.get(0)?,
        library,
    })
}

/// The library with an id.
pub(super) fn library_at(connection: &Connection, id: LibraryId) -> Result<Placed, Error> {
    connection
        .prepare_cached(&format!("{LIBRARY} WHERE id = ?"))?
        .query_row([id.0], placed)
        .optional()?
        .ok_or(Error::LibraryUnknown(id))
}

/// All libraries, oldest first.
pub(super) fn libraries(connection: &Connection) -> Result<Vec<Library>, Error> {
    let mut statement = connection.prepare_cached(&format!("{LIBRARY} ORDER BY number"))?;
    let rows = statement.query_map([], |row| placed(row).map(|placed| placed.library))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The document in the columns `id, title, metadata, chunks, created_ms` from 1 on.
pub(super) fn summary_of(row: &Row<'_>) -> rusqlite::Result<Summary> {
    Ok(Summary {
        id: DocumentId(row.get(1)?),
        title: row.get(2)?,
        metadata: metadata(&row.get::<_, String>(3)?),
        num_chunks: row.get::<_, i64>(4)?.cast_unsigned(),
        created_ms: row.get(5)?,
    })
}

/// A document with its text.
pub(super) fn document(
    connection: &Connection,
    library: LibraryId,
    id: DocumentId,
) -> Result<Document, Error> {
    let Placed { number, .. } = library_at(connection, library)?;
    let (row, summary) = connection
        .prepare_cached(
            "SELECT number, id, title, metadata, chunks, created_ms FROM document
             WHERE id = ? AND library = ?",
        )?
        .query_row(params![id.0, number], |row| {
            Ok((row.get::<_, i64>(0)?, summary_of(row)?))
        })
        .optional()?
        .ok_or(Error::DocumentUnknown(id))?;
    with_text(connection, row, summary)
}

fn with_text(connection: &Connection, row: i64, summary: Summary) -> Result<Document, Error> {
    let mut statement = connection
        .prepare_cached("SELECT glue, text FROM chunk WHERE document = ? ORDER BY part")?;
    let pieces = statement
        .query_map([row], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(put_together(summary, pieces.into_iter()))
}

/// Documents of a library in the order in which they were added, after a place. The page ends
/// early when its texts have `bytes_max`.
pub(super) fn page(
    connection: &Connection,
    library: LibraryId,
    after: Option<i64>,
    (limit, bytes_max): (usize, usize),
) -> Result<Page, Error> {
    let Placed { number, .. } = library_at(connection, library)?;
    let mut statement = connection.prepare_cached(
        "SELECT number, id, title, metadata, chunks, created_ms FROM document
         WHERE library = ? AND number > ? ORDER BY number LIMIT ?",
    )?;
    let wanted = i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX);
    let rows = statement
        .query_map(params![number, after.unwrap_or(0), wanted], |row| {
            Ok((row.get::<_, i64>(0)?, summary_of(row)?))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut page = Page::default();
    let (mut bytes, mut last) = (0, None);
    for (row, summary) in rows {
        if page.documents.len() == limit || (bytes >= bytes_max && last.is_some()) {
            page.next = last;
            break;
        }
        let document = with_text(connection, row, summary)?;
        bytes += document.text.len();
        last = Some(row);
        page.documents.push(document);
    }
    Ok(page)
}

/// The place of a document in its library's order.
pub(super) fn place(
    connection: &Connection,
    library: LibraryId,
    id: DocumentId,
) -> Result<i64, Error> {
    let Placed { number, .. } = library_at(connection, library)?;
    connection
        .prepare_cached("SELECT number FROM document WHERE id = ? AND library = ?")?
        .query_row(params![id.0, number], |row| row.get(0))
        .optional()?
        .ok_or(Error::DocumentUnknown(id))
}

/// Changes whose event was not told yet, oldest first.
pub(super) fn changes(connection: &Connection, limit: usize) -> Result<Vec<Change>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT number, id, library, name, data FROM change ORDER BY number LIMIT ?",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map([limit], |row| {
        Ok(Change {
            number: row.get(0)?,
            id: row.get::<_, Uuid>(1)?,
            library: LibraryId(row.get(2)?),
            name: row.get(3)?,
            data: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
