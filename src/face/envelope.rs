//! Envelopes: an event as JSON with everything that is known of it.
//!
//! Written by hand into one buffer: payloads are opaque text and everything else is plain ASCII
//! that needs no escapes, but for the key.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::hub::Gap;
use crate::topic::{Event, Payload, TopicName};

/// Whether a payload says that it is not live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Telling {
    /// As it is in the log.
    Plain,
    /// An object bears `_replayed: true`.
    Replayed,
}

/// Writes the envelope of an event: `data` for JSON, `data_base64` for bytes.
pub(crate) fn write(out: &mut Vec<u8>, event: &Event, telling: Telling) {
    let Event {
        topic,
        seq,
        epoch,
        id,
        name,
        class,
        ..
    } = event;
    let timestamp = event.timestamp();
    let class = class.as_str();
    write!(
        out,
        r#"{{"topic":"{topic}","seq":{seq},"epoch":"{epoch}","id":"{id}","name":"{name}","timestamp":"{timestamp}","class":"{class}","#
    )
    .expect("a Vec takes all");
    if let Some(key) = &event.key {
        out.extend_from_slice(br#""key":"#);
        serde_json::to_writer(&mut *out, key).expect("a text is JSON");
        out.push(b',');
    }
    if let Some(attempt) = event.attempt {
        write!(out, r#""attempt":{attempt},"#).expect("a Vec takes all");
    }
    let field: &[u8] = match event.payload {
        Payload::Object(_) | Payload::Value(_) => br#""data":"#,
        Payload::Binary(_) => br#""data_base64":"#,
    };
    out.extend_from_slice(field);
    payload(out, event, telling);
    out.push(b'}');
}

/// Writes the payload as a JSON value; bytes as a base64 string.
pub(crate) fn payload(out: &mut Vec<u8>, event: &Event, telling: Telling) {
    match (&event.payload, telling) {
        (Payload::Object(_), Telling::Replayed) => {
            out.extend_from_slice(&event.payload.replayed());
        }
        (Payload::Object(text) | Payload::Value(text), _) => out.extend_from_slice(text),
        (Payload::Binary(data), _) => {
            write!(out, "\"{}\"", STANDARD.encode(data)).expect("a Vec takes all");
        }
    }
}

/// Writes `{topic, from, to}`.
pub(crate) fn gap(out: &mut Vec<u8>, topic: &TopicName, gap: &Gap) {
    let Gap { from, to } = gap;
    write!(out, r#"{{"topic":"{topic}","from":"{from}","to":"{to}"}}"#).expect("a Vec takes all");
}

/// Writes a list of envelopes.
pub(crate) fn list<'a>(out: &mut Vec<u8>, events: impl IntoIterator<Item = &'a Event>) {
    out.push(b'[');
    for (n, event) in events.into_iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        write(out, event, Telling::Plain);
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::topic::{Class, Epoch, Seq};

    #[test]
    fn an_envelope_is_json_whatever_the_key_holds() {
        let event = Event {
            topic: "job:a".parse().unwrap(),
            seq: Seq(3),
            epoch: Epoch::new("e1").unwrap(),
            id: uuid::Uuid::nil(),
            name: "progress".parse().unwrap(),
            timestamp_ms: 0,
            class: Class::State,
            key: Some("a\"\n".into()),
            attempt: std::num::NonZeroU32::new(2),
            owner: None,
            payload: Payload::Binary("hi".into()),
            arrival: crate::topic::Arrival::default(),
        };
        let mut out = Vec::new();
        list(&mut out, [&event, &event]);
        let value: Value = serde_json::from_slice(&out).unwrap();
        let want = json!({
            "topic": "job:a", "seq": 3, "epoch": "e1", "name": "progress", "class": "state",
            "id": "00000000-0000-0000-0000-000000000000", "key": "a\"\n", "attempt": 2,
            "timestamp": "1970-01-01T00:00:00.000Z", "data_base64": "aGk=",
        });
        assert_eq!(value, json!([want, want]));
    }
}
