//! The outbox of a connection: prebuilt frames go straight to the socket.
//!
//! Two write here. The stream under the engine writes the engine's own frames ([`Outbox::write`]);
//! the pumps write events ([`Outbox::send`]), whole batches or nothing, and only between whole
//! packets. What the socket does not take at once waits in the queue; the connection's reader task
//! is woken and drains it when the socket is writable again, so a connection needs no task or timer
//! of its own. One lock guards the queue; it is never held across a wait.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::task::AtomicWaker;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::net::TcpStream;

use crate::drain::Drain;
use crate::wire::Config;
use crate::wire::memory;
use crate::wire::stall::Stall;

/// Most buffers of one vectored write.
const SLICES_MAX: usize = 64;

/// How often outboxes are looked at for a stall.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is on its way, whole.
    Taken,
    /// Nothing was taken: something waits already. The filter is told when there is room.
    Blocked,
    /// The connection is over.
    Dead,
}

/// The write side of a connection.
#[derive(Debug)]
pub struct Outbox {
    tcp: TcpStream,
    /// What the client must take within `wire.write_stall_max`.
    stall_bytes_min: usize,
    queue: Mutex<Queue>,
    /// The task that polls the stream for reading.
    reader: AtomicWaker,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Bytes>,
    bytes: usize,
    stall: Stall,
    /// The engine's last frame is not whole yet, or attachments of its packet are outstanding.
    is_mid_packet: bool,
    /// A sender was turned away since the queue was last empty.
    owes_a_call: bool,
    is_dead: bool,
    /// The engine's writer, when it was turned away at the bound.
    writer: Option<Waker>,
}

impl Outbox {
    pub(crate) fn new(tcp: TcpStream, config: &Config) -> Arc<Self> {
        Arc::new(Self {
            tcp,
            stall_bytes_min: config.write_stall_bytes_min.bytes(),
            queue: Mutex::default(),
            reader: AtomicWaker::new(),
        })
    }

    pub(crate) const fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    pub(crate) const fn reader(&self) -> &AtomicWaker {
        &self.reader
    }

    /// Sends whole frames, all of them or none.
    pub fn send(&self, frames: &[Bytes]) -> Sent {
        let mut queue = self.lock();
        if queue.is_dead {
            return Sent::Dead;
        }
        if queue.is_mid_packet || !queue.waiting.is_empty() {
            queue.owes_a_call = true;
            return Sent::Blocked;
        }
        let total: usize = frames.iter().map(Bytes::len).sum();
        let written = match try_write(&self.tcp, frames) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => {
                queue.die();
                drop(queue);
                self.reader.wake();
                return Sent::Dead;
            }
        };
        if written < total {
            queue.keep(frames.iter().cloned(), written);
            drop(queue);
            self.reader.wake();
        }
        Sent::Taken
    }

    /// Takes frames of the engine, in order with what waits already, and notes whether its packet
    /// is whole. Over `bytes_max` it takes nothing and wakes the caller when there is room.
    pub(crate) fn write(
        &self,
        bytes: Bytes,
        is_mid_packet: bool,
        bytes_max: usize,
        cx: &Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut queue = self.lock();
        if queue.is_dead {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if queue.bytes > bytes_max {
            queue.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        queue.is_mid_packet = is_mid_packet;
        let mut written = 0;
        if queue.waiting.is_empty() {
            written = match self.tcp.try_write(&bytes) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => {
                    queue.die();
                    return Poll::Ready(Err(error));
                }
            };
        }
        if written < bytes.len() {
            queue.keep(std::iter::once(bytes), written);
            drop(queue);
            self.reader.wake();
        }
        Poll::Ready(Ok(()))
    }

    /// Whether a write of the engine would be taken now; if not, its writer is woken later.
    pub(crate) fn has_room(&self, bytes_max: usize, cx: &Context<'_>) -> bool {
        let mut queue = self.lock();
        let has_room = queue.is_dead || queue.bytes <= bytes_max;
        if !has_room {
            queue.writer = Some(cx.waker().clone());
        }
        has_room
    }

    /// Writes what waits, as far as the socket takes it. Ready with whether a sender that was
    /// turned away is to be called, once nothing waits; pending while the socket is full.
    pub(crate) fn poll_drain(&self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            let mut queue = self.lock();
            if queue.is_dead {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            if queue.waiting.is_empty() {
                let owes_a_call = !queue.is_mid_packet && queue.owes_a_call;
                queue.owes_a_call &= !owes_a_call;
                return Poll::Ready(Ok(owes_a_call));
            }
            match try_write(&self.tcp, queue.waiting.make_contiguous()) {
                Ok(written) => queue.gone(written, self.stall_bytes_min),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    drop(queue);
                    match self.tcp.poll_write_ready(cx) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                        Poll::Pending => return Poll::Pending,
                    }
                }
                Err(error) => {
                    queue.die();
                    return Poll::Ready(Err(error));
                }
            }
        }
    }

    /// Has the stream looked at again, although nothing came and nothing left.
    pub fn wake_reader(&self) {
        self.reader.wake();
    }

    /// Whether anything waits to be written.
    pub fn is_behind(&self) -> bool {
        !self.lock().waiting.is_empty()
    }

    /// Ends the connection: nothing more is written, and its reader fails.
    pub fn kill(&self) {
        let writer = {
            let mut queue = self.lock();
            queue.die();
            queue.writer.take()
        };
        if let Some(writer) = writer {
            writer.wake();
        }
        self.reader.wake();
    }

    /// How many bytes wait, and for how long the client has taken too little.
    fn backlog(&self) -> (usize, Option<Duration>) {
        let queue = self.lock();
        (queue.bytes, queue.stall.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no holder of an outbox panics")
    }
}

