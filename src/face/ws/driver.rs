//! The driver: the I/O loop of one conversation. It alone owns socket, clock and limits.
//!
//! It calls the dialect with what happens, and does what the dialect says. Events are read by
//! cursor when the socket takes more, so a slow client queues nothing: it falls behind in its
//! topics, is told of a gap when it is too far behind, and is closed when it takes nothing at all
//! for `wire.write_stall_max`. While `face.ws.asks_max` requests are being served, the client's
//! next message waits in its socket.

use std::collections::VecDeque;
use std::pin::Pin;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;
use yawc::Frame;

use crate::connection::{Admission, CloseReason, Notice};
use crate::drain::{Drain, Turn};
use crate::face::ws::asks::{Answer, Desk};
use crate::face::ws::budget::Budget;
use crate::face::ws::config::Config;
use crate::face::ws::dialect::{Close, Dialect, Input, Now, Output, Outputs};
use crate::face::ws::follows::Follows;
use crate::face::ws::socket::{Received, Socket, Unsent};
use crate::hub::{self, FeedItem};
use crate::limit::{Account, Limit, Limits};
use crate::topic::{TopicName, iso8601};

/// Most items that are taken from feeds before what has gathered is written.
const BATCH: usize = 64;

/// Most items of a topic that are sent when the node drains.
const LAST_ITEMS_MAX: usize = 1024;

type Answering = Pin<Box<dyn Future<Output = (u64, Answer)> + Send>>;

/// Why a conversation ends.
enum End {
    /// The client is told why.
    Said(Close, String),
    /// The client is gone.
    Gone,
    /// The client took nothing for too long.
    Stalled,
    /// The client answered no ping.
    Silent,
    /// The client is no longer let in.
    Ended(CloseReason),
}

/// What happened.
enum Happening {
    Answered(u64, Answer),
    News(TopicName, FeedItem),
    Received(Received),
    Time,
    Drain,
    /// The admission of the client ends, soon or now.
    Notice(Notice),
}

/// One conversation.
pub(super) struct Conversation {
    dialect: Box<dyn Dialect>,
    socket: Socket,
    follows: Follows,
    desk: Desk,
    asks: FuturesUnordered<Answering>,
    config: Config,
    drain: Drain,
    /// When the drain ends it.
    turn: Turn,
    began: Instant,
    wake_at: Option<Instant>,
    heard_at: Instant,
    beat_at: Instant,
    budget: Budget,
}

impl Conversation {
    pub(super) fn new(
        dialect: Box<dyn Dialect>,
        (socket, follows): (Socket, Follows),
        desk: Desk,
        config: Config,
        drain: Drain,
    ) -> Self {
        let began = Instant::now();
        Self {
            dialect,
            socket,
            follows,
            desk,
            asks: FuturesUnordered::new(),
            drain,
            turn: Turn::default(),
            began,
            wake_at: None,
            heard_at: began,
            beat_at: began + config.ping_interval,
            budget: Budget::new(config.messages_per_minute_max, began),
            config,
        }
    }

    /// Converses until one side ends it.
    pub(super) async fn run(mut self) -> CloseReason {
        let end = match self.tell(Input::Connected).await {
            Ok(()) => loop {
                if let Err(end) = self.step().await {
                    break end;
                }
            },
            Err(end) => end,
        };
        match end {
            End::Said(close, reason) => {
                self.socket.close(close, &reason).await;
                match close {
                    Close::Done => CloseReason::Client,
                    Close::Policy | Close::Protocol | Close::Invalid | Close::TooBig => {
                        CloseReason::Protocol
                    }
                    Close::Drain => CloseReason::Drain,
                    Close::Overloaded => CloseReason::Overloaded,
                }
            }
            End::Ended(reason) => {
                self.socket.close(Close::Policy, reason.as_str()).await;
                reason
            }
            End::Gone => CloseReason::Client,
            End::Stalled => {
                self.limits().count(Limit::WriteStall);
                CloseReason::Stalled
            }
            End::Silent => CloseReason::Heartbeat,
        }
    }

    async fn step(&mut self) -> Result<(), End> {
        match self.happening().await {
            Happening::Answered(ticket, answer) => {
                self.tell(Input::Answer { ticket, answer }).await
            }
            Happening::News(topic, item) => self.news(topic, item).await,
            Happening::Received(received) => self.received(received).await,
            Happening::Time => self.time().await,
            Happening::Drain => self.last_words().await,
            // The applications have no word for it; a client that can refreshes in time.
            Happening::Notice(Notice::Expiring(_)) => Ok(()),
            Happening::Notice(Notice::Lost) => {
                self.end_lost("this topic is somebody else's now").await?;
                self.flush().await
            }
            Happening::Notice(Notice::Ended(reason)) => Err(End::Ended(reason)),
        }
    }

