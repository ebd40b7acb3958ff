//! Payloads: opaque JSON text or bytes, looked at once when they come in.

use std::fmt::Write as _;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};

use crate::topic::{Epoch, Seq};

/// Deepest nesting of arrays and objects that is ever looked into; `hub.payload_depth_max` is lower.
const DEPTH_MAX: usize = 120;

/// What an event carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// A JSON object on one line; what the gateway adds stands at its end.
    Object(Bytes),
    /// Any other JSON value on one line, untouched.
    Value(Bytes),
    /// Bytes: a Buffer on Socket.IO, base64 elsewhere.
    Binary(Bytes),
}

impl Payload {
    /// The length of the text or the bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Object(data) | Self::Value(data) | Self::Binary(data) => data.len(),
        }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The JSON text, or nothing for bytes.
    pub fn json(&self) -> Option<&str> {
        match self {
            Self::Object(text) | Self::Value(text) => std::str::from_utf8(text).ok(),
            Self::Binary(_) => None,
        }
    }

    /// The same payload in another incarnation of its topic.
    #[must_use]
    pub(crate) fn in_epoch(&self, was: &Epoch, is: &Epoch) -> Self {
        let Self::Object(text) = self else {
            return self.clone();
        };
        let (was, is) = (stamp(was), stamp(is));
        match text.strip_suffix(was.as_bytes()) {
            Some(rest) => Self::Object([rest, is.as_bytes()].concat().into()),
            None => self.clone(),
        }
    }

    /// The JSON text as it is sent when it is not live: an object bears `_replayed: true`.
    pub fn replayed(&self) -> Bytes {
        match self {
            Self::Object(text) => {
                let mut out = Vec::with_capacity(text.len() + 17);
                out.extend_from_slice(&text[..text.len() - 1]);
                out.extend_from_slice(br#","_replayed":true}"#);
                out.into()
            }
            Self::Value(data) | Self::Binary(data) => data.clone(),
        }
    }
}

/// How the text of an object ends.
fn stamp(epoch: &Epoch) -> String {
    format!(r#""_epoch":"{epoch}"}}"#)
}

/// A payload that came in and was looked at, but has no sequence number yet.
#[derive(Debug, Clone)]
pub(crate) enum Raw {
    /// A JSON object, and which of the fields that concern us it has.
    Object { text: Bytes, seen: Seen },
    /// Any other JSON value.
    Value(Bytes),
    /// Bytes.
    Binary(Bytes),
}

/// What was seen at the top level of a JSON object.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) fields: usize,
    pub(crate) session_id: Option<String>,
    pub(crate) job_id: Option<String>,
    pub(crate) timestamp: bool,
    pub(crate) clarification_id: bool,
    pub(crate) status: bool,
}

/// Why a payload is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// It is nested too deeply.
    #[error("the payload is nested deeper than {0} levels (`hub.payload_depth_max`)")]
    Depth(usize),
    /// It uses a name that the gateway adds itself.
    #[error("the payload field `{0}` is reserved: the gateway adds it")]
    ReservedField(String),
    /// It is no JSON.
    #[error("the payload is not JSON: {0}")]
    Syntax(String),
    /// A field has the wrong type.
    #[error("the payload field `{0}` must be a string")]
    FieldType(&'static str),
}

impl Raw {
    /// Looks at a JSON text: bounds its depth, puts it on one line, notes the fields that matter.
    /// Returns how deep it is as well.
    pub(crate) fn inspect(text: &str) -> Result<(Self, usize), PayloadError> {
        let (text, depth) = one_line(text.trim())?;
        if !text.starts_with(b"{") {
            serde_json::from_slice::<IgnoredAny>(&text)
                .map_err(|e| PayloadError::Syntax(e.to_string()))?;
            return Ok((Self::Value(text), depth));
        }
        let seen = serde_json::from_slice::<Keys>(&text)
            .map_err(|e| PayloadError::Syntax(e.to_string()))?
            .0?;
        Ok((Self::Object { text, seen }, depth))
    }

    /// The same for a JSON text that is told as it is.
    pub(crate) fn inspect_untouched(text: &str) -> Result<(Self, usize), PayloadError> {
        let (text, depth) = one_line(text.trim())?;
        serde_json::from_slice::<IgnoredAny>(&text)
            .map_err(|e| PayloadError::Syntax(e.to_string()))?;
        Ok((Self::Value(text), depth))
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Object { text, .. } => text.len(),
            Self::Value(data) | Self::Binary(data) => data.len(),
        }
    }

    /// The payload as it is stored: `extra` fields, `_seq` and `_epoch` spliced into an object.
    pub(crate) fn seal(self, extra: &str, seq: Seq, epoch: &Epoch) -> Payload {
        match self {
            Self::Object { text, seen } => {
                let mut out = String::with_capacity(text.len() + extra.len() + 48);
                let body = std::str::from_utf8(&text).expect("inspected text is UTF-8");
                out.push_str(&body[..body.len() - 1]);
                if seen.fields > 0 {
                    out.push(',');
                }
                out.push_str(extra);
                write!(out, r#""_seq":{seq},"_epoch":"{epoch}"}}"#).expect("a String takes all");
                Payload::Object(out.into())
            }
            Self::Value(data) => Payload::Value(data),
            Self::Binary(data) => Payload::Binary(data),
        }
    }
}

