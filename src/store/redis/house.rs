//! The house: how many of something the living nodes have together.
//!
//! What a node has (subscribers of a topic, connections of a user) it notes here, and one task tells
//! Redis soon after, many at once; nobody waits for that. A count lives as long as its node, and is
//! told again when Redis may have forgotten it. Who lives is heard with each beat ([`super::nodes`]):
//! a node that is silent for `store.redis.node_age` does not count any more.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::drain::Drain;
use crate::store::Error;
use crate::store::redis::{Answer, Redis, argument, number};
use crate::topic::TopicName;

/// How long changes are gathered before they are told.
const GATHERED: Duration = Duration::from_millis(100);

/// Most counts that are told in one go.
const BATCH: usize = 4096;

/// Counts that are told at the same time.
const AT_ONCE: usize = 64;

/// How long counts live in Redis without being told again.
const AGE: Duration = Duration::from_mins(30);

/// What this node has, and which nodes count.
#[derive(Default)]
pub(super) struct House {
    counts: Mutex<Counts>,
    /// The names of the nodes that were alive at the newest beat.
    alive: Mutex<Arc<[Bytes]>>,
    changed: Notify,
}

/// What this node has, by key, and what of it Redis was not told yet.
#[derive(Default)]
struct Counts {
    counts: HashMap<String, usize>,
    untold: HashSet<String>,
}

impl House {
    /// These nodes are alive.
    pub(super) fn see(&self, nodes: impl Iterator<Item = Uuid>) {
        let names = nodes.map(argument).collect();
        *self.alive.lock().expect("no holder of the list panics") = names;
    }

    /// Redis may have forgotten everything.
    pub(super) fn begin_anew(&self) {
        let mut counts = self.counts();
        let Counts { counts, untold } = &mut *counts;
        untold.extend(counts.keys().cloned());
        self.changed.notify_one();
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().expect("no holder of the counts panics")
    }

    fn note(&self, key: String, count: usize) {
        let mut counts = self.counts();
        let known = if count == 0 {
            counts.counts.remove(&key)
        } else {
            counts.counts.insert(key.clone(), count)
        };
        if known.unwrap_or(0) != count && counts.untold.insert(key) {
            self.changed.notify_one();
        }
    }

    /// Takes what is to be told next, with how many there are now.
    fn take_untold(&self) -> Vec<(String, usize)> {
        let mut counts = self.counts();
        let untold: Vec<_> = counts.untold.iter().take(BATCH).cloned().collect();
        let mut take = |key: String| {
            counts.untold.remove(&key);
            let count = counts.counts.get(&key).copied().unwrap_or(0);
            (key, count)
        };
        untold.into_iter().map(&mut take).collect()
    }

    /// It was not told after all.
    fn keep_untold(&self, key: String) {
        self.counts().untold.insert(key);
    }

    fn is_all_told(&self) -> bool {
        self.counts().untold.is_empty()
    }
}

impl Redis {
    /// Notes how many subscribers a topic has on this node.
    pub(crate) fn note_subscribers(&self, topic: &TopicName, count: usize) {
        self.0.house.note(self.key(topic, ":here"), count);
    }

    /// Notes how many connections a user has on this node.
    pub(crate) fn note_connections(&self, user: &str, count: usize) {
        self.0.house.note(self.user_key(user), count);
    }

    /// How many subscribers a topic has on other nodes.
    ///
    /// # Errors
    /// While Redis is away.
    pub(crate) async fn subscribers_elsewhere(&self, topic: &TopicName) -> Result<usize, Error> {
        let told = self.tally(self.key(topic, ":here"), None, None).await?;
        Ok(told.elsewhere)
    }

    /// Whether a user may have so many connections on this node, with those on other nodes. If so
    /// they are told at once, so that of two nodes that ask one gets the last place.
    ///
    /// # Errors
    /// While Redis is away.
    pub(crate) async fn may_connect(
        &self,
        user: &str,
        here: usize,
        max: usize,
    ) -> Result<bool, Error> {
        let told = self
            .tally(self.user_key(user), Some(here), Some(max))
            .await?;
        Ok(!told.is_full)
    }

    fn user_key(&self, user: &str) -> String {
        format!("{}{{user:{user}}}:here", self.0.config.redis.prefix)
    }

    async fn tally(
        &self,
        key: String,
        count: Option<usize>,
        max: Option<usize>,
    ) -> Result<Tally, Error> {
        self.generation()?;
        let or_nothing = |number: Option<usize>| number.map_or(Bytes::new(), argument);
        let mut args = vec![
            self.name(),
            or_nothing(count),
            or_nothing(max),
            argument(AGE.as_millis()),
        ];
        args.extend(self.alive().iter().cloned());
        let script = &self.0.scripts.tally;
        let Answer::Told(word, mut told) = self.run(script, vec![key], args).await? else {
            return Err(Error::Away);
        };
        Ok(Tally {
            is_full: word == "full",
            elsewhere: usize::try_from(number(told.next())).unwrap_or(usize::MAX),
        })
    }

    /// This node, as others know it.
    fn name(&self) -> Bytes {
        argument(self.node_id())
    }

    /// The nodes that were alive a moment ago.
    pub(super) fn alive(&self) -> Arc<[Bytes]> {
        let alive = self.0.house.alive.lock();
        Arc::clone(&alive.expect("no holder of the list panics"))
    }

    /// What other nodes that are alive have, of the counts of all.
    pub(super) fn sum_elsewhere(&self, counts: &HashMap<String, usize>) -> usize {
        let (own, alive) = (self.name(), self.alive());
        let others = alive.iter().filter(|node| **node != own);
        let names = others.filter_map(|node| std::str::from_utf8(node).ok());
        names.filter_map(|name| counts.get(name)).sum()
    }

    async fn tell_until(&self, drain: &Drain) {
        let mut again = tokio::time::interval(AGE / 3);
        loop {
            tokio::select! {
                () = self.0.house.changed.notified() => {}
                _ = again.tick() => self.0.house.begin_anew(),
                () = drain.doors_closed() => return,
            }
            tokio::time::sleep(GATHERED).await;
            futures_util::stream::iter(self.0.house.take_untold())
                .for_each_concurrent(AT_ONCE, async |(key, count)| {
                    if let Err(error) = self.tally(key.clone(), Some(count), None).await {
                        tracing::debug!(%error, "a count was not told yet");
                        self.0.house.keep_untold(key);
                    }
                })
                .await;
            if !self.0.house.is_all_told() {
                self.0.house.changed.notify_one();
            }
        }
    }
}

/// What is counted together.
struct Tally {
    elsewhere: usize,
    /// There are as many as there may be.
    is_full: bool,
}

pub(super) fn start(redis: &Redis, drain: &Drain) {
    let (redis, until) = (redis.clone(), drain.clone());
    drain.spawn(async move { redis.tell_until(&until).await });
}