impl Queue {
    /// Keeps what comes after the first `written` bytes of the frames.
    fn keep(&mut self, frames: impl Iterator<Item = Bytes>, mut written: usize) {
        self.stall.begin();
        for mut frame in frames {
            let done = written.min(frame.len());
            written -= done;
            frame.advance(done);
            if !frame.is_empty() {
                self.bytes += frame.len();
                self.waiting.push_back(frame);
            }
        }
    }

    /// Lets go of what the socket took.
    fn gone(&mut self, mut written: usize, stall_bytes_min: usize) {
        self.bytes -= written;
        self.stall.took(written, stall_bytes_min);
        while let Some(first) = self.waiting.front_mut() {
            if written < first.len() {
                first.advance(written);
                break;
            }
            written -= first.len();
            self.waiting.pop_front();
        }
        if self.waiting.is_empty() {
            self.stall.end();
            self.waiting = VecDeque::new();
        }
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    fn die(&mut self) {
        *self = Self {
            is_dead: true,
            writer: self.writer.take(),
            ..Self::default()
        };
    }
}

fn try_write(tcp: &TcpStream, frames: &[Bytes]) -> io::Result<usize> {
    if let [frame] = frames {
        return tcp.try_write(frame);
    }
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    let count = frames.len().min(SLICES_MAX);
    for (slice, frame) in slices.iter_mut().zip(frames) {
        *slice = IoSlice::new(frame);
    }
    tcp.try_write_vectored(&slices[..count])
}

/// All outboxes of the node, watched for clients that take nothing. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outboxes(Arc<Watched>);

#[derive(Debug)]
struct Watched {
    outboxes: Mutex<Vec<Weak<Outbox>>>,
    /// Connections that closed since memory was last given back.
    closed: AtomicUsize,
    stall_max: Duration,
    drain: Drain,
    stalled: Counter,
    /// Connections that take less than there is for them, and the bytes that wait.
    behind: Gauge,
    waiting_bytes: Gauge,
}

impl Outboxes {
    /// A watch that ends connections which take too little for `stall_max`. It runs until the doors
    /// close; after that, connections are bounded by the drain itself.
    pub fn watch(stall_max: Duration, drain: &Drain, registry: &mut Registry) -> Self {
        let stalled = Counter::default();
        registry.register(
            "tidings_connections_stalled",
            "Connections ended at wire.write_stall_max",
            stalled.clone(),
        );
        let (behind, waiting_bytes) = (Gauge::default(), Gauge::default());
        registry.register(
            "tidings_connections_behind",
            "Websockets of Socket.IO whose socket is full, a second ago at most",
            behind.clone(),
        );
        registry.register(
            "tidings_outbox_bytes",
            "Bytes that wait in all outboxes for their sockets, a second ago at most",
            waiting_bytes.clone(),
        );
        let outboxes = Self(Arc::new(Watched {
            outboxes: Mutex::default(),
            closed: AtomicUsize::new(0),
            stall_max,
            drain: drain.clone(),
            stalled,
            behind,
            waiting_bytes,
        }));
        let (watched, until) = (outboxes.clone(), drain.clone());
        drain.spawn(async move {
            let mut tick = tokio::time::interval(SWEEP_INTERVAL);
            loop {
                tokio::select! {
                    _ = tick.tick() => watched.sweep(),
                    () = until.doors_closed() => return,
                }
            }
        });
        outboxes
    }

    pub(crate) fn add(&self, outbox: &Arc<Outbox>) {
        self.lock().push(Arc::downgrade(outbox));
    }

    /// Ends the stalled, forgets the closed, and gives memory back when a crowd has left.
    fn sweep(&self) {
        let mut ended = Vec::new();
        let (mut behind, mut waiting) = (0, 0);
        let mut outboxes = self.lock();
        let before = outboxes.len();
        outboxes.retain(|outbox| {
            let Some(outbox) = outbox.upgrade() else {
                return false;
            };
            let (bytes, stalled) = outbox.backlog();
            waiting += bytes;
            behind += i64::from(bytes > 0);
            if stalled.is_some_and(|stalled| stalled > self.0.stall_max) {
                ended.push(outbox);
            }
            true
        });
        self.0.behind.set(behind);
        let waiting = i64::try_from(waiting).unwrap_or(i64::MAX);
        self.0.waiting_bytes.set(waiting);
        let closed_now = before - outboxes.len();
        if outboxes.len() * 4 < outboxes.capacity() {
            outboxes.shrink_to_fit();
        }
        drop(outboxes);
        for outbox in ended {
            self.0.stalled.inc();
            outbox.kill();
        }
        let closed = self.0.closed.fetch_add(closed_now, Ordering::Relaxed) + closed_now;
        if closed_now == 0 && closed >= memory::CROWD {
            self.0.closed.store(0, Ordering::Relaxed);
            self.0.drain.spawn_blocking(memory::give_back);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Outbox>>> {
        self.0
            .outboxes
            .lock()
            .expect("no holder of the outboxes panics")
    }
}
