//! A link: one Engine.IO session, whatever transport it is on, and what is due to it.
//!
//! Events never enter the engine's queue. A link has a cursor for each topic it subscribes to, and
//! an exit that changes once, from polling to websocket. One lock guards it all; the cursors move
//! under it, at the moment the bytes are handed over, so no event can leave by two exits. Lock
//! order: link, then topic; link, then outbox.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::connection::{Admission, CloseReason, ConnectionId};
use crate::face::socketio::delivery::Subscription;
use crate::face::socketio::encode::Dialect;
use crate::face::socketio::pacing::Pacing;
use crate::face::socketio::recovery::Resumable;
use crate::face::socketio::requests::Requests;
use crate::face::socketio::sessions::Sessions;
use crate::face::socketio::ticket::Ticket;
use crate::limit::Limit;
use crate::topic::Event;
use crate::wire::Outbox;

/// One Engine.IO session.
pub(crate) struct Link {
    pub(crate) dialect: Dialect,
    /// Whether the session began as websocket; then its engine id is never needed by the client.
    pub(crate) is_websocket_born: bool,
    /// Most packets in the body of one poll.
    pub(crate) poll_packets_max: usize,
    /// Whether the client seems to take offsets; nothing if it cannot.
    pub(crate) takes_offsets: Option<bool>,
    /// Whether it wants the place of each event, even if it takes no offsets.
    pub(crate) wants_cursors: bool,
    pub(crate) born: Instant,
    pub(crate) sessions: Arc<Sessions>,
    /// What its first request showed.
    pub(crate) ticket: Option<Arc<Ticket>>,
    /// The engine's id of the session: the client's credential, never shown to others.
    pub(crate) sid: OnceLock<Box<str>>,
    /// The same as a polling client knows it, if that is another.
    told: OnceLock<Option<Box<str>>>,
    /// Frees the poll that waits for the engine, or the next one: something is due.
    pub(crate) news: Notify,
    /// Told when a switch to websocket has succeeded or failed.
    pub(crate) decided: Notify,
    /// The engine is to hear that the client of this websocket leaves.
    pub(crate) is_dismissed: AtomicBool,
    pub(crate) pacing: Pacing,
    /// How many polls are under way. More than one is the engine's matter.
    pub(crate) polls: AtomicUsize,
    state: Mutex<State>,
}

/// What the first request tells of a client.
pub(crate) struct Habits {
    pub(crate) dialect: Dialect,
    pub(crate) is_websocket_born: bool,
    pub(crate) poll_packets_max: usize,
    pub(crate) takes_offsets: Option<bool>,
    pub(crate) wants_cursors: bool,
    pub(crate) ticket: Option<Arc<Ticket>>,
}

/// How a client leaves the main namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parting {
    /// Its connection is gone: it may come back.
    Broken,
    /// It said that it leaves, or was put out.
    ForGood,
}

/// The way out for events.
pub(crate) enum Exit {
    /// The body of a poll.
    Polling,
    /// The outbox of a websocket.
    WebSocket(Arc<Outbox>),
    /// There is none any more.
    Closed,
}

/// How far a switch to websocket has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    /// There is none under way.
    None,
    /// The websocket is open.
    Open,
    /// The probe was answered: polls are answered at once, so that the client can decide.
    Answered,
    /// It was repeated to the engine, whose answer is to be dropped.
    Repeated,
}

/// How far the main namespace is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It was not joined, or was left.
    Out,
    /// It was joined: answers may be queued.
    Joined,
    /// The CONNECT answer is among the bytes that are about to be handed over.
    Opening,
    /// The CONNECT answer has been handed over: events may follow.
    Open,
}

impl Stage {
    /// The bytes have been handed over. Returns whether the namespace opened with them.
    pub(crate) fn advance(&mut self) -> bool {
        let opens = *self == Self::Opening;
        if opens {
            *self = Self::Open;
        }
        opens
    }
}

/// What became of the engine's first ping, which it sends at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FirstPing {
    /// It is still to come.
    Awaited,
    /// It was held back: the engine is to be told that it was answered.
    Held,
    /// That is settled.
    Past,
}