    async fn happening(&mut self) -> Happening {
        let next = self.wake_at.map_or(self.beat_at, |at| at.min(self.beat_at));
        let has_room = self.asks.len() < self.config.asks_max;
        tokio::select! {
            () = self.turn.comes(&self.drain) => Happening::Drain,
            notice = self.desk.admission.next() => Happening::Notice(notice),
            Some((ticket, answer)) = self.asks.next() => Happening::Answered(ticket, answer),
            (topic, item) = self.follows.next() => Happening::News(topic, item),
            received = self.socket.receive(), if has_room => Happening::Received(received),
            () = tokio::time::sleep_until(next) => Happening::Time,
        }
    }

    /// An item of a topic, and what else is there already.
    async fn news(&mut self, topic: TopicName, item: FeedItem) -> Result<(), End> {
        self.item(&topic, &item).await?;
        for _ in 1..BATCH {
            let Some((topic, item)) = self.follows.next().now_or_never() else {
                break;
            };
            self.item(&topic, &item).await?;
        }
        self.flush().await
    }

    async fn item(&mut self, topic: &TopicName, item: &FeedItem) -> Result<(), End> {
        let input = match item {
            FeedItem::Event { event, is_live } => Input::Event {
                event,
                is_live: *is_live,
            },
            FeedItem::Gap(gap) => Input::Gap { topic, gap },
        };
        self.tell_without_flush(input).await.map(drop)
    }

    async fn received(&mut self, received: Received) -> Result<(), End> {
        self.heard_at = Instant::now();
        match &received {
            Received::Text(_) | Received::Binary(_) | Received::Ping | Received::Pong => {}
            Received::Gone => return Err(End::Gone),
            Received::Broken(close) => {
                let why = "a frame breaks the protocol of WebSocket";
                return Err(End::Said(*close, why.to_owned()));
            }
            Received::TooBig => {
                self.limits().count(Limit::WsMessage);
                let max = self.config.message_bytes_max;
                let why = format!("a message has at most {max} (`face.ws.message_bytes_max`)");
                return Err(End::Said(Close::TooBig, why));
            }
        }
        if !self.budget.takes(self.heard_at) {
            let max = self.config.messages_per_minute_max;
            let why =
                format!("at most {max} messages a minute (`face.ws.messages_per_minute_max`)");
            self.limits().count(Limit::WsMessages);
            return Err(End::Said(Close::Policy, why));
        }
        if let Some(user) = self.desk.admission.principal().name()
            && let Err(reached) = self.limits().message(&Account::Principal(user.into()))
        {
            return Err(End::Said(Close::Policy, reached.to_string()));
        }
        match received {
            Received::Text(frame) => {
                let text = frame.as_str();
                match Refreshing::read(text, &self.desk.admission) {
                    Some(refreshing) => self.refresh(refreshing).await,
                    None => self.tell(Input::Text(text)).await,
                }
            }
            Received::Binary(bytes) => self.tell(Input::Binary(&bytes)).await,
            Received::Ping => self.flush().await,
            Received::Pong | Received::TooBig | Received::Broken(_) | Received::Gone => Ok(()),
        }
    }

    async fn time(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if self.wake_at.is_some_and(|at| at <= now) {
            self.wake_at = None;
            self.tell(Input::Tick).await?;
        }
        if self.beat_at > now {
            return Ok(());
        }
        let Config {
            ping_interval,
            ping_timeout,
            ..
        } = self.config;
        if now - self.heard_at >= ping_interval + ping_timeout {
            return Err(End::Silent);
        }
        self.beat_at = now + ping_interval.min(ping_timeout);
        if now - self.heard_at >= ping_interval.min(ping_timeout) {
            self.send(Frame::ping(bytes::Bytes::new())).await?;
            self.flush().await?;
        }
        Ok(())
    }

    /// Takes a new token in place of the one before, and tells the client.
    async fn refresh(&mut self, refreshing: Refreshing) -> Result<(), End> {
        let said = match self.desk.admission.refresh(&refreshing.token).await {
            Ok(principal) => {
                let expires_at = principal
                    .expires_at
                    .map(|at| iso8601(at.saturating_mul(1000)));
                json!({ "type": "auth", "ok": true, "expires_at": expires_at })
            }
            Err(error) => json!({ "type": "auth", "ok": false, "error": error.to_string() }),
        };
        self.send(Frame::text(said.to_string())).await?;
        self.end_lost("the new token does not allow this topic")
            .await?;
        self.flush().await
    }

