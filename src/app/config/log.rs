//! What is logged, and how.

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

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
    /// The filter, or what is wrong with it.
    pub(in crate::app) fn directives(&self) -> Result<EnvFilter, String> {
        EnvFilter::try_new(&self.filter).map_err(|error| {
            format!("{error}; write directives such as `info` or `info,tidings::hub=debug`")
        })
    }
}
