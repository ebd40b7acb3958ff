//! Request bodies with a deadline: a client that trickles is cut off, one that streams is not.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

/// So many bytes begin the time of a body anew.
const STRIDE: usize = 64 * 1024;

/// A body that fails when neither its end nor so many bytes come in time.
pub struct Deadline<B> {
    inner: B,
    limit: Duration,
    /// What came since the time began.
    bytes: usize,
    /// Set up at the first poll, so that a body nobody reads costs nothing.
    sleep: Option<Pin<Box<Sleep>>>,
}

/// Why a body was not whole.
#[derive(Debug, thiserror::Error)]
pub enum DeadlineError {
    /// It took too long.
    #[error("the body of the request took longer than `wire.body_timeout`")]
    TooSlow,
    /// The connection failed.
    #[error("the body of the request could not be read")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl<B> Deadline<B> {
    /// The body with `limit` from its first poll on.
    pub const fn new(inner: B, limit: Duration) -> Self {
        Self {
            inner,
            limit,
            bytes: 0,
            sleep: None,
        }
    }
}

impl<B> Body for Deadline<B>
where
    B: Body + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = B::Data;
    type Error = DeadlineError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, DeadlineError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) {
            if let Some(Ok(frame)) = &frame {
                this.bytes += frame.data_ref().map_or(0, Buf::remaining);
            }
            if this.bytes >= STRIDE {
                this.bytes = 0;
                this.sleep = None;
            }
            let frame = frame.map(|frame| frame.map_err(|e| DeadlineError::Body(e.into())));
            return Poll::Ready(frame);
        }
        let limit = this.limit;
        let sleep = this
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        sleep
            .as_mut()
            .poll(cx)
            .map(|()| Some(Err(DeadlineError::TooSlow)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
