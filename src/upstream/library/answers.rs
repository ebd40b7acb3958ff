//! The answers of a library service as documents. Services differ in small things: a document's
//! text may come whole or in chunks, its title on top or in the metadata.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Error;
use crate::document::{Document, Hit, Library, Metadata, Summary, UNTITLED};

/// What a service said of a refusal.
pub(super) fn detail(body: &[u8]) -> String {
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return "(no reason given)".to_owned();
    };
    match [&value["detail"], &value["error"]]
        .into_iter()
        .find(|value| !value.is_null())
    {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "(no reason given)".to_owned(),
    }
}

fn lacks(what: &str) -> Error {
    Error::Answer(format!("`{what}` is missing or of another type"))
}

fn field<T: DeserializeOwned>(value: &Value, name: &str) -> Result<T, Error> {
    serde_json::from_value(value[name].clone()).map_err(|_| lacks(name))
}

fn time(value: &Value) -> i64 {
    let text = [&value["created_at"], &value["metadata"]["created_at"]]
        .into_iter()
        .find_map(Value::as_str)
        .unwrap_or_default();
    let with_zone = text.parse::<jiff::Timestamp>();
    with_zone
        .or_else(|_| format!("{text}Z").parse())
        .map_or(0, jiff::Timestamp::as_millisecond)
}

fn count(value: &Value, number: &str, list: &str) -> u64 {
    let listed = value[list].as_array().map(|list| list.len() as u64);
    value[number].as_u64().or(listed).unwrap_or(0)
}

/// A library.
pub(super) fn library(value: &Value) -> Result<Library, Error> {
    let description = [&value["description"], &value["metadata"]["description"]]
        .into_iter()
        .find_map(Value::as_str);
    Ok(Library {
        id: field(value, "id")?,
        name: field(value, "name")?,
        description: description.map(str::to_owned),
        num_documents: count(value, "num_documents", "documents"),
        num_chunks: value["num_chunks"].as_u64().unwrap_or(0),
        created_ms: time(value),
    })
}

/// A list of libraries.
pub(super) fn libraries(value: &Value) -> Result<Vec<Library>, Error> {
    let list = value.as_array().or_else(|| value["libraries"].as_array());
    list.ok_or_else(|| lacks("libraries"))?
        .iter()
        .map(library)
        .collect()
}

fn metadata(value: &Value) -> Metadata {
    value["metadata"].as_object().cloned().unwrap_or_default()
}

fn title(value: &Value) -> Option<&str> {
    [&value["title"], &value["metadata"]["title"]]
        .into_iter()
        .find_map(Value::as_str)
}

/// A document that was added.
pub(super) fn summary(value: &Value, given: &str, texts: usize) -> Result<Summary, Error> {
    let chunks = count(value, "num_chunks", "chunks");
    Ok(Summary {
        id: field(value, "id")?,
        title: title(value).unwrap_or(given).to_owned(),
        num_chunks: if chunks == 0 { texts as u64 } else { chunks },
        metadata: metadata(value),
        created_ms: time(value),
    })
}

/// A list of documents, with their texts or without.
pub(super) fn summaries(value: &Value) -> Result<Vec<Summary>, Error> {
    let list = value.as_array().or_else(|| value["documents"].as_array());
    list.ok_or_else(|| lacks("documents"))?
        .iter()
        .map(|document| summary(document, UNTITLED, 1))
        .collect()
}

/// A document with its text.
pub(super) fn document(value: &Value) -> Result<Document, Error> {
    let value = match &value["document"] {
        Value::Null => value,
        inner => inner,
    };
    let chunks = value["chunks"].as_array();
    let in_chunks = chunks.map(|chunks| {
        let texts = chunks.iter().filter_map(|chunk| chunk["text"].as_str());
        texts.collect::<Vec<_>>().join("\n\n")
    });
    let text = value["text"].as_str().map(str::to_owned).or(in_chunks);
    Ok(Document {
        summary: summary(value, UNTITLED, 1)?,
        text: text.ok_or_else(|| lacks("text"))?,
    })
}

/// What a search found.
pub(super) fn hits(value: &Value) -> Result<Vec<Hit>, Error> {
    let list = value["results"].as_array();
    list.ok_or_else(|| lacks("results"))?
        .iter()
        .map(hit)
        .collect()
}

fn hit(value: &Value) -> Result<Hit, Error> {
    let chunk = match &value["chunk"] {
        Value::Null => value,
        chunk => chunk,
    };
    let known: Map<String, Value> = metadata(chunk);
    let document = [
        &value["document_id"],
        &known
            .get("source_document_id")
            .cloned()
            .unwrap_or(Value::Null),
        &value["id"],
    ]
    .into_iter()
    .find_map(|id| serde_json::from_value(id.clone()).ok());
    let named = value["document_title"].as_str().or_else(|| title(value));
    Ok(Hit {
        id: document.ok_or_else(|| lacks("document_id"))?,
        title: named.unwrap_or_default().to_owned(),
        chunk: known
            .get("chunk_index")
            .and_then(Value::as_u64)
            .unwrap_or(0),
        text: field(chunk, "text")?,
        snippet: known
            .get("snippet")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        distance: field(value, "distance")?,
        metadata: known,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "20fc54b4-ba48-43e8-8e48-4800e71f7765";

    #[test]
    fn a_document_in_chunks_and_one_in_one_piece_are_the_same() {
        let whole = json!({ "id": ID, "title": "T", "text": "a\n\nb", "num_chunks": 2 });
        let chunked = json!({
            "id": ID, "chunks": [{ "text": "a" }, { "text": "b" }], "metadata": { "title": "T" },
        });
        let (whole, chunked) = (document(&whole).unwrap(), document(&chunked).unwrap());
        assert_eq!(whole.text, chunked.text);
        assert_eq!(whole.summary.title, chunked.summary.title);
        assert_eq!(whole.summary.num_chunks, chunked.summary.num_chunks);
    }

    #[test]
    fn hits_come_flat_or_with_a_chunk() {
        let flat = json!({ "id": ID, "text": "x", "metadata": {}, "distance": 0.5 });
        let nested = json!({
            "chunk": { "id": "c", "text": "x", "metadata": { "chunk_index": 0 } },
            "distance": 0.5, "document_id": ID, "document_title": "T",
        });
        let found = hits(&json!({ "results": [flat, nested] })).unwrap();
        assert_eq!(found[0].id, found[1].id);
        assert_eq!(found[1].title, "T");
        assert!(hits(&json!({ "results": [{ "distance": 1 }] })).is_err());
    }

    #[test]
    fn reasons_are_found_in_either_form() {
        assert_eq!(detail(br#"{"detail":"no"}"#), "no");
        assert_eq!(detail(br#"{"error":"no"}"#), "no");
        assert_eq!(detail(b"<html>"), "(no reason given)");
    }
}
