//! The library: documents that are kept here or by a service behind the gateway, and the events of
//! their changes.
//!
//! Faces ask a [`Librarian`]. Every change it makes becomes an event of `library:{id}`
//! (`library.created`, `library.deleted`, `document.added`, `document.deleted`), appended before
//! the call returns. With the embedded store an event that could not be appended, or whose turn a
//! crash took, is told later (`telling.rs`); a service keeps no such note.

mod checks;
mod forward;
mod import;
mod telling;

pub use self::checks::{Invalid, Line};
pub use self::import::Background;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::future::Either;
use serde_json::json;
use tokio::sync::{SetOnce, watch};
use tokio::time::Instant;
use uuid::Uuid;

use self::telling::Teller;
use crate::document::{
    Document, DocumentId, Hit, Library, LibraryId, NewDocument, NewLibrary, Search, Summary,
};
use crate::drain::Drain;
use crate::hub::Hub;
use crate::store::documents::{self, Change, Documents};
use crate::topic::{Kind, Seq, TopicName};
use crate::upstream::library::{self as upstream, Client};

/// Why the library says no.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The embedded store said it.
    #[error(transparent)]
    Documents(#[from] documents::Error),
    /// The service behind the gateway said it, or nothing.
    #[error(transparent)]
    Upstream(#[from] upstream::Error),
    /// What was given is not allowed.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// What came of a change.
#[derive(Debug)]
pub struct Changed<T> {
    /// What was made.
    pub made: T,
    /// The number of its event in the topic of the library, unless that is still to be told.
    pub seq: Option<Seq>,
}

/// Documents of a library after a place.
#[derive(Debug, Clone, Copy)]
pub struct Pages {
    /// After this document; from the first if none.
    pub after: Option<DocumentId>,
    /// How many at most.
    pub limit: usize,
}

/// A page of documents, without their texts.
#[derive(Debug)]
pub struct Listing {
    /// The documents.
    pub documents: Vec<Summary>,
    /// Whether more follow.
    pub more: bool,
}

impl Listing {
    /// The page of a whole list; from its beginning if it does not have the place.
    fn of(listed: Vec<Summary>, Pages { after, limit }: Pages) -> Self {
        let place = listed.iter().position(|one| Some(one.id) == after);
        let first = place.map_or(0, |place| place + 1);
        let more = listed.len() > first + limit;
        let documents = listed.into_iter().skip(first).take(limit).collect();
        Self { documents, more }
    }
}

/// A handle to the library. Cheap to clone.
#[derive(Clone)]
pub struct Librarian(Arc<Shared>);

struct Shared {
    backend: Backend,
    /// Holds the lines of background imports, whoever keeps the documents.
    documents: Documents,
    hub: Hub,
    drain: Drain,
    bounds: documents::Config,
    teller: Teller,
    /// Counts the libraries that were made, for those who follow all of them.
    made: watch::Sender<u64>,
    /// Set when it is known which imports the last process left: what is laid up before would be
    /// taken for one of them, and run twice or thrown away.
    imports_found: SetOnce<()>,
}

/// Who keeps the documents.
enum Backend {
    Embedded(Documents),
    Upstream(Client),
}

impl Librarian {
    /// A library over its store, or over the service if there is one. What was not told before the
    /// last exit is told now; imports go on.
    pub fn new(documents: Documents, upstream: Option<Client>, hub: Hub, drain: &Drain) -> Self {
        let librarian = Self(Arc::new(Shared {
            bounds: documents.config().clone(),
            teller: Teller::default(),
            backend: upstream.map_or(Backend::Embedded(documents.clone()), Backend::Upstream),
            documents,
            hub,
            drain: drain.clone(),
            made: watch::Sender::new(0),
            imports_found: SetOnce::new(),
        }));
        if let Backend::Embedded(documents) = &librarian.0.backend {
            let (teller, documents) = (librarian.clone(), documents.clone());
            let began = Instant::now();
            drain.spawn(async move { teller.tell_until_drain(documents, began).await });
        }
        let importer = librarian.clone();
        drain.spawn(async move { importer.resume_imports().await });
        librarian
    }

    /// The bounds of documents.
    pub fn bounds(&self) -> &documents::Config {
        &self.0.bounds
    }

    /// Counts the libraries that were made.
    pub fn made(&self) -> watch::Receiver<u64> {
        self.0.made.subscribe()
    }

    /// Makes a library.
    pub async fn create(&self, new: NewLibrary, request: &str) -> Result<Library, Error> {
        checks::library(&new)?;
        let (library, change) = match &self.0.backend {
            Backend::Embedded(documents) => documents.create(new).await?,
            Backend::Upstream(client) => {
                let library = client.create(&new, request).await?;
                let data = json!({ "library_id": library.id, "name": library.name });
                let change = unnoted(library.id, "library.created", &data);
                (library, change)
            }
        };
        self.0.made.send_modify(|made| *made += 1);
        self.tell(change).await;
        Ok(library)
    }

    /// All libraries.
    pub async fn libraries(&self) -> Result<Vec<Library>, Error> {
        Ok(match &self.0.backend {
            Backend::Embedded(documents) => documents.libraries().await?,
            Backend::Upstream(client) => client.libraries().await?,
        })
    }

    /// A library.
    pub async fn library(&self, id: LibraryId) -> Result<Library, Error> {
        Ok(match &self.0.backend {
            Backend::Embedded(documents) => documents.library(id).await?,
            Backend::Upstream(client) => client.library(id).await?,
        })
    }

    /// Deletes a library with its documents.
    pub async fn delete_library(&self, id: LibraryId, request: &str) -> Result<(), Error> {
        let change = match &self.0.backend {
            Backend::Embedded(documents) => documents.delete_library(id).await?,
            Backend::Upstream(client) => {
                client.delete_library(id, request).await?;
                unnoted(id, "library.deleted", &json!({ "library_id": id }))
            }
        };
        self.tell(change).await;
        Ok(())
    }

    /// Adds a document.
    pub async fn add(
        &self,
        library: LibraryId,
        new: NewDocument,
        request: &str,
    ) -> Result<Changed<Summary>, Error> {
        checks::document(&new, &self.0.bounds)?;
        let (made, change) = match &self.0.backend {
            Backend::Embedded(documents) => documents.add(library, new).await?,
            Backend::Upstream(client) => {
                let summary = client.add(library, &new, request).await?;
                let data = json!({
                    "document_id": summary.id,
                    "title": summary.title,
                    "num_chunks": summary.num_chunks,
                });
                let change = unnoted(library, "document.added", &data);
                (summary, change)
            }
        };
        let seq = self.tell(change).await;
        Ok(Changed { made, seq })
    }

    /// A document with its text.
    pub async fn document(&self, library: LibraryId, id: DocumentId) -> Result<Document, Error> {
        Ok(match &self.0.backend {
            Backend::Embedded(documents) => documents.document(library, id).await?,
            Backend::Upstream(client) => client.document(library, id).await?,
        })
    }

    /// Deletes a document.
    pub async fn delete(
        &self,
        library: LibraryId,
        id: DocumentId,
        request: &str,
    ) -> Result<Changed<()>, Error> {
        let change = match &self.0.backend {
            Backend::Embedded(documents) => documents.delete(library, id).await?,
            Backend::Upstream(client) => {
                client.delete(library, id, request).await?;
                unnoted(library, "document.deleted", &json!({ "document_id": id }))
            }
        };
        let seq = self.tell(change).await;
        Ok(Changed { made: (), seq })
    }

    /// The documents that are nearest to a query, nearest first.
    pub async fn search(
        &self,
        library: LibraryId,
        wanted: Search,
        request: &str,
    ) -> Result<Vec<Hit>, Error> {
        checks::search(&wanted, &self.0.bounds)?;
        Ok(match &self.0.backend {
            Backend::Embedded(documents) => documents.search(library, wanted).await?,
            Backend::Upstream(client) => client.search(library, &wanted, request).await?,
        })
    }

    /// A page of documents, in the order in which they were added, or in which a service lists
    /// them.
    pub async fn page(&self, library: LibraryId, pages: Pages) -> Result<Listing, Error> {
        let documents = match &self.0.backend {
            Backend::Embedded(documents) => documents,
            Backend::Upstream(client) => {
                let listed = client.documents(library).await?;
                return Ok(Listing::of(listed, pages));
            }
        };
        let after = match pages.after {
            Some(id) => Some(documents.place(library, id).await?),
            None => None,
        };
        let bounds = (pages.limit, usize::MAX);
        let page = documents.page(library, after, bounds).await?;
        let summaries = page.documents.into_iter().map(|one| one.summary);
        Ok(Listing {
            documents: summaries.collect(),
            more: page.next.is_some(),
        })
    }

    /// All documents of a library, in pages of about `bytes_max`, as long as somebody reads; what
    /// a service streams comes as it is.
    pub async fn export(
        &self,
        library: LibraryId,
        bytes_max: usize,
    ) -> Result<impl Stream<Item = Result<Export, Error>> + Send + use<>, Error> {
        use futures_util::{StreamExt as _, TryStreamExt as _};
        Ok(match &self.0.backend {
            Backend::Embedded(documents) => {
                documents.library(library).await?;
                let documents = documents.clone();
                let pages =
                    futures_util::stream::try_unfold(Some(None), move |place: Option<_>| {
                        let documents = documents.clone();
                        async move {
                            let Some(after) = place else { return Ok(None) };
                            let bounds = (EXPORT_PAGE, bytes_max);
                            let page = documents.page(library, after, bounds).await?;
                            let next = page.next.map(Some);
                            Ok(Some((Export::Documents(page.documents), next)))
                        }
                    });
                Either::Left(pages)
            }
            Backend::Upstream(client) => {
                let stream = client.export(library).await?;
                Either::Right(stream.map_ok(Export::Lines).map(|item| Ok(item?)))
            }
        })
    }
}

/// Most documents that one page of an export has.
const EXPORT_PAGE: usize = 256;

/// A piece of an export.
#[derive(Debug)]
pub enum Export {
    /// Documents.
    Documents(Vec<Document>),
    /// Lines of JSON, or a part of them, as a service wrote them.
    Lines(Bytes),
}

/// The topic of a library.
pub fn topic(id: LibraryId) -> TopicName {
    TopicName::new(Kind::Library, &id.to_string()).expect("a UUID is an id")
}

/// A change of a service, which is noted nowhere.
fn unnoted(library: LibraryId, name: &str, data: &serde_json::Value) -> Change {
    Change::unnoted(Uuid::now_v7(), library, name.to_owned(), data.to_string())
}
