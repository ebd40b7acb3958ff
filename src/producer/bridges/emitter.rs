//! `@socket.io/redis-emitter` 5: packets in msgpack, requests in JSON.
//!
//! `KEY#/#` and `KEY#/#ROOM#` carry `[uid, {type, data: [event, ...], nsp}, {rooms, except, flags}]`;
//! `KEY-request#/#` carries `{type: 2 | 3 | 4, opts: {rooms, except}, rooms}`: join, leave, disconnect.

use rmpv::Value;

use crate::producer::bridges::action::{
    Action, Aim, Arguments, Broken, DEPTH_MAX, member, of_json, plain, texts,
};

/// The type of a packet that is an event; with attachments in the protocol, not in msgpack.
const EVENTS: [u64; 2] = [2, 5];

/// What a message of a channel of packets wants; nothing if it is not for the main namespace.
pub(crate) fn packet(data: &[u8]) -> Result<Option<Action>, Broken> {
    let mut rest = data;
    let message =
        rmpv::decode::read_value_with_max_depth(&mut rest, DEPTH_MAX).map_err(|_| Broken)?;
    let [_, packet, options] = message.as_array().map_or(&[][..], Vec::as_slice) else {
        return Err(Broken);
    };
    if member(packet, "nsp").and_then(Value::as_str) != Some("/") {
        return Ok(None);
    }
    let kind = member(packet, "type").and_then(Value::as_u64);
    if kind.is_none_or(|kind| !EVENTS.contains(&kind)) {
        return Err(Broken);
    }
    let data = member(packet, "data").and_then(Value::as_array);
    let (event, arguments) = data.and_then(|data| data.split_first()).ok_or(Broken)?;
    Ok(Some(Action::Emit {
        event: event.as_str().ok_or(Broken)?.to_owned(),
        arguments: Arguments(arguments.iter().cloned().map(plain).collect()),
        aim: aim(options)?,
    }))
}

/// What a message of the channel of requests wants; nothing if it is for servers of Socket.IO alone.
pub(crate) fn request(data: &[u8]) -> Result<Option<Action>, Broken> {
    let json: serde_json::Value = serde_json::from_slice(data).map_err(|_| Broken)?;
    let request = of_json(json);
    let aim = || aim(member(&request, "opts").ok_or(Broken)?);
    let rooms = || texts(member(&request, "rooms"));
    Ok(match member(&request, "type").and_then(Value::as_u64) {
        Some(2) => Some(Action::Join {
            rooms: rooms()?,
            aim: aim()?,
        }),
        Some(3) => Some(Action::Leave {
            rooms: rooms()?,
            aim: aim()?,
        }),
        Some(4) => Some(Action::Disconnect(aim()?)),
        Some(_) => None,
        None => return Err(Broken),
    })
}

fn aim(options: &Value) -> Result<Aim, Broken> {
    Ok(Aim {
        rooms: texts(member(options, "rooms"))?,
        except: texts(member(options, "except"))?,
        is_recorded: false,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn packed(value: &serde_json::Value) -> Vec<u8> {
        rmp_serde::to_vec(value).unwrap()
    }

    #[test]
    fn an_event_to_a_room_is_understood() {
        let message = json!([
            "emitter",
            {"type": 2, "data": ["progress", {"step": 3}, null], "nsp": "/"},
            {"rooms": ["a"], "except": ["b"], "flags": {}},
        ]);
        let action = packet(&packed(&message)).unwrap().unwrap();
        let Action::Emit {
            event,
            arguments,
            aim,
        } = action
        else {
            panic!("{action:?}")
        };
        assert_eq!((event.as_str(), arguments.0.len()), ("progress", 2));
        assert_eq!(
            (aim.rooms, aim.except),
            (vec!["a".into()], vec!["b".into()])
        );
    }

    #[test]
    fn other_namespaces_are_passed_over_and_rubbish_is_broken() {
        let other = json!(["emitter", {"type": 2, "data": ["x"], "nsp": "/other"}, {}]);
        assert_eq!(packet(&packed(&other)), Ok(None));
        for rubbish in [
            json!([]),
            json!(1),
            json!(["e", {"nsp": "/", "type": 2, "data": []}, {}]),
        ] {
            assert_eq!(packet(&packed(&rubbish)), Err(Broken), "{rubbish}");
        }
        assert_eq!(packet(&[0x91; 2000]), Err(Broken));
        assert_eq!(packet(&[0xdd, 0xff, 0xff, 0xff, 0xff]), Err(Broken));
    }

    #[test]
    fn joins_and_disconnects_are_understood() {
        let join = br#"{"type":2,"opts":{"rooms":["id"],"except":[]},"rooms":["r"]}"#;
        let Ok(Some(Action::Join { rooms, aim })) = request(join) else {
            panic!("no join")
        };
        assert_eq!(
            (rooms, aim.rooms),
            (vec!["r".to_owned()], vec!["id".into()])
        );
        let disconnect = br#"{"type":4,"opts":{"rooms":["id"]},"close":true}"#;
        assert!(matches!(
            request(disconnect),
            Ok(Some(Action::Disconnect(_)))
        ));
        assert_eq!(request(br#"{"type":6,"uid":"x"}"#), Ok(None));
        assert_eq!(request(b"{"), Err(Broken));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = packet(&bytes);
            let _ = request(&bytes);
        }
    }
}
