//! Follow: news of the topics that somebody on this node watches.
//!
//! What is wanted is counted under a lock; one task alone subscribes and unsubscribes, and learns
//! there of new connections, so that it always knows what the connection is subscribed to. After
//! each subscription the topic is reported as followed: from there on its news come, and what came
//! before is read from the log.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use fred::interfaces::{ClientLike as _, EventInterface as _, PubsubInterface as _};
use fred::types::Message;
use futures_util::future::join_all;
use tokio::sync::broadcast::error::RecvError;

use crate::drain::Drain;
use crate::origin::{self, Parent};
use crate::store::record;
use crate::store::redis::{OnNews, Redis};
use crate::topic::{Cursor, Epoch, Event, Seq, TopicName};

/// Most subscriptions that are asked for at once.
const BATCH: usize = 128;

/// How long a subscription that failed is left alone.
const AGAIN: Duration = Duration::from_millis(100);

/// What is heard of a topic.
#[derive(Debug)]
pub(crate) enum News {
    /// Its news come from now on; what came before is in the log.
    Followed(TopicName),
    /// An event was appended.
    Event(Arc<Event>),
    /// It has another epoch.
    Moved(TopicName, Cursor),
    /// Somebody wants to know who subscribes to it.
    Asked(TopicName, String),
}

/// What is followed, and what is to be.
#[derive(Debug, Default)]
pub(super) struct Follows {
    wanted: HashMap<TopicName, usize>,
    /// What the connection is subscribed to.
    have: HashSet<TopicName>,
    /// What may have to be changed; all of it is wanted or had.
    changed: BTreeSet<TopicName>,
}

impl Follows {
    /// The connection is a new one, or news were lost: everything is subscribed to again.
    pub(super) fn begin_anew(&mut self) {
        self.have.clear();
        self.changed = self.wanted.keys().cloned().collect();
    }

    /// What is to be done next: topics with whether they are wanted.
    fn next_changes(&mut self) -> BTreeMap<TopicName, bool> {
        let mut next = BTreeMap::new();
        while next.len() < BATCH
            && let Some(topic) = self.changed.pop_first()
        {
            let is_wanted = self.wanted.contains_key(&topic);
            if is_wanted != self.have.contains(&topic) {
                next.insert(topic, is_wanted);
            }
        }
        next
    }
}

impl Redis {
    /// Follows a topic until [`Redis::unfollow`] was called as often as this.
    pub(crate) fn follow(&self, topic: &TopicName) {
        let mut follows = self.follows();
        let count = follows.wanted.entry(topic.clone()).or_insert(0);
        *count += 1;
        if *count == 1 {
            follows.changed.insert(topic.clone());
            self.0.follows_changed.notify_one();
        }
    }

    /// Follows a topic no longer.
    pub(crate) fn unfollow(&self, topic: &TopicName) {
        let mut follows = self.follows();
        let Some(count) = follows.wanted.get_mut(topic) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            follows.wanted.remove(topic);
            if follows.have.contains(topic) {
                follows.changed.insert(topic.clone());
                self.0.follows_changed.notify_one();
            } else {
                follows.changed.remove(topic);
            }
        }
    }

    async fn subscribe_until(&self, drain: Drain, on_news: OnNews) {
        let mut made = self.0.follower.reconnect_rx();
        loop {
            tokio::select! {
                () = drain.doors_closed() => return,
                connected = made.recv() => {
                    if matches!(connected, Err(RecvError::Closed)) {
                        return;
                    }
                    self.follows().begin_anew();
                }
                () = self.0.follows_changed.notified() => {}
            }
            while self.0.follower.is_connected() && made.is_empty() {
                let changes = self.follows().next_changes();
                if changes.is_empty() {
                    break;
                }
                if !self.make(changes, &on_news).await {
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    /// Subscribes and unsubscribes. Returns whether all of it was done.
    async fn make(&self, changes: BTreeMap<TopicName, bool>, on_news: &OnNews) -> bool {
        let done = join_all(changes.into_iter().map(async |(topic, is_wanted)| {
            let channel = self.channel(&topic);
            let result = if is_wanted {
                self.0.follower.ssubscribe(channel).await
            } else {
                self.0.follower.sunsubscribe(channel).await
            };
            (topic, is_wanted, result)
        }))
        .await;
        let mut is_all = true;
        for (topic, is_wanted, result) in done {
            let mut follows = self.follows();
            match result {
                Ok(()) if is_wanted => {
                    follows.have.insert(topic.clone());
                    drop(follows);
                    on_news(News::Followed(topic));
                }
                Ok(()) => drop(follows.have.remove(&topic)),
                Err(error) => {
                    tracing::debug!(%topic, error = error.details(), "not subscribed");
                    is_all = false;
                    follows.changed.insert(topic);
                }
            }
        }
        is_all
    }

    async fn listen_until(&self, drain: Drain, on_news: OnNews) {
        let mut messages = self.0.follower.message_rx();
        loop {
            let message = tokio::select! {
                () = drain.doors_closed() => return,
                message = messages.recv() => message,
            };
            match message {
                Ok(message) => {
                    if let Some(news) = self.understand(message) {
                        on_news(news);
                    }
                }
                Err(RecvError::Lagged(lost)) => {
                    tracing::warn!(
                        lost,
                        "news came faster than they were taken in: topics are read from the log"
                    );
                    let have: Vec<_> = self.follows().have.iter().cloned().collect();
                    for topic in have {
                        on_news(News::Followed(topic));
                    }
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// `epoch:number:record`, without a record when only the epoch is another; `epoch:number@trace:record`
    /// of an event whose trace is recorded; `?:question:`.
    fn understand(&self, message: Message) -> Option<News> {
        let prefix = self.0.config.redis.prefix.as_str();
        let name = message.channel.strip_prefix(prefix)?;
        let topic: TopicName = name
            .strip_prefix('{')?
            .strip_suffix("}:news")?
            .parse()
            .ok()?;
        let bytes = message.value.into_bytes()?;
        let mut parts = bytes.splitn(3, |byte| *byte == b':');
        if bytes.starts_with(b"?:") {
            let question = std::str::from_utf8(parts.nth(1)?).ok()?;
            return Some(News::Asked(topic, question.to_owned()));
        }
        let epoch = Epoch::new(std::str::from_utf8(parts.next()?).ok()?).ok()?;
        let number = std::str::from_utf8(parts.next()?).ok()?;
        let (number, trace) = match number.split_once('@') {
            Some((number, trace)) => (number, trace.parse::<Parent>().ok()),
            None => (number, None),
        };
        let seq = number.parse().ok()?;
        let record = parts.next()?;
        if record.is_empty() {
            return Some(News::Moved(
                topic,
                Cursor {
                    epoch,
                    seq: Seq(seq),
                },
            ));
        }
        let place = record::Place {
            topic: &topic,
            epoch: &epoch,
            seq,
            prev: 0,
        };
        let mut event = record::decode(&place, record)?;
        if let Some(event) = Arc::get_mut(&mut event) {
            event.arrival.trace = trace.filter(|_| origin::spans().is_some()).map(Box::new);
        }
        Some(News::Event(event))
    }
}

pub(super) fn start(redis: &Redis, drain: &Drain, on_news: &OnNews) {
    let (subscriber, until, told) = (redis.clone(), drain.clone(), Arc::clone(on_news));
    drain.spawn(async move { subscriber.subscribe_until(until, told).await });
    let (listener, until, told) = (redis.clone(), drain.clone(), Arc::clone(on_news));
    drain.spawn(async move { listener.listen_until(until, told).await });
}
