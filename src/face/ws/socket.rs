//! The socket of a conversation: messages in and out, compressed where that was agreed on, and the
//! clock of a client that takes nothing.
//!
//! Framing, masks, fragments and deflate are `yawc`'s. What it leaves to its user is here: how long
//! a write may take, the answer to a ping (`flush`), and the close frame, which is written by
//! itself, so that a client that broke the protocol is told the code of this house.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Sink, SinkExt};
use tokio_util::codec::Encoder as _;
use yawc::close::CloseCode;
use yawc::codec::Encoder;
use yawc::{Frame, OpCode, Options, Role, WebSocket, WebSocketError};

use crate::face::ws::compression::Terms;
use crate::face::ws::dialect::Close;
use crate::face::ws::stream::{Link, Stream};
use crate::wire::{Permit, Raw};

/// Longest payload of a control frame, in bytes (RFC 6455, section 5.5).
const CONTROL_BYTES_MAX: usize = 125;

/// Longest reason of a close frame, in bytes: two are its code.
const REASON_BYTES_MAX: usize = CONTROL_BYTES_MAX - 2;

/// Gathered frames are written when they have this many bytes.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;

/// The pieces of a long message have this many bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// What a client sent.
pub(super) enum Received {
    /// A text, in UTF-8.
    Text(Frame),
    /// Bytes.
    Binary(Bytes),
    /// A ping; its answer goes out with the next flush, which is to come before more is received.
    Ping,
    /// The answer to a ping.
    Pong,
    /// A message that is larger than allowed, as it came or inflated.
    TooBig,
    /// A frame that breaks the protocol, and the code to close with.
    Broken(Close),
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
    frames: WebSocket<Stream>,
    link: Arc<Link>,
    bounds: Bounds,
    /// Whether frames can still be read.
    is_readable: bool,
    _permit: Option<Permit>,
}

impl Socket {
    /// The socket, with compression on the terms that the handshake agreed on.
    pub(super) fn new(raw: Raw, bounds: Bounds, terms: Option<Terms>) -> Self {
        let (answer, deflate) = terms.map(|terms| (terms.answer, terms.options)).unzip();
        // The library's bounds are the first size that is too big. The second is that of a message
        // in fragments; both hold for what is inflated, while it is.
        let too_big = bounds.message_bytes_max.saturating_add(1);
        let options = Options {
            compression: deflate,
            ..Options::default()
        }
        .with_limits(too_big, too_big)
        .with_read_buffer_capacity(bounds.read_buffer_bytes)
        .with_write_buffer_capacity(0)
        .with_backpressure_boundary(WRITE_BUFFER_BYTES)
        .with_utf8();
        let link = Arc::new(Link::new(raw.tcp));
        let stream = Stream {
            link: Arc::clone(&link),
            early: raw.early,
        };
        let role = Role::Server;
        let frames =
            WebSocket::from_stream_with_extensions(stream, role, answer.as_deref(), options);
        Self {
            frames: frames.expect("terms bring their options"),
            link,
            bounds,
            is_readable: true,
            _permit: raw.permit,
        }
    }

    /// The next thing the client sends. Dropping the future loses nothing.
    pub(super) async fn receive(&mut self) -> Received {
        let received = match self.frames.next_frame().await {
            Ok(frame) => sorted(frame),
            Err(error) => failed(&error),
        };
        match received {
            Received::Text(_) | Received::Binary(_) | Received::Ping | Received::Pong => {}
            Received::TooBig | Received::Broken(_) => self.is_readable = false,
            Received::Gone => {
                self.is_readable = false;
                // The answer to the client's close.
                let _ = self.flush().await;
            }
        }
        received
    }

    /// Puts a message behind those that wait, and writes when enough have gathered.
    pub(super) async fn send(&mut self, message: Frame) -> Result<(), Unsent> {
        unless_stalled(&self.link, self.bounds, self.frames.feed(message)).await
    }

    /// Sends a long text in pieces of one message, so that it is neither copied nor compressed as
    /// a whole.
    pub(super) async fn send_shared(&mut self, text: &Bytes) -> Result<(), Unsent> {
        let mut start = 0;
        loop {
            let end = text.len().min(start + PIECE_BYTES);
            let is_last = end == text.len();
            let piece = text.slice(start..end);
            let frame = if start == 0 {
                Frame::text(piece)
            } else {
                Frame::continuation(piece)
            };
            self.send(frame.with_fin(is_last)).await?;
            if is_last {
                return Ok(());
            }
            start = end;
        }
    }

