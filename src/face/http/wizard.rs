//! The REST of the session application: its paths and shapes, over the events of a session.
//!
//! Success is `{"success": true, "data": ...}`, a refusal `{"error": "..."}`. Nothing is kept here:
//! every answer is folded from the topic's snapshot when it is asked for.

mod progress;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use self::progress::Progress;
use crate::auth::Action;
use crate::face::http;
use crate::face::http::admission::Caller;
use crate::face::http::exchange;
use crate::face::http::extract::{self, Media, PathTexts, parse};
use crate::face::http::refusal::{Code, Refusal};
use crate::hub::Snapshot;
use crate::topic::{Event, Seq, TopicName, iso8601};

/// Who is named as having answered, where nobody has to show who they are.
const ANSWERED_BY: &str = "user";

/// `GET /api/wizard/session/{sessionId}`
pub(crate) async fn session(
    State(state): State<http::State>,
    caller: Caller,
    path: PathTexts,
) -> Result<Response, Refusal> {
    let (topic, snapshot) = find((&state, &caller), &path).await?;
    let results: Vec<Value> = named(&snapshot, "model_result").map(payload).collect();
    let mut data = Progress::of(&topic, &snapshot).into_value();
    data["id"] = json!(topic.id());
    data["modelResults"] = json!(results);
    data["clarifications"] = questions(&snapshot);
    data["cursor"] = json!(snapshot.cursor);
    Ok(success(&data))
}

/// `GET /api/wizard/status/{sessionId}`
pub(crate) async fn status(
    State(state): State<http::State>,
    caller: Caller,
    path: PathTexts,
) -> Result<Response, Refusal> {
    let (topic, snapshot) = find((&state, &caller), &path).await?;
    Ok(success(&Progress::of(&topic, &snapshot).into_value()))
}

/// `GET /api/wizard/clarifications/{sessionId}`
pub(crate) async fn clarifications(
    State(state): State<http::State>,
    caller: Caller,
    path: PathTexts,
) -> Result<Response, Refusal> {
    let (topic, snapshot) = find((&state, &caller), &path).await?;
    let data = json!({ "sessionId": topic.id(), "clarifications": questions(&snapshot) });
    Ok(success(&data))
}

/// The answer of a user.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Respond {
    session_id: String,
    clarification_id: String,
    #[serde(deserialize_with = "Deserialize::deserialize")]
    response: Value,
}

/// `POST /api/wizard/clarifications/respond`
pub(crate) async fn respond(
    State(state): State<http::State>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    if Media::of(&headers)? != Media::Json {
        return Err(Media::refused("application/json"));
    }
    let body = extract::body(body, state.config().body_bytes_max.bytes()).await?;
    let Respond {
        session_id,
        clarification_id,
        response,
    } = parse(&body)?;
    let topic = TopicName::of_session(&session_id)?;
    caller.must(Action::Answer, &topic, |_| not_found()).await?;
    if state
        .hub()
        .open(&topic)
        .await?
        .is_none_or(|topic| topic.head().seq == Seq::ZERO)
    {
        return Err(not_found());
    }
    let by = caller.name();
    let by = by.as_deref().unwrap_or(ANSWERED_BY);
    state
        .hub()
        .answer(&topic, &clarification_id, response, by)
        .await?;
    Ok(success(&json!({
        "sessionId": session_id,
        "clarificationId": clarification_id,
        "status": "answered",
    })))
}

async fn find(
    (state, caller): (&http::State, &Caller),
    path: &PathTexts,
) -> Result<(TopicName, Snapshot), Refusal> {
    let name = TopicName::of_session(path.0.first().map_or("", String::as_str))?;
    caller.must(Action::Read, &name, |_| not_found()).await?;
    let topic = state.hub().open(&name).await?.ok_or_else(not_found)?;
    let snapshot = topic.snapshot();
    if snapshot.cursor.seq == Seq::ZERO {
        Err(not_found())
    } else {
        Ok((name, snapshot))
    }
}

fn not_found() -> Refusal {
    Refusal::new(Code::TopicUnknown, "Session not found")
}

fn success(data: &Value) -> Response {
    exchange::to_json(&json!({ "success": true, "data": data }))
}

/// The events of a name, oldest first.
fn named<'a>(snapshot: &'a Snapshot, name: &'a str) -> impl Iterator<Item = &'a Event> {
    let events = snapshot.states.iter().chain(&snapshot.facts);
    events
        .map(AsRef::as_ref)
        .filter(move |event: &&Event| event.name.as_str() == name)
}

/// What an event carries, as the application's clients know it.
fn payload(event: &Event) -> Value {
    event
        .payload
        .json()
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

/// The open questions, oldest first.
fn questions(snapshot: &Snapshot) -> Value {
    let mut asked: Vec<&Event> = snapshot.clarifications.iter().map(AsRef::as_ref).collect();
    asked.sort_unstable_by_key(|event| event.seq);
    let question = |event: &Event| {
        let payload = payload(event);
        let mut question = json!({
            "id": payload["clarificationId"],
            "question": payload["question"],
            "context": payload["context"],
            "createdAt": iso8601(event.timestamp_ms),
        });
        for optional in ["schema", "default", "expiresAt"] {
            if let Some(value) = payload.get(optional) {
                question[optional] = value.clone();
            }
        }
        question
    };
    asked.into_iter().map(question).collect()
}
