//! The probe of an upgrade, answered by us.
//!
//! The engine hears of a websocket only when the client has decided for it. Until then polling goes
//! on as before, so an upgrade that fails changes nothing. When it succeeds, the engine is fed the
//! client's side of the probe once more and its answer is dropped.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::face::socketio::link::{Exit, Link};
use crate::wire::Raw;
use crate::wire::frame::{self, Head, TEXT};

/// Most bytes of a frame before the upgrade is decided.
const FRAME_BYTES_MAX: u64 = 1024;

/// Answers the probe and waits for the client's decision, at most `limit`. Returns the socket, to
/// be read from the start of the probe; nothing when the upgrade failed, and the socket is closed.
pub(crate) async fn converse(mut raw: Raw, link: &Arc<Link>, limit: Duration) -> Option<Raw> {
    {
        let mut state = link.lock();
        if state.is_probing || !matches!(state.exit, Exit::Polling) {
            return None;
        }
        state.is_probing = true;
    }
    let decided = tokio::time::timeout(limit, decide(&mut raw, link)).await;
    if let Ok(Some(rest)) = decided {
        raw.early = rest;
        return Some(raw);
    }
    link.lock().is_probing = false;
    None
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
