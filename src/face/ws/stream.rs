//! The TCP stream under a socket: it counts what the client took, and begins with what the client
//! sent too early.
//!
//! It is shared by two: the protocol, which reads and writes frames, and the socket that closes.

use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A client's link.
pub(super) struct Link {
    tcp: TcpStream,
    written: AtomicU64,
}

impl Link {
    pub(super) const fn new(tcp: TcpStream) -> Self {
        Self {
            tcp,
            written: AtomicU64::new(0),
        }
    }

    /// How many bytes the system took from us so far.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Writes bytes past the protocol. Only whole frames may have been written before.
    pub(super) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.tcp.writable().await?;
            match self.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads past whatever comes until the client ends its side.
    pub(super) async fn read_past(&self) {
        let mut dropped = [0; 4096];
        while self.tcp.readable().await.is_ok() {
            match self.tcp.try_read(&mut dropped) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => return,
            }
        }
    }

    /// Ends our side.
    pub(super) fn shut_down(&self) -> io::Result<()> {
        SockRef::from(&self.tcp).shutdown(Shutdown::Write)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.tcp.try_write(bytes)?;
        self.written.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// A link as a stream.
pub(super) struct Stream {
    pub(super) link: Arc<Link>,
    /// What was read with the handshake, and comes first.
    pub(super) early: Bytes,
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.early.is_empty() {
            let count = self.early.len().min(buf.remaining());
            buf.put_slice(&self.early.split_to(count));
            if self.early.is_empty() {
                self.early = Bytes::new();
            }
            return Poll::Ready(Ok(()));
        }
        loop {
            ready!(self.link.tcp.poll_read_ready(cx))?;
            match self.link.tcp.try_read_buf(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read.map(drop)),
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.link.tcp.poll_write_ready(cx))?;
            match self.link.write(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                wrote => return Poll::Ready(wrote),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.link.shut_down())
    }
}
