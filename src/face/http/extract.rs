//! What handlers take from a request: checked, and refused in the face's own words.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, Path};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::request::Parts;
use bytes::Bytes;
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::face::http::refusal::{Code, Refusal};
use crate::topic::TopicName;
use crate::wire::DeadlineError;

/// The topic that a path names.
pub(crate) struct TopicPath(pub(crate) TopicName);

impl<S: Send + Sync> FromRequestParts<S> for TopicPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let names = PathTexts::from_request_parts(parts, state).await?;
        Ok(Self(names.0.first().map_or("", String::as_str).parse()?))
    }
}

/// What stands in the variable parts of a path, in order.
pub(crate) struct PathTexts(pub(crate) Vec<String>);

impl<S: Send + Sync> FromRequestParts<S> for PathTexts {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path = Path::<Vec<String>>::from_request_parts(parts, state).await;
        path.map(|Path(texts)| Self(texts)).map_err(|_| {
            Refusal::new(
                Code::TopicInvalid,
                "the path is not UTF-8 after its percent signs",
            )
        })
    }
}

/// The query of a request; a key that is not known is refused with its name.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(query)| Self(query))
            .map_err(|rejection| {
                let text = rejection.body_text();
                let why = text
                    .rsplit_once("query string: ")
                    .map_or(&*text, |(_, why)| why);
                let why = why.replace("invalid digit found in string", "this is no whole number");
                Refusal::new(Code::QueryInvalid, why)
            })
    }
}

/// How long an answer may be waited for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wait {
    /// None: not at all.
    #[serde(default, with = "crate::quantity::duration")]
    pub(crate) wait: Duration,
}

/// What the body of a request is said to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Media {
    /// JSON; also when nothing is said.
    Json,
    /// JSON values, one a line.
    Ndjson,
    /// A cloud event in JSON.
    CloudEvent,
    /// A list of them.
    CloudEventBatch,
    /// Something else: its essence, in lower case.
    Other(String),
}

impl Media {
    /// What the headers say.
    ///
    /// # Errors
    /// When the body is compressed, which is not understood here.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let encoding = headers
            .get(CONTENT_ENCODING)
            .map_or(&b"identity"[..], |v| v.as_bytes());
        if !encoding.eq_ignore_ascii_case(b"identity") {
            return Err(Refusal::new(
                Code::MediaType,
                "send the body without `Content-Encoding`",
            ));
        }
        let Some(given) = headers.get(CONTENT_TYPE) else {
            return Ok(Self::Json);
        };
        let given = String::from_utf8_lossy(given.as_bytes());
        let essence = given
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        Ok(match essence.as_str() {
            "application/json" | "text/json" | "" => Self::Json,
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Self::Ndjson,
            "application/cloudevents+json" => Self::CloudEvent,
            "application/cloudevents-batch+json" => Self::CloudEventBatch,
            _ => Self::Other(essence),
        })
    }

    /// The refusal of a body that is something else than what the path takes.
    pub(crate) fn refused(takes: &str) -> Refusal {
        Refusal::new(
            Code::MediaType,
            format!("set `Content-Type` to what this path takes: {takes}"),
        )
    }
}

/// The whole body.
///
/// # Errors
/// When it is larger than `bytes_max` or cannot be read.
pub(crate) async fn body(body: Body, bytes_max: usize) -> Result<Bytes, Refusal> {
    let too_large = || {
        let detail = format!("at most {bytes_max} bytes are allowed (`face.http.body_bytes_max`)");
        Refusal::new(Code::BodyTooLarge, detail)
    };
    // What announces itself as too large is not even invited.
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large());
    }
    match Limited::new(body, bytes_max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) => Err(match cause(&*error) {
            Cause::TooLong => too_large(),
            Cause::TooSlow | Cause::Broken => broken(&*error),
        }),
    }
}

