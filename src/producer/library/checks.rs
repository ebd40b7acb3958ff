//! What is allowed in a library: checked before anything is written or sent.

use serde::Deserialize;
use serde_json::Value;

use crate::document::{Metadata, NewDocument, NewLibrary, Search, UNTITLED};
use crate::store::documents::Config;

/// Longest name of a library and longest title, in bytes.
const NAME_BYTES_MAX: usize = 1024;

/// Longest description of a library, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 16 * 1024;

/// Most bytes of a document's metadata as JSON.
const METADATA_BYTES_MAX: usize = 64 * 1024;

/// What is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A library has no name.
    #[error("name is required")]
    NoName,
    /// A document has no text.
    #[error("text is required")]
    NoText,
    /// A search has no query.
    #[error("query_text is required")]
    NoQuery,
    /// Something is too long.
    #[error("`{what}` has {bytes} bytes: at most {max} are allowed{key}")]
    TooLong {
        /// What.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The bound.
        max: usize,
        /// The name of the bound, if it can be changed.
        key: &'static str,
    },
    /// A number of results that is none.
    #[error("k is a number from 1 to {0} (`store.documents.results_max`)")]
    Results(usize),
    /// A line that is no document.
    #[error("{0}")]
    NoDocument(String),
}

fn short(what: &'static str, bytes: usize, max: usize, key: &'static str) -> Result<(), Invalid> {
    if bytes <= max {
        return Ok(());
    }
    Err(Invalid::TooLong {
        what,
        bytes,
        max,
        key,
    })
}

pub(super) fn library(new: &NewLibrary) -> Result<(), Invalid> {
    if new.name.trim().is_empty() {
        return Err(Invalid::NoName);
    }
    short("name", new.name.len(), NAME_BYTES_MAX, "")?;
    let description = new.description.as_ref().map_or(0, String::len);
    short("description", description, DESCRIPTION_BYTES_MAX, "")
}

pub(super) fn document(new: &NewDocument, bounds: &Config) -> Result<(), Invalid> {
    if new.text_bytes() == 0 {
        return Err(Invalid::NoText);
    }
    short("title", new.title.len(), NAME_BYTES_MAX, "")?;
    let max = bounds.document_bytes_max.bytes();
    let key = " (`store.documents.document_bytes_max`)";
    // A text costs its place even when it is empty.
    short("text", new.text_bytes() + new.texts.len(), max, key)?;
    let metadata = serde_json::to_vec(&new.metadata).map_or(0, |text| text.len());
    short("metadata", metadata, METADATA_BYTES_MAX, "")
}

pub(super) fn search(wanted: &Search, bounds: &Config) -> Result<(), Invalid> {
    if wanted.query.is_empty() {
        return Err(Invalid::NoQuery);
    }
    if (1..=bounds.results_max).contains(&wanted.k) {
        return Ok(());
    }
    Err(Invalid::Results(bounds.results_max))
}

/// A document as clients write it: `texts` or `text`, what else they know of it in `metadata` or
/// beside it.
#[derive(Debug, Deserialize)]
pub struct Line {
    title: Option<String>,
    text: Option<String>,
    texts: Option<Vec<String>>,
    metadata: Option<Metadata>,
    author: Option<Value>,
    document_type: Option<Value>,
    source_url: Option<Value>,
    tags: Option<Value>,
}

impl Line {
    /// A line of JSON as a document.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(line: &str) -> Result<NewDocument, Invalid> {
        serde_json::from_str::<Self>(line)
            .map(Self::document)
            .map_err(|error| Invalid::NoDocument(error.to_string()))
    }

    /// The document. Members beside the metadata never cover what is in it.
    pub fn document(self) -> NewDocument {
        let mut metadata = self.metadata.unwrap_or_default();
        let beside = [
            ("author", self.author),
            ("document_type", self.document_type),
            ("source_url", self.source_url),
            ("tags", self.tags),
        ];
        for (name, value) in beside {
            let Some(value) =
                value.filter(|value| !value.is_null() && *value != Value::Array(vec![]))
            else {
                continue;
            };
            metadata.entry(name).or_insert(value);
        }
        let title = self.title.filter(|title| !title.is_empty());
        NewDocument {
            title: title.unwrap_or_else(|| UNTITLED.to_owned()),
            texts: self
                .texts
                .unwrap_or_else(|| self.text.into_iter().collect()),
            metadata,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_understood_in_either_form() {
        let one = Line::parse(r#"{"title":"T","texts":["a","b"],"author":"A","tags":[]}"#).unwrap();
        assert_eq!(one.texts, ["a", "b"]);
        assert_eq!(one.metadata.len(), 1);
        let other = Line::parse(r#"{"text":"a","metadata":{"author":"B"},"author":"A"}"#).unwrap();
        assert_eq!((&*other.title, &*other.texts[0]), (UNTITLED, "a"));
        assert_eq!(other.metadata["author"], "B");
        for bad in ["", "{", "1", r#"{"texts":"a"}"#, r#"{"text":1}"#] {
            assert!(
                matches!(Line::parse(bad), Err(Invalid::NoDocument(_))),
                "{bad}"
            );
        }
    }
}
