//! Pacing: a client that asks faster than it is served has to wait.
//!
//! While many of its requests wait, nothing more is read from its websocket, and the answer to its
//! POST is held back; so a flood of publishes stays in the client and in its socket. And while many
//! acknowledgements wait in the engine's queue, no further request is served: they are counted as
//! they go in and as they pass on their way to the client. A client that asks for more than it may
//! is not only refused: its next request is looked at a little later.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use socketioxide::adapter::LocalAdapter;
use socketioxide::extract::AckSender;
use socketioxide::handler::{self, FromMessageParts};
use socketioxide::socket::Socket;
use socketioxide::{SendError, SocketError};
use tokio::sync::Notify;

use crate::connection::CloseReason;
use crate::face::socketio::link::{Exit, Link, State};

/// How long a client that was refused for a limit waits for its next request to be looked at.
const REST: Duration = Duration::from_millis(20);

/// Whether a link takes requests.
#[derive(Default)]
pub(crate) struct Pacing {
    is_full: AtomicBool,
    room: Notify,
}

/// How a request is acknowledged, if its client asked for that.
pub(crate) struct Reply {
    ack: AckSender,
    is_wanted: bool,
}

impl FromMessageParts<LocalAdapter> for Reply {
    type Error = Infallible;

    fn from_message_parts(
        socket: &Arc<Socket<LocalAdapter>>,
        value: &mut handler::Value,
        id: &Option<i64>,
    ) -> Result<Self, Infallible> {
        let ack = AckSender::from_message_parts(socket, value, id)?;
        let is_wanted = id.is_some();
        Ok(Self { ack, is_wanted })
    }
}

impl Link {
    /// Whether more of the client may be read.
    pub(crate) fn may_read(&self) -> bool {
        !self.pacing.is_full.load(Ordering::Relaxed)
    }

    /// Resolves when more requests are taken.
    pub(crate) async fn room(&self) {
        loop {
            let room = self.pacing.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            if self.may_read() {
                return;
            }
            room.await;
        }
    }

    /// Notes how many requests wait. Reading rests from half of the bound on, and goes on below a
    /// quarter.
    pub(crate) fn pace(&self, state: &State, waiting: usize, requests_max: usize) {
        let is_full = &self.pacing.is_full;
        if waiting >= (requests_max / 2).max(1) {
            is_full.store(true, Ordering::Relaxed);
        } else if waiting <= requests_max / 4 && is_full.swap(false, Ordering::Relaxed) {
            if let Exit::WebSocket(outbox) = &state.exit {
                outbox.wake_reader();
            }
            self.pacing.room.notify_waiters();
        }
    }

    /// An acknowledgement has passed on its way to the client.
    pub(crate) fn acknowledged(state: &mut State) {
        state.unsent_answers = state.unsent_answers.saturating_sub(1);
    }
}

/// Lets a client wait that was refused for a limit.
pub(crate) async fn rest() {
    tokio::time::sleep(REST).await;
}

/// Acknowledges a request, if the client asked for it. Acknowledgements go through the engine's
/// queue; a client that lets it fill up is closed, rather than left waiting for ever.
pub(crate) fn acknowledge(link: &Link, reply: Reply, answer: &Value) {
    if !reply.is_wanted {
        return;
    }
    link.lock().unsent_answers += 1;
    match reply.ack.send(answer) {
        // A poll that waits may not be asking the engine.
        Ok(()) => link.news.notify_one(),
        Err(SendError::Socket(SocketError::InternalChannelFull)) => {
            link.close(CloseReason::Overloaded);
        }
        Err(_) => Link::acknowledged(&mut link.lock()),
    }
}
