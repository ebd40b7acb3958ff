//! `GET /v1/events/stream`: the events of all libraries, live, as server-sent events.
//!
//! The stream holds a cursor into each library's topic and reads when the client takes more, so it
//! queues nothing. A library that is made later is followed from its first event on. Each event
//! bears the place of the whole stream (`resume.rs`), with which a client that was away gets what
//! it missed of every library.

mod resume;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State as Extract;
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use self::resume::Place;
use super::Libraries;
use crate::auth::Action;
use crate::connection::{Admission, ConnectionId, Notice};
use crate::document::LibraryId;
use crate::face::http::admission::Caller;
use crate::face::http::extract::Query;
use crate::face::http::metrics::OpenStream;
use crate::face::http::refusal::{Code, Refusal};
use crate::face::sse;
use crate::hub::{Description, From, Hub, Read, Seat, Subscriber, Tally, Topic, TopicFilter};
use crate::limit::Places;
use crate::producer::library::{self as libraries, Librarian};
use crate::topic::{Cursor, Entry, Event, Kind, Seq, TopicName};

/// Most events that are taken from a topic at once.
const PAGE: usize = 64;

/// The header with which a client comes back.
const LAST_EVENT_ID: &str = "last-event-id";

/// Which libraries are asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    library_id: Option<LibraryId>,
    since: Option<String>,
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
    admission: Arc<Admission>,
    made: watch::Receiver<u64>,
    signal: Arc<Signal>,
    places: HashMap<TopicName, (Seat, Cursor)>,
    /// What the client would return now.
    place: Place,
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
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    if state.0.drain.is_draining() {
        let detail = "the gateway is shutting down: come back";
        return Err(Refusal::new(Code::Draining, detail));
    }
    let last = headers
        .get(LAST_EVENT_ID)
        .map(|id| id.to_str().unwrap_or("?"));
    let returned = match last.or(wanted.since.as_deref()).filter(|id| !id.is_empty()) {
        None => None,
        Some(text) => Some(Place::parse(text, now_ms()).ok_or_else(|| {
            let detail = "`Last-Event-ID` and `since` are the id of an event of this stream";
            Refusal::new(Code::QueryInvalid, detail)
        })?),
    };
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
        place: returned.clone().unwrap_or_else(|| Place::now(now_ms())),
        keepalive_interval: state.0.config.keepalive_interval,
        opening: Some(sse::opening(state.0.config.sse_retry)),
        _held: caller.take_places().await?,
        _counted: state.0.metrics.stream_opened(),
    };
    open.made.mark_unchanged();
    let begin = if returned.is_some() {
        Begin::Resumed
    } else {
        Begin::Now
    };
    open.follow(begin).await?;
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

/// From where on a library is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begin {
    /// What comes.
    Now,
    /// Its first event: it was made a moment ago.
    First,
    /// What the client has not had yet.
    Resumed,
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

impl Open {
    /// Follows the libraries that are not followed yet.
    async fn follow(&mut self, begin: Begin) -> Result<(), Refusal> {
        let mut wanted = Vec::new();
        for topic in self.wanted(begin).await? {
            let is_followed = self.places.contains_key(&topic);
            if !is_followed && self.admission.may(Action::Subscribe, &topic).await? {
                wanted.push(topic);
            }
        }
        let named: Vec<_> = wanted.iter().map(|topic| (topic.clone(), None)).collect();
        let prepared = self.hub.prepare(&named).await;
        let _followed = prepared.map_err(crate::hub::AttachError::from)?;
        for topic in wanted {
            let from = match begin {
                Begin::Now => From::Head,
                Begin::First => From::Oldest,
                Begin::Resumed => match self.hub.open(&topic).await? {
                    Some(known) => From::Since(self.place.of(&known)),
                    None => From::Oldest,
                },
            };
            let signal = Arc::<Signal>::clone(&self.signal);
            let mut attached = self.hub.attach(&topic, from, signal)?;
            attached.seat.bind(self.admission.holder(&topic));
            if let (Some(gap), Some(opening)) = (&attached.gap, &mut self.opening) {
                sse::gap(opening, &topic, gap);
            }
            self.signal.wake(attached.seat.topic());
            self.places.insert(topic, (attached.seat, attached.cursor));
        }
        Ok(())
    }

    /// The topics of the libraries that the client wants; for one that comes back also of those
    /// that are gone meanwhile.
    async fn wanted(&self, begin: Begin) -> Result<Vec<TopicName>, Refusal> {
        if let Some(id) = self.only {
            let topic = libraries::topic(id);
            let is_known = begin == Begin::Resumed && self.place.named().any(|one| *one == topic);
            if !is_known {
                self.librarian.library(id).await?;
            }
            return Ok(vec![topic]);
        }
        let known = self.librarian.libraries().await?;
        let mut topics: Vec<_> = known.iter().map(|one| libraries::topic(one.id)).collect();
        if begin != Begin::Resumed {
            return Ok(topics);
        }
        let mut filter = TopicFilter {
            kind: Some(Kind::Library),
            ..TopicFilter::default()
        };
        loop {
            let page = self.hub.topics(&filter, PAGE, |_, _| true).await?;
            topics.extend(page.topics.iter().map(|line| line.topic.clone()));
            match page.topics.last() {
                Some(last) if page.more => filter.after = Some(last.topic.as_str().to_owned()),
                _ => break,
            }
        }
        topics.sort_unstable();
        topics.dedup();
        Ok(topics)
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
            self.place.settle(now_ms());
            if self.drain.is_draining() {
                return None;
            }
            let signal = Arc::clone(&self.signal);
            tokio::select! {
                () = signal.notify.notified() => {}
                () = self.drain.begun() => {}
                notice = self.admission.next() => {
                    if let Notice::Ended(_) | Notice::Lost = notice {
                        // The client comes back, and is told what it may follow now.
                        return None;
                    }
                }
                () = tokio::time::sleep(self.keepalive_interval) => {
                    return Some(Bytes::from_static(sse::KEEP_ALIVE));
                }
                changed = self.made.changed() => {
                    if changed.is_err() || self.follow(Begin::First).await.is_err() {
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
            let read = seat.topic().read(cursor, PAGE, &mut page);
            if seat.is_lost() {
                continue;
            }
            match read {
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
                self.place.sent(&entry.event);
                write(out, &entry.event, &self.place.text());
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
fn write(out: &mut Vec<u8>, event: &Event, place: &str) {
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
    let text = format!("id: {place}\nevent: {}\ndata: {told}\n\n", event.name);
    out.extend_from_slice(text.as_bytes());
}
