//! The filter on a websocket under the engine: a link sees the frames that pass.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::connection::CloseReason;
use crate::face::socketio::link::{Exit, FirstPing, Link};
use crate::face::socketio::packets::Judgement;
use crate::limit::Limit;
use crate::wire::frame::{self, BINARY, CLOSE, Head, TEXT};
use crate::wire::{Filter, Outbox, Verdict};

/// What one message of a client may be.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Largest message.
    pub message_bytes_max: u64,
    /// Most binary attachments of one packet.
    pub attachments_max: usize,
}

/// A link as the filter of its websocket.
pub struct Frames {
    link: Arc<Link>,
    bounds: Bounds,
    /// Bytes of the client's message that has begun.
    message_bytes: u64,
    /// A message was too large: the engine closes the connection.
    is_over: bool,
    /// Until the first ping is past, places to feed its answer are looked for.
    is_watching: bool,
}

impl Frames {
    pub(crate) fn new(link: Arc<Link>, bounds: Bounds) -> Self {
        let is_watching = link.lock().first_ping != FirstPing::Past;
        Self {
            link,
            bounds,
            message_bytes: 0,
            is_over: false,
            is_watching,
        }
    }

    /// The client reached a limit for which the engine closes it.
    fn over(&mut self, limit: Limit) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.link.count(limit);
            let mut state = self.link.lock();
            state.close_reason.get_or_insert(CloseReason::Overloaded);
        }
    }
}

/// How many attachments a packet announces at its beginning: `45<digits>-` or `46<digits>-`.
fn announced(start: &[u8]) -> usize {
    let Some(digits) = start.strip_prefix(b"45").or(start.strip_prefix(b"46")) else {
        return 0;
    };
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |count, digit| count * 10 + usize::from(digit - b'0'))
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

    fn incoming(&mut self, head: &Head, start: &[u8]) {
        if head.opcode >= CLOSE {
            return;
        }
        if head.opcode == TEXT || head.opcode == BINARY {
            self.message_bytes = 0;
        }
        self.message_bytes = self.message_bytes.saturating_add(head.payload_len);
        if self.message_bytes > self.bounds.message_bytes_max {
            self.over(Limit::SocketIoMessage);
        } else if head.opcode == TEXT && announced(start) > self.bounds.attachments_max {
            self.over(Limit::SocketIoAttachments);
        }
    }

    fn may_read(&self) -> bool {
        self.link.may_read()
    }

    fn wants_incoming(&self) -> bool {
        !self.is_over
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
        self.link.count(Limit::WriteStall);
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
