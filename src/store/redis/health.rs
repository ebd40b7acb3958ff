//! Whether Redis is there, and whether it holds what it acknowledged.
//!
//! One task asks at intervals and hears of every connection that is lost or made. Redis counts as
//! there when both connections answer and its generation is known. The generation is another one
//! after a restart that may have lost something; a topic of an older generation gets a new epoch
//! when it is touched next, so that nobody resumes in a story that was lost.

use fred::clients::Client;
use fred::error::{Error as Fault, ErrorKind};
use fred::interfaces::{ClientLike as _, EventInterface as _};
use fred::types::config::{Options, Server};
use fred::types::{ClusterHash, CustomCommand, Value};
use tokio::sync::broadcast::error::RecvError;

use crate::drain::Drain;
use crate::store::Error;
use crate::store::redis::config::Ack;
use crate::store::redis::{Redis, argument};

/// What the library tells of a connection that was lost.
type Lost = (Fault, Option<Server>);

/// What is known of Redis.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Health {
    pub(super) is_here: bool,
    pub(super) generation: u64,
    /// The clock of Redis less ours, in microseconds.
    pub(super) ahead_us: i64,
}

pub(super) fn start(redis: &Redis, drain: &Drain) {
    let (redis, until) = (redis.clone(), drain.clone());
    drain.spawn(async move {
        // The tasks of these are the library's own; they end with `quit`.
        let tasks = [redis.0.commands.connect(), redis.0.follower.connect()];
        redis.watch(&until).await;
        for task in &tasks {
            task.abort();
        }
    });
}

impl Redis {
    async fn watch(&self, until: &Drain) {
        let mut lost = self.0.commands.error_rx();
        let mut lost_news = self.0.follower.error_rx();
        let mut made = self.0.commands.reconnect_rx();
        let mut made_news = self.0.follower.reconnect_rx();
        let mut tick = tokio::time::interval(self.0.config.redis.health_interval);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = until.doors_closed() => return,
                told = lost.recv() => if !self.hear_of_loss(&told).await { return },
                told = lost_news.recv() => if !self.hear_of_loss(&told).await { return },
                _ = made.recv() => self.look().await,
                _ = made_news.recv() => self.look().await,
                _ = tick.tick() => self.look().await,
            }
        }
    }

    /// A connection was lost, or could not be made: that may be some time ago. Returns whether
    /// there can be more to hear.
    async fn hear_of_loss(&self, told: &Result<Lost, RecvError>) -> bool {
        self.away("a connection broke");
        self.look().await;
        !matches!(told, Err(RecvError::Closed))
    }

    /// Asks whether it is there.
    pub(super) async fn look(&self) {
        let (first, second) = futures_util::future::join(
            ping(&self.0.commands, &self.0.options),
            ping(&self.0.follower, &self.0.options),
        )
        .await;
        if let Err(error) = first.and(second) {
            return self.away(error.details());
        }
        match futures_util::future::try_join(self.ahead_us(), self.introduce()).await {
            Ok((ahead_us, generation)) => self.here(generation, ahead_us),
            Err(error) => self.away(error.details()),
        }
    }

    /// The latest time, by the clock of Redis, at which a command that is sent now may be done:
    /// what is told to have failed is not done later.
    pub(super) fn deadline_us(&self) -> i64 {
        let limit = self.0.config.redis.command_timeout.as_micros();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX / 4);
        self.0.health.borrow().ahead_us + self.now_us() + limit
    }

    /// Microseconds by a clock that nobody sets.
    pub(super) fn now_us(&self) -> i64 {
        i64::try_from(self.0.opened.elapsed().as_micros()).unwrap_or(i64::MAX / 4)
    }

    async fn ahead_us(&self) -> Result<i64, Fault> {
        let commands = self.0.commands.with_options(&self.0.options);
        let command = CustomCommand::new_static("TIME", ClusterHash::Random, false);
        let time: Vec<i64> = commands.custom(command, Vec::<Value>::new()).await?;
        match time.as_slice() {
            [seconds, micros] => Ok(seconds * 1_000_000 + micros - self.now_us()),
            _ => Err(Fault::new(ErrorKind::Parse, "the time is no time")),
        }
    }

    fn here(&self, generation: u64, ahead_us: i64) {
        let new = Health {
            is_here: true,
            generation,
            ahead_us,
        };
        let (mut is_news, mut is_back) = (false, false);
        self.0.health.send_if_modified(|known| {
            is_news = known.generation != generation;
            is_back = !known.is_here;
            if *known != new {
                if !known.is_here {
                    tracing::info!("redis is here");
                }
                *known = new;
                return true;
            }
            false
        });
        // A restart that lost something may be over before this node sees Redis away.
        if is_back || is_news {
            self.0.house.begin_anew();
        }
        if is_news {
            self.follows().begin_anew();
            self.0.follows_changed.notify_one();
        }
    }

    pub(super) fn away(&self, why: &str) {
        self.0.health.send_if_modified(|known| {
            if known.is_here {
                tracing::warn!(why, "redis is away: publishes are refused until it is back");
            }
            std::mem::replace(&mut known.is_here, false)
        });
    }

    /// Another node knows of a newer generation.
    pub(super) fn learn(&self, generation: Option<u64>) {
        let known = *self.0.health.borrow();
        if let Some(generation) = generation.filter(|newer| *newer > known.generation) {
            self.here(generation, known.ahead_us);
        }
    }

    /// A command that failed: whether it was done is open, unless it was never sent.
    pub(super) fn failed(&self, error: &Fault) -> Error {
        match error.kind() {
            ErrorKind::Timeout | ErrorKind::IO | ErrorKind::Canceled | ErrorKind::Routing => {
                if *error.kind() == ErrorKind::IO {
                    self.away(error.details());
                }
                Error::Away
            }
            _ => Error::Unavailable(error.details().into()),
        }
    }

    /// The generation of what Redis holds.
    async fn introduce(&self) -> Result<u64, Fault> {
        let identity = self.identity().await?;
        let is_waited_for = matches!(self.0.config.redis.ack, Ack::Wait(_));
        let flag = |is_set: bool| argument(if is_set { "1" } else { "0" });
        let args = vec![
            argument(identity.run),
            argument(identity.replication),
            argument(identity.before),
            flag(identity.keeps_all),
            flag(is_waited_for),
            argument(identity.at),
            flag(self.is_cluster()),
        ];
        let keys = vec![format!("{}generation", self.0.config.redis.prefix)];
        let script = &self.0.scripts.introduce;
        let told = script.run(&self.0.commands, &self.0.options, keys, args);
        let told = told.await?.into_iter().next();
        told.and_then(|value| value.as_u64())
            .ok_or_else(|| Fault::new(ErrorKind::Parse, "the generation is no number"))
    }
}

async fn ping(client: &Client, options: &Options) -> Result<(), Fault> {
    let answer: Result<Value, Fault> = client.with_options(options).ping(None).await;
    answer.map(|_| ())
}
