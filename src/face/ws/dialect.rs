//! A dialect: what one application's clients and the gateway say to each other on a plain
//! WebSocket.
//!
//! A dialect is a synchronous state machine: [`Input`] in, [`Outputs`] out. It has no socket, no
//! clock, no task and no lock; `driver` has them and calls it. So a whole conversation is tested as
//! a list of inputs and the frames that come of it (`ws/transcript.rs`).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use crate::face::ws::{Answer, Ask};
use crate::hub::{From, Gap};
use crate::limit::Limit;
use crate::topic::{Event, TopicName, iso8601};

/// One client's side of a conversation.
pub(crate) trait Dialect: Send {
    /// Takes the next input and says what is to be done.
    fn take(&mut self, input: Input<'_>, now: Now, out: &mut Outputs);
}

/// What may happen to a dialect.
#[derive(Debug)]
pub(crate) enum Input<'a> {
    /// The handshake is done. Comes first, and once.
    Connected,
    /// A text frame of the client, any text.
    Text(&'a str),
    /// A binary frame of the client.
    Binary(#[allow(dead_code, reason = "for dialects that take bytes")] &'a Bytes),
    /// An event of a topic that the dialect follows, in the order of the log.
    Event {
        /// The event.
        event: &'a Arc<Event>,
        /// Whether it came after the dialect began to follow.
        is_live: bool,
    },
    /// Something of a followed topic is gone; its snapshot follows as events that are not live.
    Gap {
        /// The topic.
        topic: &'a TopicName,
        /// What is gone.
        gap: &'a Gap,
    },
    /// A topic cannot be followed: a bound is reached. The reason is fit for the client.
    NotFollowed {
        /// The topic.
        topic: &'a TopicName,
        /// Why.
        why: String,
    },
    /// What came of [`Outputs::ask`]. Answers may come in another order than they were asked for.
    Answer {
        /// The number the dialect gave its request.
        ticket: u64,
        /// The answer.
        answer: Answer,
    },
    /// The time that the dialect asked for with [`Outputs::wake_at`] has come.
    Tick,
    /// The node is draining: whatever is said now are the last words before close code 1012.
    Drain,
}

/// The time at an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Now {
    /// Since the connection began; never goes back.
    pub(crate) since: Duration,
    /// The clock on the wall, in milliseconds since the Unix epoch.
    pub(crate) unix_ms: i64,
}

impl Now {
    /// The clock on the wall, as ISO 8601 in UTC with milliseconds.
    pub(crate) fn iso8601(self) -> String {
        iso8601(self.unix_ms)
    }
}

/// Why a conversation ends, as its close code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Close {
    /// 1000: there is nothing more to say.
    Done,
    /// 1002: a frame breaks the protocol of WebSocket.
    Protocol,
    /// 1007: a message is not what it says: no UTF-8, or nothing that can be inflated.
    Invalid,
    /// 1008: the client may not be here, or went beyond a limit.
    Policy,
    /// 1009: a message was larger than `face.ws.message_bytes_max`, as it came or inflated.
    TooBig,
    /// 1012: the node is draining; come back.
    Drain,
    /// 1013: the node has no room now; come back later.
    Overloaded,
}

impl Close {
    /// The number on the wire.
    pub(crate) const fn code(self) -> u16 {
        match self {
            Self::Done => 1000,
            Self::Protocol => 1002,
            Self::Invalid => 1007,
            Self::Policy => 1008,
            Self::TooBig => 1009,
            Self::Drain => 1012,
            Self::Overloaded => 1013,
        }
    }
}

/// One thing that is to be done, in the order in which the dialect said it.
#[derive(Debug)]
pub(crate) enum Output {
    /// Send a text frame.
    Text(String),
    /// Send a binary frame.
    #[allow(dead_code, reason = "for dialects that send bytes")]
    Binary(Bytes),
    /// Send a text frame whose text, JSON in UTF-8, is shared with others.
    SharedText(Bytes),
    /// Follow a topic from a place on. A topic that is followed already goes on as it is.
    Follow(TopicName, From),
    /// Count that the client reached a limit of its application.
    Reached(Limit),
    /// Follow a topic no more.
    Leave(TopicName),
    /// Do something that takes its time; the answer bears the ticket.
    Ask(u64, Ask),
}

/// What a dialect wants done after an input.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    pub(crate) list: Vec<Output>,
    /// When the dialect wants [`Input::Tick`], since the connection began. A new wish replaces the
    /// one before; without one the last stays.
    pub(crate) wake_at: Option<Duration>,
    /// Why the conversation ends after what is in the list. The reason has at most 123 bytes.
    pub(crate) close: Option<(Close, String)>,
}

impl Outputs {
    /// Sends a value as JSON in a text frame.
    pub(crate) fn say(&mut self, value: &impl Serialize) {
        let text = serde_json::to_string(value).expect("a message is JSON");
        self.list.push(Output::Text(text));
    }

    /// Sends a text frame.
    pub(crate) fn say_text(&mut self, text: String) {
        self.list.push(Output::Text(text));
    }

    /// Sends a text that others may be sent as well.
    pub(crate) fn say_shared(&mut self, text: Bytes) {
        self.list.push(Output::SharedText(text));
    }

    /// Follows a topic.
    pub(crate) fn follow(&mut self, topic: TopicName, from: From) {
        self.list.push(Output::Follow(topic, from));
    }

    /// Counts that the client reached a limit of its application.
    pub(crate) fn reached(&mut self, limit: Limit) {
        self.list.push(Output::Reached(limit));
    }

    /// Follows a topic no more.
    pub(crate) fn leave(&mut self, topic: TopicName) {
        self.list.push(Output::Leave(topic));
    }

    /// Asks for what takes its time.
    pub(crate) fn ask(&mut self, ticket: u64, ask: Ask) {
        self.list.push(Output::Ask(ticket, ask));
    }

    /// Ends the conversation after what was said.
    pub(crate) fn close(&mut self, close: Close, reason: impl Into<String>) {
        self.close.get_or_insert((close, reason.into()));
    }
}
