//! python-socketio's write-only managers: JSON since 5.14, pickle before.
//!
//! A message is a map with `method`; an `emit` has `event`, `data`, `namespace`, `room`, `skip_sid`.
//! In JSON `data` is the list of arguments, with bytes as `[[template], "base64", ...]`; in pickle it
//! is the one argument, or a tuple of several.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rmpv::Value;

use crate::producer::bridges::action::{
    Action, Aim, Arguments, Broken, DEPTH_MAX, member, of_json, texts,
};
use crate::producer::bridges::pickle;

/// What a message wants; nothing if it is not for the main namespace, or for servers alone.
pub(crate) fn message(data: &[u8]) -> Result<Option<Action>, Broken> {
    match data.first() {
        Some(b'{') => {
            let json: serde_json::Value = serde_json::from_slice(data).map_err(|_| Broken)?;
            let message = of_json(json);
            let arguments = |message: &Value| json_arguments(message);
            action(&message, arguments)
        }
        Some(0x80) => {
            let pickled = pickle::read(data).map_err(|_| Broken)?;
            let arguments = |message: &Value| {
                Ok(pickled.tuple("data").unwrap_or_else(|| {
                    vec![member(message, "data").cloned().unwrap_or(Value::Nil)]
                }))
            };
            action(pickled.value(), arguments)
        }
        _ => Err(Broken),
    }
}

fn action(
    message: &Value,
    arguments: impl Fn(&Value) -> Result<Vec<Value>, Broken>,
) -> Result<Option<Action>, Broken> {
    let text = |name: &str| member(message, name).and_then(Value::as_str);
    let namespace = text("namespace").unwrap_or("/");
    if namespace != "/" {
        return Ok(None);
    }
    let sid = || {
        Ok(Aim {
            rooms: vec![text("sid").ok_or(Broken)?.to_owned()],
            ..Aim::default()
        })
    };
    let room = || Ok(vec![text("room").ok_or(Broken)?.to_owned()]);
    Ok(match text("method").ok_or(Broken)? {
        "emit" => Some(Action::Emit {
            event: text("event").ok_or(Broken)?.to_owned(),
            arguments: Arguments(arguments(message)?),
            aim: Aim {
                rooms: texts(member(message, "room"))?,
                except: texts(member(message, "skip_sid"))?,
                is_recorded: false,
            },
        }),
        "disconnect" => Some(Action::Disconnect(sid()?)),
        "enter_room" => Some(Action::Join {
            rooms: room()?,
            aim: sid()?,
        }),
        "leave_room" => Some(Action::Leave {
            rooms: room()?,
            aim: sid()?,
        }),
        "close_room" => {
            let rooms: Vec<String> = room()?;
            let aim = Aim {
                rooms: rooms.clone(),
                ..Aim::default()
            };
            Some(Action::Leave { rooms, aim })
        }
        _ => None,
    })
}

fn json_arguments(message: &Value) -> Result<Vec<Value>, Broken> {
    let data = member(message, "data").cloned().unwrap_or(Value::Nil);
    let is_binary = member(message, "binary").and_then(Value::as_bool) == Some(true);
    let data = match (is_binary, data) {
        (false, data) => data,
        (true, Value::Array(parts)) => {
            let (template, attachments) = parts.split_first().ok_or(Broken)?;
            let attachments: Vec<Vec<u8>> = attachments
                .iter()
                .map(|text| STANDARD.decode(text.as_str().unwrap_or("!")))
                .collect::<Result<_, _>>()
                .map_err(|_| Broken)?;
            filled(template.clone(), &attachments, 0)?
        }
        (true, _) => return Err(Broken),
    };
    Ok(match data {
        Value::Array(arguments) => arguments,
        one => vec![one],
    })
}

/// A template with its attachments in their places.
fn filled(value: Value, attachments: &[Vec<u8>], depth: usize) -> Result<Value, Broken> {
    if depth > DEPTH_MAX {
        return Err(Broken);
    }
    let is_place = member(&value, "_placeholder").and_then(Value::as_bool) == Some(true);
    if is_place {
        let number = member(&value, "num").and_then(Value::as_u64);
        let number = number.and_then(|number| usize::try_from(number).ok());
        let bytes = attachments.get(number.ok_or(Broken)?).ok_or(Broken)?;
        return Ok(Value::Binary(bytes.clone()));
    }
    Ok(match value {
        Value::Array(values) => {
            let filled = |value| filled(value, attachments, depth + 1);
            Value::Array(values.into_iter().map(filled).collect::<Result<_, _>>()?)
        }
        Value::Map(members) => {
            let filled = |(key, value)| Ok((key, filled(value, attachments, depth + 1)?));
            Value::Map(members.into_iter().map(filled).collect::<Result<_, _>>()?)
        }
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn emitted(data: &[u8]) -> (String, Vec<Value>, Aim) {
        match message(data).unwrap().unwrap() {
            Action::Emit {
                event,
                arguments,
                aim,
            } => (event, arguments.0, aim),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn json_has_a_list_of_arguments_and_bytes_beside_it() {
        let (event, arguments, aim) = emitted(
            br#"{"method":"emit","event":"bin","data":[[{"blob":{"_placeholder":true,"num":0}}],"AP8="],
                "binary":true,"namespace":"/","room":["a","b"],"skip_sid":"c","host_id":"h"}"#,
        );
        assert_eq!(event, "bin");
        let blob = member(&arguments[0], "blob");
        assert_eq!(blob, Some(&Value::Binary(vec![0, 255])));
        assert_eq!((aim.rooms.len(), aim.except), (2, vec!["c".to_owned()]));
        let (_, arguments, _) =
            emitted(br#"{"method":"emit","event":"multi","data":[1,"two",null]}"#);
        assert_eq!(arguments.len(), 3);
    }

    #[test]
    fn pickle_has_one_argument_or_a_tuple() {
        // pickle.dumps({'method': 'emit', 'event': 'e', 'data': (1, 'two'), 'room': 'r'})
        let tuple = b"\x80\x04\x95\x39\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x06method\x94\x8c\x04emit\x94\x8c\x05event\x94\x8c\x01e\x94\x8c\x04data\x94K\x01\x8c\x03two\x94\x86\x94\x8c\x04room\x94\x8c\x01r\x94u.";
        let (_, arguments, aim) = emitted(tuple);
        assert_eq!(arguments, [Value::from(1), Value::from("two")]);
        assert_eq!(aim.rooms, ["r"]);
        // pickle.dumps({'method': 'emit', 'event': 'e', 'data': [1, 2]}, protocol=2)
        let list = b"\x80\x02}q\x00(X\x06\x00\x00\x00methodq\x01X\x04\x00\x00\x00emitq\x02X\x05\x00\x00\x00eventq\x03X\x01\x00\x00\x00eq\x04X\x04\x00\x00\x00dataq\x05]q\x06(K\x01K\x02eu.";
        let (_, arguments, _) = emitted(list);
        assert_eq!(arguments, [Value::Array(vec![1.into(), 2.into()])]);
    }

    #[test]
    fn what_is_no_message_is_broken() {
        for rubbish in [&b""[..], b"{", b"[]", b"{}", b"\xc1", b"\x80", b"\x80\x04."] {
            assert_eq!(message(rubbish), Err(Broken), "{rubbish:?}");
        }
        assert_eq!(message(br#"{"method":"callback"}"#), Ok(None));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = message(&bytes);
        }
    }
}
