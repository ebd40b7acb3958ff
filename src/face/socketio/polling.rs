//! Polls: what the engine answers, with the events that are due added to it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode, Uri};
use http_body_util::Full;
use tokio::time::Instant;

use crate::connection::CloseReason;
use crate::face::socketio::encode::{self, Dialect};
use crate::face::socketio::link::{Exit, FirstPing, Link, Probe, Stage};
use crate::face::socketio::packets::Judgement;
use crate::face::socketio::request::Refusal;
use crate::face::socketio::shim::{Answer, Engine, Shim, bare};
use crate::face::socketio::sink::PollBody;
use crate::wire::Lifeline;

/// The packet that ends a poll without saying anything.
const NOOP: &[u8] = b"6";

/// The packet that closes a session.
const CLOSE: &[u8] = b"1";

/// How long a poll may leave the engine's queue alone that was empty when it was last asked, though
/// what it holds except for acknowledgements is not known. A client that is sent many events asks with
/// each of its polls else, and to ask costs a sixth of a poll.
const LEFT_ALONE_MAX: Duration = Duration::from_millis(50);

/// How long a poll waits for the decision about an upgrade that is under way.
const DECISION_MAX: Duration = Duration::from_millis(50);

impl<E: Engine> Shim<E> {
    /// Answers a poll. It waits for the engine or for events, whichever comes first.
    /// A client that does not take the answer loses its session.
    pub(crate) async fn poll(
        &self,
        sid: &str,
        uri: &Uri,
        lifeline: Option<Lifeline>,
    ) -> Result<Response<Body>, Refusal> {
        let Some(link) = self.0.sessions.get(sid) else {
            return self.farewell(sid);
        };
        link.decide().await?;
        let mut abort = Abort {
            shim: self.clone(),
            link,
            uri: uri.clone(),
            is_armed: true,
        };
        let link = Arc::clone(&abort.link);
        if let Some(body) = left_over(&link) {
            abort.is_armed = false;
            abort.tie(lifeline);
            return Ok(response(body));
        }
        let _underway = Underway::new(&link);
        loop {
            let answer = match link.leaves_alone_until() {
                Some(until) => {
                    tokio::select! {
                        () = link.news.notified() => None,
                        () = tokio::time::sleep_until(until) => continue,
                    }
                }
                None => self.ask(&link, uri).await,
            };
            let mut packets = Vec::new();
            if let Some(answer) = answer {
                if answer.status != StatusCode::OK {
                    abort.is_armed = false;
                    return self.farewell(sid);
                }
                if answer.is_binary {
                    abort.is_armed = false;
                    return Ok(binary_response(answer.body));
                }
                packets = judge(&link, &answer.body);
            }
            let due = self.add_due(&link, &mut packets);
            if due.owes_pong {
                let pong = bare(Method::POST, uri, Full::new(pong(link.dialect)));
                self.0.engine.answer(pong).await;
            }
            if due.is_doomed && packets.is_empty() && link.is_pythons() {
                return Err(Refusal::SessionUnknown);
            } else if due.is_doomed {
                // The guard, which stays armed, ends the session.
                packets.push(Bytes::from_static(CLOSE));
            } else if packets.is_empty() && due.must_answer {
                packets.push(Bytes::from_static(NOOP));
            }
            if packets.iter().any(|packet| **packet == *NOOP) {
                // A poll that came with the close has its answer.
                self.0.sessions.takes_farewell(sid);
            }
            if !packets.is_empty() {
                abort.is_armed = due.is_doomed;
                if packets.len() > link.poll_packets_max {
                    let rest = packets.split_off(link.poll_packets_max);
                    link.lock().left_over.extend(rest);
                }
                abort.tie(lifeline);
                return Ok(response(encode::body(&packets, link.dialect)));
            }
        }
    }

