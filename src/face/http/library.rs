//! The REST of the library application: libraries, documents, search, import, export, events.
//!
//! Handlers ask the librarian and write its answer down. Shapes are in `face/library.rs`, shared
//! with the WebSocket dialect.

mod documents;
mod events;
mod stream;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, State as From};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::auth::Action;
use crate::document::{DocumentId, LibraryId, NewLibrary};
use crate::drain::Drain;
use crate::face::http::admission::Caller;
use crate::face::http::exchange::{self, RequestId};
use crate::face::http::extract::{self, Media, PathTexts, parse};
use crate::face::http::refusal::{Code, Refusal};
use crate::face::http::{Config, Metrics};
use crate::face::library::{self as shapes, Watchers};
use crate::hub::Hub;
use crate::producer::library::{self as libraries, Librarian};

/// What these paths use. Cheap to clone.
#[derive(Clone)]
pub struct Libraries(Arc<Shared>);

struct Shared {
    librarian: Librarian,
    watchers: Watchers,
    config: Config,
    hub: Hub,
    drain: Drain,
    metrics: Metrics,
}

impl Libraries {
    /// The state of these paths.
    pub fn new(
        (librarian, watchers): (Librarian, Watchers),
        config: Config,
        hub: Hub,
        drain: Drain,
        metrics: Metrics,
    ) -> Self {
        Self(Arc::new(Shared {
            librarian,
            watchers,
            config,
            hub,
            drain,
            metrics,
        }))
    }

    fn librarian(&self) -> &Librarian {
        &self.0.librarian
    }

    /// A body that is JSON.
    async fn json<T: DeserializeOwned>(
        &self,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<T, Refusal> {
        if Media::of(headers)? != Media::Json {
            return Err(Media::refused("application/json"));
        }
        let body = extract::body(body, self.0.config.body_bytes_max.bytes()).await?;
        parse(&body)
    }
}

/// Every path, with its methods.
pub(super) fn table() -> Vec<(&'static str, MethodRouter<Libraries>)> {
    vec![
        ("/v1/libraries", get(list).post(create)),
        ("/v1/libraries/{id}", get(one).delete(delete)),
        (
            "/v1/libraries/{id}/documents",
            get(documents::list).post(documents::add),
        ),
        (
            "/v1/libraries/{id}/documents/{document_id}",
            get(documents::one).delete(documents::delete),
        ),
        (
            "/v1/libraries/{id}/documents/stream",
            get(stream::export).post(stream::import),
        ),
        ("/v1/libraries/{id}/search", post(documents::search)),
        ("/v1/events/stream", get(events::all)),
        ("/v1/websockets/stats", get(stats)),
    ]
}

/// The paths, ready to be merged beside the others of the HTTP face.
pub fn routes(state: Libraries) -> Router {
    table()
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| {
            router.route(path, methods)
        })
        .with_state(state)
}

/// The library that a path names, for somebody who may read it.
struct Reading(LibraryId);

/// The library that a path names, for somebody who may change it.
struct Writing(LibraryId);

/// The document that a path names.
struct OfDocument(DocumentId);

fn no_id(what: &str) -> Refusal {
    let detail = format!("Invalid {what} format: use a UUID");
    Refusal::new(Code::IdInvalid, detail)
}

async fn named<S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
    action: Action,
) -> Result<LibraryId, Refusal> {
    let texts = PathTexts::from_request_parts(parts, state).await?;
    let id: Option<LibraryId> = texts.0.first().and_then(|text| text.parse().ok());
    let id = id.ok_or_else(|| no_id("library_id"))?;
    let caller = Caller::from_request_parts(parts, state).await?;
    let topic = libraries::topic(id);
    // Whoever may change a library knows that it is there.
    if !caller.may(Action::Read, &topic).await? && !caller.may(action, &topic).await? {
        let detail = format!("Library {id} not found");
        return Err(Refusal::new(Code::LibraryUnknown, detail));
    }
    if action == Action::Publish {
        caller.must_publish(&topic).await?;
    }
    Ok(id)
}

impl<S: Send + Sync> FromRequestParts<S> for Reading {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        named(parts, state, Action::Read).await.map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Writing {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        named(parts, state, Action::Publish).await.map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OfDocument {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let texts = PathTexts::from_request_parts(parts, state).await?;
        let id = texts.0.get(1).and_then(|text| text.parse().ok());
        id.map(Self).ok_or_else(|| no_id("document_id"))
    }
}

/// `GET /v1/libraries`
async fn list(From(state): From<Libraries>, caller: Caller) -> Result<Response, Refusal> {
    let known = state.librarian().libraries().await?;
    let mut seen = Vec::new();
    for library in &known {
        let topic = libraries::topic(library.id);
        if caller.may(Action::Read, &topic).await? {
            seen.push(shapes::library(library));
        }
    }
    Ok(exchange::to_json(&seen))
}

/// A library as clients ask for it. What a service may want beside the name is passed over.
#[derive(Debug, Deserialize)]
struct Wanted {
    name: Option<String>,
    description: Option<String>,
}

/// `POST /v1/libraries`
async fn create(
    From(state): From<Libraries>,
    Extension(request): Extension<RequestId>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    // Its id is not known yet: whoever may publish to any library may make one.
    let any = libraries::topic(LibraryId(Uuid::nil()));
    caller.must_publish(&any).await?;
    let wanted: Wanted = state.json(&headers, body).await?;
    let new = NewLibrary {
        name: wanted.name.unwrap_or_default(),
        description: wanted.description,
    };
    let made = state.librarian().create(new, request.as_str()).await?;
    Ok((StatusCode::CREATED, Json(shapes::library(&made))).into_response())
}

/// `GET /v1/libraries/{id}`
async fn one(From(state): From<Libraries>, path: Reading) -> Result<Response, Refusal> {
    let library = state.librarian().library(path.0).await?;
    Ok(exchange::to_json(&shapes::library(&library)))
}

/// `DELETE /v1/libraries/{id}`
async fn delete(
    From(state): From<Libraries>,
    Extension(request): Extension<RequestId>,
    path: Writing,
) -> Result<StatusCode, Refusal> {
    let librarian = state.librarian();
    librarian.delete_library(path.0, request.as_str()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/websockets/stats`: of the libraries that the caller may read.
async fn stats(From(state): From<Libraries>, caller: Caller) -> Result<Response, Refusal> {
    let mut shown = state.0.watchers.counts();
    for id in shown.keys().copied().collect::<Vec<_>>() {
        if !caller.may(Action::Read, &libraries::topic(id)).await? {
            shown.remove(&id);
        }
    }
    Ok(exchange::to_json(&shapes::stats(&shown)))
}
