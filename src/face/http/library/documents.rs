//! One document, pages of them, and search.

use std::collections::HashMap;

use axum::body::Body;
use axum::extract::State as From;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Libraries, OfDocument, Reading, Writing};
use crate::document::{DocumentId, Search};
use crate::face::http::exchange::{self, RequestId};
use crate::face::http::extract::Query;
use crate::face::http::refusal::{Code, Refusal};
use crate::face::library as shapes;
use crate::producer::library::{Line, Pages};

/// How many results a search has when it does not say.
const K: usize = 10;

/// `POST /v1/libraries/{id}/documents`
pub(super) async fn add(
    From(state): From<Libraries>,
    Extension(request): Extension<RequestId>,
    Writing(library): Writing,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let line: Line = state.json(&headers, body).await?;
    let added = state
        .librarian()
        .add(library, line.document(), request.as_str())
        .await?
        .made;
    let place = format!("/v1/libraries/{library}/documents/{}", added.id);
    let body = Json(shapes::summary(library, &added));
    Ok((StatusCode::CREATED, [(LOCATION, place)], body).into_response())
}

/// Which documents are asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    after: Option<DocumentId>,
    limit: Option<usize>,
}

/// `GET /v1/libraries/{id}/documents`
pub(super) async fn list(
    From(state): From<Libraries>,
    Reading(library): Reading,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refusal> {
    let max = state.0.config.page_limit_max;
    let limit = wanted.limit.unwrap_or(state.0.config.page_limit);
    if !(1..=max).contains(&limit) {
        let detail = format!("`limit` is 1 to {max} (`face.http.page_limit_max`)");
        return Err(Refusal::new(Code::QueryInvalid, detail));
    }
    let after = wanted.after;
    let page = state
        .librarian()
        .page(library, Pages { after, limit })
        .await?;
    let last = page.documents.last().filter(|_| page.more);
    let next = last.map(|document| document.id);
    let documents: Vec<Value> = page
        .documents
        .iter()
        .map(|document| shapes::summary(library, document))
        .collect();
    Ok(exchange::to_json(
        &json!({ "documents": documents, "next": next }),
    ))
}

/// `GET /v1/libraries/{id}/documents/{document_id}`
pub(super) async fn one(
    From(state): From<Libraries>,
    Reading(library): Reading,
    OfDocument(id): OfDocument,
) -> Result<Response, Refusal> {
    let document = state.librarian().document(library, id).await?;
    Ok(exchange::to_json(&shapes::document(library, &document)))
}

/// `DELETE /v1/libraries/{id}/documents/{document_id}`
pub(super) async fn delete(
    From(state): From<Libraries>,
    Extension(request): Extension<RequestId>,
    Writing(library): Writing,
    OfDocument(id): OfDocument,
) -> Result<StatusCode, Refusal> {
    let librarian = state.librarian();
    librarian.delete(library, id, request.as_str()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A search, in either of two words for the query.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    query: Option<String>,
    query_text: Option<String>,
    k: Option<usize>,
    /// What is further away is left out.
    distance_threshold: Option<f64>,
}

/// `POST /v1/libraries/{id}/search`
pub(super) async fn search(
    From(state): From<Libraries>,
    Extension(request): Extension<RequestId>,
    Reading(library): Reading,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let asked: Asked = state.json(&headers, body).await?;
    let began = Instant::now();
    let wanted = Search {
        query: asked.query.or(asked.query_text).unwrap_or_default(),
        k: asked.k.unwrap_or(K),
    };
    let mut hits = state
        .librarian()
        .search(library, wanted, request.as_str())
        .await?;
    if let Some(threshold) = asked.distance_threshold {
        hits.retain(|hit| hit.distance <= threshold);
    }
    let results: Vec<Value> = hits
        .iter()
        .map(|hit| {
            let mut result = shapes::hit(hit);
            let chunk =
                HashMap::from([("text", &result["text"]), ("metadata", &result["metadata"])]);
            result["chunk"] = json!(chunk);
            result["document_id"] = json!(hit.id);
            result["document_title"] = json!(hit.title);
            result
        })
        .collect();
    Ok(exchange::to_json(&json!({
        "total_results": results.len(),
        "results": results,
        "query_time_ms": began.elapsed().as_secs_f64() * 1000.0,
    })))
}
