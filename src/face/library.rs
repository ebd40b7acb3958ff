//! Libraries and documents as clients see them, over HTTP and over WebSocket; and who watches.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::document::{Document, Hit, Library, LibraryId, Metadata, Summary};
use crate::topic::iso8601;

/// A library.
pub(crate) fn library(library: &Library) -> Value {
    let created_at = iso8601(library.created_ms);
    json!({
        "id": library.id,
        "name": library.name,
        "description": library.description,
        "num_documents": library.num_documents,
        "num_chunks": library.num_chunks,
        "created_at": created_at,
        "metadata": { "description": library.description, "created_at": created_at },
    })
}

/// A document without its text.
pub(crate) fn summary(library: LibraryId, summary: &Summary) -> Value {
    json!({
        "id": summary.id,
        "library_id": library,
        "title": summary.title,
        "num_chunks": summary.num_chunks,
        "created_at": iso8601(summary.created_ms),
        "metadata": summary.metadata,
    })
}

/// A document with its text.
pub(crate) fn document(library: LibraryId, document: &Document) -> Value {
    let mut value = summary(library, &document.summary);
    value["text"] = Value::from(document.text.as_str());
    value
}

/// What a search found: the metadata of the document, with what search knows beside it.
pub(crate) fn hit(hit: &Hit) -> Value {
    json!({
        "id": hit.id,
        "text": hit.text,
        "metadata": described(hit),
        "distance": hit.distance,
    })
}

/// The metadata of a hit. What was given with the document is never covered.
fn described(hit: &Hit) -> Metadata {
    let mut metadata = hit.metadata.clone();
    let known = [
        ("title", json!(hit.title)),
        ("document_id", json!(hit.id)),
        ("chunk_index", json!(hit.chunk)),
        ("snippet", json!(hit.snippet)),
    ];
    for (name, value) in known {
        metadata.entry(name).or_insert(value);
    }
    metadata
}

/// Who watches which library over WebSocket. Cheap to clone; as many entries as connections.
#[derive(Debug, Clone, Default)]
pub struct Watchers(Arc<Mutex<HashMap<LibraryId, usize>>>);

/// One who watches; dropped, it watches no more.
#[derive(Debug)]
pub(crate) struct Watching {
    watchers: Watchers,
    library: LibraryId,
}

impl Watchers {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<LibraryId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one who watches.
    pub(crate) fn watch(&self, library: LibraryId) -> Watching {
        *self.lock().entry(library).or_default() += 1;
        Watching {
            watchers: self.clone(),
            library,
        }
    }

    /// How many watch each library.
    pub(crate) fn counts(&self) -> HashMap<LibraryId, usize> {
        self.lock().clone()
    }
}

/// The numbers of `GET /v1/websockets/stats`.
pub(crate) fn stats(by_library: &HashMap<LibraryId, usize>) -> Value {
    json!({
        "total_connections": by_library.values().sum::<usize>(),
        "libraries_with_subscribers": by_library.len(),
        "subscriptions_by_library": by_library,
    })
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut watchers = self.watchers.lock();
        if let Some(count) = watchers.get_mut(&self.library) {
            *count -= 1;
            if *count == 0 {
                watchers.remove(&self.library);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::DocumentId;

    #[test]
    fn a_hit_tells_where_it_is_and_covers_nothing() {
        let found = Hit {
            id: DocumentId(uuid::Uuid::nil()),
            title: "T".to_owned(),
            chunk: 2,
            text: "x".to_owned(),
            snippet: "**x**".to_owned(),
            metadata: json!({ "title": "own" }).as_object().unwrap().clone(),
            distance: 0.5,
        };
        let value = hit(&found);
        assert_eq!(value["metadata"]["title"], "own");
        assert_eq!(value["metadata"]["snippet"], "**x**");
        assert_eq!(value["metadata"]["chunk_index"], 2);
    }

    #[test]
    fn watchers_are_counted_while_they_watch() {
        let (watchers, id) = (Watchers::default(), LibraryId(uuid::Uuid::nil()));
        let both = (watchers.watch(id), watchers.watch(id));
        assert_eq!(stats(&watchers.counts())["total_connections"], 2);
        drop(both);
        assert_eq!(stats(&watchers.counts())["libraries_with_subscribers"], 0);
    }
}
