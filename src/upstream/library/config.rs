//! Where the library service is, and what calls to it may take.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::quantity::ByteSize;

/// Where the library service is, and what calls to it may take.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where it is; without it the gateway keeps documents itself.
    #[serde(default)]
    pub url: Option<String>,
    /// Where one document is, in the service's words.
    pub document_path: String,
    /// How long a connection may take to be made.
    #[serde(with = "crate::quantity::duration")]
    pub connect_timeout: Duration,
    /// How long one try of a call may take.
    #[serde(with = "crate::quantity::duration")]
    pub timeout: Duration,
    /// How often a call that may be repeated is, after the first try.
    pub retries_max: usize,
    /// The pause before the first repetition; it doubles.
    #[serde(with = "crate::quantity::duration")]
    pub retry_pause: Duration,
    /// Most calls at a time.
    pub concurrency_max: usize,
    /// Most calls that wait for their turn.
    pub queue_max: usize,
    /// After how many failures in a row the service is left alone.
    pub failures_max: u32,
    /// For how long.
    #[serde(with = "crate::quantity::duration")]
    pub rest: Duration,
    /// Most documents of one background import that are sent at a time.
    pub import_concurrency_max: usize,
    /// How long a background import waits for a service that is away.
    #[serde(with = "crate::quantity::duration")]
    pub import_wait_max: Duration,
    /// Largest answer that is read.
    pub answer_bytes_max: ByteSize,
}
