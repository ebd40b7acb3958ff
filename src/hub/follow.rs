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

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::hub::topic::State;
use crate::hub::{Hub, Shared, TooManyTopics, Topic};
use crate::store::{self, News, Page, Redis, new_epoch};
use crate::topic::{self, Cursor, Event, Kind, Seq, Status, TopicName};

/// Most news of a topic that are parked while its log is read.
const PARKED_MAX: usize = 4096;

/// How long a topic is kept that must not be forgotten.
const FOR_GOOD: Duration = Duration::from_hours(24 * 365 * 10);

/// How long after a failed read the next one is tried.
const AGAIN: Duration = Duration::from_millis(100);

/// How a copy stands.
#[derive(Debug, Default)]
pub(crate) struct Following {
    stage: Stage,
    /// Whether a reader is at work.
    is_reading: bool,
    /// Whether something came that the reader has not seen.
    is_behind: bool,
    parked: BTreeMap<u64, Arc<Event>>,
    /// How many wait for something of the topic without a seat.
    pub(crate) pins: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    /// Nothing was read yet.
    #[default]
    Unknown,
    /// Some pages were read, and more are to come.
    Partial,
    /// It is what the log was a moment ago.
    Known,
}

/// What a page led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// The copy is level with the log.
    Level,
    /// There is more to read.
    More,
}

/// Keeps a topic followed while something of it is waited for.
pub(crate) struct Pin {
    hub: Hub,
    topic: Arc<Topic>,
}

/// Topics that are followed while this is held; subscribers that attach meanwhile find them known.
pub struct Prepared {
    _pins: Vec<Pin>,
}

impl Following {
    /// Whether readers may see the copy.
    pub(crate) fn is_known(&self) -> bool {
        self.stage == Stage::Known
    }
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
                pin.topic.known_by(until, redis).await;
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

    fn hear(&self, news: News) {
        match news {
            News::Followed(name) => {
                if let Some(topic) = self.topic(&name) {
                    self.read_on(&topic);
                }
            }
            News::Moved(name, to) => {
                if let Some(topic) = self.topic(&name)
                    && topic.peek().epoch != to.epoch
                {
                    self.read_on(&topic);
                }
            }
            News::Event(event) => self.hear_event(event),
        }
    }

    fn hear_event(&self, event: Arc<Event>) {
        let Some(topic) = self.topic(&event.topic) else {
            return;
        };
        let mut state = topic.peek();
        let head = state.head();
        let Some(following) = &mut state.following else {
            return;
        };
        let is_same = head.epoch == event.epoch;
        if following.is_known() && !following.is_reading && is_same {
            if event.seq <= head.seq {
                return;
            }
            if event.seq == head.seq.next() {
                state.copy(&event);
                drop(state);
                self.tell(&topic, &event);
                return;
            }
        }
        following.park(event);
        drop(state);
        self.read_on(&topic);
    }

    /// Sees to it that the copy is read up to what the log holds now.
    pub(crate) fn read_on(&self, topic: &Arc<Topic>) {
        let Some(redis) = self.0.store.redis().cloned() else {
            return;
        };
        {
            let mut state = topic.peek();
            let Some(following) = &mut state.following else {
                return;
            };
            following.is_behind = true;
            if std::mem::replace(&mut following.is_reading, true) {
                return;
            }
        }
        let (hub, topic) = (self.clone(), Arc::clone(topic));
        self.0
            .drain
            .spawn(async move { hub.read_until_level(&redis, &topic).await });
    }

    async fn read_until_level(&self, redis: &Redis, topic: &Arc<Topic>) {
        loop {
            let after = {
                let mut state = topic.peek();
                let is_retired = state.is_retired;
                let after = state.read_after();
                let Some(following) = &mut state.following else {
                    return;
                };
                if is_retired {
                    following.is_reading = false;
                    return;
                }
                following.is_behind = false;
                after
            };
            let make = Some(self.age_max(topic.name(), Status::Active));
            let fresh = new_epoch();
            let read = redis.read(topic.name(), after.as_ref(), (&fresh, make));
            let taken = match read.await {
                Ok(Some(page)) => self.take_in(topic, page),
                Ok(None) => Taken::More,
                Err(error) => {
                    tracing::debug!(topic = %topic.name(), %error, "the log was not read");
                    tokio::select! {
                        () = tokio::time::sleep(AGAIN) => {}
                        () = self.0.drain.doors_closed() => return,
                    }
                    Taken::More
                }
            };
            if taken == Taken::Level {
                return;
            }
        }
    }

    /// Takes a page in and tells of it.
    fn take_in(&self, topic: &Arc<Topic>, page: Page) -> Taken {
        let questions: Vec<_> = page
            .kept
            .iter()
            .chain(&page.events)
            .filter(|event| event.name.as_str() == "clarification")
            .cloned()
            .collect();
        let taken = topic.peek().take_in(page);
        for question in &questions {
            self.expire_in_time(topic, question);
        }
        if !questions.is_empty() {
            topic.clarified.notify_waiters();
        }
        if topic.name().kind() == Kind::Job {
            topic.clarified.notify_waiters();
            self.watch_lease(topic);
        }
        topic.moved.notify_waiters();
        self.fan_out(topic);
        if topic.has_caps {
            self.release_in_time(topic);
        }
        taken
    }

