//! What the library dialect asks for.
//!
//! The asks of one connection are done one after the other, in the order in which the client sent
//! them ([`Turn`]): what was added is found by the search behind it.

use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::auth::Action;
use crate::document::{DocumentId, LibraryId, NewDocument, Search};
use crate::face::library::{self as shapes, Watchers, Watching};
use crate::producer::library::{Error, Librarian};
use crate::topic::{Seq, TopicName};

/// What a client of a library wants.
#[derive(Debug)]
pub(crate) enum LibraryAsk {
    /// To be let in.
    Enter,
    /// The documents nearest to a query.
    Search(Search),
    /// A document added.
    Add(NewDocument),
    /// A document.
    Get(DocumentId),
    /// A document deleted.
    Delete(DocumentId),
}

impl LibraryAsk {
    /// What the client must be allowed for this.
    pub(super) const fn action(&self) -> Action {
        match self {
            Self::Enter | Self::Search(_) | Self::Get(_) => Action::Read,
            Self::Add(_) | Self::Delete(_) => Action::Publish,
        }
    }
}

/// An ask with all that it needs.
#[derive(Debug)]
pub(crate) struct InLibrary {
    pub(crate) library: LibraryId,
    pub(crate) topic: TopicName,
    pub(crate) request_id: String,
    pub(crate) ask: LibraryAsk,
    pub(crate) turn: Turn,
}

/// The asks of one connection take turns.
#[derive(Clone, Default)]
pub(crate) struct Turn(Arc<Mutex<()>>);

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Turn")
    }
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum LibraryAnswer {
    /// The client is let in, and counted as long as this lives.
    Entered(Watching),
    /// It is done; this is the `data` of the response.
    Did {
        data: Value,
        /// The number of the event of the change, if there was one and it is told.
        seq: Option<Seq>,
    },
}

/// Does what was asked.
pub(super) async fn answer(
    (librarian, watchers): &(Librarian, Watchers),
    asked: InLibrary,
) -> Result<LibraryAnswer, Error> {
    let InLibrary {
        library,
        request_id,
        ask,
        turn,
        ..
    } = asked;
    let _turn = turn.0.lock().await;
    let (data, seq) = match ask {
        LibraryAsk::Enter => {
            librarian.library(library).await?;
            return Ok(LibraryAnswer::Entered(watchers.watch(library)));
        }
        LibraryAsk::Search(wanted) => {
            let hits = librarian.search(library, wanted, &request_id).await?;
            let results: Vec<Value> = hits.iter().map(shapes::hit).collect();
            (json!({ "results": results }), None)
        }
        LibraryAsk::Add(new) => {
            let added = librarian.add(library, new, &request_id).await?;
            let made = added.made;
            let document = json!({
                "id": made.id, "title": made.title, "num_chunks": made.num_chunks,
            });
            (json!({ "document": document }), added.seq)
        }
        LibraryAsk::Get(id) => {
            let document = librarian.document(library, id).await?;
            let value = shapes::document(library, &document);
            (json!({ "document": value }), None)
        }
        LibraryAsk::Delete(id) => {
            let deleted = librarian.delete(library, id, &request_id).await?;
            (json!({ "message": "Document deleted" }), deleted.seq)
        }
    };
    Ok(LibraryAnswer::Did { data, seq })
}
