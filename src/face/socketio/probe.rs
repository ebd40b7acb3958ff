//! The probe of an upgrade, answered by us.
//!
//! The engine hears of a websocket only when the client has decided for it. Until then polling goes
//! on as before, so an upgrade that fails changes nothing. When it succeeds, the engine is fed the
//! client's side of the probe once more and its answer is dropped.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::face::socketio::link::{Exit, Link, Probe};
use crate::wire::Raw;
use crate::wire::frame::{self, Head, TEXT};

/// Most bytes of a frame before the upgrade is decided.
const FRAME_BYTES_MAX: u64 = 1024;

/// An upgrade under way; at most one a session. Dropped, it has failed, and polling goes on.
pub(crate) struct Upgrading {
    link: Arc<Link>,
}

impl Upgrading {
    /// Begins the upgrade of a session; nothing if it is on a websocket already or one is under
    /// way. Called before the client hears of its websocket: whatever it sends next comes after.
    pub(crate) fn begin(link: &Arc<Link>) -> Option<Self> {
        let mut state = link.lock();
        let may_begin = state.probe == Probe::None && matches!(state.exit, Exit::Polling);
        if may_begin {
            state.probe = Probe::Open;
        }
        may_begin.then(|| Self {
            link: Arc::clone(link),
        })
    }

    /// Answers the probe and waits for the client's decision, at most `limit`. Returns the socket,
    /// to be read from the start of the probe; nothing when the upgrade failed.
    pub(crate) async fn converse(&self, mut raw: Raw, limit: Duration) -> Option<Raw> {
        let decided = tokio::time::timeout(limit, decide(&mut raw, &self.link)).await;
        raw.early = decided.ok().flatten()?;
        Some(raw)
    }
}

impl Drop for Upgrading {
    fn drop(&mut self) {
        let mut state = self.link.lock();
        if state.probe != Probe::Repeated {
            state.probe = Probe::None;
        }
        drop(state);
        self.link.decided.notify_waiters();
    }
}

/// Reads `2probe`, answers `3probe`, frees the waiting poll, reads `5`. Returns what the engine is
/// to read: the two packets again, and what came after them.
async fn decide(raw: &mut Raw, link: &Arc<Link>) -> Option<Bytes> {
    let mut read = BytesMut::from(&raw.early[..]);
    if next_text(raw, &mut read).await? != b"2probe"[..] {
        return None;
    }
    raw.tcp
        .write_all(&frame::build(TEXT, b"3probe"))
        .await
        .ok()?;
    // A poll that waits is answered now: the client stops polling before it decides.
    link.lock().probe = Probe::Answered;
    link.news.notify_one();
    if next_text(raw, &mut read).await? != b"5"[..] {
        return None;
    }
    let mut again = BytesMut::new();
    frame::put_masked(&mut again, b"2probe");
    frame::put_masked(&mut again, b"5");
    again.extend_from_slice(&read);
    Some(again.freeze())
}

/// The payload of the client's next text frame; control frames are passed over.
async fn next_text(raw: &mut Raw, read: &mut BytesMut) -> Option<Vec<u8>> {
    loop {
        if let Some(head) = Head::parse(read) {
            if head.payload_len > FRAME_BYTES_MAX || head.opcode == frame::CLOSE {
                return None;
            }
            let total = usize::try_from(head.total()).ok()?;
            if read.len() >= total {
                let mask = head.mask?;
                let masked = read[head.len..total].iter().enumerate();
                let payload = masked.map(|(n, byte)| byte ^ mask[n % 4]).collect();
                read.advance(total);
                if head.opcode == TEXT && head.is_final {
                    return Some(payload);
                }
                continue;
            }
        }
        if raw.tcp.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
}