    /// Tells of an event that the copy has taken in.
    fn tell(&self, topic: &Arc<Topic>, event: &Arc<Event>) {
        if event.name.as_str() == "clarification" {
            topic.clarified.notify_waiters();
            self.expire_in_time(topic, event);
        }
        if event.topic.kind() == Kind::Job {
            self.see_to_job(topic, event);
        }
        topic.moved.notify_waiters();
        self.fan_out(topic);
        if topic.has_caps {
            self.release_in_time(topic);
        }
    }

    fn watch_questions(&self, topic: &Arc<Topic>) {
        let open: Vec<_> = {
            let state = topic.peek();
            let open = state.fold.open_clarifications();
            let open = open.filter(|question| question.expires_at_ms.is_some());
            open.map(|question| Arc::clone(&question.asked)).collect()
        };
        for asked in open {
            self.expire_in_time(topic, &asked);
        }
    }

    async fn verify_until_drain(self, every: Duration) {
        let mut tick = tokio::time::interval(every);
        loop {
            tokio::select! {
                _ = tick.tick() => self.verify().await,
                () = self.0.drain.begun() => return,
            }
        }
    }

    /// Compares the copies with the log, and keeps what is watched from being forgotten.
    async fn verify(&self) {
        let Some(redis) = self.0.store.redis() else {
            return;
        };
        for shard in &self.0.shards {
            let topics: Vec<_> = {
                let shard = shard.read().expect("no holder of a shard panics");
                shard.values().cloned().collect()
            };
            for topic in topics {
                let (here, age_max) = {
                    let state = topic.peek();
                    (
                        state.head(),
                        self.age_max(topic.name(), state.fold.status()),
                    )
                };
                let Ok(there) = redis.touch(topic.name(), age_max).await else {
                    return;
                };
                // What was appended since then is on its way.
                let is_level = there.is_some_and(|there| {
                    there.epoch == here.epoch && there.head <= topic.head().seq
                });
                if !is_level {
                    self.read_on(&topic);
                }
            }
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
            if self.is_known() || redis.is_away() {
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

impl Following {
    fn park(&mut self, event: Arc<Event>) {
        if self.parked.len() < PARKED_MAX {
            self.parked.insert(event.seq.0, event);
        } else {
            self.is_behind = true;
        }
    }
}

impl State {
    /// Whether readers may see it.
    pub(crate) fn is_known(&self) -> bool {
        self.following.as_ref().is_none_or(Following::is_known)
    }

    /// Where the copy is read on; nothing if from the beginning.
    fn read_after(&self) -> Option<Cursor> {
        let following = self.following.as_ref()?;
        (following.stage != Stage::Unknown).then(|| self.head())
    }

    /// Makes an event of the log visible to readers.
    pub(crate) fn copy(&mut self, event: &Arc<Event>) {
        self.log.copy(event);
        self.fold.apply(event);
        self.ring.push(Arc::clone(event));
        if let Some(held) = &mut self.held {
            held.take(event, &self.ring);
        }
        self.tail = event.seq;
        self.stage = self.fold.stage();
        self.heard_at = Instant::now();
        self.touched_ms = event.timestamp_ms;
    }

    fn take_in(&mut self, page: Page) -> Taken {
        let Some(mut following) = self.following.take() else {
            return Taken::Level;
        };
        let taken = self.take_in_with(&mut following, page);
        if taken == Taken::Level {
            following.stage = Stage::Known;
            following.is_reading = false;
            following.parked.clear();
        }
        self.following = Some(following);
        taken
    }

    fn take_in_with(&mut self, following: &mut Following, page: Page) -> Taken {
        let first = page.events.first().map(|event| event.seq);
        if page.is_whole {
            following.stage = Stage::Partial;
            let before = first.map_or(page.head, |first| Seq(first.0 - 1));
            self.begin_copy(page.epoch, before);
            let gone = page.kept.iter().filter(|event| event.seq <= before);
            gone.for_each(|event| self.fold.apply(event));
            self.fold.own(page.owner);
        } else if self.epoch != page.epoch
            || first.is_some_and(|first| first > self.ring.head().next())
            || (first.is_none() && page.head > self.ring.head())
        {
            // What follows has left the log: the copy is read from the beginning.
            following.stage = Stage::Unknown;
            return Taken::More;
        }
        let parked = std::mem::take(&mut following.parked);
        for event in page.events.iter().chain(parked.values()) {
            if event.epoch == self.epoch && event.seq == self.ring.head().next() {
                self.copy(event);
            } else if event.epoch != self.epoch || event.seq > self.ring.head() {
                following.parked.insert(event.seq.0, Arc::clone(event));
            }
        }
        let is_level = self.ring.head() >= page.head
            && !following.is_behind
            && following
                .parked
                .values()
                .all(|event| event.epoch != self.epoch);
        if is_level { Taken::Level } else { Taken::More }
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
