//! Spans: the steps of a trace that have ended, on their way to whoever exports them.
//!
//! Nothing is recorded until somebody exports ([`start`]). The queue has a bound: what comes while it
//! is full is counted, and left out of the trace.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::origin::Parent;

static SPANS: OnceLock<Spans> = OnceLock::new();

/// What a span is to those around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// It answers a request.
    Server,
    /// It is a step within.
    Internal,
    /// It hands on to others.
    Producer,
}

/// A step that has ended.
#[derive(Debug, Clone)]
pub struct Span {
    /// What was done.
    pub name: &'static str,
    /// What it is to those around it.
    pub kind: SpanKind,
    /// The step itself.
    pub own: Parent,
    /// The step above, if there is one.
    pub above: Option<u64>,
    /// When it began.
    pub began: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// What is known of it.
    pub facts: Vec<(&'static str, String)>,
}

/// Where spans go.
#[derive(Debug)]
pub struct Spans {
    queue: mpsc::Sender<Span>,
    /// One of so many requests without a trace of their own begins one.
    one_in: u64,
    asked: AtomicU64,
    lost: AtomicU64,
}

/// Begins to record: once in a process. Returns where the spans come out, or nothing if it was begun
/// before. Of requests that bring no trace, the share `ratio` begins one.
pub fn start(queue_max: usize, ratio: f64) -> Option<mpsc::Receiver<Span>> {
    let (queue, spans) = mpsc::channel(queue_max.max(1));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a ratio above zero and up to one has a small inverse"
    )]
    let one_in = if ratio > 0.0 { (1.0 / ratio) as u64 } else { 0 };
    let made = Spans {
        queue,
        one_in,
        asked: AtomicU64::new(0),
        lost: AtomicU64::new(0),
    };
    SPANS.set(made).ok().map(|()| spans)
}

/// Where spans go, if they are recorded.
pub fn spans() -> Option<&'static Spans> {
    SPANS.get()
}

/// A step that is being taken, and recorded when it ends.
#[derive(Debug)]
pub struct Step {
    spans: &'static Spans,
    own: Parent,
    above: Option<u64>,
    began: Instant,
}

impl Step {
    /// A step that began then; nothing if it is not recorded.
    pub fn of(own: Parent, above: Option<u64>, began: Instant) -> Option<Self> {
        let spans = spans().filter(|_| own.is_sampled)?;
        Some(Self {
            spans,
            own,
            above,
            began,
        })
    }

    /// A step below another that begins now; nothing if it is not recorded.
    pub fn below(above: &Parent) -> Option<Self> {
        Self::of(above.child(), Some(above.span), Instant::now())
    }

    /// It has ended.
    pub fn end(self, name: &'static str, kind: SpanKind, facts: Vec<(&'static str, String)>) {
        let took = self.began.elapsed();
        self.spans.record(Span {
            name,
            kind,
            own: self.own,
            above: self.above,
            began: SystemTime::now() - took,
            took,
            facts,
        });
    }
}

impl Spans {
    /// Hands a span on. Never waits.
    fn record(&self, span: Span) {
        if self.queue.try_send(span).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether a request that brings no trace begins one now.
    pub fn begins_one(&self) -> bool {
        self.one_in > 0
            && self
                .asked
                .fetch_add(1, Ordering::Relaxed)
                .is_multiple_of(self.one_in)
    }

    /// How many spans found the queue full.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}
