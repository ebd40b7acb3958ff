//! Delivery: from the ring to the exit of a link, by cursor.

use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;

use crate::face::socketio::admin::Admin;
use crate::face::socketio::encode::{self, Dialect};
use crate::face::socketio::link::{Direct, Exit, Link, Stage, State, WeakLink};
use crate::face::socketio::messages;
use crate::face::socketio::recovery::offset::{Tail, Trail};
use crate::face::socketio::sink::Sink;
use crate::hub::{Attached, Description, Gap, Holder, Lane, Read, Seat, Subscriber, Tally, Topic};
use crate::topic::{Cursor, Entry, EventName, Seq, TopicName};
use crate::wire::Sent;

/// Most events of one vectored write.
const BATCH_EVENTS_MAX: usize = 64;

/// Most bytes of one batch, unless a single event is larger.
const BATCH_BYTES_MAX: usize = 256 * 1024;

/// The name of this face in metrics.
const FACE: &str = "socketio";

/// One topic that a link subscribes to.
pub(crate) struct Subscription {
    link: WeakLink,
    topic: TopicName,
    /// Who is told of what is sent, if there is an admin UI.
    admin: Option<Admin>,
    /// The only event names that are wanted, if not all are.
    events: Option<Box<[EventName]>>,
    /// Nothing until the backlog is queued: a wake before that is ignored.
    place: Mutex<Option<Place>>,
}

/// Where a subscription is.
struct Place {
    seat: Seat,
    /// Its number in the offsets of this connection.
    number: u32,
    cursor: Cursor,
    /// How it keeps up, and up to where events are not live.
    lane: Lane,
}

enum Due {
    /// Nothing.
    Level,
    /// What follows the cursor is gone.
    Gap,
    /// These frames; the cursor is at `upto` after them. Some events before it may be left out.
    Frames {
        frames: Vec<Bytes>,
        upto: Seq,
        left_out: u64,
        /// How many of them are not live.
        replayed: u64,
        /// The events themselves, if somebody is to be told of them.
        told: Vec<Arc<Entry>>,
        /// The first live one.
        oldest: Option<Arc<Entry>>,
    },
}

