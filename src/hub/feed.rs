//! Feeds: a subscriber that reads at its own pace, for faces that stream (SSE, NDJSON).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::hub::tally::Counters;
use crate::hub::{
    AttachError, Description, From, Gap, Holder, Hub, Lane, Read, Seat, Subscriber, Topic,
};
use crate::topic::{Cursor, Entry, Event, Seq, TopicName};

/// Most entries that are taken from the ring at once.
const PAGE: usize = 64;

/// What a feed gives next.
#[derive(Debug)]
pub enum FeedItem {
    /// The next event.
    Event {
        /// The event.
        event: Arc<Event>,
        /// Whether it was appended after the feed began.
        is_live: bool,
    },
    /// Something is gone; the snapshot follows, then the story goes on at `to`.
    Gap(Gap),
}

/// A topic, event by event, from a place on. Dropping it detaches.
pub struct Feed {
    seat: Seat,
    signal: Arc<Signal>,
    cursor: Cursor,
    lane: Lane,
    gap: Option<Gap>,
    /// Where it wants to begin, while the topic is not known here yet.
    wanted: Option<From>,
    backlog: VecDeque<Arc<Event>>,
    page: VecDeque<Arc<Entry>>,
}

struct Signal {
    notify: Notify,
    read: AtomicU64,
    /// What the seat counts as well; a seat cannot be seen from here.
    counters: Counters,
    connection: String,
    principal: Option<String>,
    transport: &'static str,
}

impl Subscriber for Signal {
    fn wake(&self, _: &Arc<Topic>) {
        self.notify.notify_one();
    }

    fn face(&self) -> &'static str {
        self.transport
    }

    fn describe(&self, head: Seq) -> Description {
        Description {
            connection: self.connection.clone(),
            principal: self.principal.clone(),
            transport: self.transport,
            lag: head.0.saturating_sub(self.read.load(Ordering::Relaxed)),
            tally: self.counters.tally(),
        }
    }
}

/// Who reads a feed, for the presence list.
#[derive(Debug, Clone)]
pub struct Reader {
    /// The public id of the connection.
    pub connection: String,
    /// Who is connected.
    pub principal: Option<String>,
    /// `sse`, `ndjson` or another face that streams.
    pub transport: &'static str,
}

impl Hub {
    /// Follows a topic, which need not exist yet.
    ///
    /// # Errors
    /// [`AttachError`] when a bound is reached.
    pub fn follow(
        &self,
        name: &TopicName,
        from: From,
        reader: Reader,
    ) -> Result<Feed, AttachError> {
        let Reader {
            connection,
            principal,
            transport,
        } = reader;
        let read = AtomicU64::default();
        let signal = Arc::new(Signal {
            notify: Notify::new(),
            read,
            counters: Counters::default(),
            connection,
            principal,
            transport,
        });
        let attached = self.attach(name, from.clone(), Arc::<Signal>::clone(&signal))?;
        let is_known = attached.seat.topic().is_known();
        signal.read.store(attached.cursor.seq.0, Ordering::Relaxed);
        Ok(Feed {
            seat: attached.seat,
            signal,
            cursor: attached.cursor,
            lane: Lane::new(attached.head),
            gap: attached.gap,
            wanted: (!is_known).then_some(from),
            backlog: attached.backlog.into(),
            page: VecDeque::new(),
        })
    }
}

impl Feed {
    /// The next item; waits for it. Dropping the future loses nothing.
    pub async fn next(&mut self) -> FeedItem {
        loop {
            if let Some(gap) = self.gap.take() {
                return FeedItem::Gap(gap);
            }
            if let Some(event) = self.backlog.pop_front() {
                self.count(false);
                return FeedItem::Event {
                    event,
                    is_live: false,
                };
            }
            if let Some(entry) = self.page.pop_front() {
                let event = Arc::clone(&entry.event);
                let left_out = event.seq.0 - self.cursor.seq.0 - 1;
                self.seat.count_left_out(left_out);
                self.signal.counters.conflated(left_out);
                self.cursor = event.cursor();
                self.signal.read.store(event.seq.0, Ordering::Relaxed);
                let is_live = event.seq > self.lane.live_after();
                let delivered = self.seat.delivered();
                delivered.count(1, || is_live.then_some(&*event));
                self.count(is_live);
                return FeedItem::Event { event, is_live };
            }
            if !self.fill() {
                self.signal.notify.notified().await;
            }
        }
    }

    /// Begins where it wanted to, if the topic is known by now. Returns whether it has begun.
    fn begin(&mut self) -> bool {
        let topic = Arc::clone(self.seat.topic());
        let state = topic.lock();
        if !state.is_known() {
            return false;
        }
        let Some(from) = self.wanted.take() else {
            return true;
        };
        let head = state.head();
        let begin = state.beginning(from);
        drop(state);
        if begin.gap.is_some() {
            self.seat.count_gap();
        }
        self.lane = Lane::new(head.seq);
        self.cursor = begin.cursor;
        self.gap = begin.gap;
        self.backlog = begin.backlog.into();
        !self.seat.is_lost()
    }

    /// Binds the reader to a topic that is its own: see [`Seat::bind`]. When the topic is another
    /// user's, nothing comes any more.
    pub fn bind(&mut self, holder: Option<Holder>) {
        self.seat.bind(holder);
    }

    /// Counts an event that is handed over.
    fn count(&self, is_live: bool) {
        if is_live {
            self.seat.count_delivered(1);
            self.signal.counters.delivered(1);
        } else {
            self.seat.count_replayed(1);
            self.signal.counters.replayed(1);
        }
    }

    /// Takes the next page from the topic. Returns whether there was anything.
    fn fill(&mut self) -> bool {
        if self.wanted.is_some() && !self.begin() {
            return false;
        }
        let (mut page, topic) = (Vec::new(), self.seat.topic());
        // It is pulled: whoever is far behind when it comes was held up.
        self.lane.hold_up();
        let read = self.lane.read(topic, &self.cursor, PAGE, &mut page);
        if self.seat.is_lost() {
            return false;
        }
        match read {
            Read::Entries => {
                self.page = page.into();
                !self.page.is_empty() || self.gap.is_some() || !self.backlog.is_empty()
            }
            Read::Gap => {
                let (backlog, to) = self.seat.topic().joining();
                if self.seat.is_lost() {
                    return false;
                }
                self.seat.count_gap();
                let from = std::mem::replace(&mut self.cursor, to.clone());
                self.lane = Lane::new(to.seq);
                self.gap = Some(Gap { from, to });
                self.backlog = backlog.into();
                true
            }
        }
    }
}
