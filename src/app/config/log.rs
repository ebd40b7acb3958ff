//! What is logged, and how.

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Crates that log whole messages, with tokens and payloads, from `debug` on.
const TELLTALES: [&str; 5] = [
    "socketioxide",
    "engineioxide",
    "tungstenite",
    "tokio_tungstenite",
    "fred",
];

/// What goes to standard error.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Directives such as `info` or `info,tidings::hub=debug`; `RUST_LOG` sets the same.
    pub filter: String,
    /// How a line looks.
    pub format: Format,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Text on a terminal, else JSON.
    Auto,
    /// For people.
    Text,
    /// For machines: one object a line.
    Json,
}

impl Log {
    /// The filter, or what is wrong with it. What clients say is logged by nobody, unless a
    /// directive names a part of the crates that would.
    pub(in crate::app) fn directives(&self) -> Result<EnvFilter, String> {
        let filter = EnvFilter::try_new(&self.filter).map_err(|error| {
            format!("{error}; write directives such as `info` or `info,tidings::hub=debug`")
        })?;
        if filter
            .max_level_hint()
            .is_some_and(|most| most <= LevelFilter::INFO)
        {
            return Ok(filter);
        }
        let quiet = |target: &str| {
            let directive = format!("{target}=info");
            directive.parse().expect("this is a directive")
        };
        Ok(TELLTALES
            .iter()
            .fold(filter, |filter, target| filter.add_directive(quiet(target))))
    }
}
