//! The progress of a session as its application reports it, folded from its events.

use serde_json::{Map, Value, json};

use crate::hub::Snapshot;
use crate::topic::{Event, Status, TopicName, iso8601};

/// The names of terminal events that end a session without a result, besides those that the fold
/// knows as failures.
const CANCELLED: &str = "cancelled";

/// The newest `progress` payload, brought up to date by what came after it.
pub(crate) struct Progress(Map<String, Value>);

impl Progress {
    /// The progress of a session.
    pub(crate) fn of(topic: &TopicName, snapshot: &Snapshot) -> Self {
        let newest = super::named(snapshot, "progress").max_by_key(|event| event.seq);
        let mut progress = Self(Map::new());
        for (name, value) in newest.map(fields).unwrap_or_default() {
            progress.0.insert(name, value);
        }
        progress.fill_in(topic, newest, snapshot);
        progress.count_questions(snapshot.clarifications.len());
        if let Some(terminal) = &snapshot.terminal {
            progress.end(terminal, snapshot.status);
        }
        progress
    }

    /// What the application always has, where no `progress` said it.
    fn fill_in(&mut self, topic: &TopicName, newest: Option<&Event>, snapshot: &Snapshot) {
        let prompts =
            json!({"total": 0, "completed": 0, "processing": 0, "pending": 0, "failed": 0});
        let status = if newest.is_some() {
            "PROCESSING"
        } else {
            "ACTIVE"
        };
        let events = snapshot
            .states
            .iter()
            .chain(&snapshot.facts)
            .chain(&snapshot.clarifications);
        let touched = events
            .map(|event| event.timestamp_ms)
            .max()
            .unwrap_or_default();
        for (name, value) in [
            ("sessionId", json!(topic.id())),
            ("status", json!(status)),
            ("progress", json!(0)),
            ("prompts", prompts),
            ("hasResult", json!(false)),
            ("timestamp", json!(iso8601(touched))),
        ] {
            self.0.entry(name).or_insert(value);
        }
    }

    fn count_questions(&mut self, open: usize) {
        self.set("hasClarifications", json!(open > 0));
        self.set("clarificationCount", json!(open));
    }

    fn end(&mut self, terminal: &Event, status: Status) {
        let is_failed = status == Status::Failed || terminal.name.as_str() == CANCELLED;
        let payload = fields(terminal);
        if is_failed {
            self.set("status", json!("FAILED"));
            let error = payload
                .get("error")
                .or_else(|| payload.get("message"))
                .cloned();
            self.set("error", error.unwrap_or_else(|| json!(terminal.name)));
        } else {
            self.set("status", json!("COMPLETED"));
            self.set("progress", json!(100));
        }
        if let Some(result) = payload.get("result") {
            self.set("result", result.clone());
            self.set("hasResult", json!(true));
        }
        self.set("timestamp", json!(terminal.timestamp()));
    }

    fn set(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    /// As JSON.
    pub(crate) fn into_value(self) -> Value {
        Value::Object(self.0)
    }
}

/// The fields of a payload, without what the gateway added.
fn fields(event: &Event) -> Map<String, Value> {
    let Value::Object(mut fields) = super::payload(event) else {
        return Map::new();
    };
    fields.retain(|name, _| !name.starts_with('_'));
    fields
}
