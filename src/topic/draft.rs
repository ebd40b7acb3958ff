//! Drafts: what a producer hands in, checked, before it has a sequence number.

use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::Bytes;

use crate::topic::event::iso8601;
use crate::topic::payload::Raw;
use crate::topic::{
    Arrival, Class, Epoch, Event, EventName, Kind, Payload, PayloadError, Seq, TopicName,
};

/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 128;

/// Longest owner, in bytes.
const OWNER_BYTES_MAX: usize = 255;

/// The event name that asks a question.
const CLARIFICATION: &str = "clarification";

/// An event that a producer wants appended.
#[derive(Debug, Clone)]
pub struct Draft {
    pub(crate) topic: TopicName,
    pub(crate) name: EventName,
    pub(crate) raw: Raw,
    /// How deep arrays and objects of the payload are nested.
    pub(crate) depth: usize,
    pub(crate) class: Option<Class>,
    pub(crate) key: Option<Box<str>>,
    pub(crate) attempt: Option<NonZeroU32>,
    pub(crate) owner: Option<Arc<str>>,
}

/// Why a draft is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// The payload is refused.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// The payload names another session or job than the topic.
    #[error("the payload says `{field}` is `{said}`, but the topic is `{topic}`")]
    Contradiction {
        /// The field of the payload.
        field: &'static str,
        /// What it says.
        said: String,
        /// The topic of the event.
        topic: TopicName,
    },
    /// The key is too long.
    #[error("the key has {0} bytes: at most 128 are allowed")]
    Key(usize),
    /// The owner is no user.
    #[error("`owner` has 1 to 255 bytes and no control characters: the `sub` of a user's token")]
    Owner,
    /// A question must be an object.
    #[error("the payload of a `clarification` must be an object with a `question`")]
    Question,
}

impl Draft {
    /// A draft with a JSON payload.
    ///
    /// # Errors
    /// When the payload is no JSON, is nested far too deeply, uses a reserved field, or
    /// names another session (`sessionId`) or job (`job_id`) than the topic.
    pub fn json(topic: TopicName, name: EventName, data: &str) -> Result<Self, DraftError> {
        let (raw, depth) = Raw::inspect(data)?;
        if let Raw::Object { seen, .. } = &raw {
            let said = match topic.kind() {
                Kind::Session => seen.session_id.as_ref().map(|said| ("sessionId", said)),
                Kind::Job => seen.job_id.as_ref().map(|said| ("job_id", said)),
                Kind::Scan | Kind::Library | Kind::Documents | Kind::Room | Kind::System => None,
            };
            if let Some((field, said)) = said
                && said != topic.id()
                && said != topic.as_str()
            {
                let said = said.chars().take(KEY_BYTES_MAX).collect();
                return Err(DraftError::Contradiction { field, said, topic });
            }
        } else if name.as_str() == CLARIFICATION && topic.kind() == Kind::Session {
            return Err(DraftError::Question);
        }
        Ok(Self {
            topic,
            name,
            raw,
            depth,
            class: None,
            key: None,
            attempt: None,
            owner: None,
        })
    }

    /// A draft whose payload is told exactly as it is, without the place or anything else in it. A
    /// question is told as usual, since it needs its id.
    ///
    /// # Errors
    /// When the payload is no JSON or is nested far too deeply.
    pub fn untouched(topic: TopicName, name: EventName, data: &str) -> Result<Self, DraftError> {
        let (raw, depth) = Raw::inspect_untouched(data)?;
        if name.as_str() == CLARIFICATION && topic.kind() == Kind::Session {
            let asked = Self::json(topic.clone(), name.clone(), data);
            if data.contains("\"question\"") {
                return asked;
            }
        }
        Ok(Self {
            topic,
            name,
            raw,
            depth,
            class: None,
            key: None,
            attempt: None,
            owner: None,
        })
    }

    /// A draft whose payload is bytes.
    ///
    /// # Errors
    /// When the name asks a question, which bytes cannot.
    pub fn binary(topic: TopicName, name: EventName, data: Bytes) -> Result<Self, DraftError> {
        if name.as_str() == CLARIFICATION && topic.kind() == Kind::Session {
            return Err(DraftError::Question);
        }
        Ok(Self {
            topic,
            name,
            raw: Raw::Binary(data),
            depth: 0,
            class: None,
            key: None,
            attempt: None,
            owner: None,
        })
    }

    /// Sets the class, instead of the one that the config gives the name.
    #[must_use]
    pub const fn with_class(mut self, class: Option<Class>) -> Self {
        self.class = class;
        self
    }

    /// Says which attempt of a job it is of.
    #[must_use]
    pub const fn with_attempt(mut self, attempt: Option<NonZeroU32>) -> Self {
        self.attempt = attempt;
        self
    }

    /// Says whose topic it goes to. Only the first that says so counts.
    ///
    /// # Errors
    /// When the user is no text of 1 to 255 bytes without control characters.
    pub fn with_owner(mut self, owner: Option<&str>) -> Result<Self, DraftError> {
        let is_user = |owner: &str| {
            (1..=OWNER_BYTES_MAX).contains(&owner.len()) && !owner.chars().any(char::is_control)
        };
        if owner.is_some_and(|owner| !is_user(owner)) {
            return Err(DraftError::Owner);
        }
        self.owner = owner.map(Into::into);
        Ok(self)
    }

    /// Sets the key within the name.
    ///
    /// # Errors
    /// When it is longer than 128 bytes.
    pub fn with_key(mut self, key: Option<&str>) -> Result<Self, DraftError> {
        if let Some(key) = key
            && key.len() > KEY_BYTES_MAX
        {
            return Err(DraftError::Key(key.len()));
        }
        self.key = key.map(Into::into);
        Ok(self)
    }

