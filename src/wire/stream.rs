//! The stream under an engine: it parses the frames that pass, and lets a filter see them.
//!
//! What the engine writes is cut into frames. Small whole frames are shown to the filter, which
//! keeps, drops or swaps them; large ones stream through, only their first bytes are shown. What the
//! client sends is shown in the same way, unmasked, but never changed; the filter may have one small
//! frame fed to the engine as if the client had sent it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::drain::Drain;
use crate::wire::frame::{self, Head};
use crate::wire::{Config, Outbox, Outboxes, Permit, Raw};

/// Frames up to this many bytes are held until whole and shown to the filter.
const SMALL: u64 = 1024;

/// Bytes at the start of a client's payload that are shown to the filter.
const HEARD: usize = 8;

/// Bytes at the start of a long payload of the engine that are shown to the filter, at least.
const SHOWN: usize = 4;

/// What is to become of a frame of the engine.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passes.
    Keep,
    /// It does not.
    Drop,
    /// These whole frames pass instead.
    Swap(Bytes),
}

/// Somebody who sees the frames of a connection. Called by the connection's own tasks, without
/// the outbox's lock.
pub trait Filter: Send + 'static {
    /// The engine writes a frame. A long one is shown by its beginning only, and must be kept.
    fn outgoing(&mut self, opcode: u8, payload: &[u8], is_whole: bool) -> Verdict;

    /// Whether a packet of the engine has begun whose attachments have not all passed.
    fn is_mid_packet(&self) -> bool;

    /// Frames of the engine are on their way. Returns whether something is to be fed.
    fn passed(&mut self) -> bool;

    /// The client sends a frame; up to eight bytes of its payload are shown.
    fn incoming(&mut self, head: &Head, start: &[u8]);

    /// Whether more of the client may be read. When that changes, the outbox's reader is to be woken
    /// (`Outbox::wake_reader`).
    fn may_read(&self) -> bool;

    /// Whether the client's frames are still of interest.
    fn wants_incoming(&self) -> bool;

    /// A payload that the engine is to read as a text frame of the client, if there is one.
    fn feed(&mut self) -> Option<u8>;

    /// The client took too little for too long, or acknowledged nothing: the stream ends.
    fn stalled(&mut self);

    /// There is room in the outbox again, and somebody was turned away before.
    fn writable(&mut self);

    /// The engine has let go of the stream with this outbox.
    fn closed(&mut self, outbox: &Arc<Outbox>);
}

/// A raw socket as an engine sees it.
pub struct Stream<F: Filter> {
    filter: F,
    outbox: Arc<Outbox>,
    config: Arc<Config>,
    drain: Drain,
    /// What the client sent together with its handshake, or what is fed to the engine.
    early: Bytes,
    incoming: Incoming,
    outgoing: Outgoing,
    _permit: Option<Permit>,
}

/// Where we are in the client's frames.
#[derive(Default)]
struct Incoming {
    /// Bytes of the current payload that are still to come.
    left: u64,
    /// The bytes of a head (and the start of its payload) that is not whole.
    held: Vec<u8>,
}

/// Where we are in the engine's frames.
#[derive(Default)]
struct Outgoing {
    /// Bytes of the current long payload that are still to come.
    left: u64,
    /// A head or small frame that is not whole.
    held: BytesMut,
}

impl<F: Filter> Stream<F> {
    /// A stream over a raw socket. `early` of the socket is read first.
    pub fn new(raw: Raw, filter: F, config: Arc<Config>, (drain, all): (Drain, &Outboxes)) -> Self {
        let Raw { tcp, early, permit } = raw;
        let outbox = Outbox::new(tcp, &config);
        all.add(&outbox);
        Self {
            filter,
            outbox,
            config,
            drain,
            early,
            incoming: Incoming::default(),
            outgoing: Outgoing::default(),
            _permit: permit,
        }
    }

    /// The outbox of the stream.
    pub const fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    fn tcp(&self) -> &TcpStream {
        self.outbox.tcp()
    }
}

impl<F: Filter + Unpin> AsyncRead for Stream<F> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = self.read(cx, buf);
        // The watch over the outboxes says so, and the system of a peer that vanished.
        if let Poll::Ready(Err(error)) = &polled
            && error.kind() == io::ErrorKind::TimedOut
        {
            self.filter.stalled();
        }
        polled
    }
}

