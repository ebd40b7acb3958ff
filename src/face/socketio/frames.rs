//! The filter on a websocket under the engine: a link sees the frames that pass.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::connection::CloseReason;
use crate::face::socketio::link::{Exit, FirstPing, Link};
use crate::face::socketio::packets::Judgement;
use crate::wire::frame::{self, BINARY, CLOSE, TEXT};
use crate::wire::{Filter, Outbox, Verdict};

/// A link as the filter of its websocket.
pub struct Frames {
    link: Arc<Link>,
    /// Until the first ping is past, places to feed its answer are looked for.
    is_watching: bool,
}

impl Frames {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        let is_watching = link.lock().first_ping != FirstPing::Past;
        Self { link, is_watching }
    }
}

impl Filter for Frames {
    fn outgoing(&mut self, opcode: u8, payload: &[u8], is_whole: bool) -> Verdict {
        let judgement = match opcode {
            TEXT => self.link.judge_text(payload),
            BINARY => self.link.judge_binary(payload),
            CLOSE => {
                // Nothing may follow a close frame.
                self.link.lock().exit = Exit::Closed;
                Judgement::Keep
            }
            _ => Judgement::Keep,
        };
        match judgement {
            Judgement::Drop if is_whole => Verdict::Drop,
            Judgement::Swap(payload) if is_whole => Verdict::Swap(frame::build(opcode, &payload)),
            Judgement::Keep | Judgement::Drop | Judgement::Swap(_) => Verdict::Keep,
        }
    }

    fn is_mid_packet(&self) -> bool {
        self.link.lock().attachments > 0
    }

    fn passed(&mut self) -> bool {
        let mut state = self.link.lock();
        let opened = state.stage.advance();
        // Answers have left the engine's queue.
        self.link.serve_requests(&mut state);
        if opened || (state.is_blocked && state.attachments == 0) {
            self.link.deliver(&mut state);
        }
        state.first_ping == FirstPing::Held
    }

    fn incoming(&mut self, _: u8, _: &[u8]) {}

    fn may_read(&self) -> bool {
        self.link.may_read()
    }

    fn wants_incoming(&self) -> bool {
        self.is_watching
    }

    fn feed(&mut self) -> Option<u8> {
        if self.link.is_dismissed.swap(false, Ordering::Relaxed) {
            // The engine ends the session as if the client had left: after what it has queued.
            return Some(b'1');
        }
        if !self.is_watching {
            return None;
        }
        let mut state = self.link.lock();
        let owes_pong = state.first_ping.settle();
        self.is_watching = state.first_ping != FirstPing::Past;
        owes_pong.then_some(b'3')
    }

    fn stalled(&mut self) {
        let mut state = self.link.lock();
        state.close_reason.get_or_insert(CloseReason::Stalled);
    }

    fn writable(&mut self) {
        let mut state = self.link.lock();
        self.link.deliver(&mut state);
    }

    fn closed(&mut self, outbox: &Arc<Outbox>) {
        let mut state = self.link.lock();
        if matches!(&state.exit, Exit::WebSocket(ours) if Arc::ptr_eq(ours, outbox)) {
            state.exit = Exit::Closed;
        }
    }
}
