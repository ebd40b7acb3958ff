//! Leaving: a drain closes the sessions one after the other, so that clients do not come back all
//! at once.
//!
//! A websocket is sent what is due, then the engine is told that its client left, which sends what
//! the engine has queued (acknowledgements), then the close frame. A polling client fetches what is
//! due and is told the end by a poll of its own: a stock client that reads events and the end at
//! once may lose the events. Stock clients come back after either. A session whose requests are
//! being served, or whose socket is full, is left for later, but not for long.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, interval, timeout_at};

use crate::connection::CloseReason;
use crate::drain::{Drain, Turn};
use crate::face::socketio::link::{Exit, Link, WeakLink};
use crate::face::socketio::sessions::Sessions;

/// How often busy sessions are looked at.
const BUSY_INTERVAL: Duration = Duration::from_millis(20);

/// Closes all sessions in turn, then waits until they are gone: at most `grace` after the last
/// turn.
pub(crate) async fn leave(sessions: &[&Sessions], drain: &Drain, grace: Duration) {
    let links = sessions.iter().flat_map(|sessions| sessions.all());
    let links: Vec<WeakLink> = links.map(|link| Arc::downgrade(&link)).collect();
    let mut busy = Vec::new();
    for link in links {
        if link.strong_count() == 0 {
            continue;
        }
        Turn::default().comes(drain).await;
        match link.upgrade() {
            Some(link) if link.is_busy() => busy.push(Arc::downgrade(&link)),
            Some(link) => link.dismiss(),
            None => {}
        }
    }
    let end = Instant::now() + grace;
    let gone = async {
        wait_for(&mut busy).await;
        for sessions in sessions {
            sessions.all_gone().await;
        }
    };
    if timeout_at(end, gone).await.is_err() {
        tracing::warn!("some clients did not take what was due to them in time");
    }
    for link in busy.iter().filter_map(WeakLink::upgrade) {
        link.dismiss();
    }
}

/// Dismisses each session when it is not busy any more. Dropping the future leaves those that are.
async fn wait_for(busy: &mut Vec<WeakLink>) {
    let mut tick = interval(BUSY_INTERVAL);
    while !busy.is_empty() {
        tick.tick().await;
        busy.retain(|link| {
            let Some(link) = link.upgrade() else {
                return false;
            };
            let is_busy = link.is_busy();
            if !is_busy {
                link.dismiss();
            }
            is_busy
        });
    }
}

impl Link {
    /// Whether something of it is being served, or its socket is full.
    fn is_busy(&self) -> bool {
        let state = self.lock();
        let is_full = match &state.exit {
            Exit::WebSocket(outbox) => outbox.is_behind(),
            Exit::Polling | Exit::Closed => false,
        };
        is_full || !state.requests.is_idle()
    }

    /// Lets the client go, after what is due to it.
    fn dismiss(self: &Arc<Self>) {
        let mut state = self.lock();
        if let Exit::WebSocket(outbox) = &state.exit {
            let outbox = Arc::clone(outbox);
            self.deliver(&mut state);
            state.close_reason.get_or_insert(CloseReason::Drain);
            self.is_dismissed.store(true, Ordering::Relaxed);
            outbox.wake_reader();
        } else {
            state.is_leaving = true;
            self.news.notify_one();
        }
    }
}
