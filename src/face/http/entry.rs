//! Entries: an event as a producer writes it in JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::face::http::refusal::{Code, Refusal};
use crate::topic::{Class, Classes, Draft, EventName, TopicName};

/// Longest idempotency key, in bytes.
const KEY_BYTES_MAX: usize = 255;

/// An event to publish. Fields that are not known are refused with their name.
#[derive(Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = r#"an object such as {"name": "progress", "data": {}}"#
)]
pub(crate) struct Entry<'a> {
    /// The topic; in a batch only, else the path names it.
    topic: Option<String>,
    name: String,
    #[serde(default, borrow, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    data_base64: Option<String>,
    class: Option<Class>,
    key: Option<String>,
    terminal: Option<bool>,
    /// Which attempt of a job this is of, from 1.
    attempt: Option<std::num::NonZeroU32>,
    /// The user whose topic it is; the first event that says so counts.
    owner: Option<String>,
    /// In a batch only, else the header.
    idempotency_key: Option<String>,
}

/// A draft on its way to the hub, with its idempotency key.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) draft: Draft,
    pub(crate) owner: Option<String>,
    pub(crate) idempotency_key: Option<String>,
}

impl Entry<'_> {
    /// The submission of the only entry of a request to a topic's own path.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn into_topic(
        self,
        topic: &TopicName,
        classes: &Classes,
    ) -> Result<Submission, Refusal> {
        if self.topic.is_some() {
            return Err(Refusal::new(
                Code::Shape,
                "`topic`: the path names it already",
            ));
        }
        if self.idempotency_key.is_some() {
            let detail = "`idempotency_key`: use the header `Idempotency-Key` here";
            return Err(Refusal::new(Code::Shape, detail));
        }
        self.submission(topic.clone(), classes)
    }

    /// The submission of an entry of a batch.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn in_batch(self, classes: &Classes) -> Result<Submission, Refusal> {
        let Some(topic) = &self.topic else {
            return Err(Refusal::new(Code::Shape, "missing field `topic`"));
        };
        let topic = topic.parse()?;
        self.submission(topic, classes)
    }

    fn submission(self, topic: TopicName, classes: &Classes) -> Result<Submission, Refusal> {
        let name: EventName = self.name.parse()?;
        let class = class(self.class, self.terminal, classes.of(&name))?;
        if let Some(key) = &self.idempotency_key {
            check_key(key.as_bytes())?;
        }
        let draft = match (self.data, self.data_base64) {
            (Some(_), Some(_)) => {
                return Err(Refusal::new(
                    Code::Shape,
                    "give `data` or `data_base64`, not both",
                ));
            }
            (Some(data), None) => Draft::json(topic, name, data.get())?,
            (None, Some(text)) => Draft::binary(topic, name, base64(&text)?.into())?,
            (None, None) => Draft::json(topic, name, "{}")?,
        };
        let draft = draft
            .with_class(class)
            .with_attempt(self.attempt)
            .with_key(self.key.as_deref())?;
        Ok(Submission {
            draft,
            owner: self.owner,
            idempotency_key: self.idempotency_key,
        })
    }
}

/// The class that a producer wants: `terminal` is another way to say it.
fn class(
    given: Option<Class>,
    terminal: Option<bool>,
    by_name: Class,
) -> Result<Option<Class>, Refusal> {
    match (given, terminal) {
        (Some(Class::Terminal), Some(false)) | (Some(Class::State | Class::Fact), Some(true)) => {
            Err(Refusal::new(
                Code::Shape,
                "`terminal` contradicts `class`: give one of them",
            ))
        }
        (None, Some(true)) => Ok(Some(Class::Terminal)),
        (None, Some(false)) if by_name == Class::Terminal => Ok(Some(Class::Fact)),
        (given, _) => Ok(given),
    }
}

