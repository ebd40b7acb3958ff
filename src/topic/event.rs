//! Events: the entries of a topic.

use std::borrow::Borrow;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::time::Instant;
use uuid::Uuid;

use crate::origin::Parent;
use crate::topic::{Class, Cursor, Epoch, Payload, Seq, TopicName};

/// Longest event name, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Names that Socket.IO or the contract keeps for itself.
const RESERVED: [&str; 11] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
    "connected",
    "subscribe",
    "subscribed",
    "unsubscribe",
    "unsubscribed",
];

/// The name of an event: ASCII, starts with a letter, 1 to 64 of `A-Z a-z 0-9 _ . : -`, and none of
/// the reserved ones. Being plain ASCII, it needs no escapes in any frame.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventName(Arc<str>);

impl EventName {
    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EventName {
    type Err = EventNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-');
        let fits = text.len() <= NAME_BYTES_MAX
            && text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
            && text.bytes().all(allowed);
        if RESERVED.contains(&text)
            || text == "gap"
            || text.starts_with("auth:")
            || text.starts_with('_')
        {
            return Err(EventNameError::Reserved(
                text.chars().take(NAME_BYTES_MAX).collect(),
            ));
        }
        if fits {
            Ok(Self(text.into()))
        } else {
            Err(EventNameError::Characters)
        }
    }
}

impl Borrow<str> for EventName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for EventName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for EventName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a text is no event name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventNameError {
    /// The name is kept for the protocol.
    #[error("the event name `{0}` is reserved: choose another")]
    Reserved(String),
    /// Empty, too long, or a forbidden character.
    #[error("an event name starts with a letter and has 1 to 64 of A-Z a-z 0-9 _ . : -")]
    Characters,
}

/// An entry of a topic's log. Never changes once appended.
#[derive(Debug)]
pub struct Event {
    /// The topic it belongs to.
    pub topic: TopicName,
    /// Its number in the topic.
    pub seq: Seq,
    /// The incarnation of the topic's log.
    pub epoch: Epoch,
    /// A UUID of version 7, for people and logs.
    pub id: Uuid,
    /// Its name.
    pub name: EventName,
    /// When it was appended, in milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// What may happen to it on the way to a subscriber that is behind.
    pub class: Class,
    /// Within a name, what the newest of replaces what: the newest `progress` of each file, say.
    pub key: Option<Box<str>>,
    /// Which attempt of a job it is of, from 1, if the producer said.
    pub attempt: Option<NonZeroU32>,
    /// The user whose topic it is, once an event has said so.
    pub owner: Option<Arc<str>>,
    /// The payload, `_seq` and `_epoch` included.
    pub payload: Payload,
    /// How it came into this process.
    pub arrival: Arrival,
}

/// How an event came into this process. Lives in memory only, and is nothing for what was read from
/// a log.
#[derive(Debug, Clone, Default)]
pub struct Arrival {
    /// When it was numbered, by a clock that nobody sets; nothing for what Redis numbered.
    pub at: Option<Instant>,
    /// The step of a trace that published it, if that is recorded.
    pub trace: Option<Box<Parent>>,
}

impl Event {
    /// The place just behind this event.
    pub fn cursor(&self) -> Cursor {
        Cursor {
            epoch: self.epoch.clone(),
            seq: self.seq,
        }
    }

    /// When it was appended, as ISO 8601 in UTC with milliseconds.
    pub fn timestamp(&self) -> String {
        iso8601(self.timestamp_ms)
    }

    /// What it takes in memory, in bytes, roughly.
    pub fn footprint_bytes(&self) -> usize {
        size_of::<Self>() + self.payload.len() + self.key.as_ref().map_or(0, |key| key.len())
    }
}

/// A time in milliseconds since the Unix epoch as ISO 8601 in UTC with milliseconds.
pub fn iso8601(timestamp_ms: i64) -> String {
    let timestamp = jiff::Timestamp::from_millisecond(timestamp_ms).unwrap_or_default();
    format!("{timestamp:.3}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_plain_ascii_and_not_reserved() {
        for good in ["progress", "a", "job.step-1_x:y", "error", &"x".repeat(64)] {
            assert!(good.parse::<EventName>().is_ok(), "{good}");
        }
        for reserved in ["connect", "subscribed", "gap", "auth:refresh", "_x"] {
            let error = reserved.parse::<EventName>().unwrap_err();
            assert!(matches!(error, EventNameError::Reserved(_)), "{reserved}");
        }
        for bad in ["", "1a", "a b", "é", "a\"b", &"x".repeat(65)] {
            assert_eq!(
                bad.parse::<EventName>(),
                Err(EventNameError::Characters),
                "{bad}"
            );
        }
    }

    #[test]
    fn timestamps_have_milliseconds_and_a_z() {
        assert_eq!(iso8601(1_768_471_200_000), "2026-01-15T10:00:00.000Z");
        assert_eq!(iso8601(5), "1970-01-01T00:00:00.005Z");
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_is_a_name(text in ".{0,80}", ours in "[A-Za-z0-9_.:-]{0,80}") {
            for text in [text, ours] {
                if let Ok(name) = text.parse::<EventName>() {
                    prop_assert_eq!(name.as_str(), &text);
                    prop_assert!(text.is_ascii() && !text.contains(['"', '\\']));
                }
            }
        }
    }
}