impl FirstPing {
    /// Clients of version 3 ping themselves.
    const fn of(dialect: Dialect) -> Self {
        match dialect {
            Dialect::TextEio3 => Self::Past,
            Dialect::Text | Dialect::Msgpack => Self::Awaited,
        }
    }

    /// Whether the engine is to be told now that the ping was answered; true once.
    pub(crate) fn settle(&mut self) -> bool {
        let is_held = *self == Self::Held;
        if is_held {
            *self = Self::Past;
        }
        is_held
    }
}

/// What waits for one connection only; it goes out before events.
pub(crate) enum Direct {
    /// Whole frames.
    Frames(Bytes),
    /// An event that is not live, of the subscription of this number; its frames are built when
    /// it is written.
    Replay(Arc<Event>, u32),
}

pub(crate) struct State {
    /// The public id of the main namespace's socket.
    pub(crate) id: ConnectionId,
    pub(crate) exit: Exit,
    /// Counts the connects to the main namespace; a late disconnect of an earlier one is ignored.
    pub(crate) generation: u64,
    /// How far the main namespace is open.
    pub(crate) stage: Stage,
    /// How far a switch to websocket has come.
    pub(crate) probe: Probe,
    /// What became of the engine's first ping.
    pub(crate) first_ping: FirstPing,
    /// Attachments of the engine's current packet that have not passed yet.
    pub(crate) attachments: usize,
    /// The outbox turned us away.
    pub(crate) is_blocked: bool,
    /// The node drains: when nothing is due any more, the next poll closes the session.
    pub(crate) is_leaving: bool,
    /// A poll is to be answered at once: the node that relays it drains.
    pub(crate) is_released: bool,
    pub(crate) close_reason: Option<CloseReason>,
    /// Who has joined the main namespace.
    pub(crate) admission: Option<Arc<Admission>>,
    /// Packets that did not fit into the body of the last poll; they go before anything else.
    pub(crate) left_over: VecDeque<Bytes>,
    pub(crate) direct: VecDeque<Direct>,
    pub(crate) subscriptions: Vec<Arc<Subscription>>,
    /// The session that the client can come back to, if it takes offsets.
    pub(crate) resumable: Option<Resumable>,
    pub(crate) requests: Requests,
    /// Acknowledgements that are in the engine's queue.
    pub(crate) unsent_answers: usize,
    /// When a poll last found the engine's queue empty.
    pub(crate) empty_at: Option<Instant>,
}

impl Exit {
    /// The transport, for people.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::WebSocket(_) => "websocket",
            Self::Closed => "closed",
        }
    }
}

impl Link {
    /// Counts that the client reached a limit.
    pub(crate) fn count(&self, limit: Limit) {
        if let Some(ticket) = &self.ticket {
            ticket.count(limit);
        }
    }

