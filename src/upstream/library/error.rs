//! Why a library service gave no answer, or none that helps.

use std::time::Duration;

/// Why the service gave no answer, or none that helps.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The service has no such library or document.
    #[error("{0}")]
    NotFound(String),
    /// The service refused.
    #[error("the library service refused with {status}: {detail}")]
    Refused {
        /// The status of its answer.
        status: u16,
        /// What it said.
        detail: String,
    },
    /// The service failed.
    #[error("the library service failed with {status}")]
    Failed {
        /// The status of its answer.
        status: u16,
    },
    /// No answer came in time.
    #[error("the library service did not answer in {0:?} (`upstream.library.timeout`)")]
    TimedOut(Duration),
    /// No connection could be made; nothing was sent.
    #[error("the library service cannot be reached: check `upstream.library.url`")]
    Unreachable,
    /// The connection broke.
    #[error("the connection to the library service broke")]
    Broken,
    /// The answer was not understood.
    #[error("the library service answered something else than a library's JSON: {0}")]
    Answer(String),
    /// The service failed too often: it is left alone for a while.
    #[error(
        "the library service is resting after {failures} failures (its circuit breaker is open): \
         try again in {} s", .left.as_secs().max(1)
    )]
    Resting {
        /// How many failures came one after the other.
        failures: u32,
        /// How long it is left alone.
        left: Duration,
    },
    /// Too many calls are being made.
    #[error("too many requests wait for the library service: try again in a moment")]
    Busy,
}

impl Error {
    /// Whether it tells that the service is not well.
    pub(super) const fn is_failure(&self) -> bool {
        matches!(
            self,
            Self::Failed { .. } | Self::TimedOut(_) | Self::Unreachable | Self::Broken
        )
    }
}