    /// Asks the engine, until there is news from elsewhere.
    async fn ask(&self, link: &Link, uri: &Uri) -> Option<Answer> {
        let request = bare(Method::GET, uri, Full::default());
        // The engine's future may be dropped while it waits: it takes packets from its queue only
        // when it is about to answer.
        let answer = tokio::select! {
            biased;
            answer = self.0.engine.answer(request) => Some(answer),
            () = link.news.notified() => None,
        };
        // What it has may be more than it answers with.
        link.lock().empty_at = answer.is_none().then(Instant::now);
        answer
    }

    /// Adds the events that are due.
    fn add_due(&self, link: &Arc<Link>, packets: &mut Vec<Bytes>) -> Added {
        let mut state = link.lock();
        state.stage.advance();
        // Answers have left the engine's queue.
        link.serve_requests(&mut state);
        let is_polling = matches!(state.exit, Exit::Polling);
        let mut is_level = packets.is_empty();
        if state.stage == Stage::Open && is_polling {
            // What does not fit into small bodies waits: then one batch is enough.
            let bytes_max = if link.is_pythons() {
                1
            } else {
                self.0.settings.payload_bytes_max
            };
            let mut body = PollBody::new(bytes_max);
            let took_all = link.send_all(&mut state, &mut body);
            is_level &= took_all && body.frames.is_empty();
            if !took_all {
                link.news.notify_one();
            }
            for frames in &body.frames {
                packets.extend(encode::poll_packets(frames, link.dialect));
            }
        }
        if state.is_leaving && is_polling && is_level {
            // Only now: a client that is told events and the end at once may lose the events.
            state.exit = Exit::Closed;
            state.close_reason = Some(CloseReason::Drain);
        } else if state.is_leaving {
            link.news.notify_one();
        }
        let is_released = std::mem::take(&mut state.is_released);
        Added {
            owes_pong: state.first_ping.settle(),
            must_answer: is_released
                || state.probe == Probe::Answered
                || !matches!(state.exit, Exit::Polling),
            is_doomed: state.close_reason.is_some() && matches!(state.exit, Exit::Closed),
        }
    }

    /// The session is gone: a poll that crossed with its close is answered as if it had waited.
    fn farewell(&self, sid: &str) -> Result<Response<Body>, Refusal> {
        if let Some(dialect) = self.0.sessions.takes_farewell(sid) {
            return Ok(response(encode::body(&[Bytes::from_static(NOOP)], dialect)));
        }
        Err(Refusal::SessionUnknown)
    }
}

/// A poll that is under way.
struct Underway<'a>(&'a Link);

