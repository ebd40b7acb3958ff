//! Documents and libraries: the words that the store, a remote service and the faces share.
//!
//! Plain data, checked where it comes in. Nothing here does I/O.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// What a producer says of a document beside its text.
pub type Metadata = Map<String, Value>;

/// The title of a document that was given none.
pub const UNTITLED: &str = "Untitled";

/// A text is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is a UUID, such as 8179ce48-fd2b-4141-9ab0-9cfba4f6848b")]
pub struct IdError;

/// The id of a library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LibraryId(pub Uuid);

/// The id of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DocumentId(pub Uuid);

impl FromStr for LibraryId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Uuid::try_parse(text).map(Self).map_err(|_| IdError)
    }
}

impl FromStr for DocumentId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Uuid::try_parse(text).map(Self).map_err(|_| IdError)
    }
}

impl fmt::Display for LibraryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A library that is to be made.
#[derive(Debug, Clone)]
pub struct NewLibrary {
    /// Its name, for people.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
}

/// A library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// Its id.
    pub id: LibraryId,
    /// Its name, for people.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// How many documents it has.
    pub num_documents: u64,
    /// How many chunks these have together.
    pub num_chunks: u64,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_ms: i64,
}

/// A document that is to be added.
#[derive(Debug, Clone, Default)]
pub struct NewDocument {
    /// Its title.
    pub title: String,
    /// Its text, in the pieces in which it was given; long ones are split further.
    pub texts: Vec<String>,
    /// What else is known of it.
    pub metadata: Metadata,
}

impl NewDocument {
    /// The bytes of its text.
    pub fn text_bytes(&self) -> usize {
        self.texts.iter().map(String::len).sum()
    }
}

/// A document without its text.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Its id.
    pub id: DocumentId,
    /// Its title.
    pub title: String,
    /// In how many chunks its text lies.
    pub num_chunks: u64,
    /// What else is known of it.
    pub metadata: Metadata,
    /// When it was added, in milliseconds since the Unix epoch.
    pub created_ms: i64,
}

/// A document.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Everything but the text.
    pub summary: Summary,
    /// The text: the pieces in which it was given, an empty line between two.
    pub text: String,
}

/// A document that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// The document.
    pub id: DocumentId,
    /// Its title.
    pub title: String,
    /// Which of its chunks is nearest, from 0.
    pub chunk: u64,
    /// The text of that chunk.
    pub text: String,
    /// The words around the ones that were found, each of these between `**`.
    pub snippet: String,
    /// What else is known of the document.
    pub metadata: Metadata,
    /// How far it is from the query: above 0, smaller is nearer.
    pub distance: f64,
}

/// What is to be found.
#[derive(Debug, Clone)]
pub struct Search {
    /// Plain words, in any order.
    pub query: String,
    /// How many documents at most.
    pub k: usize,
}
