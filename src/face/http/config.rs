//! What the HTTP face may take, and its habits.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::quantity::ByteSize;

/// The bounds and habits of the HTTP face.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Largest request body.
    pub body_bytes_max: ByteSize,
    /// Most events of one batch.
    pub batch_entries_max: usize,
    /// Most lines of an import that are answered one by one.
    pub import_results_max: usize,
    /// How many entries a page has when the request does not say.
    pub page_limit: usize,
    /// Most entries of a page.
    pub page_limit_max: usize,
    /// How long a stream may be silent before a comment (SSE) or an empty line (NDJSON) is sent.
    #[serde(with = "crate::quantity::duration")]
    pub keepalive_interval: Duration,
    /// How long an SSE client that was cut off is told to wait before it comes back.
    #[serde(with = "crate::quantity::duration")]
    pub sse_retry: Duration,
    /// How often the live list of topics is read at most.
    #[serde(with = "crate::quantity::duration")]
    pub topics_interval: Duration,
    /// Most topics that the live list has.
    pub topics_live_max: usize,
    /// Origins whose pages may use the gateway; `*` is any, and then never with credentials.
    pub cors_origins: Vec<String>,
    /// How long a browser may remember what CORS allows.
    #[serde(with = "crate::quantity::duration")]
    pub cors_age_max: Duration,
}
