//! Import and export: documents as lines of JSON, one after the other, never all at once in memory.

use axum::Extension;
use axum::body::Body;
use axum::extract::State as From;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use futures_util::{StreamExt as _, TryStreamExt as _};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::{Libraries, Reading, Writing};
use crate::document::LibraryId;
use crate::face::http::exchange::{self, RequestId};
use crate::face::http::extract::{self, Media};
use crate::face::http::refusal::{Code, Refusal};
use crate::face::library as shapes;
use crate::producer::library::{Export, Line};

/// Documents that are being added at a time: they share a commit.
const AT_ONCE: usize = 32;

/// The bytes of a page of an export, about.
const EXPORT_BYTES: usize = 256 * 1024;

/// The header that asks for an answer before the work is done (RFC 7240).
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// `POST /v1/libraries/{id}/documents/stream`
pub(super) async fn import(
    From(state): From<Libraries>,
    Extension(request): Extension<RequestId>,
    Writing(library): Writing,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    if matches!(
        Media::of(&headers)?,
        Media::CloudEvent | Media::CloudEventBatch
    ) {
        return Err(Media::refused("application/x-ndjson"));
    }
    // A library that is not there is told before the body is read.
    state.librarian().library(library).await?;
    let lines = Lines {
        body,
        read: BytesMut::new(),
        scanned: 0,
        line_bytes_max: state.0.config.body_bytes_max.bytes(),
        is_ended: false,
    };
    let prefers = headers.get_all(PREFER).iter();
    let is_async = prefers
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|wish| wish.trim().eq_ignore_ascii_case("respond-async"));
    if is_async {
        return in_background(&state, library, lines).await;
    }
    at_once(&state, library, lines, &request).await
}

/// What an import has done so far.
struct Tally {
    successful: u64,
    failed: u64,
    results: Vec<Value>,
    results_max: usize,
}

impl Tally {
    fn take(&mut self, result: Value, is_good: bool) {
        if is_good {
            self.successful += 1;
        } else {
            self.failed += 1;
        }
        if self.results.len() < self.results_max {
            self.results.push(result);
        }
    }

    fn answer(self) -> Response {
        let Self {
            successful,
            failed,
            results,
            ..
        } = self;
        let left_out = successful + failed - results.len() as u64;
        exchange::to_json(&json!({
            "successful": successful,
            "failed": failed,
            "results": results,
            "results_left_out": left_out,
        }))
    }
}

/// Adds each line as it comes, and answers with what became of each.
async fn at_once(
    state: &Libraries,
    library: LibraryId,
    mut lines: Lines,
    request: &RequestId,
) -> Result<Response, Refusal> {
    let mut tally = Tally {
        successful: 0,
        failed: 0,
        results: Vec::new(),
        results_max: state.0.config.import_results_max,
    };
    let mut adding: FuturesOrdered<BoxFuture<'_, (Value, bool)>> = FuturesOrdered::new();
    while let Some(line) = lines.next().await? {
        if adding.len() == AT_ONCE
            && let Some((result, is_good)) = adding.next().await
        {
            tally.take(result, is_good);
        }
        adding.push_back(Box::pin(add(state, library, line, request.as_str())));
    }
    while let Some((result, is_good)) = adding.next().await {
        tally.take(result, is_good);
    }
    Ok(tally.answer())
}

/// What became of a line.
async fn add(state: &Libraries, library: LibraryId, line: Bytes, request: &str) -> (Value, bool) {
    let parsed = std::str::from_utf8(&line)
        .map_err(|_| "the line is not UTF-8".to_owned())
        .and_then(|line| Line::parse(line).map_err(|error| error.to_string()));
    let added = match parsed {
        Ok(new) => state
            .librarian()
            .add(library, new, request)
            .await
            .map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    match added {
        Ok(added) => {
            let added = added.made;
            let result = json!({
                "success": true,
                "document_id": added.id,
                "title": added.title,
                "num_chunks": added.num_chunks,
            });
            (result, true)
        }
        Err(error) => (json!({ "success": false, "error": error }), false),
    }
}

/// Lays all lines up, and answers with the job that makes documents of them.
async fn in_background(
    state: &Libraries,
    library: LibraryId,
    mut lines: Lines,
) -> Result<Response, Refusal> {
    let mut background = state.librarian().background(library).await?;
    loop {
        match lines.next().await {
            Ok(Some(line)) => {
                let line = String::from_utf8_lossy(&line).into_owned();
                background.take(line).await?;
            }
            Ok(None) => break,
            Err(refusal) => {
                background.forget().await;
                return Err(refusal);
            }
        }
    }
    let (job, total) = background.begin().await?;
    let headers = [
        (LOCATION, format!("/v1/topics/job:{job}")),
        (
            HeaderName::from_static("preference-applied"),
            "respond-async".to_owned(),
        ),
    ];
    let body = axum::Json(json!({ "job_id": job, "topic": format!("job:{job}"), "total": total }));
    Ok((StatusCode::ACCEPTED, headers, body).into_response())
}

/// The lines of a body, one at a time; blank ones are passed over.
struct Lines {
    body: Body,
    read: BytesMut,
    /// How much of `read` has no end of line.
    scanned: usize,
    line_bytes_max: usize,
    is_ended: bool,
}

impl Lines {
    async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        loop {
            let end = self.read[self.scanned..]
                .iter()
                .position(|byte| *byte == b'\n')
                .map(|at| self.scanned + at);
            let line = if let Some(end) = end {
                let line = self.read.split_to(end).freeze();
                self.read.advance(1);
                line
            } else if self.is_ended {
                if self.read.is_empty() {
                    return Ok(None);
                }
                self.read.split().freeze()
            } else {
                self.scanned = self.read.len();
                self.fill().await?;
                continue;
            };
            self.scanned = 0;
            if !line.trim_ascii().is_empty() {
                return Ok(Some(line));
            }
        }
    }

    async fn fill(&mut self) -> Result<(), Refusal> {
        let max = self.line_bytes_max;
        if self.read.len() > max {
            let detail = format!("a line has at most {max} bytes (`face.http.body_bytes_max`)");
            return Err(Refusal::new(Code::BodyTooLarge, detail));
        }
        match self.body.frame().await {
            None => self.is_ended = true,
            Some(Ok(frame)) => {
                if let Ok(piece) = frame.into_data() {
                    self.read.extend_from_slice(&piece);
                }
            }
            Some(Err(error)) => return Err(extract::broken(&error)),
        }
        Ok(())
    }
}

/// `GET /v1/libraries/{id}/documents/stream`
pub(super) async fn export(
    From(state): From<Libraries>,
    Reading(library): Reading,
) -> Result<Response, Refusal> {
    let pieces = state.librarian().export(library, EXPORT_BYTES).await?;
    let counted = state.0.metrics.stream_opened();
    let pieces = pieces
        .map_ok(move |piece| {
            let _counted = &counted;
            match piece {
                Export::Lines(lines) => lines,
                Export::Documents(documents) => {
                    let mut lines = Vec::new();
                    for document in &documents {
                        let value = shapes::document(library, document);
                        serde_json::to_writer(&mut lines, &value).expect("a document is JSON");
                        lines.push(b'\n');
                    }
                    Bytes::from(lines)
                }
            }
        })
        .inspect_err(|error| tracing::warn!(%error, "an export broke off"));
    let headers = [
        (CONTENT_TYPE, "application/x-ndjson"),
        (CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}
