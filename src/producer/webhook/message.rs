//! What a worker is told: a type, a time, and the data.

use serde_json::{Value, json};

use crate::topic::{Event, Job};
use crate::upstream::webhook::Message;

/// Somebody wants a job to be given up; nothing if nobody does.
pub(super) fn cancel(job: &Job) -> Option<Message> {
    let (request, event) = (job.cancelling()?, job.cancel_event()?);
    let record = job.record();
    let data = json!({
        "id": record.id,
        "name": record.name,
        "type": record.kind,
        "status": record.status,
        "attempt": record.attempt,
        "reason": request.reason,
        "requested_at": request.requested_at,
        "topic": event.topic,
        "cursor": event.cursor().to_string(),
    });
    Some(message(event, "job.cancel_requested", &data))
}

/// A question was answered, or its time ran out; nothing if the event says neither.
pub(super) fn answer(event: &Event) -> Option<Message> {
    let said: Value = serde_json::from_str(event.payload.json()?).ok()?;
    let kind = match said["status"].as_str()? {
        "answered" => "clarification.answered",
        "expired" => "clarification.expired",
        _ => return None,
    };
    let mut data = json!({ "topic": event.topic, "cursor": event.cursor().to_string() });
    for name in [
        "sessionId",
        "clarificationId",
        "question",
        "response",
        "answeredAt",
        "answeredBy",
    ] {
        if let Some(value) = said.get(name) {
            data[name] = value.clone();
        }
    }
    Some(message(event, kind, &data))
}

fn message(event: &Event, kind: &str, data: &Value) -> Message {
    let body = json!({ "type": kind, "timestamp": event.timestamp(), "data": data });
    Message {
        id: format!("msg_{}", event.id.simple()),
        body: body.to_string(),
    }
}
