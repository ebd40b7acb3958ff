//! A topic's events: a page of its history, or a stream, as the client would rather have it.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;

use crate::auth::Action;
use crate::face::envelope;
use crate::face::http;
use crate::face::http::admission::Caller;
use crate::face::http::exchange;
use crate::face::http::extract::{Query, TopicPath};
use crate::face::http::negotiate::{self, Offer};
use crate::face::http::refusal::{Code, Refusal};
use crate::face::http::stream;
use crate::face::http::topics;
use crate::hub::From;
use crate::topic::{Cursor, Seq, TopicName};

/// The header with which an SSE client resumes.
const LAST_EVENT_ID: &str = "last-event-id";

/// What `Accept` may ask for.
#[derive(Debug, Clone, Copy)]
enum Form {
    Page,
    Stream(stream::Form),
}

const OFFERS: [Offer<Form>; 3] = [
    Offer {
        form: Form::Page,
        types: &["application/json"],
    },
    Offer {
        form: Form::Stream(stream::Form::Sse),
        types: &["text/event-stream"],
    },
    Offer {
        form: Form::Stream(stream::Form::Ndjson),
        types: &[
            "application/x-ndjson",
            "application/ndjson",
            "application/jsonl",
        ],
    },
];

/// Which events are asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    since: Option<String>,
    limit: Option<usize>,
    reverse: Option<bool>,
}

/// `GET /v1/topics/{topic}/events`
pub(crate) async fn events(
    State(state): State<http::State>,
    TopicPath(topic): TopicPath,
    Query(wanted): Query<Wanted>,
    (caller, headers): (Caller, HeaderMap),
) -> Result<Response, Refusal> {
    match negotiate::choose(&headers, &OFFERS) {
        Some(Form::Page) => {
            caller.must(Action::Read, &topic, topics::unknown).await?;
            page(&state, &topic, &wanted).await
        }
        Some(Form::Stream(form)) => {
            if wanted.limit.is_some() || wanted.reverse.is_some() {
                let detail = "`limit` and `reverse` are for pages: a stream has no end";
                return Err(Refusal::new(Code::QueryInvalid, detail));
            }
            let from = begin(&headers, wanted.since.as_deref())?;
            caller
                .must(Action::Subscribe, &topic, topics::unknown)
                .await?;
            stream::open((&state, &caller), topic, from, form).await
        }
        None => Err(Refusal::new(
            Code::NotAcceptable,
            "accept `application/json`, `text/event-stream` or `application/x-ndjson`",
        )),
    }
}

/// Where a stream begins. `Last-Event-ID` comes before `since`: a client that comes back sends
/// both, and the address still bears where it once began.
fn begin(headers: &HeaderMap, since: Option<&str>) -> Result<From, Refusal> {
    let last = headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty());
    let cursor = match last {
        Some(last) => Some(last.to_str().unwrap_or_default().parse()?),
        None => cursor(since)?,
    };
    Ok(cursor.map_or(From::Snapshot, From::Since))
}

fn cursor(since: Option<&str>) -> Result<Option<Cursor>, Refusal> {
    Ok(since
        .filter(|text| !text.is_empty())
        .map(str::parse)
        .transpose()?)
}

async fn page(state: &http::State, name: &TopicName, wanted: &Wanted) -> Result<Response, Refusal> {
    let limit = state.limit(wanted.limit)?;
    let since = cursor(wanted.since.as_deref())?;
    let topic = state.topic(name).await?;
    let head = topic.head();
    if head.seq == Seq::ZERO {
        return Err(topics::unknown(name));
    }
    let history = if wanted.reverse == Some(true) {
        topic.history_reverse(since.as_ref(), limit)
    } else {
        topic.history(since.as_ref(), limit)
    };
    let history = history.map_err(|oldest| {
        let from = since.map(|cursor| cursor.to_string());
        Refusal::new(
            Code::Gap,
            "what follows the cursor is gone: read the snapshot of the topic and go on at `to`",
        )
        .with("topic", name.as_str())
        .with("from", from)
        .with("to", head.to_string())
        .with("oldest", oldest.to_string())
    })?;
    let mut body = br#"{"events":"#.to_vec();
    envelope::list(&mut body, history.events.iter().map(AsRef::as_ref));
    body.extend_from_slice(br#","cursor":"#);
    serde_json::to_writer(&mut body, &history.next).expect("a cursor is JSON");
    body.push(b'}');
    Ok(exchange::json(body))
}
