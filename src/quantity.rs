//! Quantities as people write them in a config: durations such as "25s" and sizes such as "64KiB".
//!
//! Every part uses them in its `Config`. Both are strings on purpose: a bare number would leave
//! the unit to memory. Use `#[serde(with = "crate::quantity::duration")]` for a
//! [`std::time::Duration`] and `duration::option` for an `Option` of one.

pub mod duration;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The units of a size, largest first.
const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Why a text is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is no number followed by a unit of time.
    #[error("`{0}` is no duration: write a number and a unit, such as `150ms`, `25s`, `2m`, `24h`")]
    Duration(String),
    /// It is no number followed by a unit of size.
    #[error("`{0}` is no size: write a number and a unit, such as `512B`, `64KiB`, `1MiB`, `2GiB`")]
    Size(String),
    /// The number is larger than can be held.
    #[error("`{0}` is too large")]
    TooLarge(String),
}

/// A number of bytes, written as "64KiB".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// The size as a length in memory.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for ByteSize {
    /// Writes the largest binary unit that leaves no rest, else plain bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = SIZE_UNITS
            .into_iter()
            .filter(|(unit, _)| unit.ends_with("iB"))
            .find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor))
            .unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl FromStr for ByteSize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (number, unit) = split(text).ok_or_else(|| Error::Size(text.to_owned()))?;
        let (_, factor) = SIZE_UNITS
            .into_iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
            .ok_or_else(|| Error::Size(text.to_owned()))?;
        let number: u64 = number
            .parse()
            .map_err(|_| Error::TooLarge(text.to_owned()))?;
        number
            .checked_mul(factor)
            .map(Self)
            .ok_or_else(|| Error::TooLarge(text.to_owned()))
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Written("a size such as \"64KiB\""))
    }
}

/// Reads a quantity from a string, naming what was expected when there is something else.
struct Written(&'static str);

impl serde::de::Visitor<'_> for Written {
    type Value = ByteSize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ByteSize, E> {
        text.parse().map_err(E::custom)
    }
}

/// Splits "64KiB" or "64 KiB" into digits and unit.
fn split(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    (!number.is_empty()).then_some((number, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read_with_their_unit() {
        for (text, bytes) in [
            ("0B", 0),
            ("512B", 512),
            ("64KiB", 65_536),
            ("64 kib", 65_536),
            ("1MiB", 1 << 20),
            ("2GiB", 2 << 30),
            ("5MB", 5_000_000),
        ] {
            assert_eq!(text.parse::<ByteSize>().unwrap(), ByteSize(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "12", "KiB", "-1KiB", "1.5MiB", "1 MiBs", "MiB 1"] {
            assert_eq!(
                text.parse::<ByteSize>(),
                Err(Error::Size(text.to_owned())),
                "{text}"
            );
        }
        let large = "99999999999999999999GiB";
        assert_eq!(
            large.parse::<ByteSize>(),
            Err(Error::TooLarge(large.to_owned()))
        );
        let large = "18446744073709551615GiB";
        assert_eq!(
            large.parse::<ByteSize>(),
            Err(Error::TooLarge(large.to_owned()))
        );
    }

    #[test]
    fn sizes_are_written_in_the_largest_even_unit() {
        for text in ["0B", "100B", "64KiB", "1MiB", "1025B", "3GiB"] {
            assert_eq!(text.parse::<ByteSize>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_bare_number_is_no_size_in_a_config() {
        let error = serde_json::from_str::<ByteSize>("5").unwrap_err();
        assert!(error.to_string().contains("a size such as"), "{error}");
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_survives(text in ".{0,40}", ours in "[0-9]{1,21} ?[kKMGiB]{1,3}") {
            for text in [text, ours] {
                if let Ok(size) = text.parse::<ByteSize>() {
                    prop_assert_eq!(size.to_string().parse::<ByteSize>(), Ok(size));
                }
            }
        }
    }
}
