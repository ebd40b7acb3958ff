//! Durations as text: "150ms", "25s", "2m", "24h", "7d".
//!
//! For `#[serde(with = "crate::quantity::duration")]`.

use std::fmt;
use std::time::Duration;

use serde::{Deserializer, Serializer};

use super::{Error, split};

/// The units of a duration in milliseconds, largest first.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads "25s".
///
/// # Errors
/// When it is no number followed by one of `ms s m h d`, or is too large.
pub fn parse(text: &str) -> Result<Duration, Error> {
    let (number, unit) = split(text).ok_or_else(|| Error::Duration(text.to_owned()))?;
    let (_, factor) = UNITS
        .into_iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(|| Error::Duration(text.to_owned()))?;
    let number: u64 = number
        .parse()
        .map_err(|_| Error::TooLarge(text.to_owned()))?;
    let millis = number
        .checked_mul(factor)
        .ok_or_else(|| Error::TooLarge(text.to_owned()))?;
    Ok(Duration::from_millis(millis))
}

/// Writes a duration in the largest unit that leaves no rest; below a millisecond nothing is kept.
pub fn format(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0ms".to_owned();
    }
    let (unit, factor) = UNITS
        .into_iter()
        .find(|(_, factor)| millis.is_multiple_of(*factor))
        .unwrap_or(("ms", 1));
    format!("{}{unit}", millis / factor)
}

/// Writes the field.
///
/// # Errors
/// The serializer's own.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*duration))
}

/// Reads the field.
///
/// # Errors
/// When it is no string with a duration.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_str(Written)
}

struct Written;

impl serde::de::Visitor<'_> for Written {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as \"25s\"")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Duration, E> {
        parse(text).map_err(E::custom)
    }
}

/// For `#[serde(default, with = "crate::quantity::duration::option")]`: absent means off.
pub mod option {
    use std::time::Duration;

    use serde::{Deserializer, Serializer};

    /// Writes the field.
    ///
    /// # Errors
    /// The serializer's own.
    pub fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads the field.
    ///
    /// # Errors
    /// When it is there, but is no string with a duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        super::deserialize(deserializer).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Config {
        #[serde(with = "crate::quantity::duration")]
        every: Duration,
        #[serde(default, with = "crate::quantity::duration::option")]
        limit: Option<Duration>,
    }

    #[test]
    fn durations_are_read_with_their_unit() {
        for (text, millis) in [
            ("150ms", 150),
            ("25s", 25_000),
            ("2m", 120_000),
            ("24h", 86_400_000),
            ("0s", 0),
        ] {
            assert_eq!(
                parse(text).unwrap(),
                Duration::from_millis(millis),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "25", "s", "-1s", "1.5s", "1w", "1 minute", "1M"] {
            assert_eq!(parse(text), Err(Error::Duration(text.to_owned())), "{text}");
        }
        let large = "18446744073709551615d";
        assert_eq!(parse(large), Err(Error::TooLarge(large.to_owned())));
    }

    #[test]
    fn fields_round_trip() {
        let config: Config = toml::from_str(r#"every = "90s""#).unwrap();
        assert_eq!(
            config,
            Config {
                every: Duration::from_secs(90),
                limit: None
            }
        );
        let text = "every = \"90s\"\nlimit = \"2m\"\n";
        let config: Config = toml::from_str(text).unwrap();
        assert_eq!(config.limit, Some(Duration::from_mins(2)));
        assert_eq!(toml::to_string(&config).unwrap(), text);
    }

    #[test]
    fn a_bare_number_says_what_to_write() {
        let error = toml::from_str::<Config>("every = 5")
            .unwrap_err()
            .to_string();
        assert!(error.contains("a duration such as \"25s\""), "{error}");
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_survives(text in ".{0,40}", ours in "[0-9]{1,21} ?(ms|s|m|h|d)") {
            for text in [text, ours] {
                if let Ok(duration) = parse(&text) {
                    prop_assert_eq!(parse(&format(duration)), Ok(duration));
                }
            }
        }
    }
}
