//! Events as Socket.IO frames. The websocket form is the one that is kept; polling unwraps it.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde_json::Value;

use crate::face::socketio::recovery::offset::{self, Tail};
use crate::topic::{Entry, Event, Payload};
use crate::wire::frame::{self, BINARY, TEXT};

/// The forms that are kept in the ring, by their number there.
const FORM_TEXT: usize = 0;
const FORM_MSGPACK: usize = 1;
const FORM_TEXT_OFFSET: usize = 2;
const FORM_MSGPACK_OFFSET: usize = 3;

/// Which frames a client reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Socket.IO's own parser over Engine.IO 3.
    TextEio3,
    /// Socket.IO's own parser over Engine.IO 4.
    Text,
    /// socket.io-msgpack-parser.
    Msgpack,
}

/// The frames of a live event; built once for all who read the same dialect, unless they end in
/// what concerns one connection only.
pub(crate) fn live(entry: &Entry, dialect: Dialect, tail: Tail<'_>) -> Bytes {
    let form = match (dialect, tail) {
        // Attachments have a prefix of their own there; nobody else can share them.
        (Dialect::TextEio3, _) if matches!(entry.event.payload, Payload::Binary(_)) => {
            return event(&entry.event, dialect, tail);
        }
        (_, Tail::Others(_)) => return event(&entry.event, dialect, tail),
        (Dialect::Text | Dialect::TextEio3, Tail::None) => FORM_TEXT,
        (Dialect::Text | Dialect::TextEio3, Tail::Own) => FORM_TEXT_OFFSET,
        (Dialect::Msgpack, Tail::None) => FORM_MSGPACK,
        (Dialect::Msgpack, Tail::Own) => FORM_MSGPACK_OFFSET,
    };
    entry.form(form, |inner| event(inner, dialect, tail))
}

/// The frames of an event that is not live.
pub(crate) fn replayed(event: &Event, dialect: Dialect, tail: Tail<'_>) -> Bytes {
    frames(event, &event.payload.replayed(), dialect, tail)
}

fn event(event: &Event, dialect: Dialect, tail: Tail<'_>) -> Bytes {
    let (Payload::Object(data) | Payload::Value(data) | Payload::Binary(data)) = &event.payload;
    frames(event, data, dialect, tail)
}

