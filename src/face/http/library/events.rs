//! `GET /v1/events/stream`: the events of all libraries, live, as server-sent events.
//!
//! The stream holds a cursor into each library's topic and reads when the client takes more, so it
//! queues nothing. A library that is made later is followed from its first event on. There is no
//! cursor over all libraries: a client that was away reads each library's topic with its own.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State as Extract;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use super::Libraries;
use crate::auth::Action;
use crate::connection::{Admission, ConnectionId, Notice};
use crate::document::LibraryId;
use crate::face::http::admission::Caller;
use crate::face::http::extract::Query;
use crate::face::http::metrics::OpenStream;
use crate::face::http::refusal::{Code, Refusal};
use crate::face::sse;
use crate::hub::{Description, From, Hub, Read, Seat, Subscriber, Tally, Topic};
use crate::limit::Places;
use crate::producer::library::{self as libraries, Librarian};
use crate::topic::{Cursor, Entry, Event, Seq, TopicName};

/// Most events that are taken from a topic at once.
const PAGE: usize = 64;

/// Which libraries are asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    library_id: Option<LibraryId>,
}

/// Woken by every topic; says which have news.
struct Signal {
    connection: String,
    news: Mutex<Vec<TopicName>>,
    notify: Notify,
}

impl Subscriber for Signal {
    fn wake(&self, topic: &Arc<Topic>) {
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        if !news.contains(topic.name()) {
            news.push(topic.name().clone());
        }
        self.notify.notify_one();
    }

    fn face(&self) -> &'static str {
        "sse"
    }

    fn describe(&self, _: Seq) -> Description {
        Description {
            connection: self.connection.clone(),
            principal: None,
            transport: "sse",
            lag: 0,
            tally: Tally::default(),
        }
    }
}

/// A stream that is open.
struct Open {
    librarian: Librarian,
    hub: Hub,
    drain: crate::drain::Drain,
    only: Option<LibraryId>,
    admission: Admission,
    made: watch::Receiver<u64>,
    signal: Arc<Signal>,
    places: HashMap<TopicName, (Seat, Cursor)>,
    keepalive_interval: Duration,
    opening: Option<Vec<u8>>,
    _held: Places,
    _counted: OpenStream,
}

/// `GET /v1/events/stream`
pub(super) async fn all(
    Extract(state): Extract<Libraries>,
    caller: Caller,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refusal> {
    if state.0.drain.is_draining() {
        let detail = "the gateway is shutting down: come back";
        return Err(Refusal::new(Code::Draining, detail));
    }
    let librarian = state.librarian().clone();
    let mut open = Open {
        made: librarian.made(),
        librarian,
        hub: state.0.hub.clone(),
        drain: state.0.drain.clone(),
        only: wanted.library_id,
        admission: caller.attend(),
        signal: Arc::new(Signal {
            connection: ConnectionId::new().to_string(),
            news: Mutex::default(),
            notify: Notify::new(),
        }),
        places: HashMap::new(),
        keepalive_interval: state.0.config.keepalive_interval,
        opening: Some(sse::opening(state.0.config.sse_retry)),
        _held: caller.take_places().await?,
        _counted: state.0.metrics.stream_opened(),
    };
    open.made.mark_unchanged();
    open.follow(&From::Head).await?;
    let pieces = stream::unfold(open, |mut open| async move {
        let piece = open.next_piece().await?;
        Some((Ok::<_, Infallible>(piece), open))
    });
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

impl Open {
    /// Follows the libraries that are not followed yet.
    async fn follow(&mut self, from: &From) -> Result<(), Refusal> {
        let ids = match self.only {
            Some(id) => vec![self.librarian.library(id).await?.id],
            None => self
                .librarian
                .libraries()
                .await?
                .iter()
                .map(|library| library.id)
                .collect(),
        };
        for id in ids {
            let topic = libraries::topic(id);
            if self.places.contains_key(&topic)
                || !self.admission.may(Action::Subscribe, &topic).await?
            {
                continue;
            }
            let signal = Arc::<Signal>::clone(&self.signal);
            let attached = self.hub.attach(&topic, from.clone(), signal)?;
            self.signal.wake(attached.seat.topic());
            self.places.insert(topic, (attached.seat, attached.cursor));
        }
        Ok(())
    }

    /// The next piece; nothing when the stream ends.
    async fn next_piece(&mut self) -> Option<Bytes> {
        if let Some(opening) = self.opening.take() {
            return Some(opening.into());
        }
        loop {
            let mut piece = Vec::new();
            self.read(&mut piece);
            if !piece.is_empty() {
                return Some(piece.into());
            }
            if self.drain.is_draining() {
                return None;
            }
            let signal = Arc::clone(&self.signal);
            tokio::select! {
                () = signal.notify.notified() => {}
                () = self.drain.begun() => {}
                notice = self.admission.next() => {
                    if let Notice::Ended(_) = notice {
                        return None;
                    }
                }
                () = tokio::time::sleep(self.keepalive_interval) => {
                    return Some(Bytes::from_static(sse::KEEP_ALIVE));
                }
                changed = self.made.changed() => {
                    if changed.is_err() || self.follow(&From::Oldest).await.is_err() {
                        // The client comes back and finds out why.
                        return None;
                    }
                }
            }
        }
    }

    /// Reads what is new of the topics that have news, a page of each.
    fn read(&mut self, out: &mut Vec<u8>) {
        let news = std::mem::take(
            &mut *self
                .signal
                .news
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        for name in news {
            let Some((seat, cursor)) = self.places.get_mut(&name) else {
                continue;
            };
            let mut page: Vec<Arc<Entry>> = Vec::new();
            match seat.topic().read(cursor, PAGE, &mut page) {
                Read::Entries => {}
                Read::Gap => {
                    seat.count_gap();
                    let (_, to) = seat.topic().joining();
                    let from = std::mem::replace(cursor, to.clone());
                    sse::gap(out, &name, &crate::hub::Gap { from, to });
                }
            }
            let is_full = page.len() == PAGE;
            let mut is_over = false;
            let oldest = page.first().cloned();
            let delivered = seat.delivered();
            delivered.count(page.len(), || oldest.as_ref().map(|entry| &*entry.event));
            for entry in page {
                *cursor = entry.event.cursor();
                is_over = entry.event.name.as_str() == "library.deleted";
                write(out, &entry.event);
            }
            if is_over {
                self.places.remove(&name);
            } else if is_full {
                self.signal.wake(&Arc::clone(seat.topic()));
            }
        }
    }
}

/// An event as the application writes it: the library on top, the change within.
fn write(out: &mut Vec<u8>, event: &Event) {
    let data: Value = event
        .payload
        .json()
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let told = json!({
        "library_id": event.topic.id(),
        "data": data,
        "timestamp": event.timestamp(),
    });
    out.extend_from_slice(format!("event: {}\ndata: {told}\n\n", event.name).as_bytes());
}
