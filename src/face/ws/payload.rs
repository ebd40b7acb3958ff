//! An event's payload as a message of a dialect: the same fields, and its `type`.

use std::io::Write as _;

use serde_json::{Map, Value};

use crate::face::envelope::{self, Telling};
use crate::topic::{Event, Payload};

/// The payload with `type` put in front; a `type` of the producer gives way. What is no object
/// travels as `data`, bytes as `data_base64`.
pub(super) fn typed(event: &Event, kind: &str, is_live: bool) -> String {
    let telling = if is_live {
        Telling::Plain
    } else {
        Telling::Replayed
    };
    let mut out = Vec::with_capacity(event.payload.len() + 64);
    write!(out, r#"{{"type":"{kind}","#).expect("a Vec takes all");
    match &event.payload {
        Payload::Object(_) => {
            let start = out.len();
            envelope::payload(&mut out, event, telling);
            // The object's own brace goes; sealed objects are never empty.
            out.remove(start);
        }
        Payload::Value(_) | Payload::Binary(_) => {
            let is_json = matches!(event.payload, Payload::Value(_));
            let field: &[u8] = if is_json {
                br#""data":"#
            } else {
                br#""data_base64":"#
            };
            out.extend_from_slice(field);
            envelope::payload(&mut out, event, telling);
            let place = format!(r#","_seq":{},"_epoch":"{}"}}"#, event.seq, event.epoch);
            out.extend_from_slice(place.as_bytes());
        }
    }
    let text = String::from_utf8(out).expect("JSON is UTF-8");
    let says_type = event
        .payload
        .json()
        .is_some_and(|text| text.contains(r#""type""#));
    if says_type {
        retyped(&text, kind)
    } else {
        text
    }
}

/// The payload as `data` of a message, beside its `type` and the time of the event.
pub(super) fn within(event: &Event, kind: &str, is_live: bool) -> String {
    let telling = if is_live {
        Telling::Plain
    } else {
        Telling::Replayed
    };
    let mut out = Vec::with_capacity(event.payload.len() + 96);
    let timestamp = event.timestamp();
    write!(
        out,
        r#"{{"type":"{kind}","timestamp":"{timestamp}","data":"#
    )
    .expect("a Vec takes all");
    envelope::payload(&mut out, event, telling);
    out.push(b'}');
    String::from_utf8(out).expect("JSON is UTF-8")
}

/// The payload as a value; nothing for bytes.
pub(super) fn value(event: &Event) -> Value {
    let text = event.payload.json();
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

/// The text with one `type` only.
fn retyped(text: &str, kind: &str) -> String {
    match serde_json::from_str::<Map<String, Value>>(text) {
        Ok(mut fields) => {
            fields.insert("type".to_owned(), kind.into());
            Value::Object(fields).to_string()
        }
        Err(_) => text.to_owned(),
    }
}
