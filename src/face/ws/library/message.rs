//! What a client of a library says: requests, checked field by field.

use std::str::FromStr as _;

use serde_json::{Map, Value};

use crate::document::{DocumentId, NewDocument, Search, UNTITLED};
use crate::face::ws::asks::library::LibraryAsk;

/// How many results a search has when it does not say.
const K: usize = 10;

/// Longest part of a client's own words that is repeated to it, in characters.
const REPEATED_CHARS_MAX: usize = 100;

/// A request.
pub(super) struct Request {
    pub(super) id: String,
    /// What is wanted: something of the library, words that need nothing, or a failure.
    pub(super) wanted: Result<Wanted, String>,
}

/// What a request wants.
pub(super) enum Wanted {
    Library(LibraryAsk),
    Subscribe,
}

/// A text frame as a request.
///
/// # Errors
/// Why it is none.
pub(super) fn parse(text: &str) -> Result<Request, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let Value::Object(mut members) = value else {
        return Err("a message is a JSON object".to_owned());
    };
    if members.get("type").is_some_and(|kind| kind != "request") {
        return Err("`type` is \"request\"".to_owned());
    }
    let mut text = |name: &str| match members.remove(name) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(format!("`{name}` is a string")),
        None => Err(format!("`{name}` is missing")),
    };
    let (action, id) = (text("action")?, text("request_id")?);
    let data = match members.remove("data") {
        Some(Value::Object(data)) => data,
        None => Map::new(),
        Some(_) => return Err("`data` is an object".to_owned()),
    };
    let wanted = wanted(&action, data);
    Ok(Request { id, wanted })
}

fn wanted(action: &str, mut data: Map<String, Value>) -> Result<Wanted, String> {
    let ask = match action {
        "search" => LibraryAsk::Search(Search {
            query: required(&mut data, "query_text")?,
            k: match data.get("k").filter(|k| !k.is_null()) {
                None => K,
                Some(k) => k
                    .as_u64()
                    .and_then(|k| usize::try_from(k).ok())
                    .ok_or("k must be a whole number above 0")?,
            },
        }),
        "add" => LibraryAsk::Add(NewDocument {
            texts: vec![required(&mut data, "text")?],
            title: optional(&mut data, "title")?.unwrap_or_else(|| UNTITLED.to_owned()),
            metadata: match data.remove("metadata") {
                None | Some(Value::Null) => Map::new(),
                Some(Value::Object(metadata)) => metadata,
                Some(_) => return Err("metadata must be an object".to_owned()),
            },
        }),
        "get" => LibraryAsk::Get(document_id(&mut data)?),
        "delete" => LibraryAsk::Delete(document_id(&mut data)?),
        "subscribe" => return Ok(Wanted::Subscribe),
        other => {
            let other: String = other.chars().take(REPEATED_CHARS_MAX).collect();
            return Err(format!("Unknown action: {other}"));
        }
    };
    Ok(Wanted::Library(ask))
}

/// A text that must be there; nothing, nought and an empty text are not.
fn required(data: &mut Map<String, Value>, name: &str) -> Result<String, String> {
    let text = optional(data, name)?.filter(|text| !text.is_empty());
    text.ok_or_else(|| format!("{name} is required"))
}

fn optional(data: &mut Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match data.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{name} must be a string")),
    }
}

fn document_id(data: &mut Map<String, Value>) -> Result<DocumentId, String> {
    let wrong = || "Invalid document_id format".to_owned();
    if data
        .get("document_id")
        .is_some_and(|id| !id.is_string() && !id.is_null())
    {
        return Err(wrong());
    }
    DocumentId::from_str(&required(data, "document_id")?).map_err(|_| wrong())
}