fn frames(event: &Event, data: &Bytes, dialect: Dialect, tail: Tail<'_>) -> Bytes {
    let name = event.name.as_str();
    let offset = match tail {
        Tail::None => None,
        Tail::Own => Some(offset::own(&event.topic, &event.cursor())),
        Tail::Others(others) => Some(offset::own(&event.topic, &event.cursor()) + others),
    };
    match (dialect, &event.payload) {
        (Dialect::Msgpack, Payload::Binary(_)) => msgpack(name, offset.as_deref(), |out| {
            rmp::encode::write_bin(out, data)
        }),
        (Dialect::Msgpack, Payload::Object(_) | Payload::Value(_)) => {
            let value: Value = serde_json::from_slice(data).unwrap_or_default();
            msgpack_value(name, offset.as_deref(), &value)
        }
        (_, Payload::Object(_) | Payload::Value(_)) => {
            let offset_len = offset.as_ref().map_or(0, String::len);
            let mut text = Vec::with_capacity(data.len() + name.len() + offset_len + 12);
            text.extend_from_slice(br#"42[""#);
            text.extend_from_slice(name.as_bytes());
            text.extend_from_slice(br#"","#);
            text.extend_from_slice(data);
            end(&mut text, offset.as_deref());
            frame::build(TEXT, &text)
        }
        (Dialect::Text | Dialect::TextEio3, Payload::Binary(_)) => {
            let mut text = format!(r#"451-["{name}",{{"_placeholder":true,"num":0}}"#).into_bytes();
            end(&mut text, offset.as_deref());
            let mut out = BytesMut::with_capacity(text.len() + data.len() + 16);
            frame::put(&mut out, TEXT, &text);
            if dialect == Dialect::TextEio3 {
                let mut prefixed = Vec::with_capacity(data.len() + 1);
                prefixed.put_u8(4);
                prefixed.extend_from_slice(data);
                frame::put(&mut out, BINARY, &prefixed);
            } else {
                frame::put(&mut out, BINARY, data);
            }
            out.freeze()
        }
    }
}

/// Ends the arguments of a packet. Nothing in an offset needs to be escaped.
fn end(text: &mut Vec<u8>, offset: Option<&str>) {
    if let Some(offset) = offset {
        text.extend_from_slice(br#",""#);
        text.extend_from_slice(offset.as_bytes());
        text.push(b'"');
    }
    text.push(b']');
}

/// The frame of a message that is for one connection only. It always ends in an object.
pub(crate) fn message(name: &str, data: &impl Serialize, dialect: Dialect) -> Bytes {
    let value = serde_json::to_value(data).unwrap_or_default();
    match dialect {
        Dialect::Msgpack => msgpack_value(name, None, &value),
        Dialect::Text | Dialect::TextEio3 => {
            frame::build(TEXT, format!(r#"42["{name}",{value}]"#).as_bytes())
        }
    }
}

fn msgpack_value(name: &str, offset: Option<&str>, value: &Value) -> Bytes {
    msgpack(name, offset, |out| {
        // A Vec takes all, and a JSON value has a msgpack form always.
        let _ = rmp_serde::encode::write(out, value);
        Ok::<(), std::convert::Infallible>(())
    })
}

fn msgpack<E>(
    name: &str,
    offset: Option<&str>,
    data: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Bytes {
    let mut out = Vec::with_capacity(256);
    let packet = || {
        rmp::encode::write_map_len(&mut out, 3).ok()?;
        rmp::encode::write_str(&mut out, "type").ok()?;
        rmp::encode::write_uint(&mut out, 2).ok()?;
        rmp::encode::write_str(&mut out, "data").ok()?;
        rmp::encode::write_array_len(&mut out, 2 + u32::from(offset.is_some())).ok()?;
        rmp::encode::write_str(&mut out, name).ok()?;
        data(&mut out).ok()?;
        if let Some(offset) = offset {
            rmp::encode::write_str(&mut out, offset).ok()?;
        }
        rmp::encode::write_str(&mut out, "nsp").ok()?;
        rmp::encode::write_str(&mut out, "/").ok()
    };
    packet().expect("a Vec takes all");
    frame::build(BINARY, &out)
}

/// The packets of websocket frames as a polling body has them: text as it is, binary in base64.
pub(crate) fn poll_packets(frames: &Bytes, dialect: Dialect) -> impl Iterator<Item = Bytes> {
    frame::walk(frames).map(move |(opcode, payload)| {
        if opcode == TEXT {
            return payload;
        }
        let mut packet = String::with_capacity(payload.len() * 4 / 3 + 8);
        match dialect {
            // The frame's own prefix says "message"; in a body the digit 4 does.
            Dialect::TextEio3 => {
                packet.push_str("b4");
                STANDARD.encode_string(&payload[1..], &mut packet);
            }
            Dialect::Text | Dialect::Msgpack => {
                packet.push('b');
                STANDARD.encode_string(&payload, &mut packet);
            }
        }
        packet.into()
    })
}

/// The frame of a packet that was made for a poll.
pub(crate) fn frame_of_packet(packet: &Bytes) -> Bytes {
    match packet
        .strip_prefix(b"b")
        .map(|base64| STANDARD.decode(base64))
    {
        Some(Ok(payload)) => frame::build(BINARY, &payload),
        _ => frame::build(TEXT, packet),
    }
}

/// The body of a poll.
pub(crate) fn body(packets: &[Bytes], dialect: Dialect) -> Bytes {
    let mut body = BytesMut::new();
    for packet in packets {
        add_to_body(&mut body, packet, dialect);
    }
    body.freeze()
}

/// Adds a packet to the body of a poll.
fn add_to_body(body: &mut BytesMut, packet: &[u8], dialect: Dialect) {
    match dialect {
        Dialect::TextEio3 => {
            let text = String::from_utf8_lossy(packet);
            let mut length = String::new();
            write!(length, "{}:", text.encode_utf16().count()).expect("a String takes all");
            body.extend_from_slice(length.as_bytes());
        }
        Dialect::Text | Dialect::Msgpack => {
            if !body.is_empty() {
                body.put_u8(0x1e);
            }
        }
    }
    body.extend_from_slice(packet);
}

/// The packets of a body that the engine made.
pub(crate) fn split_body(body: &Bytes, dialect: Dialect) -> Vec<Bytes> {
    match dialect {
        Dialect::Text | Dialect::Msgpack => body
            .split(|byte| *byte == 0x1e)
            .filter(|packet| !packet.is_empty())
            .map(|packet| body.slice_ref(packet))
            .collect(),
        Dialect::TextEio3 => split_lengths(body),
    }
}

/// `<length in UTF-16 units>:<packet>`, one after the other.
fn split_lengths(body: &Bytes) -> Vec<Bytes> {
    let mut packets = Vec::new();
    let Ok(mut rest) = std::str::from_utf8(body) else {
        return packets;
    };
    while let Some((length, tail)) = rest.split_once(':') {
        let Ok(mut units) = length.parse::<usize>() else {
            break;
        };
        let end = tail
            .char_indices()
            .find(|(_, c)| {
                let is_end = units == 0;
                units = units.saturating_sub(c.len_utf16());
                is_end
            })
            .map_or(tail.len(), |(at, _)| at);
        packets.push(body.slice_ref(&tail.as_bytes()[..end]));
        rest = &tail[end..];
    }
    packets
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::topic::{Class, Epoch, Seq};

    fn entry(payload: Payload) -> Entry {
        Entry::new(std::sync::Arc::new(Event {
            topic: "session:a".parse().unwrap(),
            seq: Seq(1),
            epoch: Epoch::new("e").unwrap(),
            id: uuid::Uuid::nil(),
            name: "progress".parse().unwrap(),
            timestamp_ms: 0,
            class: Class::State,
            key: None,
            attempt: None,
            owner: None,
            payload,
            arrival: crate::topic::Arrival::default(),
        }))
    }

    fn packets(payload: Payload, dialect: Dialect) -> Vec<String> {
        poll_packets(&live(&entry(payload), dialect, Tail::None), dialect)
            .map(|packet| String::from_utf8(packet.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn an_event_is_one_text_packet() {
        let payload = Payload::Object(r#"{"a":1}"#.into());
        assert_eq!(
            packets(payload.clone(), Dialect::Text),
            [r#"42["progress",{"a":1}]"#]
        );
        let frames = replayed(&entry(payload).event, Dialect::Text, Tail::None);
        let got: Vec<_> = poll_packets(&frames, Dialect::Text).collect();
        assert_eq!(
            got,
            [r#"42["progress",{"a":1,"_replayed":true}]"#.as_bytes()]
        );
    }

    #[test]
    fn an_offset_is_the_last_argument() {
        let last = |payload: &Payload, tail| {
            let frames = live(&entry(payload.clone()), Dialect::Text, tail);
            let packet = poll_packets(&frames, Dialect::Text).next().unwrap();
            String::from_utf8(packet.to_vec()).unwrap()
        };
        let object = Payload::Object(r#"{"a":1}"#.into());
        let text = Payload::Value(r#""x""#.into());
        let bytes = Payload::Binary(Bytes::from_static(&[1]));
        let own = |head: &str| format!(r#"{head},"session:a:e:1"]"#);
        let placeholder = r#"451-["progress",{"_placeholder":true,"num":0}"#;
        assert_eq!(last(&object, Tail::Own), own(r#"42["progress",{"a":1}"#));
        assert_eq!(last(&text, Tail::Own), own(r#"42["progress","x""#));
        assert_eq!(last(&bytes, Tail::Own), own(placeholder));
        let others = r#"42["progress","x","session:a:e:1;tag;0.7"]"#;
        assert_eq!(last(&text, Tail::Others(";tag;0.7")), others);

        let frame = live(&entry(object), Dialect::Msgpack, Tail::Own);
        let (_, packet) = frame::walk(&frame).next().unwrap();
        let value: Value = rmp_serde::from_slice(&packet).unwrap();
        assert_eq!(
            value["data"],
            serde_json::json!(["progress", {"a": 1}, "session:a:e:1"])
        );
    }

    #[test]
    fn bytes_are_an_attachment_in_one_unit() {
        let head = r#"451-["progress",{"_placeholder":true,"num":0}]"#;
        let payload = Payload::Binary(Bytes::from_static(&[0, 255]));
        assert_eq!(packets(payload.clone(), Dialect::Text), [head, "bAP8="]);
        assert_eq!(
            packets(payload.clone(), Dialect::TextEio3),
            [head, "b4AP8="]
        );
        let frame = live(&entry(payload), Dialect::Msgpack, Tail::None);
        let (opcode, packet) = frame::walk(&frame).next().unwrap();
        assert_eq!(opcode, BINARY);
        assert!(packet.windows(4).any(|window| window == [0xc4, 2, 0, 255]));
    }

    #[test]
    fn bodies_survive_their_own_splitting() {
        let sent = [r#"42["a","é 🚀"]"#, "2", r#"0{"sid":"x"}"#];
        for dialect in [Dialect::Text, Dialect::TextEio3] {
            let mut body = BytesMut::new();
            for packet in sent {
                add_to_body(&mut body, packet.as_bytes(), dialect);
            }
            let got = split_body(&body.freeze(), dialect);
            assert_eq!(got, sent.map(str::as_bytes), "{dialect:?}");
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), ours in "([0-9]{0,4}:?[4b\u{1e}é🚀a-z]{0,6}){0,8}") {
            for body in [Bytes::from(bytes), Bytes::from(ours)] {
                for dialect in [Dialect::Text, Dialect::TextEio3, Dialect::Msgpack] {
                    for packet in split_body(&body, dialect) {
                        let _ = frame_of_packet(&packet);
                    }
                }
            }
        }

        #[test]
        fn any_packets_survive_a_body(
            packets in proptest::collection::vec("[^\u{1e}]{1,20}", 0..8),
        ) {
            for dialect in [Dialect::Text, Dialect::TextEio3] {
                let sent: Vec<Bytes> = packets.iter().cloned().map(Bytes::from).collect();
                prop_assert_eq!(&split_body(&body(&sent, dialect), dialect), &sent);
            }
        }
    }
}
