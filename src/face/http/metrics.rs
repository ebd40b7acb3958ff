//! The counters of the HTTP face.

use std::time::Duration;

use axum::http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::face::http::refusal::Code;
use crate::histogram::Histogram;

/// The counters of the HTTP face.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    responses: Family<StatusLabel, Counter>,
    refusals: Family<CodeLabel, Counter>,
    streams: Gauge,
    requests: Histogram,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabel {
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: &'static str,
}

impl Metrics {
    /// The counters, under their names in the registry.
    pub fn register(registry: &mut Registry) -> Self {
        let m = Self::default();
        registry.register(
            "tidings_http_responses",
            "HTTP responses, by status",
            m.responses.clone(),
        );
        registry.register(
            "tidings_http_refusals",
            "HTTP requests refused, by problem code",
            m.refusals.clone(),
        );
        registry.register(
            "tidings_http_streams",
            "Open SSE and NDJSON streams",
            m.streams.clone(),
        );
        registry.register(
            "tidings_http_request_seconds",
            "From the head of an HTTP request to the head of its answer",
            m.requests.clone(),
        );
        m
    }

    pub(crate) fn responded(&self, status: StatusCode, took: Duration) {
        self.requests.observe(took);
        self.responses
            .get_or_create(&StatusLabel {
                status: status.as_u16(),
            })
            .inc();
    }

    pub(crate) fn refused(&self, code: Code) {
        self.refusals
            .get_or_create(&CodeLabel {
                code: code.as_str(),
            })
            .inc();
    }

    /// How many streams are open.
    pub fn streams(&self) -> usize {
        usize::try_from(self.streams.get()).unwrap_or(0)
    }

    /// Counts a stream for as long as the guard lives.
    pub(crate) fn stream_opened(&self) -> OpenStream {
        self.streams.inc();
        OpenStream(self.streams.clone())
    }
}

/// An open stream in the count.
pub(crate) struct OpenStream(Gauge);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.dec();
    }
}
