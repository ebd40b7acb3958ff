//! Redis underneath: the logs of many nodes.
//!
//! A topic is a stream, a hash with its epoch and number, and a hash with what late joiners need
//! though the log no longer holds it, all in one hash slot. An event is appended by one script
//! (`append.lua`), which also keeps the receipt, checks the guard and tells the nodes that follow
//! the topic, with the event inline. The number of an event is the id of its entry in the stream.
//!
//! `health` knows whether Redis is there, and whether what it holds is what was acknowledged;
//! `follow` subscribes to topics and hands news on, in order; whoever takes them in checks that no
//! number is missing, and reads from the log when one is. Every command has a deadline, is sent at
//! most once, and is refused at once while Redis is away.

mod append;
mod asking;
mod client;
pub(crate) mod config;
mod follow;
mod health;
mod house;
mod identity;
mod inbox;
mod index;
mod intake;
mod lamps;
mod nodes;
mod read;
mod reads;
mod replicas;
mod resumes;
mod script;
#[cfg(feature = "redis-tls")]
mod tls;

pub(crate) use self::append::{Appended, Guard, Write};
pub(crate) use self::follow::News;
pub use self::inbox::{Arrival, Arrivals, Content, Inbox, InboxBounds};
pub(crate) use self::index::Listed;
pub use self::intake::{Heard, Intake, Lease};
pub(crate) use self::nodes::Beat;
pub(crate) use self::read::{Page, Sign};

use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use bytes::Bytes;
use fred::clients::Client;
use fred::types::Value;
use fred::types::config::Options;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::time::Instant;

use self::config::Ack;
use self::follow::Follows;
use self::health::Health;
use self::replicas::Waiter;
use self::script::{Script, Scripts};
use crate::drain::Drain;
use crate::store::{Condition, Config, Error, Metrics, OpenError};
use crate::topic::TopicName;

/// What takes news in; called in their order, and must not block.
pub(crate) type OnNews = Arc<dyn Fn(News) + Send + Sync>;

/// A handle to Redis. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Redis(Arc<Shared>);

struct Shared {
    config: Config,
    /// Sends commands.
    commands: Client,
    /// Receives news; a connection of its own, so that a large answer does not delay them.
    follower: Client,
    options: Options,
    scripts: Scripts,
    metrics: Metrics,
    health: watch::Sender<Health>,
    opened: Instant,
    follows: Mutex<Follows>,
    follows_changed: Notify,
    kept: resumes::Kept,
    house: house::House,
    under_way: Semaphore,
    reads: Semaphore,
    waiters: OnceLock<mpsc::Sender<Waiter>>,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").finish_non_exhaustive()
    }
}

impl Redis {
    /// A handle; nothing is connected before [`Redis::start`].
    pub(crate) fn open(config: &Config, url: &str, metrics: &Metrics) -> Result<Self, OpenError> {
        let made = client::make(&config.redis, url)?;
        let options = Options {
            max_attempts: Some(1),
            timeout: Some(config.redis.command_timeout),
            fail_fast: true,
            ..Options::default()
        };
        Ok(Self(Arc::new(Shared {
            reads: Semaphore::new(config.redis.reads_max.max(1)),
            under_way: Semaphore::new(config.redis.commands_max.max(1)),
            config: config.clone(),
            commands: made.commands,
            follower: made.follower,
            options,
            scripts: Scripts::new(),
            metrics: metrics.clone(),
            health: watch::Sender::new(Health::default()),
            follows: Mutex::default(),
            follows_changed: Notify::new(),
            kept: resumes::Kept::new(),
            house: house::House::default(),
            opened: Instant::now(),
            waiters: OnceLock::new(),
        })))
    }

    /// Connects, and hands news on until the drain.
    pub(crate) fn start(&self, drain: &Drain, on_news: &OnNews) {
        health::start(self, drain);
        follow::start(self, drain, on_news);
        resumes::start(self, drain);
        house::start(self, drain);
        if let Ack::Wait(replicas) = self.0.config.redis.ack {
            replicas::start(self, drain, replicas);
        }
    }

    /// Its name and promise, for the start-up line.
    pub(crate) fn promise(&self) -> String {
        format!("redis; acknowledged after {}", self.0.config.redis.ack)
    }

    /// Whether it can be used now.
    pub(crate) fn condition(&self) -> Condition {
        if self.is_away() {
            return Condition::Away("redis cannot be reached".into());
        }
        Condition::Writable
    }

    /// Whether it cannot be used now.
    pub(crate) fn is_away(&self) -> bool {
        !self.0.health.borrow().is_here
    }

    /// Whether it could be used at any time since the start.
    pub(crate) fn was_here(&self) -> bool {
        self.0.health.borrow().generation != 0
    }

    /// The config.
    pub(crate) fn config(&self) -> &config::Redis {
        &self.0.config.redis
    }

    /// The generation of the data.
    fn generation(&self) -> Result<u64, Error> {
        let health = self.0.health.borrow();
        if health.is_here {
            Ok(health.generation)
        } else {
            Err(Error::Away)
        }
    }

    fn meta_key(&self, topic: &TopicName) -> String {
        self.key(topic, "")
    }

    /// A key of a topic. All of them lie in one hash slot.
    fn key(&self, topic: &TopicName, what: &str) -> String {
        format!("{}{{{topic}}}{what}", self.0.config.redis.prefix)
    }

    fn keys(&self, topic: &TopicName) -> Vec<String> {
        vec![
            self.meta_key(topic),
            self.key(topic, ":log"),
            self.key(topic, ":kept"),
        ]
    }

    fn channel(&self, topic: &TopicName) -> String {
        self.key(topic, ":news")
    }

    fn follows(&self) -> MutexGuard<'_, Follows> {
        self.0.follows.lock().expect("no holder of follows panics")
    }

    /// Runs a script of a topic. When another node knows of a newer generation, so does this one
    /// afterwards, and the caller asks again.
    async fn run(
        &self,
        script: &Script,
        keys: Vec<String>,
        args: Vec<Bytes>,
    ) -> Result<Answer, Error> {
        let _place = self.0.under_way.try_acquire().map_err(|_| Error::Busy)?;
        let begun = Instant::now();
        let done = script
            .run(&self.0.commands, &self.0.options, keys, args)
            .await;
        self.0.metrics.redis(script.name).observe(begun.elapsed());
        let values = done.map_err(|error| self.failed(&error))?;
        let mut values = values.into_iter();
        let word = values.next().map(text).unwrap_or_default();
        if word == "stale" {
            self.learn(values.next().map(text).and_then(|gen_| gen_.parse().ok()));
            return Ok(Answer::Stale);
        }
        Ok(Answer::Told(word, values))
    }
}

/// What a script answers.
enum Answer {
    /// The generation that was sent is an old one.
    Stale,
    /// A word, and what it comes with.
    Told(String, std::vec::IntoIter<Value>),
}

fn text(value: Value) -> String {
    value.into_string().unwrap_or_default()
}

fn number(value: Option<Value>) -> u64 {
    value.and_then(|value| value.as_u64()).unwrap_or(0)
}

fn argument(text: impl std::fmt::Display) -> Bytes {
    text.to_string().into()
}
