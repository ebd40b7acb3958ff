//! The guard under an HTTP connection: a client that does not take its answers is closed.
//!
//! hyper waits for ever for a socket that is full. The guard runs the stall clock over its writes,
//! and tells whoever asked ([`Lifeline`]) when a connection ends before its answer was written.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::wire::gate::Told;
use crate::wire::stall::Stall;
use crate::wire::{Bound, Config};

/// Tells a handler that its answer was not written. In the extensions of each request.
#[derive(Clone, Default)]
pub struct Lifeline(Arc<Mutex<Option<Lost>>>);

type Lost = Box<dyn FnOnce() + Send>;

impl Lifeline {
    /// Calls `lost` if the connection ends before what is answered now has left. To be called last,
    /// when the answer is given without waiting for anything more.
    pub fn tie(&self, lost: impl FnOnce() + Send + 'static) {
        *self.held() = Some(Box::new(lost));
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<Lost>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<Lost> {
        self.held().take()
    }
}

/// What is known of a connection for the counters. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Watch(Arc<Watched>);

struct Watched {
    stalled: Counter,
    told: Told,
    /// Something of a request has come that is not answered yet.
    is_asked: AtomicBool,
    is_stalled: AtomicBool,
}

impl Watch {
    pub(crate) fn new(stalled: Counter, told: Told) -> Self {
        Self(Arc::new(Watched {
            stalled,
            told,
            is_asked: AtomicBool::new(false),
            is_stalled: AtomicBool::new(false),
        }))
    }

    /// The connection ended with an error. One that rested between two requests reached no bound.
    pub(crate) fn ended(&self, error: &hyper::Error) {
        if error.is_parse_too_large() {
            (self.0.told)(Bound::HeaderBytes);
        } else if error.is_timeout() && self.0.is_asked.load(Ordering::Relaxed) {
            (self.0.told)(Bound::Header);
        }
    }

    fn heard(&self) {
        self.0.is_asked.store(true, Ordering::Relaxed);
    }

    fn answered(&self) {
        self.0.is_asked.store(false, Ordering::Relaxed);
    }

    /// The client took too little. Counted once.
    fn stalled(&self) {
        if !self.0.is_stalled.swap(true, Ordering::Relaxed) {
            self.0.stalled.inc();
            (self.0.told)(Bound::WriteStall);
        }
    }
}

/// A socket whose writes fail when the client takes too little for too long.
pub(crate) struct Guard {
    /// Nothing only when it was taken out for an upgrade.
    tcp: Option<TcpStream>,
    config: Arc<Config>,
    lifeline: Lifeline,
    watch: Watch,
    /// Something was written since the last flush.
    has_written: bool,
    stall: Stall,
    /// Set up when a write has to wait for the first time.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Guard {
    pub(crate) fn new(tcp: TcpStream, config: Arc<Config>, watch: Watch) -> Self {
        Self {
            tcp: Some(tcp),
            config,
            lifeline: Lifeline::default(),
            watch,
            has_written: false,
            stall: Stall::default(),
            alarm: None,
        }
    }

    pub(crate) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config)
    }

    /// What is known of the connection for the counters.
    pub(crate) fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// What handlers are given to hear of answers that were lost.
    pub(crate) fn lifeline(&self) -> Lifeline {
        self.lifeline.clone()
    }

    /// The bare socket, for an upgrade.
    pub(crate) fn into_tcp(mut self) -> Option<TcpStream> {
        self.tcp.take()
    }

    fn tcp(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        let tcp = self.tcp.as_mut().map(Pin::new);
        tcp.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Runs the clock over the outcome of a write.
    fn timed(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match outcome {
            Poll::Ready(Ok(bytes)) => {
                let bytes_min = self.config.write_stall_bytes_min.bytes();
                self.stall.took(bytes, bytes_min);
                self.has_written = true;
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.failed(error))),
            Poll::Pending => {
                self.stall.begin();
                ready!(self.poll_alarm(cx));
                self.watch.stalled();
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }

    /// The system gives a client up that acknowledges nothing, after the same time.
    fn failed(&self, error: io::Error) -> io::Error {
        if error.kind() == io::ErrorKind::TimedOut {
            self.watch.stalled();
        }
        error
    }

    /// Ready when too little has gone for too long.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(since) = self.stall.since() else {
            return Poll::Pending;
        };
        let at = since + self.config.write_stall_max;
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if alarm.deadline() != at {
            alarm.as_mut().reset(at);
        }
        alarm.as_mut().poll(cx)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(lost) = self.lifeline.take() {
            lost();
        }
    }
}

impl AsyncRead for Guard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(self.tcp()?.poll_read(cx, buf)).map_err(|error| self.failed(error))?;
        if buf.filled().len() > before {
            self.watch.heard();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guard {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = self.tcp()?.poll_write(cx, bytes);
        self.timed(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = self.tcp()?.poll_write_vectored(cx, slices);
        self.timed(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper flushes when it has written everything: nothing waits then.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.tcp()?.poll_flush(cx))?;
        self.stall.end();
        if std::mem::take(&mut self.has_written) {
            self.watch.answered();
        }
        drop(self.lifeline.take());
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp()?.poll_shutdown(cx)
    }
}
