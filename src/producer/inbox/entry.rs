//! Entries of the inbox: flat fields, with the names that publishing over HTTP has.

use std::num::NonZeroU32;

use bytes::Bytes;

use crate::producer::inbox::Parcel;
use crate::topic::{self as words, Class, Classes, Draft, EventName, TopicName};

/// Longest idempotency key, in bytes.
const KEY_BYTES_MAX: usize = 255;

/// What is wrong with an entry.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("the field `{0}` is missing")]
    Missing(&'static str),
    #[error("the field `{0}` is there twice")]
    Twice(String),
    #[error(
        "the field `{0}` is not known: use topic, name, data, bytes, class, terminal, key, \
         attempt, owner, idempotency_key"
    )]
    Unknown(String),
    #[error("the field `{0}` is no UTF-8 text")]
    NoText(&'static str),
    #[error("give `data` or `bytes`, not both")]
    Both,
    #[error("`{field}` is `{said}`: {wanted}")]
    Value {
        field: &'static str,
        said: String,
        wanted: &'static str,
    },
    #[error("nobody publishes to this topic: `POST /v1/admin/revocations` revokes")]
    Reserved,
    #[error("`terminal` contradicts `class`: give one of them")]
    Contradiction,
    #[error("an idempotency key has 1 to 255 visible ASCII characters and no space")]
    Key,
    #[error(transparent)]
    Topic(#[from] words::TopicNameError),
    #[error(transparent)]
    Name(#[from] words::EventNameError),
    #[error(transparent)]
    Draft(#[from] words::DraftError),
}

/// The fields of an entry, each at most once.
#[derive(Default)]
struct Fields<'a> {
    topic: Option<&'a Bytes>,
    name: Option<&'a Bytes>,
    data: Option<&'a Bytes>,
    bytes: Option<&'a Bytes>,
    class: Option<&'a Bytes>,
    terminal: Option<&'a Bytes>,
    key: Option<&'a Bytes>,
    attempt: Option<&'a Bytes>,
    owner: Option<&'a Bytes>,
    idempotency_key: Option<&'a Bytes>,
}

/// What an entry wants.
///
/// # Errors
/// [`Problem`].
pub(super) fn parcel(fields: &[(Bytes, Bytes)], classes: &Classes) -> Result<Parcel, Problem> {
    let fields = Fields::of(fields)?;
    let topic: TopicName = text("topic", fields.topic)?
        .ok_or(Problem::Missing("topic"))?
        .parse()?;
    let name: EventName = text("name", fields.name)?
        .ok_or(Problem::Missing("name"))?
        .parse()?;
    if topic.as_str() == words::REVOCATIONS {
        return Err(Problem::Reserved);
    }
    let class = class(&fields, classes.of(&name))?;
    let draft = match (text("data", fields.data), fields.bytes) {
        (Ok(Some(_)) | Err(_), Some(_)) => return Err(Problem::Both),
        (Ok(None), Some(bytes)) => Draft::binary(topic, name, bytes.clone())?,
        (data, None) => Draft::json(topic, name, data?.unwrap_or("{}"))?,
    };
    let key = text("idempotency_key", fields.idempotency_key)?;
    if key.is_some_and(|key| !is_key(key)) {
        return Err(Problem::Key);
    }
    let draft = draft
        .with_class(class)
        .with_attempt(attempt(&fields)?)
        .with_key(text("key", fields.key)?)?
        .with_owner(text("owner", fields.owner)?)?;
    Ok(Parcel {
        draft,
        key: key.map(str::to_owned),
    })
}

impl<'a> Fields<'a> {
    fn of(fields: &'a [(Bytes, Bytes)]) -> Result<Self, Problem> {
        let mut found = Self::default();
        for (field, value) in fields {
            let place = match &field[..] {
                b"topic" => &mut found.topic,
                b"name" => &mut found.name,
                b"data" => &mut found.data,
                b"bytes" => &mut found.bytes,
                b"class" => &mut found.class,
                b"terminal" => &mut found.terminal,
                b"key" => &mut found.key,
                b"attempt" => &mut found.attempt,
                b"owner" => &mut found.owner,
                b"idempotency_key" => &mut found.idempotency_key,
                _ => return Err(Problem::Unknown(shown(field))),
            };
            if place.replace(value).is_some() {
                return Err(Problem::Twice(shown(field)));
            }
        }
        Ok(found)
    }
}

fn text<'a>(field: &'static str, value: Option<&'a Bytes>) -> Result<Option<&'a str>, Problem> {
    let text = value.map(|value| std::str::from_utf8(value)).transpose();
    text.map_err(|_| Problem::NoText(field))
}

/// The class that a producer wants: `terminal` is another way to say it.
fn class(fields: &Fields<'_>, by_name: Class) -> Result<Option<Class>, Problem> {
    let given = match text("class", fields.class)? {
        None => None,
        Some("state") => Some(Class::State),
        Some("fact") => Some(Class::Fact),
        Some("terminal") => Some(Class::Terminal),
        Some(other) => {
            return Err(Problem::Value {
                field: "class",
                said: shown(other.as_bytes()),
                wanted: "write state, fact or terminal",
            });
        }
    };
    let terminal = match text("terminal", fields.terminal)? {
        None => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(other) => {
            return Err(Problem::Value {
                field: "terminal",
                said: shown(other.as_bytes()),
                wanted: "write true or false",
            });
        }
    };
    match (given, terminal) {
        (Some(Class::Terminal), Some(false)) | (Some(Class::State | Class::Fact), Some(true)) => {
            Err(Problem::Contradiction)
        }
        (None, Some(true)) => Ok(Some(Class::Terminal)),
        (None, Some(false)) if by_name == Class::Terminal => Ok(Some(Class::Fact)),
        (given, _) => Ok(given),
    }
}

fn attempt(fields: &Fields<'_>) -> Result<Option<NonZeroU32>, Problem> {
    let Some(said) = text("attempt", fields.attempt)? else {
        return Ok(None);
    };
    let attempt = said.parse().map_err(|_| Problem::Value {
        field: "attempt",
        said: shown(said.as_bytes()),
        wanted: "write a number from 1",
    });
    attempt.map(Some)
}

fn is_key(key: &str) -> bool {
    (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Bytes as they may stand in a message: short, and without anything that is not visible.
fn shown(bytes: &[u8]) -> String {
    let text: String = bytes.iter().take(40).copied().map(char::from).collect();
    text.escape_default().to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(fields: &[(&'static str, &'static str)]) -> Vec<(Bytes, Bytes)> {
        let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
        fields.iter().map(|(f, v)| (bytes(f), bytes(v))).collect()
    }

    fn parse(given: &[(&'static str, &'static str)]) -> Result<Parcel, Problem> {
        parcel(&fields(given), &Classes::default())
    }

    #[test]
    fn an_entry_is_an_event() {
        let parcel = parse(&[
            ("topic", "job:a"),
            ("name", "progress"),
            ("data", r#"{"n":1}"#),
            ("class", "state"),
            ("key", "file"),
            ("attempt", "2"),
            ("idempotency_key", "k1"),
        ])
        .unwrap_or_else(|problem| panic!("{problem}"));
        assert_eq!(parcel.draft.topic().as_str(), "job:a");
        assert_eq!(parcel.key.as_deref(), Some("k1"));
        let nothing = parse(&[("topic", "session:a"), ("name", "note")]).ok();
        assert_eq!(nothing.and_then(|parcel| parcel.key), None);
        assert!(parse(&[("topic", "session:a"), ("name", "n"), ("bytes", "\0")]).is_ok());
    }

    #[test]
    fn what_is_wrong_is_told_with_what_to_do() {
        let told = |given: &[(&'static str, &'static str)]| parse(given).err().unwrap().to_string();
        let (topic, name) = (("topic", "session:a"), ("name", "note"));
        assert!(told(&[name]).contains("`topic` is missing"));
        assert!(told(&[topic]).contains("`name` is missing"));
        assert!(told(&[topic, name, topic]).contains("`topic` is there twice"));
        assert!(told(&[topic, name, ("event", "x")]).contains("`event` is not known: use topic"));
        assert!(told(&[topic, name, ("data", "{}"), ("bytes", "")]).contains("not both"));
        assert!(told(&[topic, name, ("class", "x")]).contains("write state, fact or terminal"));
        assert!(
            told(&[topic, name, ("class", "fact"), ("terminal", "true")]).contains("contradicts")
        );
        assert!(told(&[topic, name, ("attempt", "0")]).contains("a number from 1"));
        assert!(told(&[topic, name, ("idempotency_key", "a b")]).contains("visible ASCII"));
        assert!(parse(&[topic, name, ("data", "{")]).is_err());
        assert!(parse(&[("topic", "a"), name]).is_err());
        assert!(told(&[("topic", "system:revocations"), name]).contains("nobody publishes"));
    }

    proptest! {
        #[test]
        fn no_fields_make_it_panic(
            given in proptest::collection::vec(
                ("(topic|name|data|class|key|x)", proptest::collection::vec(any::<u8>(), 0..40)), 0..6,
            ),
        ) {
            let given: Vec<_> = given
                .into_iter()
                .map(|(field, value)| (Bytes::from(field), Bytes::from(value)))
                .collect();
            let _ = parcel(&given, &Classes::default());
        }
    }
}
