//! What is sent to a gateway and what comes back.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An event to publish.
#[derive(Debug, Clone, Serialize)]
pub struct Publish {
    /// The name of the event.
    pub name: String,
    /// Its payload.
    pub data: Value,
    /// `state`, `fact` or `terminal`; the gateway's config decides if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// What distinguishes states of the same name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Whether it ends the topic's story.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub terminal: bool,
    /// Makes the publish safe to repeat; travels as a header.
    #[serde(skip)]
    pub idempotency_key: Option<String>,
}

impl Publish {
    /// An event with nothing but a name and a payload.
    pub fn new(name: impl Into<String>, data: Value) -> Self {
        let name = name.into();
        Self {
            name,
            data,
            class: None,
            key: None,
            terminal: false,
            idempotency_key: None,
        }
    }

    /// Sets the key that makes the publish safe to repeat.
    #[must_use]
    pub fn once(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }
}

/// What the gateway says of a published event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The topic.
    pub topic: String,
    /// Its place in the topic.
    pub seq: u64,
    /// The incarnation of the topic.
    pub epoch: String,
    /// The event's own id.
    pub id: String,
    /// When it was appended.
    pub timestamp: String,
    /// How many are subscribed on that node.
    pub subscribers: u64,
}

/// What became of a question.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Somebody answered, or the default was taken.
    Given {
        /// The answer.
        response: Value,
        /// Who gave it; `default` when nobody did.
        by: String,
    },
    /// Nobody has answered yet.
    Open,
    /// Nobody answered in time, and there is no default.
    Expired,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_sent_without_what_was_not_said() {
        let event = Publish::new("progress", json!({"progress": 5})).once("a");
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(text, r#"{"name":"progress","data":{"progress":5}}"#);
    }
}