    /// Follows no more what the client may not follow any longer, and tells the dialect.
    async fn end_lost(&mut self, why: &str) -> Result<(), End> {
        for topic in self.follows.check().await {
            let (topic, why) = (&topic, why.to_owned());
            self.tell_without_flush(Input::NotFollowed { topic, why })
                .await?;
        }
        Ok(())
    }

    async fn last_words(&mut self) -> Result<(), End> {
        for (topic, item) in self.follows.last(LAST_ITEMS_MAX) {
            self.item(&topic, &item).await?;
        }
        self.tell(Input::Drain).await?;
        let why = "the node is shutting down: come back";
        Err(End::Said(Close::Drain, why.to_owned()))
    }

    /// Tells the dialect, does what it says, and writes it.
    async fn tell(&mut self, input: Input<'_>) -> Result<(), End> {
        let (sent, close) = self.carry_out(input).await?;
        if sent > 0 {
            self.flush().await?;
        }
        close.map_or(Ok(()), Err)
    }

    async fn tell_without_flush(&mut self, input: Input<'_>) -> Result<(), End> {
        match self.carry_out(input).await? {
            (_, None) => Ok(()),
            (_, Some(end)) => Err(end),
        }
    }

    /// Tells the dialect and does what it says. Returns how many frames wait to be written, and
    /// whether the dialect ended the conversation.
    async fn carry_out(&mut self, input: Input<'_>) -> Result<(usize, Option<End>), End> {
        let now = self.now();
        let mut said = Outputs::default();
        self.dialect.take(input, now, &mut said);
        let mut outputs = VecDeque::from([said]);
        let mut sent = 0;
        while let Some(Outputs {
            list,
            wake_at,
            close,
        }) = outputs.pop_front()
        {
            if let Some(since) = wake_at {
                self.wake_at = Some(self.began + since);
            }
            for output in list {
                match output {
                    Output::Text(text) => self.send(Frame::text(text)).await?,
                    Output::SharedText(text) => self.socket.send_shared(&text).await?,
                    Output::Binary(bytes) => self.send(Frame::binary(bytes)).await?,
                    Output::Reached(limit) => self.limits().count(limit),
                    Output::Leave(topic) => self.follows.leave(&topic),
                    Output::Ask(ticket, ask) => {
                        let desk = self.desk.clone();
                        let answering = async move { (ticket, desk.answer(ask).await) };
                        self.asks.push(Box::pin(answering));
                    }
                    Output::Follow(topic, from) => {
                        outputs.extend(self.follow(topic, from).await);
                    }
                }
                sent += 1;
            }
            if let Some((close, reason)) = close {
                return Ok((sent, Some(End::Said(close, reason))));
            }
        }
        Ok((sent, None))
    }

    /// Follows a topic. What the dialect says if it cannot.
    async fn follow(&mut self, topic: TopicName, from: hub::From) -> Option<Outputs> {
        // With other nodes a topic is known here only after it was asked for.
        let wanted = [(topic.clone(), None)];
        let _prepared = self.desk.hub.prepare(&wanted).await;
        let refused = self.follows.follow(topic.clone(), from).await.err()?;
        if let Some(limit) = refused.limit() {
            self.limits().count(limit);
        }
        let (topic, why) = (&topic, refused.to_string());
        let mut said = Outputs::default();
        let input = Input::NotFollowed { topic, why };
        self.dialect.take(input, self.now(), &mut said);
        refused.judge(&mut said);
        Some(said)
    }

    fn limits(&self) -> &Limits {
        self.desk.admission.limits()
    }

    fn now(&self) -> Now {
        Now {
            since: self.began.elapsed(),
            unix_ms: jiff::Timestamp::now().as_millisecond(),
        }
    }

    async fn send(&mut self, message: Frame) -> Result<(), End> {
        self.socket.send(message).await.map_err(End::from)
    }

    async fn flush(&mut self) -> Result<(), End> {
        self.socket.flush().await.map_err(End::from)
    }
}

/// `{"type": "auth", "token": ".."}`: a new token.
#[derive(Deserialize)]
struct Refreshing {
    #[serde(rename = "type")]
    kind: String,
    token: String,
}

impl Refreshing {
    /// A new token in a message, if the client came in by one. Anything else is the dialect's.
    fn read(text: &str, admission: &Admission) -> Option<Self> {
        admission.principal().expires_at?;
        let refreshing: Self = serde_json::from_str(text).ok()?;
        (refreshing.kind == "auth").then_some(refreshing)
    }
}

impl From<Unsent> for End {
    fn from(unsent: Unsent) -> Self {
        match unsent {
            Unsent::Stalled => Self::Stalled,
            Unsent::Gone => Self::Gone,
        }
    }
}