impl Subscription {
    pub(crate) fn new(
        link: &Arc<Link>,
        topic: TopicName,
        events: Option<Box<[EventName]>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            link: Arc::downgrade(link),
            admin: link.sessions.admin().cloned(),
            topic,
            events,
            place: Mutex::new(None),
        })
    }

    pub(crate) const fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// For whom it must go on being the own topic, if the client may follow it for no other reason.
    /// The caller holds no lock of the link.
    pub(crate) fn holder(&self) -> Option<Holder> {
        let link = self.link.upgrade()?;
        let admission = link.lock().admission.clone()?;
        admission.holder(&self.topic)
    }

    /// Whether events of this name are wanted.
    pub(crate) fn wants(&self, name: &EventName) -> bool {
        self.events
            .as_ref()
            .is_none_or(|names| names.contains(name))
    }

    /// Where it is now, if it is under way.
    pub(crate) fn cursor(&self) -> Option<Cursor> {
        self.place().as_ref().map(|place| place.cursor.clone())
    }

    /// How far it has been read, and what became of the events.
    pub(crate) fn progress(&self) -> Option<(Seq, Tally)> {
        let held = self.place();
        let place = held.as_ref()?;
        Some((place.cursor.seq, place.seat.tally()))
    }

    /// Takes its place; the number is that of its offsets. The caller holds the link's lock and has
    /// queued the backlog.
    pub(crate) fn begin(&self, attached: Attached, number: u32) {
        let Attached {
            seat, cursor, head, ..
        } = attached;
        *self.place() = Some(Place {
            seat,
            number,
            cursor,
            lane: Lane::new(head),
        });
    }

    /// Gives its place up. The topic holds the subscription by its seat, so this must be said. Seats
    /// take the topic's lock: the caller holds no lock of ours.
    pub(crate) fn end(&self) {
        let place = self.place().take();
        drop(place);
    }

    fn place(&self) -> MutexGuard<'_, Option<Place>> {
        self.place.lock().expect("no holder of a place panics")
    }

    /// Sends what is due. Returns whether the sink took everything.
    fn send(&self, state: &mut State, sink: &mut impl Sink, link: &Link) -> bool {
        let mut held = self.place();
        let Some(place) = held.as_mut() else {
            return true;
        };
        let suffix = state.suffix(place.number);
        let tail = Tail::of(suffix.as_deref(), link.wants_cursors);
        let ending = (link.dialect, tail);
        loop {
            let due = self.due(place, ending);
            if place.seat.is_lost() {
                return true;
            }
            match due {
                Due::Level => return true,
                Due::Gap => {
                    self.leap(state, place, link.dialect);
                    return true;
                }
                Due::Frames {
                    frames,
                    upto,
                    left_out,
                    replayed,
                    told,
                    oldest,
                } => {
                    if !frames.is_empty() && !state.took(sink.offer(&frames)) {
                        place.lane.hold_up();
                        return false;
                    }
                    place.seat.count_left_out(left_out);
                    let delivered = place.seat.delivered();
                    delivered.count(frames.len(), || oldest.as_ref().map(|entry| &*entry.event));
                    place.seat.count_replayed(replayed);
                    let live = (frames.len() as u64).saturating_sub(replayed);
                    place.seat.count_delivered(live);
                    self.tell(state, &frames, &told);
                    place.cursor.seq = upto;
                    state.mark(place.number, upto);
                }
            }
        }
    }

    /// Reads on at the cursor.
    fn due(&self, place: &mut Place, ending: (Dialect, Tail<'_>)) -> Due {
        let mut page = Vec::new();
        let (topic, cursor) = (place.seat.topic(), &place.cursor);
        if place.lane.read(topic, cursor, BATCH_EVENTS_MAX, &mut page) == Read::Gap {
            return Due::Gap;
        }
        let (mut frames, mut bytes) = (Vec::with_capacity(page.len()), 0);
        let (mut upto, mut left_out, mut replayed) = (cursor.seq, 0, 0);
        let mut told = Vec::new();
        let tells = self.admin.as_ref().is_some_and(Admin::is_watched);
        for entry in &page {
            let event = &entry.event;
            if self.wants(&event.name) {
                let frame = frame_of(entry, place.lane.live_after(), ending);
                if bytes > 0 && bytes + frame.len() > BATCH_BYTES_MAX {
                    break;
                }
                bytes += frame.len();
                frames.push(frame);
                if tells {
                    told.push(Arc::clone(entry));
                }
                replayed += u64::from(event.seq <= place.lane.live_after());
            }
            left_out += event.seq.0 - upto.0 - 1;
            upto = event.seq;
        }
        if upto == cursor.seq {
            return Due::Level;
        }
        let live_after = place.lane.live_after();
        let is_live = |entry: &Arc<Entry>| entry.event.seq > live_after;
        Due::Frames {
            frames,
            upto,
            left_out,
            replayed,
            told,
            oldest: page.into_iter().find(is_live),
        }
    }

    /// Tells the admin UI what was sent, if there is one.
    fn tell(&self, state: &State, frames: &[Bytes], told: &[Arc<Entry>]) {
        let Some(admin) = &self.admin else { return };
        let bytes = frames.iter().map(Bytes::len).sum();
        admin.stats().packets_out(frames.len(), bytes);
        if let Some(link) = self.link.upgrade().filter(|_| !told.is_empty()) {
            let id = link.public_id(state);
            for entry in told {
                admin.sent(id.as_str(), &entry.event);
            }
        }
    }

    /// The events that follow the cursor are gone: queues the gap and the snapshot, and goes on
    /// after it.
    fn leap(&self, state: &mut State, place: &mut Place, dialect: Dialect) {
        let is_told = !place.seat.topic().joins_now(&place.cursor);
        let (backlog, to) = place.seat.topic().joining();
        if place.seat.is_lost() {
            return;
        }
        let from = std::mem::replace(&mut place.cursor, to.clone());
        place.lane = Lane::new(to.seq);
        if let Some(resumable) = &mut state.resumable {
            place.number = resumable.leap(place.number, &to);
        }
        let number = place.number;
        if is_told {
            place.seat.count_gap();
            let gap = messages::gap(&self.topic, &Gap { from, to }, dialect);
            state.direct.push_back(Direct::Frames(gap));
        }
        let wanted = backlog.into_iter().filter(|event| self.wants(&event.name));
        let before = state.direct.len();
        let replays = wanted.map(|event| Direct::Replay(event, number));
        state.direct.extend(replays);
        let replayed = state.direct.len() - before;
        place.seat.count_replayed(replayed as u64);
    }
}

fn frame_of(entry: &Entry, live_after: Seq, (dialect, tail): (Dialect, Tail<'_>)) -> Bytes {
    if entry.event.seq > live_after {
        encode::live(entry, dialect, tail)
    } else {
        encode::replayed(&entry.event, dialect, tail)
    }
}

impl Subscriber for Subscription {
    fn wake(&self, _: &Arc<Topic>) {
        let Some(link) = self.link.upgrade() else {
            return;
        };
        let mut state = link.lock();
        // Whoever ends the blockade delivers what is due: nothing need be read until then.
        let is_blocked = state.is_blocked && matches!(state.exit, Exit::WebSocket(_));
        if state.stage != Stage::Open || is_blocked {
            return;
        }
        let outbox = match &state.exit {
            Exit::WebSocket(outbox) => Arc::clone(outbox),
            Exit::Polling => return link.news.notify_one(),
            Exit::Closed => return,
        };
        let mut sink = &*outbox;
        // What waits for this connection alone goes first; a gap may add to it.
        let _ = link.send_direct(&mut state, &mut sink)
            && self.send(&mut state, &mut sink, &link)
            && link.send_direct(&mut state, &mut sink);
    }

    fn face(&self) -> &'static str {
        FACE
    }

    fn describe(&self, head: Seq) -> Description {
        let (connection, principal, transport) = self.link.upgrade().map_or_else(
            || (String::new(), None, "closed"),
            |link| {
                let state = link.lock();
                let admission = state.admission.as_ref();
                let principal = admission.and_then(|admission| admission.principal().name());
                let connection = link.public_id(&state).to_string();
                (connection, principal, state.exit.as_str())
            },
        );
        let (read, tally) = self.progress().unwrap_or((head, Tally::default()));
        let lag = head.0.saturating_sub(read.0);
        Description {
            connection,
            principal,
            transport,
            lag,
            tally,
        }
    }
}

