//! Topic names: `kind:id`, parsed once at the edge and trusted inside.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The topic in which the gateway notes revocations. It is kept however old it is; administrators
/// may read it, and the gateway alone writes it.
pub const REVOCATIONS: &str = "system:revocations";

/// Longest id of a topic, in bytes.
const ID_BYTES_MAX: usize = 128;

/// The kind of a topic: which family of applications its events belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A session of the Document Processing API; the room of a Socket.IO subscriber.
    Session,
    /// A job of the progress dialects.
    Job,
    /// A directory scan.
    Scan,
    /// A document library.
    Library,
    /// The notifications of one user; the id is the user.
    Documents,
    /// A room of the assist dialect.
    Room,
    /// The gateway's own topics (`system:metrics`, `system:jobs`, `system:alerts`).
    System,
}

impl Kind {
    /// Every kind, in the order of the contract.
    pub const ALL: [Self; 7] = [
        Self::Session,
        Self::Job,
        Self::Scan,
        Self::Library,
        Self::Documents,
        Self::Room,
        Self::System,
    ];

    /// The text before the colon.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Job => "job",
            Self::Scan => "scan",
            Self::Library => "library",
            Self::Documents => "documents",
            Self::Room => "room",
            Self::System => "system",
        }
    }
}

impl FromStr for Kind {
    type Err = TopicNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| TopicNameError::UnknownKind(shorten(text)))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name of a topic. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicName {
    text: Arc<str>,
    kind: Kind,
}

impl TopicName {
    /// The topic `kind:id`.
    ///
    /// # Errors
    /// When the id breaks the rules of the contract: 1 to 128 of `A-Z a-z 0-9 . _ ~ -`, not
    /// starting with `.`, and not one of the reserved job ids `connect` and `scan`.
    pub fn new(kind: Kind, id: &str) -> Result<Self, TopicNameError> {
        check_id(kind, id)?;
        Ok(Self {
            text: format!("{kind}:{id}").into(),
            kind,
        })
    }

    /// The topic of a session id as a Socket.IO client gives it: a bare id (`abc`) or a full
    /// topic name (`job:abc`).
    ///
    /// # Errors
    /// As [`TopicName::new`].
    pub fn of_session(text: &str) -> Result<Self, TopicNameError> {
        if text.contains(':') {
            text.parse()
        } else {
            Self::new(Kind::Session, text)
        }
    }

    /// The whole name, `kind:id`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands before the colon.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// What stands after the colon.
    pub fn id(&self) -> &str {
        &self.text[self.kind.as_str().len() + 1..]
    }
}

impl FromStr for TopicName {
    type Err = TopicNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((kind, id)) = text.split_once(':') else {
            return Err(TopicNameError::NoKind(shorten(text)));
        };
        let kind = kind.parse()?;
        check_id(kind, id)?;
        Ok(Self {
            text: text.into(),
            kind,
        })
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for TopicName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for TopicName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a text is no topic name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicNameError {
    /// There is no colon.
    #[error("topic `{0}` has no kind: write it as `kind:id`, for example `session:abc`")]
    NoKind(String),
    /// The kind is none of ours.
    #[error("unknown topic kind `{0}`: use session, job, scan, library, documents, room or system")]
    UnknownKind(String),
    /// The id is empty.
    #[error("the id is empty: use 1 to 128 of A-Z a-z 0-9 . _ ~ -")]
    Empty,
    /// The id is too long.
    #[error("the id has {0} bytes: at most 128 are allowed")]
    TooLong(usize),
    /// The id holds a forbidden character or starts with a dot.
    #[error("the id `{0}` is not allowed: use A-Z a-z 0-9 . _ ~ - and do not start with a dot")]
    Characters(String),
    /// The id would be shadowed by a path.
    #[error("the job id `{0}` is reserved: choose another")]
    Reserved(String),
}

fn check_id(kind: Kind, id: &str) -> Result<(), TopicNameError> {
    if id.is_empty() {
        return Err(TopicNameError::Empty);
    }
    if id.len() > ID_BYTES_MAX {
        return Err(TopicNameError::TooLong(id.len()));
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'~' | b'-');
    if id.starts_with('.') || !id.bytes().all(allowed) {
        return Err(TopicNameError::Characters(shorten(id)));
    }
    if kind == Kind::Job && matches!(id, "connect" | "scan") {
        return Err(TopicNameError::Reserved(id.to_owned()));
    }
    Ok(())
}

/// At most 40 characters of what a stranger sent, without control characters.
fn shorten(text: &str) -> String {
    let mut short: String = text.chars().filter(|c| !c.is_control()).take(40).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_has_a_kind_and_an_id() {
        let name: TopicName = "session:a.b_c~d-1".parse().unwrap();
        assert_eq!((name.kind(), name.id()), (Kind::Session, "a.b_c~d-1"));
        assert_eq!(TopicName::of_session("x").unwrap().as_str(), "session:x");
        assert_eq!(TopicName::of_session("job:x").unwrap().kind(), Kind::Job);
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        let cases = [
            ("abc", "has no kind"),
            ("stream:a", "unknown topic kind `stream`"),
            ("session:", "empty"),
            ("session:.hidden", "not allowed"),
            ("session:a/b", "not allowed"),
            ("session:a b", "not allowed"),
            ("session:é", "not allowed"),
            ("session:a:b", "not allowed"),
            ("job:connect", "reserved"),
            ("job:scan", "reserved"),
        ];
        for (text, why) in cases {
            let error = text.parse::<TopicName>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        let long = format!("session:{}", "x".repeat(129));
        assert_eq!(long.parse::<TopicName>(), Err(TopicNameError::TooLong(129)));
        assert!(
            format!("session:{}", "x".repeat(128))
                .parse::<TopicName>()
                .is_ok()
        );
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_is_the_name(
            text in ".{0,200}",
            ours in "(session|job|scan|room|system):?[A-Za-z0-9._~:-]{0,140}",
        ) {
            for text in [text, ours] {
                if let Ok(name) = text.parse::<TopicName>() {
                    prop_assert_eq!(name.as_str(), &text);
                    prop_assert_eq!(TopicName::new(name.kind(), name.id()), Ok(name.clone()));
                }
                if let Ok(name) = TopicName::of_session(&text) {
                    prop_assert!((1..=ID_BYTES_MAX).contains(&name.id().len()));
                }
            }
        }
    }
}
