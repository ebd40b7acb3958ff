//! Where traces go.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Traces of requests, from publish to delivery.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trace {
    /// The collector, which takes OTLP over HTTP; without it nothing is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The share of the requests without a trace that begin one.
    pub ratio: f64,
    /// Most steps that wait to be sent.
    pub spans_max: usize,
    /// How often they are sent.
    #[serde(with = "crate::quantity::duration")]
    pub interval: Duration,
    /// How long the collector may take to answer.
    #[serde(with = "crate::quantity::duration")]
    pub timeout: Duration,
}

impl Trace {
    /// What is wrong with it, by key.
    pub(super) fn problem(&self) -> Option<(&'static str, &'static str)> {
        if self.endpoint.is_some() && !cfg!(feature = "otlp") {
            let what = "this build sends no traces: build it with `--features otlp`";
            return Some(("endpoint", what));
        }
        let is_share = (0.0..=1.0).contains(&self.ratio);
        (!is_share).then_some(("ratio", "write a share between 0 and 1"))
    }
}