/// The refusal of a body that did not come to its end.
pub(crate) fn broken(error: &(dyn std::error::Error + 'static)) -> Refusal {
    match cause(error) {
        Cause::TooSlow => Refusal::new(Code::BodyTooSlow, DeadlineError::TooSlow.to_string()),
        Cause::TooLong | Cause::Broken => {
            let detail = "the connection broke within the body";
            Refusal::new(Code::BodyUnreadable, detail)
        }
    }
}

/// Why a body is not whole.
enum Cause {
    TooLong,
    TooSlow,
    Broken,
}

fn cause(error: &(dyn std::error::Error + 'static)) -> Cause {
    if error.is::<LengthLimitError>() {
        return Cause::TooLong;
    }
    match (error.downcast_ref(), error.source()) {
        (Some(DeadlineError::TooSlow), _) => Cause::TooSlow,
        (_, Some(source)) => cause(source),
        (_, None) => Cause::Broken,
    }
}

/// A JSON text as a value.
///
/// # Errors
/// 400 when it is no JSON, 422 with the path of the field when it has the wrong shape.
pub(crate) fn parse<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, Refusal> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        refused(error.inner(), &path)
    })?;
    json.end().map_err(|error| refused(&error, "."))?;
    Ok(value)
}

fn refused(error: &serde_json::Error, path: &str) -> Refusal {
    match error.classify() {
        Category::Syntax | Category::Eof | Category::Io => {
            Refusal::new(Code::NotJson, error.to_string())
        }
        Category::Data if path == "." => Refusal::new(Code::Shape, in_json_words(error)),
        Category::Data => {
            let detail = format!("`{path}`: {}", in_json_words(error));
            Refusal::new(Code::Shape, detail)
        }
    }
}

/// What is wrong, without the words of Rust.
fn in_json_words(error: &serde_json::Error) -> String {
    const WORDS: [(&str, &str); 8] = [
        (" at line 1 column 0", ""),
        ("invalid type: map", "invalid type: object"),
        ("invalid type: sequence", "invalid type: array"),
        ("expected a sequence", "expected an array"),
        ("expected a map", "expected an object"),
        ("expected usize", "expected a whole number"),
        ("expected u64", "expected a whole number"),
        ("expected a nonzero u32", "expected a whole number from 1"),
    ];
    let said = error.to_string();
    WORDS
        .iter()
        .fold(said, |said, (rusts, jsons)| said.replace(rusts, jsons))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::http::HeaderValue;
    use futures_util::stream;
    use proptest::prelude::*;

    use super::*;
    use crate::wire::Deadline;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_is_refused_as_too_slow() {
        let silent = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        let timed = Body::new(Deadline::new(silent, Duration::from_secs(5)));
        let refusal = body(timed, 100).await.unwrap_err();
        assert_eq!(refusal.code(), Code::BodyTooSlow);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_refused_as_unreadable() {
        let broken = stream::iter([Ok(Bytes::from("{")), Err(std::io::Error::other("reset"))]);
        let refusal = body(Body::from_stream(broken), 100).await.unwrap_err();
        assert_eq!(refusal.code(), Code::BodyUnreadable);
        let long = stream::iter([Ok::<_, Infallible>(Bytes::from("0123456789"))]);
        let refusal = body(Body::from_stream(long), 5).await.unwrap_err();
        assert_eq!(refusal.code(), Code::BodyTooLarge);
    }

    #[test]
    fn a_wrong_shape_is_told_in_the_words_of_json() {
        let told = |text: &str| {
            let refused = parse::<Vec<u64>>(text.as_bytes()).unwrap_err();
            let problem = serde_json::to_value(refused.problem("r")).unwrap();
            problem["detail"].as_str().unwrap().to_owned()
        };
        assert_eq!(
            told(r#"{"a":1}"#),
            "invalid type: object, expected an array"
        );
        let number = told(r#"["a"]"#);
        let wanted = r#"`[0]`: invalid type: string "a", expected a whole number"#;
        assert!(number.starts_with(wanted), "{number}");
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(
            kind in proptest::collection::vec(32_u8..=255, 0..60),
            encoding in proptest::collection::vec(32_u8..=255, 0..20),
        ) {
            let mut headers = HeaderMap::new();
            for (name, bytes) in [(CONTENT_TYPE, kind), (CONTENT_ENCODING, encoding)] {
                if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                    let _ = Media::of(&headers);
                    headers.insert(name, value);
                }
            }
            let _ = Media::of(&headers);
        }
    }
}
