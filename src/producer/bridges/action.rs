//! Actions: what an emitter wants done, whatever it speaks.

use rmpv::Value;
use serde::ser::SerializeTuple as _;
use serde::{Serialize, Serializer};

/// What is to be done in the main namespace.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// An event is sent.
    Emit {
        /// Its name.
        event: String,
        /// Its arguments.
        arguments: Arguments,
        /// To whom.
        aim: Aim,
    },
    /// Sockets join rooms.
    Join {
        /// The rooms.
        rooms: Vec<String>,
        /// Which sockets.
        aim: Aim,
    },
    /// Sockets leave rooms.
    Leave {
        /// The rooms.
        rooms: Vec<String>,
        /// Which sockets.
        aim: Aim,
    },
    /// Sockets are disconnected.
    Disconnect(Aim),
}

/// Whom an action concerns: everybody in one of the rooms (or everybody), less those in an excepted
/// one. The id of a socket is a room with that socket alone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Aim {
    /// The rooms; empty means everybody.
    pub rooms: Vec<String>,
    /// The excepted rooms.
    pub except: Vec<String>,
    /// Whether those who follow the topic of the room get the event from its log.
    pub is_recorded: bool,
}

/// One argument of an event.
pub type Argument = Value;

/// The arguments of an event, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Arguments(pub Vec<Argument>);

impl Serialize for Arguments {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        for argument in &self.0 {
            tuple.serialize_element(argument)?;
        }
        tuple.end()
    }
}

/// A message that cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken;

/// Deepest nesting of a message.
pub(crate) const DEPTH_MAX: usize = 64;

/// The texts of a list, or the one text; nothing for null.
pub(crate) fn texts(value: Option<&Value>) -> Result<Vec<String>, Broken> {
    match value {
        None | Some(Value::Nil) => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![text.as_str().ok_or(Broken)?.to_owned()]),
        Some(Value::Array(values)) => values
            .iter()
            .map(|value| Ok(value.as_str().ok_or(Broken)?.to_owned()))
            .collect(),
        Some(_) => Err(Broken),
    }
}

/// The member of a map.
pub(crate) fn member<'a>(map: &'a Value, name: &str) -> Option<&'a Value> {
    let members = map.as_map()?;
    members
        .iter()
        .find_map(|(key, value)| (key.as_str() == Some(name)).then_some(value))
}

/// A value as JavaScript would have it: what is undefined or of another kind becomes null.
pub(crate) fn plain(value: Value) -> Value {
    match value {
        Value::Ext(..) => Value::Nil,
        Value::Array(values) => Value::Array(values.into_iter().map(plain).collect()),
        Value::Map(members) => Value::Map(
            members
                .into_iter()
                .map(|(key, value)| (key, plain(value)))
                .collect(),
        ),
        other => other,
    }
}

/// A JSON value in the same form.
pub(crate) fn of_json(value: serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match value {
        Json::Null => Value::Nil,
        Json::Bool(is_true) => Value::Boolean(is_true),
        Json::Number(number) => number
            .as_i64()
            .map(Value::from)
            .or_else(|| number.as_u64().map(Value::from))
            .unwrap_or_else(|| Value::F64(number.as_f64().unwrap_or(0.0))),
        Json::String(text) => Value::from(text),
        Json::Array(values) => Value::Array(values.into_iter().map(of_json).collect()),
        Json::Object(members) => Value::Map(
            members
                .into_iter()
                .map(|(key, value)| (Value::from(key), of_json(value)))
                .collect(),
        ),
    }
}

/// Whether there are bytes anywhere in it.
pub(crate) fn has_bytes(value: &Value) -> bool {
    match value {
        Value::Binary(_) => true,
        Value::Array(values) => values.iter().any(has_bytes),
        Value::Map(members) => members.iter().any(|(_, value)| has_bytes(value)),
        _ => false,
    }
}
