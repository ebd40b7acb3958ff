//! Patterns of topic names, as they stand in claims and in the list of API keys.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::topic::{Kind, TopicName};

/// Most patterns of one principal.
const PATTERNS_MAX: usize = 256;

/// Longest pattern, in bytes: the longest topic name has fewer.
const PATTERN_BYTES_MAX: usize = 144;

/// A topic name, or the beginning of some: `session:abc`, `job:*`, `session:team-7.*`, `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    /// Whether a `*` stood at the end; it is not in `text` any more.
    is_open: bool,
}

impl Pattern {
    /// Whether a topic is meant.
    pub fn matches(&self, topic: &TopicName) -> bool {
        if self.is_open {
            topic.as_str().starts_with(&*self.text)
        } else {
            topic.as_str() == &*self.text
        }
    }
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no topic pattern: write a topic such as `session:abc`, the beginning of some such as \
     `job:*` or `session:team-*`, or `*` for all"
)]
pub struct PatternError(String);

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let refused = || PatternError(text.chars().filter(|c| !c.is_control()).take(40).collect());
        let (start, is_open) = match text.strip_suffix('*') {
            Some(start) => (start, true),
            None => (text, false),
        };
        let is_well_formed = match start.split_once(':') {
            _ if text.len() > PATTERN_BYTES_MAX => false,
            // Not even a whole kind: only `*` itself makes sense.
            None => is_open && start.is_empty(),
            Some((kind, "")) => is_open && kind.parse::<Kind>().is_ok(),
            // What may stand for the rest of an id is an id as well.
            Some(_) if is_open => format!("{start}x").parse::<TopicName>().is_ok(),
            Some(_) => start.parse::<TopicName>().is_ok(),
        };
        if !is_well_formed {
            return Err(refused());
        }
        Ok(Self {
            text: start.into(),
            is_open,
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.is_open { "*" } else { "" };
        write!(f, "{}{star}", self.text)
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Some patterns; a topic is meant if one of them matches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Patterns(Vec<Pattern>);

impl Patterns {
    /// No pattern: no topic is meant.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Whether no topic is meant.
    pub fn are_none(&self) -> bool {
        self.0.is_empty()
    }

    /// The pattern of all topics.
    pub fn all() -> Self {
        Self(vec![Pattern {
            text: "".into(),
            is_open: true,
        }])
    }

    /// Whether a topic is meant.
    pub fn matches(&self, topic: &TopicName) -> bool {
        self.0.iter().any(|pattern| pattern.matches(topic))
    }
}

impl From<Vec<Pattern>> for Patterns {
    fn from(patterns: Vec<Pattern>) -> Self {
        Self(patterns)
    }
}

impl<'de> Deserialize<'de> for Patterns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let patterns = Vec::<Pattern>::deserialize(deserializer)?;
        if patterns.len() > PATTERNS_MAX {
            let why = format!("at most {PATTERNS_MAX} topic patterns are allowed");
            return Err(serde::de::Error::custom(why));
        }
        Ok(patterns.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, topic: &str) -> bool {
        let pattern: Pattern = pattern.parse().unwrap();
        pattern.matches(&topic.parse().unwrap())
    }

    #[test]
    fn a_pattern_is_a_name_or_a_beginning() {
        assert!(matches("session:abc", "session:abc"));
        assert!(!matches("session:abc", "session:abcd"));
        assert!(!matches("session:abc", "job:abc"));
        assert!(matches("job:*", "job:x"));
        assert!(!matches("job:*", "session:job"));
        assert!(matches("session:team-*", "session:team-7"));
        assert!(!matches("session:team-*", "session:team7"));
        assert!(matches("*", "system:metrics"));
    }

    #[test]
    fn a_star_stands_at_the_end_only_and_a_kind_is_whole() {
        for text in [
            "",
            ":",
            "session",
            "session:",
            "sess*",
            "*:*",
            "se*:abc",
            "session:a*b",
            "session:**",
            "stream:*",
            "session:../x",
            "session:.*",
            "job:connect",
            "session:a b",
            "**",
        ] {
            assert!(text.parse::<Pattern>().is_err(), "{text}");
        }
        let long = format!("session:{}*", "x".repeat(200));
        assert!(long.parse::<Pattern>().is_err());
    }

    #[test]
    fn there_is_a_bound_on_patterns() {
        let list = |count: usize| serde_json::to_string(&vec!["job:*"; count]).unwrap();
        assert!(serde_json::from_str::<Patterns>(&list(PATTERNS_MAX)).is_ok());
        assert!(serde_json::from_str::<Patterns>(&list(PATTERNS_MAX + 1)).is_err());
        assert!(serde_json::from_str::<Patterns>(r#""*""#).is_err());
    }
}