/// Bytes from base64 with the standard alphabet and padding.
///
/// # Errors
/// When the text is something else.
pub(crate) fn base64(text: &str) -> Result<Vec<u8>, Refusal> {
    STANDARD.decode(text).map_err(|error| {
        let detail = format!("`data_base64` is not standard base64 with padding: {error}");
        Refusal::new(Code::Shape, detail)
    })
}

/// Checks an idempotency key: 1 to 255 visible ASCII characters.
///
/// # Errors
/// When it is something else.
pub(crate) fn check_key(key: &[u8]) -> Result<(), Refusal> {
    if (1..=KEY_BYTES_MAX).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic) {
        return Ok(());
    }
    Err(Refusal::new(
        Code::KeyInvalid,
        "an idempotency key has 1 to 255 visible ASCII characters and no space",
    ))
}

/// A value that is there, `null` included.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::face::http::extract::parse;

    fn refusal(text: &str) -> String {
        let topic = "session:a".parse().unwrap();
        let entry = parse::<Entry<'_>>(text.as_bytes());
        let refused = entry.and_then(|entry| entry.into_topic(&topic, &Classes::default()));
        serde_json::to_string(&refused.unwrap_err().problem("r")).unwrap()
    }

    #[test]
    fn refusals_name_the_field() {
        for (text, names) in [
            (r#"{"nam":"a"}"#, "unknown field `nam`"),
            (r#"{"data":1}"#, "missing field `name`"),
            (r#"{"name":5}"#, "`name`: invalid type"),
            (
                r#"{"name":"a","class":"x"}"#,
                "`class`: unknown variant `x`",
            ),
            (r#"{"name":"a","attempt":0}"#, "`attempt`: invalid value"),
            (r#"{"name":"a","data":1,"data_base64":"aa=="}"#, "not both"),
            (r#"{"name":"a","data_base64":"?"}"#, "not standard base64"),
            (
                r#"{"name":"a","class":"state","terminal":true}"#,
                "contradicts",
            ),
            (r#"{"name":"a","topic":"session:a"}"#, "the path names it"),
            (r#"{"name":"a","idempotency_key":"k"}"#, "use the header"),
            (r#"{"name":"a","data":{"_seq":1}}"#, "`_seq` is reserved"),
            ("[]", "expected an object such as"),
            ("{", "\"not_json\""),
            ("{} {}", "missing field `name`"),
            (r#"{"name":"a"} x"#, "\"not_json\""),
        ] {
            let refusal = refusal(text);
            assert!(refusal.contains(names), "{text}: {refusal}");
        }
    }

    #[test]
    fn null_is_a_payload_and_nothing_is_an_empty_object() {
        let topic: TopicName = "room:a".parse().unwrap();
        let text = |body: &str| {
            let entry = parse::<Entry<'_>>(body.as_bytes()).unwrap();
            let submission = entry.into_topic(&topic, &Classes::default()).unwrap();
            submission.draft.json_text().unwrap().to_owned()
        };
        assert_eq!(text(r#"{"name":"a","data":null}"#), "null");
        assert_eq!(text(r#"{"name":"a"}"#), "{}");
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..80),
            field in "topic|name|data|data_base64|class|key|terminal|attempt|idempotency_key",
            value in "(true|false|null|-?[0-9]{1,25}|\"[a-z:=/+]{0,20}\"|\\[\\]|[{]\"_seq\":1[}])",
        ) {
            let topic: TopicName = "session:a".parse().unwrap();
            let classes = Classes::default();
            let text = format!(r#"{{"name":"a","{field}":{value}}}"#);
            let alone = format!(r#"{{"{field}":{value}}}"#);
            for body in [&bytes, text.as_bytes(), alone.as_bytes()] {
                let _ = parse::<Entry<'_>>(body).and_then(|entry| entry.into_topic(&topic, &classes));
                let _ = parse::<Entry<'_>>(body).and_then(|entry| entry.in_batch(&classes));
            }
        }
    }
}
