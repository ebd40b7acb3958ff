//! Where that which is being done came from: the face, the request and the trace.
//!
//! A face says it once, around the work ([`Origin::scope`]); whoever writes a log line, appends an
//! event or calls a service asks for it ([`current`]). It goes with the task and costs nothing where
//! nobody asks.

mod span;
mod trace;

pub use self::span::{Span, SpanKind, Spans, Step, spans, start};
pub use self::trace::{Parent, TRACEPARENT};

use std::sync::Arc;

tokio::task_local! {
    static CURRENT: Origin;
}

/// Where something came from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The face that it came by, as metrics name it.
    pub face: &'static str,
    /// The id of the request.
    pub request: Option<Arc<str>>,
    /// The step of a trace that it belongs to.
    pub trace: Option<Parent>,
}

impl Origin {
    /// What began in the process itself.
    const INTERNAL: Self = Self::of("internal");

    /// What came by a face, without a request of its own.
    pub const fn of(face: &'static str) -> Self {
        Self {
            face,
            request: None,
            trace: None,
        }
    }

    /// Does something that came from here.
    pub fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, work)
    }
}

/// Where that which is being done came from.
pub fn current() -> Origin {
    CURRENT.try_with(Clone::clone).unwrap_or(Origin::INTERNAL)
}

/// The step of a trace that is being done, if it is recorded and somebody takes what is recorded.
pub fn recorded() -> Option<Box<Parent>> {
    spans()?;
    let trace = CURRENT.try_with(|origin| origin.trace).ok()?;
    trace.filter(|trace| trace.is_sampled).map(Box::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_goes_with_the_work_and_ends_with_it() {
        assert_eq!(current().face, "internal");
        let face = Origin::of("http").scope(async { current().face }).await;
        assert_eq!(face, "http");
        assert_eq!(current().face, "internal");
    }
}
