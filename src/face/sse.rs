//! Server-sent events: how an event, a gap and silence look on the wire.
//!
//! `id:` is the cursor, so `Last-Event-ID` resumes; `event:` is the event's name; `data:` is the
//! payload on one line. Bytes travel as `{"data_base64": "..."}`. A gap is `event: gap` without an
//! id: a client that is cut off before the snapshot behind it is told of the gap again.
//! Pulling events and pacing them is the business of the HTTP face, not of this module.

use std::io::Write as _;
use std::time::Duration;

use crate::hub::Gap;
use crate::topic::{Event, Payload, TopicName};

use crate::face::envelope::{self, Telling};

/// What is sent while nothing happens, so that proxies keep the connection.
pub(crate) const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// The opening of a stream: how long a client that was cut off waits before it comes back.
pub(crate) fn opening(retry: Duration) -> Vec<u8> {
    format!("retry: {}\n\n", retry.as_millis()).into_bytes()
}

/// Writes an event.
pub(crate) fn event(out: &mut Vec<u8>, event: &Event, telling: Telling) {
    write!(
        out,
        "id: {}:{}\nevent: {}\ndata: ",
        event.epoch, event.seq, event.name
    )
    .expect("a Vec takes all");
    match &event.payload {
        Payload::Object(_) | Payload::Value(_) => envelope::payload(out, event, telling),
        Payload::Binary(_) => {
            out.extend_from_slice(br#"{"data_base64":"#);
            envelope::payload(out, event, telling);
            out.push(b'}');
        }
    }
    out.extend_from_slice(b"\n\n");
}

/// Writes a gap.
pub(crate) fn gap(out: &mut Vec<u8>, topic: &TopicName, gap: &Gap) {
    out.extend_from_slice(b"event: gap\ndata: ");
    envelope::gap(out, topic, gap);
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::{Class, Epoch, Seq};

    fn with_payload(payload: Payload) -> Event {
        Event {
            topic: "session:a".parse().unwrap(),
            seq: Seq(3),
            epoch: Epoch::new("e1").unwrap(),
            id: uuid::Uuid::nil(),
            name: "progress".parse().unwrap(),
            timestamp_ms: 0,
            class: Class::State,
            key: None,
            attempt: None,
            owner: None,
            payload,
            arrival: crate::topic::Arrival::default(),
        }
    }

    fn written(payload: Payload, telling: Telling) -> String {
        let mut out = Vec::new();
        event(&mut out, &with_payload(payload), telling);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_event_has_cursor_name_and_payload() {
        let payload = Payload::Object(r#"{"a":1}"#.into());
        let live = written(payload.clone(), Telling::Plain);
        assert_eq!(live, "id: e1:3\nevent: progress\ndata: {\"a\":1}\n\n");
        let replayed = written(payload, Telling::Replayed);
        assert!(
            replayed.contains(r#"data: {"a":1,"_replayed":true}"#),
            "{replayed}"
        );
    }

    #[test]
    fn bytes_travel_as_base64() {
        let text = written(Payload::Binary("hi".into()), Telling::Plain);
        assert!(
            text.contains("data: {\"data_base64\":\"aGk=\"}\n\n"),
            "{text}"
        );
    }

    #[test]
    fn a_gap_names_both_cursors_and_has_no_id() {
        let (mut out, topic) = (Vec::new(), "session:a".parse().unwrap());
        let told = Gap {
            from: "a:1".parse().unwrap(),
            to: "b:2".parse().unwrap(),
        };
        gap(&mut out, &topic, &told);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "event: gap\ndata: {\"topic\":\"session:a\",\"from\":\"a:1\",\"to\":\"b:2\"}\n\n"
        );
    }
}