    /// The topic it goes to.
    pub const fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// Its name.
    pub const fn name(&self) -> &EventName {
        &self.name
    }

    /// The length of its payload, in bytes.
    pub fn payload_bytes(&self) -> usize {
        self.raw.len()
    }

    /// Whether it asks (or closes) a question.
    pub fn is_clarification(&self) -> bool {
        self.name.as_str() == CLARIFICATION && self.topic.kind() == Kind::Session
    }

    /// The payload as it came in.
    pub(crate) fn raw_bytes(&self) -> &[u8] {
        match &self.raw {
            Raw::Object { text, .. } | Raw::Value(text) => text,
            Raw::Binary(data) => data,
        }
    }

    /// The JSON text of the payload as it came in, or nothing for bytes.
    pub fn json_text(&self) -> Option<&str> {
        match &self.raw {
            Raw::Object { text, .. } | Raw::Value(text) => std::str::from_utf8(text).ok(),
            Raw::Binary(_) => None,
        }
    }

    /// The event, once its place is known. Fills in `sessionId`, `timestamp` and, for a question,
    /// `clarificationId` (the event's id) and `status`, where the producer gave none.
    pub(crate) fn seal(self, place: Place, class: Class) -> Event {
        let Place {
            seq,
            epoch,
            id,
            timestamp_ms,
        } = place;
        let extra = self.extra(id, timestamp_ms);
        let payload: Payload = self.raw.seal(&extra, seq, &epoch);
        Event {
            topic: self.topic,
            seq,
            epoch,
            id,
            name: self.name,
            timestamp_ms,
            class,
            key: self.key,
            attempt: self.attempt,
            owner: self.owner,
            payload,
            arrival: Arrival::default(),
        }
    }

    fn extra(&self, id: uuid::Uuid, timestamp_ms: i64) -> String {
        let Raw::Object { seen, .. } = &self.raw else {
            return String::new();
        };
        let mut extra = String::new();
        if self.topic.kind() == Kind::Session && seen.session_id.is_none() {
            write!(extra, r#""sessionId":"{}","#, self.topic.id()).expect("a String takes all");
        }
        if self.topic.kind() == Kind::Job && seen.job_id.is_none() {
            write!(extra, r#""job_id":"{}","#, self.topic.id()).expect("a String takes all");
        }
        if self.is_clarification() && !seen.clarification_id {
            write!(extra, r#""clarificationId":"{id}","#).expect("a String takes all");
        }
        if self.is_clarification() && !seen.status {
            extra.push_str(r#""status":"pending","#);
        }
        if !seen.timestamp {
            let timestamp = iso8601(timestamp_ms);
            write!(extra, r#""timestamp":"{timestamp}","#).expect("a String takes all");
        }
        extra
    }
}

/// What append gives an event: its place and its identity.
pub(crate) struct Place {
    pub(crate) seq: Seq,
    pub(crate) epoch: Epoch,
    pub(crate) id: uuid::Uuid,
    pub(crate) timestamp_ms: i64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn draft(topic: &str, name: &str, data: &str) -> Result<Draft, DraftError> {
        Draft::json(topic.parse().unwrap(), name.parse().unwrap(), data)
    }

    fn sealed(topic: &str, name: &str, data: &str) -> serde_json::Value {
        let place = Place {
            seq: Seq(1),
            epoch: Epoch::new("e").unwrap(),
            id: uuid::Uuid::nil(),
            timestamp_ms: 0,
        };
        let event = draft(topic, name, data).unwrap().seal(place, Class::Fact);
        serde_json::from_str(event.payload.json().unwrap()).unwrap()
    }

    #[test]
    fn session_and_time_are_filled_in_when_absent() {
        let value = sealed("session:a", "progress", "{}");
        assert_eq!(value["sessionId"], "a");
        assert_eq!(value["timestamp"], "1970-01-01T00:00:00.000Z");
        let value = sealed(
            "session:a",
            "progress",
            r#"{"timestamp":5,"sessionId":"a"}"#,
        );
        assert_eq!(value["timestamp"], 5);
    }

    #[test]
    fn a_question_gets_an_id_and_a_status() {
        let value = sealed("session:a", "clarification", r#"{"question":"which?"}"#);
        assert_eq!(value["status"], "pending");
        assert_eq!(value["clarificationId"], uuid::Uuid::nil().to_string());
    }

    #[test]
    fn a_payload_of_another_session_is_refused() {
        let error = draft("session:a", "progress", r#"{"sessionId":"b"}"#).unwrap_err();
        assert!(error.to_string().contains("`b`"), "{error}");
        let error = draft("job:a", "progress", r#"{"job_id":"b"}"#).unwrap_err();
        assert!(matches!(
            error,
            DraftError::Contradiction {
                field: "job_id",
                ..
            }
        ));
        assert_eq!(
            draft("session:a", "clarification", "1").unwrap_err(),
            DraftError::Question
        );
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_becomes_json(
            text in ".{0,80}",
            ours in "[\\[\\]{}\":,0-9a-z_\\\\ ]{0,60}",
            field in "[a-zA-Z_]{0,12}",
        ) {
            let object = format!(r#"{{"{field}": {}, "clarificationId": 5}}"#, json_text(&text));
            for text in [text, ours, object] {
                for name in ["progress", "clarification"] {
                    if draft("session:a", name, &text).is_ok() {
                        sealed("session:a", name, &text);
                    }
                }
            }
        }
    }

    fn json_text(text: &str) -> String {
        serde_json::to_string(text).unwrap()
    }
}
