//! Reading on: what keeps a copy level with its log. News are taken in when they are the next;
//! else one task a topic reads pages until nothing is missing.

use std::sync::Arc;
use std::time::Duration;

use crate::hub::follow::copy::Taken;
use crate::hub::metrics::age;
use crate::hub::{Hub, Topic};
use crate::store::{News, Page, Redis};
use crate::topic::{Event, Kind, Status};

/// How long after a failed read the next one is tried.
const AGAIN: Duration = Duration::from_millis(100);

impl Hub {
    pub(super) fn hear(&self, news: News) {
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
            News::Asked(name, question) => self.describe(&name, question),
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
                self.0.metrics.node_lag.observe(age(&event));
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
            let (after, fresh) = {
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
                (after, following.epoch_if_new())
            };
            let make = Some(self.age_max(topic.name(), Status::Active));
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
        topic.trace(event);
        self.fan_out(topic);
        if topic.has_caps {
            self.release_in_time(topic);
        }
    }

    pub(super) fn watch_questions(&self, topic: &Arc<Topic>) {
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
}
