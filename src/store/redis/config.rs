//! How Redis is reached, and what it may take.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How Redis is reached, and what it may take.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// Where it is: `redis://`, `redis-cluster://` or `redis-sentinel://`; with TLS `rediss...://`.
    #[serde(default)]
    pub url: Option<String>,
    /// The ACL user, if the URL does not name it.
    #[serde(default)]
    pub username: Option<String>,
    /// A file with the password, if the URL does not hold it.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// A file with the certificates (PEM) that Redis may show; absent: those of the system.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// What every key and channel begins with.
    pub prefix: String,
    /// When a publish is acknowledged.
    pub ack: Ack,
    /// What a restart of Redis is taken to lose.
    pub restarts: Restarts,
    /// Longest that a command may take.
    #[serde(with = "crate::quantity::duration")]
    pub command_timeout: Duration,
    /// Longest that connecting may take.
    #[serde(with = "crate::quantity::duration")]
    pub connect_timeout: Duration,
    /// How long after a lost connection the next one is tried.
    #[serde(with = "crate::quantity::duration")]
    pub reconnect_delay: Duration,
    /// How often it is asked whether it is there.
    #[serde(with = "crate::quantity::duration")]
    pub health_interval: Duration,
    /// How long it may be away before the clients of this node are told.
    #[serde(with = "crate::quantity::duration")]
    pub outage_told_after: Duration,
    /// How often a watched topic is compared with the log.
    #[serde(with = "crate::quantity::duration")]
    pub verify_interval: Duration,
    /// How long a client that comes back is known when its node is gone.
    #[serde(with = "crate::quantity::duration")]
    pub resume_age_max: Duration,
    /// How long a node may be silent before the others count without it.
    #[serde(with = "crate::quantity::duration")]
    pub node_age: Duration,
    /// Most commands that are under way.
    pub commands_max: usize,
    /// Most news that wait to be taken in; beyond it topics are read from the log.
    pub news_max: usize,
    /// Most topics that are read from the log at the same time.
    pub reads_max: usize,
    /// Most events that are read at once.
    pub page_events: usize,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        f.debug_struct("Redis")
            .field("prefix", &self.prefix)
            .field("ack", &self.ack)
            .finish_non_exhaustive()
    }
}

/// When a publish is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// When the primary has it.
    Primary,
    /// When so many replicas have it as well.
    Wait(u8),
}

impl fmt::Display for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Primary => f.write_str("primary"),
            Self::Wait(replicas) => write!(f, "wait({replicas})"),
        }
    }
}

impl FromStr for Ack {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let replicas = text
            .strip_prefix("wait(")
            .and_then(|rest| rest.strip_suffix(')'))
            .and_then(|number| number.trim().parse::<u8>().ok())
            .filter(|replicas| *replicas > 0);
        match (text, replicas) {
            ("primary", _) => Ok(Self::Primary),
            (_, Some(replicas)) => Ok(Self::Wait(replicas)),
            _ => Err(format!(
                "`{text}` is neither `primary` nor `wait(1)`, `wait(2)`, ..."
            )),
        }
    }
}

impl Serialize for Ack {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ack {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What a restart of Redis is taken to lose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Restarts {
    /// Nothing if it says that it has `appendfsync always`, else what came last.
    Ask,
    /// Nothing, whatever it says.
    Keep,
    /// What came last, whatever it says.
    Lose,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_are_written_as_in_the_manual() {
        for (text, ack) in [("primary", Ack::Primary), ("wait(2)", Ack::Wait(2))] {
            assert_eq!(text.parse::<Ack>(), Ok(ack));
            assert_eq!(ack.to_string(), text);
        }
        for bad in ["", "wait", "wait(0)", "wait(x)", "wait(1) "] {
            assert!(bad.parse::<Ack>().is_err(), "{bad}");
        }
    }
}
