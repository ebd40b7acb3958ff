//! The socket of a conversation: frames in and out, and the clock of a client that takes nothing.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::face::ws::dialect::Close;
use crate::wire::{Permit, Raw};

/// Longest reason of a close frame, in bytes (RFC 6455, section 5.5).
const REASON_BYTES_MAX: usize = 123;

/// Gathered frames are written when they have this many bytes.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;

/// The pieces of a long message have this many bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// What a client sent.
pub(super) enum Received {
    /// A message.
    Message(Message),
    /// A message that is larger than allowed.
    TooBig,
    /// A frame that breaks the protocol.
    Broken,
    /// The client closed, or its link broke.
    Gone,
}

/// A client that took too little for too long, or whose link broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsent {
    /// It took less than `wire.write_stall_bytes_min` in `wire.write_stall_max`.
    Stalled,
    /// The link broke.
    Gone,
}

/// The bounds of a socket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) message_bytes_max: usize,
    pub(super) read_buffer_bytes: usize,
    pub(super) write_stall_max: Duration,
    pub(super) write_stall_bytes_min: u64,
    pub(super) linger_max: Duration,
}

/// A client's socket after the handshake.
pub(super) struct Socket {
    frames: WebSocketStream<Counted>,
    written: Arc<AtomicU64>,
    bounds: Bounds,
    _permit: Option<Permit>,
}

impl Socket {
    pub(super) async fn new(raw: Raw, bounds: Bounds) -> Self {
        let config = WebSocketConfig::default()
            .max_message_size(Some(bounds.message_bytes_max))
            .max_frame_size(Some(bounds.message_bytes_max))
            .read_buffer_size(bounds.read_buffer_bytes)
            .write_buffer_size(WRITE_BUFFER_BYTES);
        let written = Arc::new(AtomicU64::new(0));
        let counted = Counted {
            tcp: raw.tcp,
            written: Arc::clone(&written),
        };
        let early = raw.early.to_vec();
        let frames =
            WebSocketStream::from_partially_read(counted, early, Role::Server, Some(config)).await;
        Self {
            frames,
            written,
            bounds,
            _permit: raw.permit,
        }
    }

    /// The next thing the client sends. Dropping the future loses nothing.
    pub(super) async fn receive(&mut self) -> Received {
        match self.frames.next().await {
            Some(Ok(Message::Close(_))) => {
                // The answer to the client's close is written by the next flush.
                let _ = self.flush().await;
                Received::Gone
            }
            Some(Ok(message)) => Received::Message(message),
            Some(Err(Error::Capacity(_))) => Received::TooBig,
            Some(Err(Error::Utf8(_) | Error::Protocol(_))) => Received::Broken,
            None | Some(Err(_)) => Received::Gone,
        }
    }

    /// Puts a message behind those that wait, and writes when enough have gathered.
    pub(super) async fn send(&mut self, message: Message) -> Result<(), Unsent> {
        let written = Arc::clone(&self.written);
        unless_stalled(&written, self.bounds, self.frames.feed(message)).await
    }

    /// Sends a long text in pieces of one message, so that it is not copied as a whole.
    pub(super) async fn send_shared(&mut self, text: &Bytes) -> Result<(), Unsent> {
        let mut code = OpCode::Data(Data::Text);
        let mut start = 0;
        loop {
            let end = text.len().min(start + PIECE_BYTES);
            let is_last = end == text.len();
            let frame = Frame::message(text.slice(start..end), code, is_last);
            self.send(Message::Frame(frame)).await?;
            if is_last {
                return Ok(());
            }
            (code, start) = (OpCode::Data(Data::Continue), end);
        }
    }

    /// Writes what has gathered.
    pub(super) async fn flush(&mut self) -> Result<(), Unsent> {
        let written = Arc::clone(&self.written);
        unless_stalled(&written, self.bounds, self.frames.flush()).await
    }

    /// Closes with a code, and waits a while for the client to close as well: a socket that is
    /// closed with unread bytes in it would take the close frame with it.
    pub(super) async fn close(mut self, close: Close, reason: &str) {
        let end = reason.floor_char_boundary(REASON_BYTES_MAX);
        let frame = CloseFrame {
            code: CloseCode::from(close.code()),
            reason: reason[..end].into(),
        };
        if self.send(Message::Close(Some(frame))).await.is_err() || self.flush().await.is_err() {
            return;
        }
        let linger_max = self.bounds.linger_max;
        let rest = async {
            while let Some(Ok(message)) = self.frames.next().await {
                if message.is_close() {
                    return;
                }
            }
            // What is no message any more is read past.
            let tcp = &mut self.frames.get_mut().tcp;
            let mut dropped = [0; 4096];
            while matches!(tcp.read(&mut dropped).await, Ok(1..)) {}
        };
        let _ = tokio::time::timeout(linger_max, rest).await;
        let _ = self.frames.get_mut().tcp.shutdown().await;
    }
}

/// Waits for a write; gives up when too little has moved for too long.
async fn unless_stalled(
    written: &AtomicU64,
    bounds: Bounds,
    write: impl Future<Output = Result<(), Error>>,
) -> Result<(), Unsent> {
    let mut write = pin!(write);
    loop {
        let before = written.load(Ordering::Relaxed);
        match tokio::time::timeout(bounds.write_stall_max, write.as_mut()).await {
            Ok(result) => return result.map_err(|_| Unsent::Gone),
            Err(_) if written.load(Ordering::Relaxed) - before >= bounds.write_stall_bytes_min => {}
            Err(_) => return Err(Unsent::Stalled),
        }
    }
}

/// A message with a text.
pub(super) fn text(text: String) -> Message {
    Message::Text(text.into())
}

/// A message with bytes.
pub(super) const fn binary(bytes: Bytes) -> Message {
    Message::Binary(bytes)
}

/// A stream that counts what the peer took.
struct Counted {
    tcp: TcpStream,
    written: Arc<AtomicU64>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.tcp).poll_write(cx, buf);
        if let Poll::Ready(Ok(count)) = polled {
            self.written.fetch_add(count as u64, Ordering::Relaxed);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
