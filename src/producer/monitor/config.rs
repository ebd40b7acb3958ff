//! How often the monitor tells something.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How often the monitor tells something.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How often the machine is sampled while somebody watches.
    #[serde(with = "crate::quantity::duration")]
    pub interval: Duration,
    /// How long updates of jobs are gathered before they are told together.
    #[serde(with = "crate::quantity::duration")]
    pub updates_interval: Duration,
}
