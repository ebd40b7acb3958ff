//! Cursors: the incarnation of a log and a place in it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest epoch text, in bytes.
const EPOCH_BYTES_MAX: usize = 32;

/// The number of an event in its topic, from 1. Zero is the place before the first event.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The place before the first event.
    pub const ZERO: Self = Self(0);

    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The incarnation of a log: a log that was lost and began anew has another epoch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Epoch(Arc<str>);

impl Epoch {
    /// An epoch from its text.
    ///
    /// # Errors
    /// When the text is empty, longer than 32 bytes or holds anything but ASCII letters and digits.
    pub fn new(text: &str) -> Result<Self, CursorError> {
        let allowed = (1..=EPOCH_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric());
        if allowed {
            Ok(Self(text.into()))
        } else {
            Err(CursorError)
        }
    }

    /// The text of the epoch.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// A place in one incarnation of a log. As a `since` it is exclusive: what comes after it is meant.
///
/// The text form is `<epoch>:<seq>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The incarnation of the log.
    pub epoch: Epoch,
    /// The last event before the place.
    pub seq: Seq,
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (epoch, seq) = text.split_once(':').ok_or(CursorError)?;
        if !seq.bytes().all(|b| b.is_ascii_digit()) {
            return Err(CursorError);
        }
        let seq = seq.parse().map_err(|_| CursorError)?;
        Ok(Self {
            epoch: Epoch::new(epoch)?,
            seq: Seq(seq),
        })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.seq)
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A text is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no cursor: write it as `<epoch>:<seq>`, as the gateway gave it")]
pub struct CursorError;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cursor_survives_its_text_form() {
        let cursor: Cursor = "k3f9:17".parse().unwrap();
        assert_eq!(cursor.seq, Seq(17));
        assert_eq!(cursor.to_string(), "k3f9:17");
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in [
            "", ":", "a", "a:", ":1", "a:-1", "a:+1", "a:1x", "a b:1", "é:1",
        ] {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
        assert!("a:99999999999999999999999".parse::<Cursor>().is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_survives(text in ".{0,60}", ours in "[a-z0-9:]{0,40}") {
            for text in [text, ours] {
                if let Ok(cursor) = text.parse::<Cursor>() {
                    prop_assert_eq!(cursor.to_string().parse::<Cursor>(), Ok(cursor));
                }
            }
        }
    }
}
