//! The events of a run: what each says of itself, and how it is known again.

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// What may happen to the events of a stream on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    /// Each is to arrive.
    Fact,
    /// The newest is to arrive; the order is kept.
    State,
}

/// The events of one producer in one topic and lane, numbered from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Stream {
    pub(super) producer: usize,
    pub(super) lane: Lane,
}

impl Lane {
    /// The lane of an event's name; nothing if it is none of ours.
    pub(super) fn of(name: &str) -> Option<Self> {
        match name {
            "model_result" | "page_read" => Some(Self::Fact),
            "progress" => Some(Self::State),
            _ => None,
        }
    }

    /// The name of the event with this number.
    pub(super) const fn name(self, n: u64) -> &'static str {
        match self {
            Self::Fact if n.is_multiple_of(3) => "page_read",
            Self::Fact => "model_result",
            Self::State => "progress",
        }
    }
}

/// A payload as the application sees it.
#[derive(Debug, Deserialize)]
pub(super) struct Payload {
    pub(super) topic: String,
    producer: usize,
    pub(super) n: u64,
    sha: String,
    /// When it was first sent, in microseconds after the begin of the run.
    pub(super) at: u64,
    pad: String,
    #[serde(rename = "_seq")]
    pub(super) seq: u64,
    #[serde(rename = "_epoch")]
    pub(super) epoch: String,
    #[serde(rename = "_replayed", default)]
    pub(super) is_replayed: bool,
}

impl Payload {
    /// The stream that it belongs to.
    pub(super) const fn stream(&self, lane: Lane) -> Stream {
        Stream {
            producer: self.producer,
            lane,
        }
    }

    /// Whether it is what the producer sent.
    pub(super) fn is_genuine(&self, lane: Lane) -> bool {
        self.sha == sha(&self.topic, self.stream(lane), self.n, &self.pad)
    }
}

/// The payload of an event.
pub(super) fn payload(topic: &str, stream: Stream, n: u64, (at, pad): (u64, &str)) -> Value {
    json!({
        "topic": topic,
        "producer": stream.producer,
        "n": n,
        "sha": sha(topic, stream, n, pad),
        "at": at,
        "pad": pad,
    })
}

/// The first half of the digest, in hexadecimal digits.
fn sha(topic: &str, stream: Stream, n: u64, pad: &str) -> String {
    let text = format!("{topic}|{}|{:?}|{n}|{pad}", stream.producer, stream.lane);
    let digest = Sha256::digest(text.as_bytes());
    let half = digest.first_chunk().expect("a digest has 32 bytes");
    format!("{:032x}", u128::from_be_bytes(*half))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_that_was_changed_is_known() {
        let stream = Stream {
            producer: 3,
            lane: Lane::Fact,
        };
        let mut sent = payload("session:a", stream, 7, (5, "xx"));
        sent["_seq"] = json!(9);
        sent["_epoch"] = json!("e");
        let read = |value: &Value| serde_json::from_value::<Payload>(value.clone()).unwrap();
        let whole = read(&sent);
        assert_eq!(whole.stream(Lane::Fact), stream);
        assert!(whole.is_genuine(Lane::Fact) && !whole.is_replayed);
        assert!(!whole.is_genuine(Lane::State));
        for (field, value) in [("n", json!(8)), ("pad", json!("xy")), ("topic", json!("b"))] {
            let mut changed = sent.clone();
            changed[field] = value;
            assert!(!read(&changed).is_genuine(Lane::Fact), "{field}");
        }
    }

    #[test]
    fn names_tell_the_lane() {
        for n in 1..7 {
            for lane in [Lane::Fact, Lane::State] {
                assert_eq!(Lane::of(lane.name(n)), Some(lane));
            }
        }
        assert_eq!(Lane::of("subscribed"), None);
    }
}