impl<F: Filter + Unpin> Stream<F> {
    fn read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self;
        this.outbox.reader().register(cx.waker());
        // A call may turn somebody away again: then there is something to drain.
        while let Poll::Ready(owes_a_call) = this.outbox.poll_drain(cx)? {
            if !owes_a_call {
                break;
            }
            this.filter.writable();
        }
        if this.early.is_empty()
            && this.incoming.is_between_frames()
            && let Some(payload) = this.filter.feed()
        {
            let mut fed = BytesMut::new();
            frame::put_masked(&mut fed, &[payload]);
            this.early = fed.freeze();
        }
        let start = buf.filled().len();
        if this.early.is_empty() {
            if !this.filter.may_read() {
                return Poll::Pending;
            }
            loop {
                ready!(this.tcp().poll_read_ready(cx))?;
                match this.tcp().try_read(buf.initialize_unfilled()) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Poll::Ready(Err(error)),
                    Ok(read) => {
                        buf.advance(read);
                        break;
                    }
                }
            }
        } else {
            let take = this.early.len().min(buf.remaining());
            buf.put_slice(&this.early.split_to(take));
        }
        if this.filter.wants_incoming() {
            let bytes = &buf.filled()[start..];
            this.incoming.scan(bytes, &mut this.filter);
        }
        Poll::Ready(Ok(()))
    }
}

impl<F: Filter + Unpin> AsyncWrite for Stream<F> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let bytes_max = this.config.outbox_bytes_max.bytes();
        if !this.outbox.has_room(bytes_max, cx) {
            return Poll::Pending;
        }
        let out = this.outgoing.scan(bytes, &mut this.filter);
        let is_mid_packet = this.outgoing.left > 0 || this.filter.is_mid_packet();
        if !out.is_empty() {
            // Only this task adds engine frames, so the room seen above is still there.
            ready!(this.outbox.write(out, is_mid_packet, usize::MAX, cx))?;
        }
        if this.filter.passed() {
            // A silent client has nothing else that would wake the reader.
            this.outbox.reader().wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl<F: Filter> Drop for Stream<F> {
    fn drop(&mut self) {
        self.filter.closed(&self.outbox);
        if !self.outbox.is_behind() {
            return;
        }
        let (outbox, limit) = (Arc::clone(&self.outbox), self.config.linger_max);
        let drain = self.drain.clone();
        self.drain.spawn(async move {
            let rest = std::future::poll_fn(|cx| outbox.poll_drain(cx));
            // Whether it left in time or not, the socket closes here.
            tokio::select! {
                _ = tokio::time::timeout(limit, rest) => {}
                () = drain.gave_up() => {}
            }
        });
    }
}

impl Incoming {
    /// Whether the next byte begins a frame.
    fn is_between_frames(&self) -> bool {
        self.left == 0 && self.held.is_empty()
    }

    fn scan<F: Filter>(&mut self, mut bytes: &[u8], filter: &mut F) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let skip = usize::try_from(self.left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                self.left -= skip as u64;
                bytes = &bytes[skip..];
                continue;
            }
            // Heads are short: gather byte by byte until head and first bytes of payload are whole.
            let (&byte, rest) = bytes.split_first().expect("checked above");
            self.held.push(byte);
            bytes = rest;
            let Some(head) = Head::parse(&self.held) else {
                continue;
            };
            let shown = usize::try_from(head.payload_len)
                .unwrap_or(HEARD)
                .min(HEARD);
            if self.held.len() < head.len + shown {
                continue;
            }
            let mut start = [0; HEARD];
            let mask = head.mask.unwrap_or_default();
            for (n, byte) in self.held[head.len..].iter().enumerate() {
                start[n] = byte ^ mask[n % 4];
            }
            self.left = head.payload_len - shown as u64;
            self.held.clear();
            filter.incoming(&head, &start[..shown]);
        }
        if self.held.is_empty() {
            self.held = Vec::new();
        }
    }
}

impl Outgoing {
    /// The bytes that are to pass now.
    fn scan<F: Filter>(&mut self, bytes: &[u8], filter: &mut F) -> Bytes {
        self.held.extend_from_slice(bytes);
        let mut input = std::mem::take(&mut self.held).freeze();
        let mut out = BytesMut::new();
        while !input.is_empty() {
            if self.left > 0 {
                let pass = usize::try_from(self.left)
                    .unwrap_or(usize::MAX)
                    .min(input.len());
                self.left -= pass as u64;
                out.extend_from_slice(&input.split_to(pass));
                continue;
            }
            let Some(head) = Head::parse(&input) else {
                break;
            };
            if head.total() > SMALL {
                let shown = input.len().min(head.len + SHOWN * 8);
                if input.len() < head.len + SHOWN {
                    break;
                }
                filter.outgoing(head.opcode, &input[head.len..shown], false);
                self.left = head.total();
                continue;
            }
            let total = usize::try_from(head.total()).unwrap_or(usize::MAX);
            if input.len() < total {
                break;
            }
            let frame = input.split_to(total);
            match filter.outgoing(head.opcode, &frame[head.len..], true) {
                Verdict::Keep => out.extend_from_slice(&frame),
                Verdict::Drop => {}
                Verdict::Swap(other) => out.extend_from_slice(&other),
            }
        }
        self.held.extend_from_slice(&input);
        input.advance(input.len());
        out.freeze()
    }
}

#[cfg(test)]
mod tests;
