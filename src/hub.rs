//! The hub: append, attach, fan-out.
//!
//! Producers append events to topics here; faces attach subscribers. There is one append path, one
//! fan-out path and one replay path. The hub knows no wire format: a subscriber is woken and reads
//! the ring at its own cursor.

mod append;
mod attach;
mod beginnings;
mod cap;
mod clarification;
mod config;
mod fanout;
mod feed;
mod follow;
mod holder;
mod jobs;
mod lane;
mod listing;
mod metrics;
mod news;
mod presence;
mod remote;
mod seats;
mod settle;
mod tally;
mod topic;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, RwLock};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

pub use self::append::{AppendError, Idempotency, Receipt};
pub use self::attach::{AttachError, Attached, From, Gap, Seat};
pub use self::cap::RateCaps;
pub use self::clarification::{Answer, AnswerError, WaitError};
pub use self::config::Config;
pub use self::fanout::{Description, Subscriber};
pub use self::feed::{Feed, FeedItem, Reader};
pub use self::follow::Prepared;
pub use self::holder::Holder;
pub use self::jobs::{JobError, JobPage};
pub use self::lane::Lane;
pub use self::metrics::Metrics;
pub use self::news::News;
pub use self::presence::Present;
pub use self::tally::Tally;
pub use self::topic::{Glance, History, Read, Snapshot, Topic};

use self::beginnings::Beginnings;
use self::topic::Retired;
use crate::drain::Drain;
use crate::store::{self, Forget, Job, Resumes, Room, Store};
use crate::topic::{Cursor, Epoch, Kind, Status, TopicName};

/// How many locks the map of topics is spread over.
const SHARDS: usize = 16;

type Shard = RwLock<HashMap<TopicName, Arc<Topic>>>;

/// A handle to the hub. Cheap to clone.
#[derive(Clone)]
pub struct Hub(Arc<Shared>);

struct Shared {
    config: Config,
    store: Store,
    drain: Drain,
    runtime: Handle,
    metrics: Metrics,
    hasher: RandomState,
    news: news::Teller,
    beginnings: Beginnings,
    shards: [Shard; SHARDS],
}

/// Topics that were found when the store was opened, and need something done in time.
struct Found {
    /// Those that ever asked a question.
    asked: Vec<Arc<Topic>>,
    /// Jobs that have not ended.
    jobs: Vec<Arc<Topic>>,
}

/// One page of topics.
#[derive(Default)]
pub struct TopicPage {
    /// The topics, in the order of their names.
    pub topics: Vec<TopicLine>,
    /// Whether more follow after the last.
    pub more: bool,
}

/// A topic in a page.
#[derive(Debug, Clone)]
pub struct TopicLine {
    /// Its name.
    pub topic: TopicName,
    /// The newest event.
    pub cursor: Cursor,
    /// How far the story has come.
    pub status: Status,
    /// How many subscribers it has, on all nodes.
    pub subscribers: usize,
    /// When the newest event came, or the topic was made; ISO 8601.
    pub updated_at: String,
}

/// Which topics a page is to hold.
#[derive(Debug, Clone, Default)]
pub struct TopicFilter {
    /// Of this kind only.
    pub kind: Option<Kind>,
    /// Names (`kind:id`) that begin with this only.
    pub prefix: Option<String>,
    /// After this name.
    pub after: Option<String>,
}

/// There are as many topics as `hub.topics_max` allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are as many topics as `hub.topics_max` allows")]
pub struct TooManyTopics;

