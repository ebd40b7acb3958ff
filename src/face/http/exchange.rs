//! The outermost layer of the face: the request id, and how a refusal is written down.

use axum::Json;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;
use tracing::{Instrument as _, field};
use uuid::Uuid;

use crate::face::http;
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

/// Runs a request: gives it an id and its place in a trace, writes its refusal down, counts it.
pub(crate) async fn run(
    State(state): State<http::State>,
    mut request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let id = RequestId::of(request.headers());
    let is_wizard = request.uri().path().starts_with("/api/wizard/");
    let asked = Asked::of(&request);
    request.extensions_mut().insert(id.clone());
    let line = tracing::error_span!("request", request = id.as_str(), trace = field::Empty);
    if let Some(own) = &asked.own {
        line.record("trace", format_args!("{:032x}", own.trace));
    }
    let origin = Origin {
        face: "http",
        request: Some(id.as_str().into()),
        trace: asked.own,
    };
    let answering = origin.scope(next.run(request));
    let mut response = answering.instrument(line.clone()).await;
    if let Some(refusal) = response.extensions_mut().remove::<Refusal>() {
        state.metrics().refused(refusal.code());
        response = written(&refusal, response, &id, is_wizard);
    }
    state
        .metrics()
        .responded(response.status(), began.elapsed());
    response.headers_mut().insert(X_REQUEST_ID, id.0.clone());
    let _within = line.enter();
    asked.answered(&mut response, &id, began);
    response
}

/// What is asked, for the log and for a trace.
struct Asked {
    method: Method,
    /// The path as it stands in the route table: what it names is not told.
    path: Option<MatchedPath>,
    /// The step of a trace that this request is, and the one above.
    own: Option<Parent>,
    above: Option<u64>,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let above = request.headers().get(TRACEPARENT);
        let above = above.and_then(|value| value.to_str().ok()?.parse::<Parent>().ok());
        let own = match &above {
            Some(above) => Some(above.child()),
            None => {
                let begins_one = origin::spans().is_some_and(Spans::begins_one);
                begins_one.then(|| Parent::root(true))
            }
        };
        Self {
            method: request.method().clone(),
            path: request.extensions().get().cloned(),
            own,
            above: above.map(|above| above.span),
        }
    }

    fn answered(&self, response: &mut Response, id: &RequestId, began: Instant) {
        let path = self.path.as_ref().map_or("", MatchedPath::as_str);
        let status = response.status().as_u16();
        let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        tracing::debug!(method = %self.method, path, status, took_us, "answered");
        let Some(own) = self.own else {
            return;
        };
        if let Ok(value) = HeaderValue::from_str(&own.to_string()) {
            response.headers_mut().insert(TRACEPARENT, value);
        }
        if let Some(step) = Step::of(own, self.above, began) {
            let facts = vec![
                ("http.request.method", self.method.to_string()),
                ("http.route", path.to_owned()),
                ("http.response.status_code", status.to_string()),
                ("tidings.request_id", id.as_str().to_owned()),
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
pub(crate) fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
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
