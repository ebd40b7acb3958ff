//! Transcripts: a dialect fed with a list of inputs, and what it said to each, as lines of text.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::face::ws::dialect::{Dialect, Input, Now, Output, Outputs};
use crate::face::ws::{Answer, Opening};
use crate::hub::Gap;
use crate::topic::{Class, Draft, Epoch, Event, Place, Seq};

/// The wall clock when a transcript begins: 2026-01-15T10:00:00.000Z.
pub(super) const BEGIN_MS: i64 = 1_768_471_200_000;

/// One conversation without socket and clock.
pub(super) struct Transcript {
    dialect: Box<dyn Dialect>,
    now: Now,
    lines: Vec<String>,
}

impl Transcript {
    /// A conversation that has begun, at a path with this id.
    pub(super) fn begin(begin: fn(Opening) -> Box<dyn Dialect>, id: &str) -> Self {
        Self::since(begin, id, None)
    }

    /// The same, with `?since=`.
    pub(super) fn since(
        begin: fn(Opening) -> Box<dyn Dialect>,
        id: &str,
        since: Option<&str>,
    ) -> Self {
        let opening = Opening {
            id: id.to_owned(),
            since: since.map(str::to_owned),
            token: None,
            connection: "c1".to_owned(),
            page_size: None,
            heartbeat_interval: Duration::from_secs(30),
        };
        let now = Now {
            since: Duration::ZERO,
            unix_ms: BEGIN_MS,
        };
        let (dialect, lines) = (begin(opening), Vec::new());
        let mut transcript = Self {
            dialect,
            now,
            lines,
        };
        transcript.input(Input::Connected);
        transcript
    }

    /// Time passes.
    pub(super) fn pass(&mut self, seconds: u64) -> &mut Self {
        self.now.since += Duration::from_secs(seconds);
        self.now.unix_ms += i64::try_from(seconds).unwrap() * 1000;
        self
    }

    /// Anything happens.
    pub(super) fn input(&mut self, input: Input<'_>) -> &mut Self {
        let mut out = Outputs::default();
        self.dialect.take(input, self.now, &mut out);
        for output in out.list {
            self.lines.push(match output {
                Output::Reached(limit) => format!("reached {}", limit.as_str()),
                Output::Text(text) => text,
                Output::SharedText(text) => String::from_utf8(text.to_vec()).unwrap(),
                Output::Binary(bytes) => format!("{} bytes", bytes.len()),
                Output::Follow(topic, from) => format!("follow {topic} from {from:?}"),
                Output::Leave(topic) => format!("leave {topic}"),
                Output::Ask(ticket, ask) => format!("ask {ticket}: {ask:?}"),
            });
        }
        if let Some(at) = out.wake_at {
            self.lines.push(format!("wake at {at:?}"));
        }
        if let Some((close, reason)) = out.close {
            self.lines.push(format!("close {}: {reason}", close.code()));
        }
        self
    }

    /// The client says something.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.input(Input::Text(text))
    }

    /// The client sends bytes.
    pub(super) fn binary(&mut self, bytes: &[u8]) -> &mut Self {
        self.input(Input::Binary(&Bytes::copy_from_slice(bytes)))
    }

    /// An event of a followed topic.
    pub(super) fn event(&mut self, event: &Arc<Event>, is_live: bool) -> &mut Self {
        self.input(Input::Event { event, is_live })
    }

    /// A gap in a followed topic.
    pub(super) fn gap(&mut self, topic: &str, (from, to): (&str, &str)) -> &mut Self {
        let gap = Gap {
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
        };
        let topic = topic.parse().unwrap();
        self.input(Input::Gap {
            topic: &topic,
            gap: &gap,
        })
    }

    /// The answer to a request of the dialect.
    pub(super) fn answer(&mut self, ticket: u64, answer: Answer) -> &mut Self {
        self.input(Input::Answer { ticket, answer })
    }

    /// What was said since the last call.
    pub(super) fn said(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }
}

/// An event as the hub seals it, a second after another by its number.
pub(super) fn event(topic: &str, seq: u64, name: &str, class: Class, data: &str) -> Arc<Event> {
    let place = Place {
        seq: Seq(seq),
        epoch: Epoch::new("e").unwrap(),
        id: uuid::Uuid::from_u128(u128::from(seq)),
        timestamp_ms: BEGIN_MS + i64::try_from(seq).unwrap() * 1000,
    };
    let draft = Draft::json(topic.parse().unwrap(), name.parse().unwrap(), data);
    Arc::new(draft.unwrap().seal(place, class))
}