impl Hub {
    /// A hub over a store, with the topics that the store has. Its sweeper runs until the drain.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(config: Config, store: Store, drain: Drain, metrics: Metrics) -> Self {
        let hub = Self(Arc::new(Shared {
            config,
            store,
            drain,
            runtime: Handle::current(),
            metrics,
            hasher: RandomState::new(),
            news: news::Teller::default(),
            beginnings: Beginnings::new(),
            shards: std::array::from_fn(|_| Shard::default()),
        }));
        let shared = Arc::downgrade(&hub.0);
        hub.0.store.on_lost(move |topic, epoch| {
            if let Some(shared) = shared.upgrade() {
                Self(shared).lost(topic, epoch);
            }
        });
        let Found { asked, jobs } = hub.take_found();
        if !jobs.is_empty() {
            let leases = hub.clone();
            hub.0.drain.spawn(leases.watch_found_leases(jobs));
        }
        if !asked.is_empty() {
            let timers = hub.clone();
            hub.0
                .drain
                .spawn(async move { timers.wait_for_expiries(asked).await });
        }
        hub.start_following();
        let sweeper = hub.clone();
        hub.0
            .drain
            .spawn(async move { sweeper.sweep_until_drain().await });
        hub
    }

    /// The topic, if it exists.
    pub fn topic(&self, name: &TopicName) -> Option<Arc<Topic>> {
        self.shard(name)
            .read()
            .expect("no holder of a shard panics")
            .get(name)
            .cloned()
    }

    /// The topic; it is made if it does not exist.
    ///
    /// # Errors
    /// When there are `hub.topics_max` of them.
    pub(crate) fn topic_or_new(&self, name: &TopicName) -> Result<Arc<Topic>, TooManyTopics> {
        if let Some(topic) = self.topic(name) {
            return Ok(topic);
        }
        let metrics = &self.0.metrics;
        if metrics.topics.get() >= i64::try_from(self.0.config.topics_max).unwrap_or(i64::MAX) {
            metrics.topics_refused.inc();
            return Err(TooManyTopics);
        }
        let mut shard = self
            .shard(name)
            .write()
            .expect("no holder of a shard panics");
        let topic = shard.entry(name.clone()).or_insert_with(|| {
            metrics.topics.inc();
            let redis = self.0.store.redis();
            if let Some(redis) = redis {
                redis.follow(name);
            }
            let log = self.0.store.log(name);
            let topic = Topic::new(name.clone(), &self.0.config, log, redis.is_some());
            Arc::new(topic.begin_with(self.0.beginnings.of(name)))
        });
        Ok(Arc::clone(topic))
    }

    /// A page of up to `limit` topics that hold events, or have subscribers on this node, of those
    /// that `is_shown` says may be seen, by name and owner.
    ///
    /// # Errors
    /// While the store is away.
    pub async fn topics(
        &self,
        filter: &TopicFilter,
        limit: usize,
        is_shown: impl Fn(&TopicName, Option<&str>) -> bool,
    ) -> Result<TopicPage, store::Error> {
        match self.0.store.redis() {
            Some(redis) => self.topics_in(redis, filter, limit, is_shown).await,
            None => Ok(self.topics_here(filter, limit, is_shown)),
        }
    }

    fn topics_here(
        &self,
        filter: &TopicFilter,
        limit: usize,
        is_shown: impl Fn(&TopicName, Option<&str>) -> bool,
    ) -> TopicPage {
        let wanted = |topic: &Topic| {
            let name = topic.name();
            filter.kind.is_none_or(|kind| kind == name.kind())
                && filter
                    .prefix
                    .as_ref()
                    .is_none_or(|p| name.as_str().starts_with(p.as_str()))
                && filter
                    .after
                    .as_ref()
                    .is_none_or(|after| name.as_str() > after.as_str())
        };
        let mut topics = Vec::new();
        for shard in &self.0.shards {
            let shard = shard.read().expect("no holder of a shard panics");
            topics.extend(shard.values().filter(|topic| wanted(topic)).cloned());
        }
        topics.sort_unstable_by(|a, b| a.name().cmp(b.name()));
        let shown = topics
            .into_iter()
            .filter(|topic| is_shown(topic.name(), topic.owner().as_deref()));
        let mut topics: Vec<Arc<Topic>> = shown.take(limit.saturating_add(1)).collect();
        let more = topics.len() > limit;
        topics.truncate(limit);
        let topics = topics.iter().map(|topic| topic.line()).collect();
        TopicPage { topics, more }
    }

    /// Forgets the events of a topic. Whoever is subscribed is told by a gap into the new epoch.
    /// Returns whether there was anything.
    ///
    /// # Errors
    /// When the store could not forget them: they may be back after a restart.
    pub async fn delete(&self, name: &TopicName) -> Result<bool, store::Error> {
        if let Some(redis) = self.0.store.redis() {
            return redis.reset(name, &store::new_epoch()).await;
        }
        let Some(topic) = self.topic(name) else {
            return Ok(false);
        };
        let room = self.0.store.room(0).await?;
        self.reset(&topic, room).await
    }

    /// Begins a new epoch of a topic, here and in the store.
    async fn reset(&self, topic: &Arc<Topic>, room: Option<Room>) -> Result<bool, store::Error> {
        let (told, forgotten) = oneshot::channel();
        let had_events = topic.reset(|epoch| match room {
            Some(room) => room.send(Job::Forget(Forget {
                topic: topic.name().clone(),
                epoch: epoch.clone(),
                done: Box::new(|result| drop(told.send(result))),
            })),
            None => drop(told.send(Ok(0))),
        });
        self.fan_out(topic);
        self.forget_if_unused(topic);
        if had_events && let Ok(result) = forgotten.await {
            result?;
        }
        Ok(had_events)
    }

    /// The store lost the events of a topic: it begins a new epoch, if it still has that one.
    fn lost(&self, name: &TopicName, epoch: &Epoch) {
        let _runtime = self.0.runtime.enter();
        if let Some(topic) = self.topic(name)
            && topic.lose(epoch)
        {
            self.fan_out(&topic);
            self.forget_if_unused(&topic);
        }
    }

    /// Puts the topics of the store into the map.
    fn take_found(&self) -> Found {
        let (mut asked, mut jobs) = (Vec::new(), Vec::new());
        for (name, stored) in self.0.store.take_found() {
            let has_asked = stored.has_asked;
            let may_be_leased = name.kind() == Kind::Job && stored.status == Status::Active;
            let log = self.0.store.found(&name, stored);
            let topic = Arc::new(Topic::new(name.clone(), &self.0.config, log, false));
            if has_asked {
                asked.push(Arc::clone(&topic));
            }
            if may_be_leased {
                jobs.push(Arc::clone(&topic));
            }
            let mut shard = self
                .shard(&name)
                .write()
                .expect("no holder of a shard panics");
            if shard.insert(name, topic).is_none() {
                self.0.metrics.topics.inc();
            }
        }
        Found { asked, jobs }
    }

    /// Waits for the expiry of the questions that were open when the store was opened.
    async fn wait_for_expiries(self, topics: Vec<Arc<Topic>>) {
        for topic in topics {
            let open: Vec<_> = topic
                .lock()
                .fold
                .open_clarifications()
                .map(|question| Arc::clone(&question.asked))
                .collect();
            for asked in open {
                self.expire_in_time(&topic, &asked);
            }
            tokio::task::yield_now().await;
        }
    }

    /// The config of the hub.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The counters of the hub.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// The store underneath.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Records by which a face knows its clients again after the process was killed.
    pub fn resumes(&self) -> Resumes {
        self.0.store.resumes()
    }

    fn shard(&self, name: &TopicName) -> &Shard {
        let hash = usize::try_from(self.0.hasher.hash_one(name) % SHARDS as u64);
        &self.0.shards[hash.expect("a number below 16 fits")]
    }

    /// Drops a topic from the map if it holds no event and has no subscriber.
    fn forget_if_unused(&self, topic: &Arc<Topic>) {
        let mut shard = self
            .shard(topic.name())
            .write()
            .expect("no holder of a shard panics");
        if shard
            .get(topic.name())
            .is_some_and(|known| Arc::ptr_eq(known, topic))
            && let Some(Retired { renewed }) = topic.retire_if_unused()
        {
            if let Some(epoch) = renewed {
                self.0.beginnings.renewed(topic.name(), epoch);
            }
            shard.remove(topic.name());
            self.0.metrics.topics.dec();
            if let Some(redis) = self.0.store.redis() {
                redis.unfollow(topic.name());
            }
        }
    }

    async fn sweep_until_drain(self) {
        let mut tick = tokio::time::interval(self.0.config.sweep_interval);
        loop {
            tokio::select! {
                _ = tick.tick() => self.sweep().await,
                () = self.0.drain.begun() => return,
            }
        }
    }

    /// Forgets topics that ended or fell silent long ago and have no subscriber.
    async fn sweep(&self) {
        let now_ms = jiff::Timestamp::now().as_millisecond();
        for shard in &self.0.shards {
            let old: Vec<_> = {
                let shard = shard.read().expect("no holder of a shard panics");
                let is_old = |topic: &&Arc<Topic>| topic.is_forgettable(&self.0.config, now_ms);
                shard.values().filter(is_old).cloned().collect()
            };
            for topic in old {
                let Ok(room) = self.0.store.room(0).await else {
                    return;
                };
                // Somebody may have come while a place was waited for.
                if !topic.is_forgettable(&self.0.config, now_ms) {
                    continue;
                }
                match self.reset(&topic, room).await {
                    Ok(true) => drop(self.0.metrics.topics_forgotten.inc()),
                    Ok(false) => {}
                    Err(error) => {
                        tracing::warn!(topic = %topic.name(), %error, "a topic was not forgotten");
                    }
                }
            }
        }
        self.0.store.tidy().await;
    }
}