    pub(crate) fn new(habits: Habits, sessions: &Arc<Sessions>) -> Arc<Self> {
        let Habits {
            dialect,
            is_websocket_born,
            poll_packets_max,
            takes_offsets,
            wants_cursors,
            ticket,
        } = habits;
        Arc::new(Self {
            dialect,
            is_websocket_born,
            poll_packets_max,
            takes_offsets,
            wants_cursors,
            ticket,
            born: Instant::now(),
            sessions: Arc::clone(sessions),
            sid: OnceLock::new(),
            told: OnceLock::new(),
            news: Notify::new(),
            decided: Notify::new(),
            is_dismissed: AtomicBool::new(false),
            pacing: Pacing::default(),
            polls: AtomicUsize::new(0),
            state: Mutex::new(State {
                id: ConnectionId::new(),
                exit: Exit::Polling,
                generation: 0,
                stage: Stage::Out,
                probe: Probe::None,
                first_ping: FirstPing::of(dialect),
                attachments: 0,
                is_blocked: false,
                is_leaving: false,
                is_released: false,
                close_reason: None,
                admission: None,
                left_over: VecDeque::new(),
                direct: VecDeque::new(),
                subscriptions: Vec::new(),
                resumable: None,
                requests: Requests::default(),
                unsent_answers: 0,
                empty_at: None,
            }),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of a link panics")
    }

    /// Notes the engine's id of the session and makes the link known by it.
    pub(crate) fn learn_sid(self: &Arc<Self>, sid: &str) {
        if self.sid.set(sid.into()).is_ok() {
            self.sessions.insert(sid, self);
        }
    }

    /// The id of the session as its client knows it from a handshake on polling, if that is not
    /// the engine's own.
    pub(crate) fn told(&self) -> Option<&str> {
        let sid = self.sid.get()?;
        let told = self
            .told
            .get_or_init(|| self.sessions.told(sid).map(Into::into));
        told.as_deref()
    }

    /// Joins the main namespace: a new generation, with a public id of its own.
    pub(crate) fn join(&self) -> u64 {
        let mut state = self.lock();
        state.generation += 1;
        state.stage = Stage::Joined;
        state.id = match (self.dialect, self.sid.get()) {
            // These clients take the handshake's id for their own and know no other. It is told to
            // nobody else: see `public_id`.
            (Dialect::TextEio3, Some(sid)) if !self.is_websocket_born => {
                ConnectionId::of(self.told().unwrap_or(sid))
            }
            // The handshake was given this id instead of the engine's.
            (Dialect::TextEio3, _) => state.id.clone(),
            (Dialect::Text | Dialect::Msgpack, _) if state.generation == 1 => state.id.clone(),
            (Dialect::Text | Dialect::Msgpack, _) => ConnectionId::new(),
        };
        state.generation
    }

    /// The connection carries this session: its public id is the session's.
    pub(crate) fn carry(&self, resumable: Resumable) {
        let mut state = self.lock();
        state.id = resumable.session.id();
        state.resumable = Some(resumable);
    }

    /// Leaves the main namespace, unless it was joined anew since. Returns whether it was left.
    pub(crate) fn leave(&self, generation: u64, parting: Parting) -> bool {
        let (was_joined, subscriptions) = {
            let mut state = self.lock();
            if state.generation != generation {
                return false;
            }
            state.direct = VecDeque::new();
            state.requests.clear();
            state.unsent_answers = 0;
            self.pace(&state, 0, usize::MAX);
            match (state.resumable.take(), parting) {
                (Some(resumable), Parting::ForGood) => resumable.end(),
                (resumable, _) => drop(resumable),
            }
            let was_joined = std::mem::replace(&mut state.stage, Stage::Out) != Stage::Out;
            (was_joined, std::mem::take(&mut state.subscriptions))
        };
        for subscription in subscriptions {
            subscription.end();
        }
        was_joined
    }

    /// An id that may be shown to others.
    pub(crate) fn public_id(&self, state: &State) -> ConnectionId {
        let own = self.told.get().and_then(Option::as_deref);
        let own = own.or(self.sid.get().map(AsRef::as_ref));
        if own == Some(state.id.as_str()) {
            // Of an old client on polling the id is its credential: others get a digest of it.
            let digest = Sha256::digest(state.id.as_str().as_bytes());
            return ConnectionId::of(&URL_SAFE_NO_PAD.encode(&digest[..15]));
        }
        state.id.clone()
    }

    /// Whether it is python-engineio on polling. It stays away after a close packet, and comes back
    /// after a poll that failed.
    pub(crate) const fn is_pythons(&self) -> bool {
        self.poll_packets_max < usize::MAX
    }

    /// Ends the connection from our side: a websocket's engine notices by its socket, a polling
    /// client is told by its next poll.
    pub(crate) fn close(&self, reason: CloseReason) {
        let exit = {
            let mut state = self.lock();
            state.close_reason.get_or_insert(reason);
            std::mem::replace(&mut state.exit, Exit::Closed)
        };
        match exit {
            Exit::WebSocket(outbox) => outbox.kill(),
            Exit::Polling => self.news.notify_one(),
            Exit::Closed => {}
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // None are left unless the session ended while it was joining.
        for subscription in std::mem::take(&mut self.lock().subscriptions) {
            subscription.end();
        }
        if let Some(sid) = self.sid.get() {
            self.sessions.remove(sid);
        }
    }
}

/// A reference that does not keep a link alive.
pub(crate) type WeakLink = Weak<Link>;
