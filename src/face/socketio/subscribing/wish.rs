//! What a client asks for with `subscribe` and `unsubscribe`, as far as it is well formed.

use serde_json::{Value, json};

use crate::face::socketio::messages::Problem;
use crate::face::socketio::requests::Desk;
use crate::topic::{Cursor, EventName, TopicName};

/// The code of a list of ids that is too long.
pub(super) const TOO_MANY_IDS: &str = "too_many_ids";

/// Most event names in the `events` of one subscription.
const EVENTS_MAX: usize = 64;

/// One topic that a client asks for.
pub(super) struct Wish {
    /// The id as the client gave it.
    pub(super) session: String,
    pub(super) topic: TopicName,
    pub(super) since: Option<Cursor>,
    pub(super) events: Option<Box<[EventName]>>,
}

/// The topics that a subscription names and the places in them, as far as it is well formed.
pub(crate) fn topics(data: Option<&Value>, desk: &Desk) -> Vec<(TopicName, Option<Cursor>)> {
    let name = |entry: &Value| match entry {
        Value::String(session) => Some((TopicName::of_session(session).ok()?, None)),
        Value::Object(fields) => {
            let topic = match (fields.get("sessionId"), fields.get("topic")) {
                (Some(session), _) => TopicName::of_session(session.as_str()?),
                (None, topic) => topic?.as_str()?.parse(),
            };
            let since = fields.get("since").and_then(Value::as_str);
            Some((topic.ok()?, since.and_then(|since| since.parse().ok())))
        }
        _ => None,
    };
    match data {
        Some(Value::Array(entries)) if entries.len() <= desk.config.subscribe_ids_max => {
            entries.iter().filter_map(name).collect()
        }
        Some(entry) => name(entry).into_iter().collect(),
        None => Vec::new(),
    }
}

/// What one request asks for.
pub(super) struct Asked {
    /// Each with the id as far as it may be echoed.
    pub(super) entries: Vec<(Value, Result<Wish, Problem>)>,
    pub(super) shape: Shape,
}

/// Whether the client gave one id or an array: it is answered likewise.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    One,
    Array,
}

impl Shape {
    pub(super) fn of(self, mut answers: Vec<Value>) -> Value {
        match self {
            Self::One => answers.pop().unwrap_or_default(),
            Self::Array => answers.into(),
        }
    }
}

impl Asked {
    pub(super) fn read(data: Option<Value>, ids_max: usize) -> Result<Self, Problem> {
        let (entries, shape) = match data {
            Some(Value::Array(entries)) if entries.len() > ids_max => {
                let why = format!(
                    "at most {ids_max} ids may be given at once (`face.socketio.subscribe_ids_max`)"
                );
                return Err(Problem::new(TOO_MANY_IDS, why));
            }
            Some(Value::Array(entries)) if entries.is_empty() => {
                let why = "give at least one id".to_owned();
                return Err(Problem::new("invalid_subscription", why));
            }
            Some(Value::Array(entries)) => (entries, Shape::Array),
            Some(entry) => (vec![entry], Shape::One),
            None => (vec![Value::Null], Shape::One),
        };
        let entries = entries
            .into_iter()
            .map(|entry| (given(&entry), wish(entry)))
            .collect();
        Ok(Self { entries, shape })
    }
}

/// What the client gave as the id, as far as it may be echoed.
fn given(entry: &Value) -> Value {
    let id = match entry {
        Value::Object(fields) => fields.get("sessionId").or_else(|| fields.get("topic")),
        other => Some(other),
    };
    match id {
        Some(Value::String(id)) => json!(id.chars().take(160).collect::<String>()),
        Some(Value::Number(number)) => json!(number),
        _ => Value::Null,
    }
}

fn wish(entry: Value) -> Result<Wish, Problem> {
    let invalid = |why: &str| Problem::new("invalid_subscription", why.to_owned());
    let (session, topic, since, events) = match entry {
        Value::String(session) => {
            let topic = TopicName::of_session(&session);
            (session, topic, None, None)
        }
        Value::Object(mut fields) => {
            let (since, events) = (fields.remove("since"), fields.remove("events"));
            match (fields.remove("sessionId"), fields.remove("topic")) {
                (Some(Value::String(session)), _) => {
                    let topic = TopicName::of_session(&session);
                    (session, topic, since, events)
                }
                (None, Some(Value::String(name))) => {
                    let topic = name.parse();
                    (name, topic, since, events)
                }
                _ => return Err(invalid("give `sessionId` or `topic` as a string")),
            }
        }
        _ => {
            return Err(invalid(
                "give a session id as a string, an object {sessionId | topic, since?, events?}, \
                 or an array of these",
            ));
        }
    };
    let topic = topic.map_err(|e| Problem::new("invalid_topic", e.to_string()))?;
    let since = match since {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(
            text.parse::<Cursor>()
                .map_err(|e| Problem::new("invalid_cursor", e.to_string()))?,
        ),
        Some(_) => return Err(invalid("give `since` as a string `<epoch>:<seq>`")),
    };
    let events = match events {
        None | Some(Value::Null) => None,
        Some(names) => Some(event_names(names)?),
    };
    Ok(Wish {
        session,
        topic,
        since,
        events,
    })
}

fn event_names(names: Value) -> Result<Box<[EventName]>, Problem> {
    let invalid = |why: String| Problem::new("invalid_events", why);
    let Value::Array(names) = names else {
        return Err(invalid(
            "give `events` as an array of event names".to_owned(),
        ));
    };
    if names.is_empty() || names.len() > EVENTS_MAX {
        return Err(invalid(format!(
            "give 1 to {EVENTS_MAX} event names in `events`"
        )));
    }
    let parse = |name: Value| {
        let name = name.as_str().unwrap_or("").parse::<EventName>();
        name.map_err(|e| invalid(e.to_string()))
    };
    names.into_iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,40}".prop_map(Value::from),
            "(session|job)?:?[a-z0-9:]{0,20}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            let key = "sessionId|topic|since|events|[a-z]{0,5}";
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::hash_map(key, inner, 0..4)
                    .prop_map(|fields| fields.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_wish_makes_it_panic(value in value()) {
            let _ = given(&value);
            let _ = wish(value);
        }
    }

    #[test]
    fn a_wish_is_understood() {
        let understood = wish(json!({"topic": "job:a", "since": "e:5"})).is_ok_and(|wish| {
            wish.topic.as_str() == "job:a" && wish.since.is_some() && wish.events.is_none()
        });
        assert!(understood);
    }
}
