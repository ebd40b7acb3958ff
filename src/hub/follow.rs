//! Follow: this node's copy of a topic whose log is in Redis.
//!
//! The log decides; a copy takes in its events in order, without a hole. News come with the event
//! inline and are taken in at once when they are the next. Whatever does not fit (a hole, another
//! epoch, a new connection) starts a reader: there is at most one for a topic, it reads pages from
//! the log after the last number of the copy, and news that come meanwhile are parked. Subscribers
//! see nothing of this: they have cursors, and are woken when the copy has grown. A copy of another
//! epoch is read from the beginning, and is hidden until it is level; then cursors of the old epoch
//! are told of the gap.
//!
//! Only what somebody on this node watches is followed. For a single look [`Hub::open`] reads a copy
//! that nobody follows.

mod copy;
mod reading;
mod verify;

pub(crate) use self::copy::Following;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use self::copy::Taken;
use crate::hub::{Hub, Shared, TooManyTopics, Topic};
use crate::store::{self, Redis, new_epoch};
use crate::topic::{self, Cursor, Status, TopicName};

/// How long a topic is kept that must not be forgotten.
const FOR_GOOD: Duration = Duration::from_hours(24 * 365 * 10);

/// Keeps a topic followed while something of it is waited for.
pub(crate) struct Pin {
    hub: Hub,
    topic: Arc<Topic>,
}

/// Topics that are followed while this is held; subscribers that attach meanwhile find them known.
pub struct Prepared {
    _pins: Vec<Pin>,
}

impl Hub {
    /// Begins to take in news, if the store has any.
    pub(crate) fn start_following(&self) {
        let Some(redis) = self.0.store.redis() else {
            return;
        };
        let shared = Arc::downgrade(&self.0);
        let on_news: store::OnNews = Arc::new(move |news| {
            if let Some(shared) = shared.upgrade() {
                Self(shared).hear(news);
            }
        });
        redis.start(&self.0.drain, &on_news);
        let (hub, every) = (self.clone(), redis.config().verify_interval);
        self.0
            .drain
            .spawn(async move { hub.verify_until_drain(every).await });
    }

    /// A topic to be looked at: what this node watches, or what the log holds now. Nothing if it
    /// does not exist.
    ///
    /// # Errors
    /// While the store is away.
    pub async fn open(&self, name: &TopicName) -> Result<Option<Arc<Topic>>, store::Error> {
        let watched = self.topic(name);
        let Some(redis) = self.0.store.redis() else {
            return Ok(watched);
        };
        if let Some(topic) = watched.filter(|topic| topic.is_known()) {
            return Ok(Some(topic));
        }
        self.load(redis, name).await
    }

    /// Whose a topic is, whether or not somebody on this node watches it; nothing if it is nobody's
    /// or does not exist.
    ///
    /// # Errors
    /// While the store is away.
    pub async fn owner(&self, name: &TopicName) -> Result<Option<Arc<str>>, store::Error> {
        let watched = self.topic(name);
        let Some(redis) = self.0.store.redis() else {
            return Ok(watched.and_then(|topic| topic.owner()));
        };
        match watched.filter(|topic| topic.is_known()) {
            Some(topic) => Ok(topic.owner()),
            None => Ok(redis.owner(name).await?.map(Into::into)),
        }
    }

    /// A copy of what the log holds now; nobody follows it.
    pub(crate) async fn load(
        &self,
        redis: &Redis,
        name: &TopicName,
    ) -> Result<Option<Arc<Topic>>, store::Error> {
        let topic = Arc::new(self.copy_of(name));
        let mut after = None;
        loop {
            let page = redis
                .read(name, after.as_ref(), (&new_epoch(), None))
                .await?;
            let Some(page) = page else {
                return Ok(None);
            };
            let taken = topic.peek().take_in(page);
            if taken == Taken::Level {
                self.watch_questions(&topic);
                return Ok(Some(topic));
            }
            after = topic.peek().read_after();
        }
    }

    /// Follows topics, and waits until they are known here up to the places that are named; not
    /// longer than a command may take, since subscribers may as well attach to a topic that is not
    /// known yet.
    ///
    /// # Errors
    /// When there are too many topics.
    pub async fn prepare(
        &self,
        wanted: &[(TopicName, Option<Cursor>)],
    ) -> Result<Prepared, TooManyTopics> {
        let mut pins = Vec::new();
        if let Some(redis) = self.0.store.redis() {
            for (name, _) in wanted {
                pins.push(self.pin(name)?);
            }
            let until = Instant::now() + redis.config().command_timeout;
            for (pin, (_, place)) in pins.iter().zip(wanted) {
                let known = pin.topic.known_by(until, redis);
                tokio::join!(known, self.count_elsewhere(redis, &pin.topic));
                if let Some(place) = place.as_ref().filter(|place| pin.topic.is_before(place)) {
                    // Another node has seen more: the log tells how much more there is.
                    self.read_on(&pin.topic);
                    pin.topic.reached(place, until).await;
                }
            }
        }
        Ok(Prepared { _pins: pins })
    }

    /// Follows a topic while the pin is held.
    pub(crate) fn pin(&self, name: &TopicName) -> Result<Pin, TooManyTopics> {
        loop {
            let topic = self.topic_or_new(name)?;
            let mut state = topic.peek();
            if state.is_retired {
                continue;
            }
            if let Some(following) = &mut state.following {
                following.pins += 1;
            }
            drop(state);
            return Ok(Pin {
                hub: self.clone(),
                topic,
            });
        }
    }

    /// How long a topic is kept without another event.
    pub(crate) fn age_max(&self, name: &TopicName, status: Status) -> Duration {
        if name.as_str() == topic::REVOCATIONS {
            return FOR_GOOD;
        }
        self.0.config.age_max(name.kind(), status)
    }

    pub(crate) fn copy_of(&self, name: &TopicName) -> Topic {
        let Shared { config, store, .. } = &*self.0;
        Topic::new(name.clone(), config, store.log(name), true)
    }
}

impl Topic {
    /// Whether readers may see it: always, unless it is a copy that was not read yet.
    pub(crate) fn is_known(&self) -> bool {
        self.peek().is_known()
    }

    fn is_before(&self, place: &Cursor) -> bool {
        let head = self.head();
        head.epoch == place.epoch && head.seq < place.seq
    }

    /// Waits until the copy is known; not when the log is away.
    async fn known_by(&self, until: Instant, redis: &Redis) {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            // A node that has just begun waits for its first connection.
            if self.is_known() || (redis.is_away() && redis.was_here()) {
                return;
            }
            if tokio::time::timeout_at(until, moved).await.is_err() {
                return;
            }
        }
    }

    /// Waits until the copy holds an event, or has another epoch.
    pub(crate) async fn reached(&self, place: &Cursor, until: Instant) {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            let here = self.head();
            if !self.is_known() || here.epoch != place.epoch || here.seq >= place.seq {
                return;
            }
            if tokio::time::timeout_at(until, moved).await.is_err() {
                return;
            }
        }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        if let Some(following) = &mut self.topic.peek().following {
            following.pins -= 1;
        }
        self.hub.forget_if_unused(&self.topic);
    }
}
