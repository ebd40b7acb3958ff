//! Where delivery puts frames: the outbox of a websocket, or the body of a poll.

use bytes::Bytes;

use crate::wire::{Outbox, Sent};

/// Something that takes whole batches of frames, or nothing.
pub(crate) trait Sink {
    fn offer(&mut self, frames: &[Bytes]) -> Sent;
}

impl Sink for &Outbox {
    fn offer(&mut self, frames: &[Bytes]) -> Sent {
        self.send(frames)
    }
}

/// The frames that go into the body of a poll. It takes batches until its bound is passed.
pub(crate) struct PollBody {
    pub(crate) frames: Vec<Bytes>,
    bytes: usize,
    bytes_max: usize,
}

impl PollBody {
    pub(crate) const fn new(bytes_max: usize) -> Self {
        Self {
            frames: Vec::new(),
            bytes: 0,
            bytes_max,
        }
    }
}

impl Sink for PollBody {
    fn offer(&mut self, frames: &[Bytes]) -> Sent {
        if self.bytes >= self.bytes_max {
            return Sent::Blocked;
        }
        self.bytes += frames.iter().map(Bytes::len).sum::<usize>();
        self.frames.extend_from_slice(frames);
        Sent::Taken
    }
}
