//! Replicas: with `store.redis.ack = "wait(n)"` an append is acknowledged when so many of them have it.
//!
//! One task waits on behalf of all who appended meanwhile, one round after the other; in a cluster
//! of each primary for those whose topics it holds.

use std::collections::BTreeMap;

use fred::interfaces::{ClientLike as _, ServerInterface as _};
use fred::types::Value;
use fred::types::config::{Options, Server};
use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot};

use crate::drain::Drain;
use crate::store::Error;
use crate::store::redis::{Redis, number};
use crate::topic::TopicName;

/// Somebody who waits for the replicas of a primary.
pub(super) struct Waiter {
    primary: Option<Server>,
    told: oneshot::Sender<Result<(), Error>>,
}

impl Redis {
    /// Waits for the replicas that the config asks for.
    pub(super) async fn wait_for_replicas(&self, topic: &TopicName) -> Result<(), Error> {
        let Some(waiters) = self.0.waiters.get() else {
            return Ok(());
        };
        let primary = self.primary_of(&self.meta_key(topic));
        let (told, heard) = oneshot::channel();
        let waiter = Waiter { primary, told };
        waiters.try_send(waiter).map_err(|_| Error::Busy)?;
        heard.await.unwrap_or(Err(Error::Away))
    }

    async fn wait_round(&self, primary: Option<Server>, replicas: u8) -> Result<(), Error> {
        let limit = self.0.config.redis.command_timeout;
        let limit_ms = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX) / 2;
        let options = Options {
            timeout: Some(limit),
            cluster_node: primary,
            ..self.0.options.clone()
        };
        let commands = self.0.commands.with_options(&options);
        let wait = commands.wait(i64::from(replicas), limit_ms);
        let reached: Result<Value, _> = Box::pin(wait).await;
        let reached = reached.map_err(|error| self.failed(&error))?;
        if number(Some(reached)) >= u64::from(replicas) {
            return Ok(());
        }
        Err(Error::Unavailable(
            format!(
                "fewer than {replicas} replicas have the event (`store.redis.ack`): it may or may \
                 not be kept, and publishing it again with the same idempotency key tells"
            )
            .into(),
        ))
    }
}

pub(super) fn start(redis: &Redis, drain: &Drain, replicas: u8) {
    let (sender, mut waiters) = mpsc::channel::<Waiter>(redis.config().commands_max.max(1));
    let _ = redis.0.waiters.set(sender);
    let (redis, until) = (redis.clone(), drain.clone());
    drain.spawn(async move {
        loop {
            let first = tokio::select! {
                first = waiters.recv() => first,
                () = until.doors_closed() => return,
            };
            let Some(first) = first else { return };
            let mut round: BTreeMap<Option<Server>, Vec<_>> = BTreeMap::new();
            round.entry(first.primary).or_default().push(first.told);
            while let Ok(next) = waiters.try_recv() {
                round.entry(next.primary).or_default().push(next.told);
            }
            join_all(round.into_iter().map(async |(primary, told)| {
                let result = redis.wait_round(primary, replicas).await;
                for told in told {
                    let _ = told.send(result.clone());
                }
            }))
            .await;
        }
    });
}
