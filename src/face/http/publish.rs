//! Publishing: one event to a topic, or a batch to many.

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::face::http;
use crate::face::http::admission::{Caller, rate_headers};
use crate::face::http::cloud_event;
use crate::face::http::entry::{Entry, Submission, check_key};
use crate::face::http::exchange::{self, RequestId};
use crate::face::http::extract::{self, Media, TopicPath, parse};
use crate::face::http::refusal::{Code, Refusal};
use crate::hub::{Idempotency, Receipt};
use crate::topic::{Classes, TopicName};

/// The header that makes a retry harmless.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What a request wants published.
enum Wanted {
    One(Box<Submission>),
    Many(Form, Vec<Result<Submission, Refusal>>),
}

/// The form of a batch, and of its answer.
#[derive(Debug, Clone, Copy)]
enum Form {
    Array,
    Lines,
}

/// A request to publish, before its body is understood.
struct Posted<'a> {
    headers: &'a HeaderMap,
    body: Bytes,
    topic: Option<&'a TopicName>,
    classes: &'a Classes,
    entries_max: usize,
}

/// What a request to publish is for.
pub(crate) enum Target {
    /// `POST /v1/topics/{topic}/events`
    Topic(TopicName),
    /// `POST /v1/events`
    Any,
}

impl Target {
    /// The target of a request, unless it is something else, or a name that has to be decoded
    /// first or is none.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        if request.method() != Method::POST {
            return None;
        }
        let path = request.uri().path();
        if path == "/v1/events" {
            return Some(Self::Any);
        }
        let name = path.strip_prefix("/v1/topics/")?.strip_suffix("/events")?;
        if name.contains(['%', '/']) {
            return None;
        }
        name.parse().ok().map(Self::Topic)
    }
}

/// `POST /v1/topics/{topic}/events`
pub(crate) async fn to_topic(
    State(state): State<http::State>,
    TopicPath(topic): TopicPath,
    (caller, Extension(id)): (Caller, Extension<RequestId>),
    request: Request,
) -> Result<Response, Refusal> {
    run(&state, Target::Topic(topic), (&caller, &id), request).await
}

/// `POST /v1/events`
pub(crate) async fn to_many(
    State(state): State<http::State>,
    (caller, Extension(id)): (Caller, Extension<RequestId>),
    request: Request,
) -> Result<Response, Refusal> {
    run(&state, Target::Any, (&caller, &id), request).await
}

/// Publishes what a request brings.
///
/// # Errors
/// When it is malformed, too much, or not allowed. What is wrong with one entry of a batch is told
/// in its answer.
pub(crate) async fn run(
    state: &http::State,
    target: Target,
    (caller, id): (&Caller, &RequestId),
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let topic = match &target {
        Target::Topic(topic) => Some(topic),
        Target::Any => None,
    };
    let header_key = header_key(headers)?;
    let body = extract::body(body, state.config().body_bytes_max.bytes()).await?;
    let posted = Posted {
        headers,
        body,
        topic,
        classes: &state.hub().config().classes,
        entries_max: state.config().batch_entries_max,
    };
    match posted.wanted()? {
        Wanted::One(submission) => {
            let quota = caller.count_events(1)?;
            let receipt = submit((state, caller), *submission, header_key).await?;
            Ok((rate_headers(quota), exchange::to_json(&receipt)).into_response())
        }
        Wanted::Many(..) if header_key.is_some() => Err(Refusal::new(
            Code::KeyInvalid,
            "a batch has no single key: give each entry its own `idempotency_key`",
        )),
        Wanted::Many(form, entries) => {
            let quota = caller.count_events(entries.len())?;
            let mut answers = Vec::new();
            for entry in entries {
                let result = match entry {
                    Ok(submission) => submit((state, caller), submission, None).await,
                    Err(refusal) => Err(refusal),
                };
                form.add(&mut answers, &result, id);
            }
            Ok((rate_headers(quota), form.answer(answers)).into_response())
        }
    }
}

async fn submit(
    (state, caller): (&http::State, &Caller),
    submission: Submission,
    header_key: Option<&str>,
) -> Result<Receipt, Refusal> {
    let key = header_key
        .or(submission.idempotency_key.as_deref())
        .map(Idempotency);
    caller.must_publish(submission.draft.topic()).await?;
    let draft = caller.own(submission.draft, submission.owner.as_deref())?;
    Ok(state.hub().append(draft, key).await?)
}