/// Bounds the depth and removes white space outside strings if there are line breaks. Returns the
/// depth as well.
fn one_line(text: &str) -> Result<(Bytes, usize), PayloadError> {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut quoted, mut escaped, mut broken) = (false, false, false);
    for byte in text.bytes() {
        if quoted {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => quoted = true,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'\n' | b'\r' => broken = true,
            _ => {}
        }
        deepest = deepest.max(depth);
        if depth > DEPTH_MAX {
            return Err(PayloadError::Depth(DEPTH_MAX));
        }
    }
    if !broken {
        return Ok((Bytes::copy_from_slice(text.as_bytes()), deepest));
    }
    (quoted, escaped) = (false, false);
    let keep = |byte: &u8| {
        if quoted {
            (quoted, escaped) = (escaped || *byte != b'"', !escaped && *byte == b'\\');
            return true;
        }
        quoted = *byte == b'"';
        !matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
    };
    let line: Vec<u8> = text.bytes().filter(keep).collect();
    Ok((line.into(), deepest))
}

/// The result of looking at an object's keys; a refusal is carried as a value, since it is not a
/// matter of syntax.
struct Keys(Result<Seen, PayloadError>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(KeysVisitor)
    }
}

struct KeysVisitor;

impl<'de> Visitor<'de> for KeysVisitor {
    type Value = Keys;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
        let mut seen = Seen::default();
        let mut refusal = None;
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            seen.fields += 1;
            match key.as_ref() {
                "sessionId" => match map.next_value::<serde_json::Value>()? {
                    serde_json::Value::String(id) => seen.session_id = Some(id),
                    _ => refusal = Some(PayloadError::FieldType("sessionId")),
                },
                "job_id" => match map.next_value::<serde_json::Value>()? {
                    serde_json::Value::String(id) => seen.job_id = Some(id),
                    _ => refusal = Some(PayloadError::FieldType("job_id")),
                },
                "_seq" | "_epoch" | "_replayed" => {
                    refusal = Some(PayloadError::ReservedField(key.into_owned()));
                    map.next_value::<IgnoredAny>()?;
                }
                other => {
                    match other {
                        "timestamp" => seen.timestamp = true,
                        "clarificationId" => seen.clarification_id = true,
                        "status" => seen.status = true,
                        _ => {}
                    }
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Keys(refusal.map_or(Ok(seen), Err)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn seal(text: &str, extra: &str) -> Payload {
        Raw::inspect(text)
            .unwrap()
            .0
            .seal(extra, Seq(7), &Epoch::new("e1").unwrap())
    }

    #[test]
    fn an_object_bears_its_place_at_its_end() {
        let payload = seal(r#"{"a":1}"#, "");
        assert_eq!(payload.json().unwrap(), r#"{"a":1,"_seq":7,"_epoch":"e1"}"#);
        assert_eq!(
            seal("{ }", "").json().unwrap(),
            r#"{ "_seq":7,"_epoch":"e1"}"#
        );
        let replayed = payload.replayed();
        let value: Value = serde_json::from_slice(&replayed).unwrap();
        assert_eq!(
            value,
            json!({"a": 1, "_seq": 7, "_epoch": "e1", "_replayed": true})
        );
    }

    #[test]
    fn what_is_no_object_passes_untouched() {
        for text in ["1", "null", r#""x""#, "[1,2]"] {
            assert_eq!(seal(text, "").json().unwrap(), text);
        }
    }

    #[test]
    fn line_breaks_outside_strings_go() {
        let payload = seal("{\n \"a b\": [1,\r\n 2, \"\\\" \\n\"]\n}", "");
        assert_eq!(
            payload.json().unwrap(),
            r#"{"a b":[1,2,"\" \n"],"_seq":7,"_epoch":"e1"}"#
        );
    }

    #[test]
    fn refusals_name_the_field() {
        let refusal = |text: &str| Raw::inspect(text).unwrap_err();
        assert_eq!(
            refusal(r#"{"_seq":1}"#),
            PayloadError::ReservedField("_seq".into())
        );
        assert_eq!(
            refusal(r#"{"sessionId":1}"#),
            PayloadError::FieldType("sessionId")
        );
        assert_eq!(refusal(&"[".repeat(121)), PayloadError::Depth(120));
        assert!(matches!(refusal("{"), PayloadError::Syntax(_)));
        assert!(matches!(refusal("{} x"), PayloadError::Syntax(_)));
    }

    proptest! {
        #[test]
        fn a_sealed_object_is_the_object_and_our_fields(
            map in proptest::collection::hash_map("[a-z \"\\\\\n]{1,8}", ".{0,16}", 0..6),
            pretty: bool,
        ) {
            let text = if pretty {
                serde_json::to_string_pretty(&map).unwrap()
            } else {
                serde_json::to_string(&map).unwrap()
            };
            let sealed = seal(&text, "");
            let mut value: Value = serde_json::from_str(sealed.json().unwrap()).unwrap();
            let object = value.as_object_mut().unwrap();
            prop_assert_eq!(object.remove("_seq"), Some(json!(7)));
            prop_assert_eq!(object.remove("_epoch"), Some(json!("e1")));
            prop_assert_eq!(value, json!(map));
            prop_assert!(!sealed.json().unwrap().contains('\n'));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,64}") {
            let _ = Raw::inspect(&text);
        }
    }
}
