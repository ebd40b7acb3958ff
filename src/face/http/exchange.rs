//! A request and its answer, whatever is asked: the request id, and how a refusal is written down.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;
use tracing::Level;
use uuid::Uuid;

use crate::face::http;
use crate::face::http::admission::reached_headers;
use crate::face::http::refusal::{Code, Refusal};
use crate::origin::{self, Origin, Parent, SpanKind, Spans, Step, TRACEPARENT};

/// The header that carries the id of a request, both ways.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest request id that is taken from a client, in bytes.
const ID_BYTES_MAX: usize = 128;

/// The id of a request: the client's own, or a new one.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    fn of(headers: &HeaderMap) -> Self {
        let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"._~:/+=-".contains(b);
        let given = headers.get(X_REQUEST_ID).filter(|id| {
            (1..=ID_BYTES_MAX).contains(&id.len()) && id.as_bytes().iter().all(allowed)
        });
        Self(given.cloned().unwrap_or_else(|| {
            let mut text = Uuid::encode_buffer();
            let text = Uuid::now_v7().simple().encode_lower(&mut text);
            HeaderValue::from_str(text).expect("a UUID is a header value")
        }))
    }

    /// The id as text.
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// A request that is being answered.
pub(crate) struct Exchange {
    id: RequestId,
    is_wizard: bool,
    began: Instant,
    method: Method,
    /// Kept only if somebody is to be told of it.
    path: Option<Box<str>>,
    /// The step of a trace that it is, and the one above.
    own: Option<Parent>,
    above: Option<u64>,
}

impl Exchange {
    /// Gives the request an id, and its place in a trace.
    pub(crate) fn begin(request: &Request) -> Self {
        let above = request.headers().get(TRACEPARENT);
        let above = above.and_then(|value| value.to_str().ok()?.parse::<Parent>().ok());
        let own = match &above {
            Some(above) => Some(above.child()),
            None => {
                let begins_one = origin::spans().is_some_and(Spans::begins_one);
                begins_one.then(|| Parent::root(true))
            }
        };
        let path = request.uri().path();
        let is_told = own.is_some() || tracing::enabled!(Level::DEBUG);
        Self {
            id: RequestId::of(request.headers()),
            is_wizard: path.starts_with("/api/wizard/"),
            began: Instant::now(),
            method: request.method().clone(),
            path: is_told.then(|| path.into()),
            own,
            above: above.map(|above| above.span),
        }
    }

    /// The id of the request.
    pub(crate) const fn id(&self) -> &RequestId {
        &self.id
    }

    /// Where what is done for it comes from.
    pub(crate) fn origin(&self) -> Origin {
        Origin {
            face: "http",
            request: Some(self.id.as_str().into()),
            trace: self.own,
        }
    }

    /// Writes a refusal down, counts the response and puts the id on it.
    pub(crate) fn end(self, state: &http::State, mut response: Response) -> Response {
        if let Some(refusal) = response.extensions_mut().remove::<Refusal>() {
            state.metrics().refused(refusal.code());
            if let Some(limit) = refusal.limit() {
                state.door().limits().count(limit);
            }
            response = written(&refusal, response, &self.id, self.is_wizard);
        }
        let took = self.began.elapsed();
        state.metrics().responded(response.status(), took);
        self.tell(&mut response, took);
        response.headers_mut().insert(X_REQUEST_ID, self.id.0);
        response
    }

    /// Tells the log, and the trace that it is a step of.
    fn tell(&self, response: &mut Response, took: Duration) {
        let Some(path) = &self.path else { return };
        let status = response.status().as_u16();
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let id = self.id.as_str();
        let trace = self
            .own
            .map(|own| tracing::field::display(own.trace_text()));
        tracing::debug!(request = id, trace, method = %self.method, path, status, took_us, "answered");
        let Some(own) = self.own else { return };
        if let Ok(value) = HeaderValue::from_str(&own.to_string()) {
            response.headers_mut().insert(TRACEPARENT, value);
        }
        if let Some(step) = Step::of(own, self.above, self.began) {
            let facts = vec![
                ("http.request.method", self.method.to_string()),
                ("url.path", path.to_string()),
                ("http.response.status_code", status.to_string()),
                ("tidings.request_id", id.to_owned()),
            ];
            step.end("request", SpanKind::Server, facts);
        }
    }
}

/// The refusal in the response; headers that are there already (`Allow`) stay.
fn written(refusal: &Refusal, response: Response, id: &RequestId, is_wizard: bool) -> Response {
    let (content_type, body) = if is_wizard {
        ("application/json", serde_json::to_vec(&refusal.wizard()))
    } else {
        (
            "application/problem+json",
            serde_json::to_vec(&refusal.problem(id.as_str())),
        )
    };
    let (mut parts, _) = response.into_parts();
    parts.status = refusal.status();
    parts.headers.remove(axum::http::header::CONTENT_LENGTH);
    parts
        .headers
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some(seconds) = refusal.retry_after_seconds() {
        parts.headers.insert(RETRY_AFTER, seconds.into());
    }
    if let Some(reached) = refusal.reached() {
        parts.headers.extend(reached_headers(&reached));
    }
    Response::from_parts(parts, Body::from(body.expect("a refusal is JSON")))
}

/// The answer to a path that nobody has.
pub(crate) async fn unknown_path(request: Request) -> Refusal {
    let path: String = request.uri().path().chars().take(200).collect();
    Refusal::new(
        Code::PathUnknown,
        format!("there is no `{path}` here: see /docs"),
    )
}

/// The answer to a method that the path does not have; axum adds `Allow`.
pub(crate) async fn unknown_method(request: Request) -> Refusal {
    let method = request.method();
    Refusal::new(
        Code::MethodNotAllowed,
        format!("the path has no `{method}`: use a method of the header `Allow`"),
    )
}

/// The answer when a handler panicked.
pub(crate) fn panicked() -> Response {
    tracing::error!("a request handler panicked");
    Refusal::new(
        Code::Internal,
        "the gateway failed at this request; its log says more",
    )
    .into_response()
}

/// A JSON answer from text that is JSON already.
pub(crate) fn json(body: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

/// A JSON answer.
pub(crate) fn to_json(value: &impl serde::Serialize) -> Response {
    Json(value).into_response()
}