    /// Writes what has gathered, and what the protocol owes the client: pongs, and the answer to
    /// its close.
    pub(super) async fn flush(&mut self) -> Result<(), Unsent> {
        let Self { frames, link, .. } = self;
        let flush = async {
            poll_fn(|cx| Pin::new(&mut *frames).poll_ready(cx)).await?;
            frames.flush().await
        };
        unless_stalled(link, self.bounds, flush).await
    }

    /// Closes with a code, and waits a while for the client to close as well: a socket that is
    /// closed with unread bytes in it would take the close frame with it.
    pub(super) async fn close(mut self, close: Close, reason: &str) {
        let end = reason.floor_char_boundary(REASON_BYTES_MAX);
        let frame = Frame::close(CloseCode::from(close.code()), &reason[..end]);
        let mut bytes = BytesMut::new();
        let encoded = Encoder::new(Role::Server).encode(frame, &mut bytes);
        encoded.expect("a close frame can be written");
        let bounds = self.bounds;
        let Self { frames, link, .. } = &mut self;
        let write = async {
            frames.flush().await?;
            link.write_all(&bytes).await.map_err(WebSocketError::from)
        };
        if unless_stalled(link, bounds, write).await.is_err() {
            return;
        }
        let rest = async {
            while self.is_readable {
                match self.frames.next_frame().await.map(sorted) {
                    Ok(Received::Text(_) | Received::Binary(_) | Received::Pong) => {}
                    Ok(Received::Gone) => return,
                    // Pongs are owed no more.
                    Ok(Received::Ping | Received::TooBig | Received::Broken(_)) | Err(_) => break,
                }
            }
            // What is no message any more is read past.
            self.link.read_past().await;
        };
        let _ = tokio::time::timeout(bounds.linger_max, rest).await;
        let _ = self.link.shut_down();
    }
}

/// What a frame, or a message put together from frames, means.
fn sorted(frame: Frame) -> Received {
    let is_long = frame.payload().len() > CONTROL_BYTES_MAX;
    match frame.opcode() {
        OpCode::Text => Received::Text(frame),
        OpCode::Binary => Received::Binary(frame.into_payload()),
        OpCode::Continuation => Received::Broken(Close::Protocol),
        OpCode::Ping | OpCode::Pong | OpCode::Close if is_long => Received::Broken(Close::Protocol),
        OpCode::Ping => Received::Ping,
        OpCode::Pong => Received::Pong,
        OpCode::Close => Received::Gone,
    }
}

/// What a failure to read means.
fn failed(error: &WebSocketError) -> Received {
    match error {
        WebSocketError::FrameTooLarge => Received::TooBig,
        WebSocketError::InvalidUTF8 => Received::Broken(Close::Invalid),
        // So the inflater says it; a link does not fail in this way.
        WebSocketError::IoError(error) if error.kind() == io::ErrorKind::InvalidInput => {
            Received::Broken(Close::Invalid)
        }
        WebSocketError::InvalidFragment
        | WebSocketError::InvalidContinuationFrame
        | WebSocketError::InvalidCloseFrame
        | WebSocketError::InvalidCloseCode
        | WebSocketError::ReservedBitsNotZero
        | WebSocketError::ControlFrameFragmented
        | WebSocketError::PingFrameTooLarge
        | WebSocketError::InvalidOpCode(_)
        | WebSocketError::CompressionNotSupported => Received::Broken(Close::Protocol),
        _ => Received::Gone,
    }
}

/// Waits for a write; gives up when too little has moved for too long.
async fn unless_stalled(
    link: &Link,
    bounds: Bounds,
    write: impl Future<Output = Result<(), WebSocketError>>,
) -> Result<(), Unsent> {
    let mut write = pin!(write);
    loop {
        let before = link.written();
        match tokio::time::timeout(bounds.write_stall_max, write.as_mut()).await {
            Ok(result) => return result.map_err(|_| Unsent::Gone),
            Err(_) if link.written() - before >= bounds.write_stall_bytes_min => {}
            Err(_) => return Err(Unsent::Stalled),
        }
    }
}
