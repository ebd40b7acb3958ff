//! The list of topics, live: server-sent events with what has changed.
//!
//! The first messages hold the whole list, the first of them `begins`; later ones hold the topics
//! that moved and the names of those that are gone. A reader that is cut off begins anew. The list
//! is read at most every `face.http.topics_interval`, and less often where reading it takes long,
//! so that onlookers cost a small part of a core however many topics there are.

use std::collections::{HashMap, HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;
use tokio::time::Instant;

use crate::connection::{Admission, Attendance, CloseReason, Notice};
use crate::drain::Turn;
use crate::face::http;
use crate::face::http::admission::Caller;
use crate::face::http::metrics::OpenStream;
use crate::face::http::refusal::{Code, Refusal};
use crate::face::http::topics::Line;
use crate::face::sse;
use crate::hub::{TopicFilter, TopicLine};
use crate::limit::Places;
use crate::topic::{Cursor, Status, TopicName};

/// Most topics of one message.
const PAGE: usize = 500;

/// Reading the list takes at most one part in so many of the time.
const SHARE: u32 = 10;

/// What has changed.
#[derive(Serialize)]
struct Change<'a> {
    /// Whether what was said before is void.
    begins: bool,
    topics: &'a [Line],
    gone: &'a [TopicName],
    /// How many are listed.
    total: usize,
    /// Whether there are more than are listed (`face.http.topics_live_max`).
    more: bool,
}

/// How a topic was when the reader was told of it.
type Mark = (Cursor, Status, usize);

/// A list that is followed.
struct Open {
    state: http::State,
    caller: Caller,
    filter: TopicFilter,
    told: HashMap<TopicName, Mark>,
    due: VecDeque<Bytes>,
    next_at: Instant,
    spoke_at: Instant,
    has_begun: bool,
    turn: Turn,
    admission: Arc<Admission>,
    attendance: Attendance,
    _places: Places,
    _counted: OpenStream,
}

/// A response that follows the list.
///
/// # Errors
/// When the gateway drains, or the caller holds as many connections as it may.
pub(super) async fn open(
    (state, caller): (http::State, Caller),
    filter: TopicFilter,
) -> Result<Response, Refusal> {
    if state.drain().is_draining() {
        let detail = "the gateway is shutting down: come back";
        return Err(Refusal::new(Code::Draining, detail));
    }
    let open = Open {
        told: HashMap::new(),
        due: VecDeque::from([sse::opening(state.config().sse_retry).into()]),
        next_at: Instant::now(),
        spoke_at: Instant::now(),
        has_begun: false,
        turn: Turn::default(),
        admission: caller.attend(),
        _places: caller.take_places().await?,
        attendance: caller.enter("sse", "/v1/topics".to_owned()),
        _counted: state.metrics().stream_opened(),
        state,
        caller,
        filter,
    };
    let pieces = stream::unfold(open, |mut open| async move {
        let piece = open.next_piece().await?;
        Some((Ok::<_, Infallible>(piece), open))
    });
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
        (
            axum::http::HeaderName::from_static("x-accel-buffering"),
            "no",
        ),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

impl Open {
    /// The next piece; nothing when the stream ends.
    async fn next_piece(&mut self) -> Option<Bytes> {
        loop {
            if let Some(piece) = self.due.pop_front() {
                self.spoke_at = Instant::now();
                return Some(piece);
            }
            let drain = self.state.drain().clone();
            tokio::select! {
                biased;
                () = self.turn.comes(&drain) => {
                    self.attendance.end(CloseReason::Drain);
                    return None;
                }
                // Whoever is let in no more reads no more; a token that ends soon still counts.
                reason = ended(&self.admission) => {
                    self.attendance.end(reason);
                    return None;
                }
                () = tokio::time::sleep_until(self.next_at) => {}
            }
            self.look().await;
            if self.due.is_empty() && self.spoke_at.elapsed() >= self.keepalive() {
                self.due.push_back(Bytes::from_static(sse::KEEP_ALIVE));
            }
        }
    }

    fn keepalive(&self) -> Duration {
        self.state.config().keepalive_interval
    }

    /// Reads the list, and notes what is to be told.
    async fn look(&mut self) {
        let begun = Instant::now();
        let caller = &self.caller;
        let shown = |topic: &TopicName, owner: Option<&str>| caller.may_read(topic, owner);
        let max = self.state.config().topics_live_max;
        match self.state.hub().topics(&self.filter, max, shown).await {
            Ok(page) => self.compare(page.topics, page.more),
            Err(error) => self.say("stale", &serde_json::json!({ "error": error.to_string() })),
        }
        let rest = self.state.config().topics_interval;
        self.next_at = Instant::now() + rest.max(begun.elapsed() * SHARE);
    }

    fn compare(&mut self, listed: Vec<TopicLine>, more: bool) {
        let total = listed.len();
        let names: HashSet<&TopicName> = listed.iter().map(|line| &line.topic).collect();
        let is_gone = |name: &&TopicName| !names.contains(*name);
        let gone: Vec<TopicName> = self.told.keys().filter(is_gone).cloned().collect();
        for name in &gone {
            self.told.remove(name);
        }
        let moved = listed.into_iter().filter_map(|line| {
            let mark = (line.cursor.clone(), line.status, line.subscribers);
            let before = self.told.insert(line.topic.clone(), mark.clone());
            (before.as_ref() != Some(&mark)).then(|| Line::of(line, self.state.hub()))
        });
        let moved: Vec<Line> = moved.collect();
        if self.has_begun && moved.is_empty() && gone.is_empty() {
            return;
        }
        let mut pages = moved.chunks(PAGE);
        let mut change = Change {
            begins: !self.has_begun,
            topics: pages.next().unwrap_or_default(),
            gone: &gone,
            total,
            more,
        };
        loop {
            self.say("topics", &change);
            let Some(page) = pages.next() else { break };
            change = Change {
                begins: false,
                topics: page,
                gone: &[],
                ..change
            };
        }
        self.has_begun = true;
    }

    fn say(&mut self, name: &str, data: &impl Serialize) {
        let mut piece = format!("event: {name}\ndata: ").into_bytes();
        serde_json::to_writer(&mut piece, data).expect("it is JSON");
        piece.extend_from_slice(b"\n\n");
        self.due.push_back(piece.into());
    }
}

/// Returns when the reader is no longer let in, with the reason.
async fn ended(admission: &Admission) -> CloseReason {
    loop {
        match admission.next().await {
            Notice::Expiring(_) | Notice::Lost => {}
            Notice::Ended(reason) => return reason,
        }
    }
}
