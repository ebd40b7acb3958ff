//! The document store: libraries of texts with full-text search, in SQLite.
//!
//! Its own file beside the log (`library.db`), or memory without a data directory. One thread
//! writes and a few read, each behind a bounded queue, so nobody blocks the runtime. Every change is
//! noted in the transaction that made it, and forgotten when its event is in the topic's log
//! ([`Documents::changes`], [`Documents::forget`]); telling it is the caller's business.

mod config;
mod file;
mod import;
mod lanes;
mod rank;
mod read;
mod sending;
mod split;
mod words;
mod write;

pub use self::config::Config;
pub use self::import::{Import, Imported, Lines};
pub use self::sending::Fate;

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use self::lanes::{Bounds, Lanes};
use crate::document::{
    Document, DocumentId, Hit, Library, LibraryId, NewDocument, NewLibrary, Search, Summary,
};
use crate::store::OpenError;

/// Why the store of documents says no.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// There is no such library.
    #[error("Library {0} not found")]
    LibraryUnknown(LibraryId),
    /// There is no such document in the library.
    #[error("Document not found")]
    DocumentUnknown(DocumentId),
    /// There are as many libraries as may be.
    #[error("there are {0} libraries, as many as `store.documents.libraries_max` allows")]
    TooManyLibraries(usize),
    /// There is no room.
    #[error(
        "the document store is full: the disk has no room, or it has reached \
         `store.documents.bytes_max`; what is stored stays readable"
    )]
    Full,
    /// Too many wait.
    #[error(
        "too many wait for the document store (`store.documents.reads_queue_max`): try again in \
         a moment"
    )]
    Busy,
    /// The file could not be read or written.
    #[error("the document store failed: {0}")]
    Unavailable(Arc<str>),
}

impl Error {
    fn closed() -> Self {
        Self::Unavailable("it has been closed".into())
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) {
            return Self::Full;
        }
        tracing::error!(%error, "the document store failed");
        let why = match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                "its file is damaged: restore `library.db` from a copy"
            }
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
                "its file is in use by somebody else"
            }
            _ => "the log of the gateway says more",
        };
        Self::Unavailable(why.into())
    }
}

/// A change, and its event that is to be appended to the topic of its library.
#[derive(Debug, Clone)]
pub struct Change {
    pub(crate) number: i64,
    /// By which a second telling is known.
    pub id: Uuid,
    /// The library.
    pub library: LibraryId,
    /// The name of the event.
    pub name: String,
    /// Its payload, as JSON.
    pub data: String,
}

impl Change {
    /// A change that is noted nowhere: of documents that are kept elsewhere.
    pub const fn unnoted(id: Uuid, library: LibraryId, name: String, data: String) -> Self {
        Self {
            number: 0,
            id,
            library,
            name,
            data,
        }
    }

    /// Whether it is noted here until its event is told.
    pub const fn is_noted(&self) -> bool {
        self.number != 0
    }

    /// How long ago it was made, by the clock on the wall.
    pub fn age(&self) -> Duration {
        let made = self.id.get_timestamp().map_or((0, 0), |at| at.to_unix());
        let now = jiff::Timestamp::now().as_second();
        Duration::from_secs(u64::try_from(now).unwrap_or(0).saturating_sub(made.0))
    }
}

/// Documents in the order in which they were added.
#[derive(Debug, Default)]
pub struct Page {
    /// The documents.
    pub documents: Vec<Document>,
    /// Where the next page begins, if more follows.
    pub next: Option<i64>,
}

/// A handle to the documents. Cheap to clone; the last one to go waits for the threads to end.
#[derive(Debug, Clone)]
pub struct Documents(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    lanes: Lanes,
    config: Config,
}

impl Documents {
    /// Opens the documents of the data directory, or in memory without one.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(config: &crate::store::Config) -> Result<Self, OpenError> {
        let opened = file::open(config)?;
        let config = config.documents.clone();
        let bounds = Bounds {
            writes_max: config.writes_queue_max.max(1),
            reads_max: config.reads_queue_max.max(1),
        };
        let lanes = Lanes::start(opened.writer, opened.readers, bounds).map_err(|error| {
            let path = "library.db".to_owned();
            let why = error.to_string();
            OpenError::Unusable { path, why }
        })?;
        Ok(Self(Arc::new(Shared { lanes, config })))
    }

    /// The bounds.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Makes a library.
    pub async fn create(&self, new: NewLibrary) -> Result<(Library, Change), Error> {
        let max = self.0.config.libraries_max;
        let work = move |connection: &_| write::create(connection, &new, max);
        self.0.lanes.write(work).await
    }

    /// All libraries, oldest first.
    pub async fn libraries(&self) -> Result<Vec<Library>, Error> {
        self.0.lanes.read(read::libraries).await
    }

    /// A library.
    pub async fn library(&self, id: LibraryId) -> Result<Library, Error> {
        let work = move |connection: &_| read::library_at(connection, id);
        Ok(self.0.lanes.read(work).await?.library)
    }

    /// Deletes a library with its documents.
    pub async fn delete_library(&self, id: LibraryId) -> Result<Change, Error> {
        let work = move |connection: &_| write::delete_library(connection, id);
        self.0.lanes.write(work).await
    }

    /// Adds a document.
    pub async fn add(
        &self,
        library: LibraryId,
        new: NewDocument,
    ) -> Result<(Summary, Change), Error> {
        let bytes_max = self.0.config.chunk_bytes_max.bytes().max(4);
        let work = move |connection: &_| write::add(connection, library, &new, bytes_max);
        self.0.lanes.write(work).await
    }

    /// A document with its text.
    pub async fn document(&self, library: LibraryId, id: DocumentId) -> Result<Document, Error> {
        let work = move |connection: &_| read::document(connection, library, id);
        self.0.lanes.read(work).await
    }

    /// Deletes a document.
    pub async fn delete(&self, library: LibraryId, id: DocumentId) -> Result<Change, Error> {
        let work = move |connection: &_| write::delete(connection, library, id);
        self.0.lanes.write(work).await
    }

    /// Up to `limit` documents in the order in which they were added; the page ends early when
    /// its texts have `bytes_max`.
    pub async fn page(
        &self,
        library: LibraryId,
        after: Option<i64>,
        bounds: (usize, usize),
    ) -> Result<Page, Error> {
        let work = move |connection: &_| read::page(connection, library, after, bounds);
        self.0.lanes.read(work).await
    }

    /// Where the page after a document begins.
    pub async fn place(&self, library: LibraryId, id: DocumentId) -> Result<i64, Error> {
        let work = move |connection: &_| read::place(connection, library, id);
        self.0.lanes.read(work).await
    }

    /// The documents that are nearest to a query, nearest first. Whatever the query holds are
    /// plain words.
    pub async fn search(&self, library: LibraryId, wanted: Search) -> Result<Vec<Hit>, Error> {
        let config = self.0.config.clone();
        let work = move |connection: &_| rank::search(connection, library, &wanted, &config);
        self.0.lanes.read(work).await
    }

    /// Up to `limit` changes whose event may not be told yet, oldest first.
    pub async fn changes(&self, limit: usize) -> Result<Vec<Change>, Error> {
        let work = move |connection: &_| read::changes(connection, limit);
        self.0.lanes.read(work).await
    }

    /// Forgets changes that have been told.
    pub async fn forget(&self, told: &[Change]) -> Result<(), Error> {
        let numbers: Vec<i64> = told.iter().map(|change| change.number).collect();
        let work = move |connection: &_| write::forget(connection, &numbers);
        self.0.lanes.write(work).await
    }
}

#[cfg(test)]
mod tests;
