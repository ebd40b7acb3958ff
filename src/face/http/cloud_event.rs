//! CloudEvents 1.0 over HTTP: binary, structured and batched, as events of a topic.
//!
//! `type` is the event's name, `subject` its topic (unless the path names one), `source` and `id`
//! together the idempotency key, as the specification says that they identify an event. The class
//! is what the config gives the name. `time` and extension attributes are not kept: the gateway's
//! own timestamp counts.

use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::face::http::entry::{Submission, base64};
use crate::face::http::extract::Media;
use crate::face::http::refusal::{Code, Refusal};
use crate::topic::{Draft, EventName, TopicName};

/// Longest `source` and `id` together, in bytes.
const IDENTITY_BYTES_MAX: usize = 1024;

/// A cloud event in JSON. Attributes that are not known are extensions and allowed.
#[derive(Debug, Deserialize)]
pub(crate) struct Structured<'a> {
    specversion: Option<String>,
    id: Option<String>,
    source: Option<String>,
    #[serde(rename = "type")]
    name: Option<String>,
    subject: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    data_base64: Option<String>,
}

/// The attributes that matter here, checked.
struct Attributes {
    topic: TopicName,
    name: EventName,
    idempotency_key: String,
}

/// Whether the headers carry a cloud event in binary mode.
pub(crate) fn is_binary(headers: &HeaderMap) -> bool {
    headers.contains_key("ce-specversion")
}

/// The event of a request in binary mode: attributes in `ce-` headers, the body is the data.
/// JSON stays JSON, text becomes a JSON string, anything else is bytes.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn binary(
    headers: &HeaderMap,
    body: Bytes,
    topic: Option<&TopicName>,
) -> Result<Submission, Refusal> {
    let header = |name: &str| -> Result<Option<String>, Refusal> {
        let Some(value) = headers.get(name) else {
            return Ok(None);
        };
        let text = value
            .to_str()
            .map_err(|_| invalid(&format!("the header `{name}` is no ASCII")))?;
        Ok(Some(text.to_owned()))
    };
    let Attributes {
        topic,
        name,
        idempotency_key,
    } = Structured {
        specversion: header("ce-specversion")?,
        id: header("ce-id")?,
        source: header("ce-source")?,
        name: header("ce-type")?,
        subject: header("ce-subject")?,
        data: None,
        data_base64: None,
    }
    .attributes(topic)?;
    let draft = match Media::of(headers)? {
        Media::Json | Media::Ndjson if body.is_empty() => Draft::json(topic, name, "{}")?,
        Media::Json => Draft::json(topic, name, text(&body)?)?,
        Media::Other(essence) if essence.ends_with("+json") => {
            Draft::json(topic, name, text(&body)?)?
        }
        Media::Other(essence) if essence.starts_with("text/") => {
            let value = serde_json::Value::from(text(&body)?);
            Draft::json(topic, name, &value.to_string())?
        }
        Media::Other(_) | Media::Ndjson => Draft::binary(topic, name, body)?,
        Media::CloudEvent | Media::CloudEventBatch => {
            let given = headers
                .get(CONTENT_TYPE)
                .and_then(|v| v.to_str().ok())
                .unwrap_or_default();
            let detail = format!("`ce-` headers and `{given}` contradict each other: use one mode");
            return Err(invalid(&detail));
        }
    };
    Ok(Submission {
        draft,
        owner: None,
        idempotency_key: Some(idempotency_key),
    })
}

impl Structured<'_> {
    /// The event as a submission.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn submission(self, topic: Option<&TopicName>) -> Result<Submission, Refusal> {
        let Attributes {
            topic,
            name,
            idempotency_key,
        } = self.attributes(topic)?;
        let draft = match (self.data, &self.data_base64) {
            (Some(_), Some(_)) => {
                return Err(invalid("give `data` or `data_base64`, not both"));
            }
            (Some(data), None) => Draft::json(topic, name, data.get())?,
            (None, Some(text)) => Draft::binary(topic, name, base64(text)?.into())?,
            (None, None) => Draft::json(topic, name, "{}")?,
        };
        Ok(Submission {
            draft,
            owner: None,
            idempotency_key: Some(idempotency_key),
        })
    }

    fn attributes(&self, topic: Option<&TopicName>) -> Result<Attributes, Refusal> {
        let required = |name: &str, value: &Option<String>| match value {
            Some(value) if !value.is_empty() => Ok(value.clone()),
            Some(_) | None => Err(invalid(&format!("the attribute `{name}` is missing"))),
        };
        let version = required("specversion", &self.specversion)?;
        if version != "1.0" {
            let version: String = version.chars().take(20).collect();
            return Err(invalid(&format!("`specversion` is `{version}`: use `1.0`")));
        }
        let (id, source) = (required("id", &self.id)?, required("source", &self.source)?);
        if id.len() + source.len() > IDENTITY_BYTES_MAX {
            return Err(invalid(
                "`source` and `id` together have more than 1024 bytes",
            ));
        }
        let name = required("type", &self.name)?.parse()?;
        let topic = match (topic, &self.subject) {
            (Some(topic), _) => topic.clone(),
            (None, Some(subject)) => subject.parse()?,
            (None, None) => return Err(invalid("the attribute `subject` must name the topic")),
        };
        // A space is in no key of a header, so the two can never be taken for each other.
        Ok(Attributes {
            topic,
            name,
            idempotency_key: format!("{source} {id}"),
        })
    }
}

fn text(body: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(body).map_err(|_| Refusal::new(Code::NotJson, "the body is not UTF-8"))
}

fn invalid(detail: &str) -> Refusal {
    Refusal::new(Code::CloudEventInvalid, detail)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    use crate::face::http::extract::parse;

    proptest! {
        #[test]
        fn no_event_makes_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..80),
            field in "specversion|id|source|type|subject|data|data_base64",
            text in ".{0,40}",
        ) {
            let mut event = json!({
                "specversion": "1.0", "id": "1", "source": "s", "type": "a", "subject": "room:a",
            });
            event[field.as_str()] = Value::from(text.as_str());
            for body in [bytes.clone(), event.to_string().into_bytes()] {
                let _ = parse::<Structured<'_>>(&body).and_then(|event| event.submission(None));
            }
            let mut headers = HeaderMap::new();
            for (name, value) in event.as_object().unwrap() {
                let name = format!("ce-{}", name.replace('_', "-"));
                let value = HeaderValue::from_bytes(value.as_str().unwrap().as_bytes());
                if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value) {
                    headers.insert(name, value);
                }
            }
            let _ = binary(&headers, bytes.into(), None);
        }
    }
}