/// The idempotency key of a request, if it has one.
///
/// # Errors
/// When it is too long or no text.
pub(crate) fn header_key(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    check_key(value.as_bytes())?;
    Ok(value.to_str().ok())
}

impl Posted<'_> {
    fn wanted(&self) -> Result<Wanted, Refusal> {
        if cloud_event::is_binary(self.headers) {
            let one = cloud_event::binary(self.headers, self.body.clone(), self.topic)?;
            return Ok(Wanted::One(Box::new(one)));
        }
        match (Media::of(self.headers)?, self.topic) {
            (Media::Json, Some(topic)) => {
                let one = parse::<Entry<'_>>(&self.body)?.into_topic(topic, self.classes)?;
                Ok(Wanted::One(Box::new(one)))
            }
            (Media::Json, None) => {
                self.array(|text| parse::<Entry<'_>>(text)?.in_batch(self.classes))
            }
            (Media::Ndjson, None) => self.lines(),
            (Media::CloudEvent, topic) => {
                let one = parse::<cloud_event::Structured<'_>>(&self.body)?.submission(topic)?;
                Ok(Wanted::One(Box::new(one)))
            }
            (Media::CloudEventBatch, topic) => {
                self.array(|text| parse::<cloud_event::Structured<'_>>(text)?.submission(topic))
            }
            (Media::Ndjson | Media::Other(_), Some(_)) => Err(Media::refused(
                "application/json, application/cloudevents+json or application/cloudevents-batch+json",
            )),
            (Media::Other(_), None) => Err(Media::refused(
                "application/json, application/x-ndjson, application/cloudevents+json or \
                 application/cloudevents-batch+json",
            )),
        }
    }

    /// A JSON array; what is wrong with one entry concerns that one only.
    fn array(
        &self,
        submission: impl Fn(&[u8]) -> Result<Submission, Refusal>,
    ) -> Result<Wanted, Refusal> {
        let entries: Entries<'_> = parse(&self.body)?;
        self.check_length(entries.0.len())?;
        let entries = entries
            .0
            .iter()
            .map(|entry| submission(entry.get().as_bytes()))
            .collect();
        Ok(Wanted::Many(Form::Array, entries))
    }

    /// Lines of JSON; blank ones are passed over.
    fn lines(&self) -> Result<Wanted, Refusal> {
        let lines: Vec<&[u8]> = self
            .body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.trim_ascii().is_empty())
            .take(self.entries_max + 1)
            .collect();
        self.check_length(lines.len())?;
        let entry = |line: &&[u8]| parse::<Entry<'_>>(line)?.in_batch(self.classes);
        Ok(Wanted::Many(Form::Lines, lines.iter().map(entry).collect()))
    }

    fn check_length(&self, entries: usize) -> Result<(), Refusal> {
        let max = self.entries_max;
        if entries <= max {
            return Ok(());
        }
        let detail = format!("at most {max} entries are allowed (`face.http.batch_entries_max`)");
        Err(Refusal::new(Code::BatchTooLong, detail))
    }
}

/// The entries of a JSON array, not yet understood.
#[derive(Deserialize)]
#[serde(transparent)]
struct Entries<'a>(#[serde(borrow)] Vec<&'a RawValue>);

impl Form {
    fn add(self, answers: &mut Vec<u8>, result: &Result<Receipt, Refusal>, id: &RequestId) {
        if let (Self::Array, false) = (self, answers.is_empty()) {
            answers.push(b',');
        }
        match result {
            Ok(receipt) => serde_json::to_writer(&mut *answers, receipt),
            Err(refusal) => serde_json::to_writer(&mut *answers, &refusal.problem(id.as_str())),
        }
        .expect("an answer is JSON");
        if let Self::Lines = self {
            answers.push(b'\n');
        }
    }

    fn answer(self, answers: Vec<u8>) -> Response {
        match self {
            Self::Array => {
                let mut body = Vec::with_capacity(answers.len() + 2);
                body.push(b'[');
                body.extend_from_slice(&answers);
                body.push(b']');
                exchange::json(body)
            }
            Self::Lines => ([(CONTENT_TYPE, "application/x-ndjson")], answers).into_response(),
        }
    }
}
