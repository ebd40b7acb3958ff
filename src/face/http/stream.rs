//! Streams: a topic live, as server-sent events or as lines of JSON.
//!
//! A stream pulls: the next piece is made when the connection wants it, so a slow reader holds a
//! cursor and at most one piece, and costs nobody else. What has gathered meanwhile goes into one
//! piece. A stream ends when a drain comes to it, after what was published before; its reader comes
//! back with its cursor.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{FutureExt, Stream, stream};

use crate::auth::Action;
use crate::connection::{Admission, Attendance, CloseReason, Notice};
use crate::drain::{Drain, Turn};
use crate::face::envelope::{self, Telling};
use crate::face::http;
use crate::face::http::admission::Caller;
use crate::face::http::metrics::OpenStream;
use crate::face::http::refusal::{Code, Refusal};
use crate::face::sse;
use crate::hub::{Feed, FeedItem, From, Reader};
use crate::limit::Places;
use crate::topic::TopicName;

/// A piece is sent when it has this many bytes, even if more is there.
const PIECE_BYTES: usize = 32 * 1024;

/// How events look on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Server-sent events.
    Sse,
    /// Envelopes, one a line.
    Ndjson,
}

/// A stream that is open.
struct Open {
    feed: Feed,
    form: Form,
    topic: TopicName,
    keepalive_interval: Duration,
    drain: Drain,
    /// When the drain ends it.
    turn: Turn,
    /// What is sent at once, before any event.
    opening: Option<Vec<u8>>,
    admission: Arc<Admission>,
    attendance: Attendance,
    _places: Places,
    _counted: OpenStream,
}

/// A response that follows a topic from a place on.
///
/// # Errors
/// When the gateway drains, or a bound of the hub is reached.
pub(crate) async fn open(
    (state, caller): (&http::State, &Caller),
    topic: TopicName,
    from: From,
    form: Form,
) -> Result<Response, Refusal> {
    if state.drain().is_draining() {
        return Err(Refusal::new(
            Code::Draining,
            "the gateway is shutting down: come back",
        ));
    }
    let reader = Reader {
        connection: uuid::Uuid::now_v7().simple().to_string(),
        principal: caller.name(),
        transport: form.transport(),
    };
    let path = format!("/v1/topics/{topic}/events");
    let attendance = caller.enter_as(reader.connection.clone(), (form.transport(), path));
    let wanted = [(topic.clone(), from.cursor().cloned())];
    let _prepared = state.hub().prepare(&wanted).await?;
    let mut feed = state.hub().follow(&topic, from, reader)?;
    let admission = caller.attend();
    feed.bind(admission.holder(&topic));
    let open = Open {
        feed,
        form,
        topic,
        keepalive_interval: state.config().keepalive_interval,
        drain: state.drain().clone(),
        turn: Turn::default(),
        opening: form.opening(state.config().sse_retry),
        admission,
        attendance,
        _places: caller.take_places().await?,
        _counted: state.metrics().stream_opened(),
    };
    let headers = [
        (CONTENT_TYPE, form.content_type()),
        (CACHE_CONTROL, "no-store"),
        (
            axum::http::HeaderName::from_static("x-accel-buffering"),
            "no",
        ),
    ];
    Ok((headers, Body::from_stream(open.pieces())).into_response())
}

impl Open {
    fn pieces(self) -> impl Stream<Item = Result<Bytes, Infallible>> {
        stream::unfold(self, |mut open| async move {
            let piece = open.next_piece().await?;
            Some((Ok(piece), open))
        })
    }

    /// The next piece; nothing when the stream ends.
    async fn next_piece(&mut self) -> Option<Bytes> {
        if let Some(opening) = self.opening.take() {
            return Some(opening.into());
        }
        if self.drain.are_doors_closed() {
            self.attendance.end(CloseReason::Drain);
            return None;
        }
        let item = tokio::select! {
            biased;
            item = self.feed.next() => item,
            // What was published before may be there although nobody was woken yet.
            () = self.turn.comes(&self.drain) => {
                let last = self.feed.next().now_or_never();
                if last.is_none() {
                    self.attendance.end(CloseReason::Drain);
                }
                last?
            }
            reason = ended(&self.admission, &self.topic) => {
                self.attendance.end(reason);
                return None;
            }
            () = tokio::time::sleep(self.keepalive_interval) => {
                return Some(Bytes::from_static(self.form.keep_alive()));
            }
        };
        let mut piece = Vec::new();
        self.form.write(&mut piece, &self.topic, item);
        while piece.len() < PIECE_BYTES
            && let Some(item) = self.feed.next().now_or_never()
        {
            self.form.write(&mut piece, &self.topic, item);
        }
        Some(piece.into())
    }
}

/// Returns when the reader is no longer let in. A stream has no way to show a new token: its reader
/// comes back with one, and its cursor.
async fn ended(admission: &Admission, topic: &TopicName) -> CloseReason {
    loop {
        match admission.next().await {
            Notice::Expiring(_) | Notice::Lost
                if admission.may_surely(Action::Subscribe, topic).await => {}
            Notice::Expiring(_) => return CloseReason::Expired,
            Notice::Lost => return CloseReason::Revoked,
            Notice::Ended(reason) => return reason,
        }
    }
}

impl Form {
    const fn transport(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::Ndjson => "ndjson",
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Sse => "text/event-stream",
            Self::Ndjson => "application/x-ndjson",
        }
    }

    const fn keep_alive(self) -> &'static [u8] {
        match self {
            Self::Sse => sse::KEEP_ALIVE,
            Self::Ndjson => b"\n",
        }
    }

    fn opening(self, retry: Duration) -> Option<Vec<u8>> {
        match self {
            Self::Sse => Some(sse::opening(retry)),
            Self::Ndjson => None,
        }
    }

    fn write(self, out: &mut Vec<u8>, topic: &TopicName, item: FeedItem) {
        match (self, item) {
            (Self::Sse, FeedItem::Event { event, is_live }) => {
                sse::event(out, &event, telling(is_live));
            }
            (Self::Sse, FeedItem::Gap(gap)) => sse::gap(out, topic, &gap),
            (Self::Ndjson, FeedItem::Event { event, is_live }) => {
                envelope::write(out, &event, telling(is_live));
                out.push(b'\n');
            }
            (Self::Ndjson, FeedItem::Gap(gap)) => {
                out.extend_from_slice(
                    format!(r#"{{"topic":"{topic}","name":"gap","data":"#).as_bytes(),
                );
                envelope::gap(out, topic, &gap);
                out.extend_from_slice(b"}\n");
            }
        }
    }
}

const fn telling(is_live: bool) -> Telling {
    if is_live {
        Telling::Plain
    } else {
        Telling::Replayed
    }
}