impl<'a> Underway<'a> {
    fn new(link: &'a Link) -> Self {
        link.polls.fetch_add(1, Ordering::Relaxed);
        Self(link)
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        self.0.polls.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Link {
    /// Up to when a poll need not ask the engine. Nothing while the session begins, changes or ends.
    fn leaves_alone_until(&self) -> Option<Instant> {
        let state = self.lock();
        let is_calm = state.stage == Stage::Open
            && matches!(state.exit, Exit::Polling)
            && state.probe == Probe::None
            && state.first_ping == FirstPing::Past
            && state.unsent_answers == 0
            && !state.is_leaving
            && state.close_reason.is_none()
            && self.polls.load(Ordering::Relaxed) == 1;
        let until = state.empty_at.filter(|_| is_calm)? + LEFT_ALONE_MAX;
        (Instant::now() < until).then_some(until)
    }

    /// Waits for the decision about an upgrade, if one is under way.
    async fn decide(&self) -> Result<(), Refusal> {
        if self.lock().probe != Probe::None {
            // The client's decision may be on its way already, and decides about this poll.
            let decided = self.decided.notified();
            let _ = tokio::time::timeout(DECISION_MAX, decided).await;
        }
        let state = self.lock();
        if matches!(state.exit, Exit::WebSocket(_)) {
            return Err(Refusal::BadRequest);
        }
        if state.probe == Probe::Answered {
            self.news.notify_one();
        }
        Ok(())
    }
}

/// What is to be done after events were added to a poll.
struct Added {
    /// The first ping was held back: the engine is to be told that it was answered.
    owes_pong: bool,
    /// The poll must not wait on, even with nothing to say.
    must_answer: bool,
    /// The link was closed from our side: the client is told so.
    is_doomed: bool,
}

/// The body of a poll from what did not fit into the last one.
fn left_over(link: &Link) -> Option<Bytes> {
    let mut state = link.lock();
    let count = state.left_over.len().min(link.poll_packets_max);
    let packets: Vec<Bytes> = state.left_over.drain(..count).collect();
    if packets.is_empty() {
        None
    } else {
        Some(encode::body(&packets, link.dialect))
    }
}

/// What of the engine's body may pass.
pub(crate) fn judge(link: &Arc<Link>, body: &Bytes) -> Vec<Bytes> {
    let is_eio3 = link.dialect == Dialect::TextEio3 && link.sessions.speaks_socketio();
    let mut passed = Vec::new();
    for packet in encode::split_body(body, link.dialect) {
        let (judgement, is_binary) = match packet.strip_prefix(b"b") {
            Some(base64) => {
                let bytes = STANDARD.decode(base64).unwrap_or_default();
                (link.judge_binary(&bytes), true)
            }
            None => (link.judge_text(&packet), false),
        };
        match judgement {
            // Old clients want the type of the packet in front of the base64; the engine leaves it out.
            Judgement::Keep if is_binary && is_eio3 => {
                passed.push([b"b4", &packet[1..]].concat().into());
            }
            Judgement::Keep => passed.push(packet),
            Judgement::Drop => {}
            Judgement::Swap(other) if is_binary => {
                passed.push(format!("b{}", STANDARD.encode(&other)).into());
            }
            Judgement::Swap(other) => passed.push(other),
        }
    }
    passed
}

/// The body of a POST in bodies of so many packets; a body that has no more stays as it is.
pub(crate) fn parts(body: Bytes, dialect: Dialect, packets_max: usize) -> Vec<Bytes> {
    let packets = encode::split_body(&body, dialect);
    if packets.len() <= packets_max {
        return vec![body];
    }
    let parts = packets.chunks(packets_max);
    parts.map(|part| encode::body(part, dialect)).collect()
}

/// Whether a client's body closes the session.
pub(crate) fn has_close(body: &Bytes, dialect: Dialect) -> bool {
    encode::split_body(body, dialect)
        .iter()
        .any(|packet| **packet == *b"1")
}

fn pong(dialect: Dialect) -> Bytes {
    match dialect {
        Dialect::TextEio3 => Bytes::from_static(b"1:3"),
        Dialect::Text | Dialect::Msgpack => Bytes::from_static(b"3"),
    }
}

/// The answer to a poll or post.
pub(crate) fn response(body: Bytes) -> Response<Body> {
    typed(body, "text/plain; charset=UTF-8")
}

fn binary_response(body: Bytes) -> Response<Body> {
    typed(body, "application/octet-stream")
}

fn typed(body: Bytes, kind: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Closes the session when its client gives up a poll: dropped with the future of the poll.
struct Abort<E: Engine> {
    shim: Shim<E>,
    link: Arc<Link>,
    uri: Uri,
    is_armed: bool,
}

impl<E: Engine> Abort<E> {
    /// The answer is on its way: closes the session if it does not arrive.
    fn tie(self, lifeline: Option<Lifeline>) {
        if let Some(lifeline) = lifeline.filter(|_| !self.is_armed) {
            lifeline.tie(move || self.fire());
        }
    }

    fn fire(mut self) {
        self.is_armed = true;
    }
}

impl<E: Engine> Drop for Abort<E> {
    fn drop(&mut self) {
        if !self.is_armed {
            return;
        }
        let body = match self.link.dialect {
            Dialect::TextEio3 => Bytes::from_static(b"1:1"),
            Dialect::Text | Dialect::Msgpack => Bytes::from_static(b"1"),
        };
        let request = bare(Method::POST, &self.uri, Full::new(body));
        let engine = self.shim.0.engine.clone();
        self.shim.0.wire.drain.spawn(async move {
            engine.answer(request).await;
        });
    }
}