impl State {
    /// What follows the own place in the offsets of this subscription, if there are offsets.
    fn suffix(&self, number: u32) -> Option<String> {
        let resumable = self.resumable.as_ref();
        resumable.map(|resumable| resumable.trail.suffix(number))
    }

    /// The subscription of this number has been written up to here.
    pub(crate) fn mark(&mut self, number: u32, seq: Seq) {
        if let Some(resumable) = &mut self.resumable {
            resumable.trail.mark(number, seq);
        }
    }

    /// Whether the sink took the batch. Remembers what is to be done if it did not.
    fn took(&mut self, sent: Sent) -> bool {
        match sent {
            Sent::Taken => true,
            Sent::Blocked => {
                self.is_blocked = true;
                false
            }
            Sent::Dead => {
                self.exit = Exit::Closed;
                false
            }
        }
    }
}

impl Link {
    /// Sends everything that is due. Called whenever an exit opens or has room again.
    pub(crate) fn deliver(self: &Arc<Self>, state: &mut State) {
        if state.stage != Stage::Open {
            return;
        }
        match &state.exit {
            Exit::WebSocket(outbox) => {
                let outbox = Arc::clone(outbox);
                self.send_all(state, &mut &*outbox);
            }
            Exit::Polling => self.news.notify_one(),
            Exit::Closed => {}
        }
    }

    /// Sends what waits for this connection alone, unless something is in the way: whoever clears it
    /// away delivers everything. Subscriptions are not looked at: each was sent what is due when it
    /// came.
    pub(crate) fn deliver_direct(self: &Arc<Self>, state: &mut State) {
        if state.stage != Stage::Open {
            return;
        }
        match &state.exit {
            Exit::WebSocket(outbox) if !state.is_blocked => {
                let outbox = Arc::clone(outbox);
                self.send_direct(state, &mut &*outbox);
            }
            Exit::Polling => self.news.notify_one(),
            Exit::WebSocket(_) | Exit::Closed => {}
        }
    }

    /// Sends everything that is due into a sink. Returns whether it took everything.
    pub(crate) fn send_all(self: &Arc<Self>, state: &mut State, sink: &mut impl Sink) -> bool {
        state.is_blocked = false;
        if !self.send_direct(state, sink) {
            return false;
        }
        let subscriptions = std::mem::take(&mut state.subscriptions);
        let took_all = subscriptions.iter().all(|subscription| {
            subscription.send(state, sink, self) && self.send_direct(state, sink)
        });
        state.subscriptions = subscriptions;
        took_all
    }

    /// Sends what waits for this connection alone. Returns whether the sink took everything.
    fn send_direct(self: &Arc<Self>, state: &mut State, sink: &mut impl Sink) -> bool {
        while !state.direct.is_empty() {
            let (frames, trail) = self.next_direct(state);
            if !state.took(sink.offer(&frames)) {
                return false;
            }
            state.direct.drain(..frames.len());
            if let (Some(resumable), Some(trail)) = (&mut state.resumable, trail) {
                resumable.trail = trail;
            }
            if state.direct.is_empty() {
                state.direct = std::collections::VecDeque::new();
                self.serve_requests(state);
            }
        }
        true
    }

    /// A batch of what waits for this connection alone, and how far the connection will have been
    /// written with it, if that changes.
    fn next_direct(&self, state: &State) -> (Vec<Bytes>, Option<Trail>) {
        let (mut frames, mut bytes, mut moved) = (Vec::new(), 0, None);
        for direct in state.direct.iter().take(BATCH_EVENTS_MAX) {
            let (frame, mark) = match direct {
                Direct::Frames(frames) => (frames.clone(), None),
                Direct::Replay(event, number) => {
                    let known = state.resumable.as_ref().map(|known| &known.trail);
                    let suffix = moved.as_ref().or(known).map(|trail| trail.suffix(*number));
                    let tail = Tail::of(suffix.as_deref(), self.wants_cursors);
                    let frame = encode::replayed(event, self.dialect, tail);
                    (frame, known.map(|known| (known, *number, event.seq)))
                }
            };
            if bytes > 0 && bytes + frame.len() > BATCH_BYTES_MAX {
                break;
            }
            bytes += frame.len();
            frames.push(frame);
            if let Some((known, number, seq)) = mark {
                moved.get_or_insert_with(|| known.clone()).mark(number, seq);
            }
        }
        (frames, moved)
    }
}
