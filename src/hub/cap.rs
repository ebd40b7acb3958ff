//! Rate caps: how often a `state` may go out, for the names where that is limited.
//!
//! A cap holds for each (name, key) of a topic. The first state goes out at once. One that comes too
//! soon is held at the end of the topic: it is in the log and its number is given, but readers do not
//! see it yet. A newer one of its key takes its place, and it is not sent any more. What is held goes
//! out when the interval of the oldest is over, or before the next event that may not be held: so
//! the order is the log's, the last one always comes, and a terminal event comes after it.
//!
//! Where no cap is set there is nothing here to look at. What is read from the log (replay, history)
//! is whole.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};

use crate::hub::topic::State;
use crate::hub::{Hub, Topic};
use crate::topic::{Class, Event, EventName, Ring, Seq};

/// Most states a second of each (name, key), by event name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RateCaps(HashMap<EventName, NonZeroU32>);

impl RateCaps {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

type Key = (EventName, Option<Box<str>>);

/// What is held of a topic.
pub(crate) struct Held {
    caps: RateCaps,
    /// Most events that are held; then they go out early.
    events_max: usize,
    /// Readers see the events up to here.
    visible: Seq,
    /// The newest of each key.
    newest: HashMap<Key, Seq>,
    /// When a state of a key was last let through; those that matter no more are forgotten.
    passed: HashMap<Key, Instant>,
    /// When what is held goes out.
    release_at: Option<Instant>,
    is_timed: bool,
}

/// What a timer finds.
enum Ripe {
    Now,
    Later(Instant),
    Nothing,
}

impl Held {
    pub(crate) fn new(caps: &RateCaps, visible: Seq, events_max: usize) -> Self {
        Self {
            caps: caps.clone(),
            events_max,
            visible,
            newest: HashMap::new(),
            passed: HashMap::new(),
            release_at: None,
            is_timed: false,
        }
    }

    /// The topic begins anew.
    pub(crate) fn renew(&mut self, visible: Seq) {
        *self = Self {
            is_timed: self.is_timed,
            ..Self::new(&self.caps, visible, self.events_max)
        };
    }

    /// Readers see the events up to here.
    pub(crate) const fn visible(&self) -> Seq {
        self.visible
    }

    /// Takes the newest event in: it is held, or goes out after what is held.
    pub(crate) fn take(&mut self, event: &Event, ring: &Ring) {
        let now = Instant::now();
        let Some(interval) = self.interval(event) else {
            return self.release(ring.head(), now);
        };
        let key = (event.name.clone(), event.key.clone());
        let next = self.passed.get(&key).map(|passed| *passed + interval);
        let held = usize::try_from(event.seq.0 - self.visible.0).unwrap_or(usize::MAX);
        match next {
            Some(next) if next > now && held <= self.events_max => {
                if let Some(older) = self.newest.insert(key, event.seq) {
                    ring.withhold(older);
                }
                self.release_at = Some(self.release_at.map_or(next, |at| at.min(next)));
            }
            _ => {
                if let Some(older) = self.newest.remove(&key) {
                    ring.withhold(older);
                }
                self.release(ring.head(), now);
                self.passed.insert(key, now);
            }
        }
    }

    fn interval(&self, event: &Event) -> Option<Duration> {
        if event.class != Class::State {
            return None;
        }
        let per_second = self.caps.0.get(&event.name)?;
        Some(Duration::from_secs(1) / per_second.get())
    }

    fn release(&mut self, head: Seq, now: Instant) {
        self.visible = head;
        self.release_at = None;
        for (key, _) in self.newest.drain() {
            self.passed.insert(key, now);
        }
        let matters = now.checked_sub(Duration::from_secs(1));
        self.passed
            .retain(|_, passed| matters.is_none_or(|since| *passed > since));
    }

    /// When a timer is to come, if there is to be one and none runs.
    fn time(&mut self) -> Option<Instant> {
        let at = self.release_at.filter(|_| !self.is_timed)?;
        self.is_timed = true;
        Some(at)
    }

    fn ripe(&self, is_draining: bool) -> Ripe {
        match self.release_at {
            None => Ripe::Nothing,
            Some(at) if is_draining || at <= Instant::now() => Ripe::Now,
            Some(at) => Ripe::Later(at),
        }
    }
}

impl State {
    /// The newest event that readers see.
    pub(crate) fn visible(&self) -> Seq {
        let held = self.held.as_ref();
        held.map_or_else(|| self.ring.head(), |held| held.visible())
    }

    /// Lets out what is held, if it is time. Returns when to come again, if at all, and whether
    /// anything went out.
    fn release_ripe(&mut self, is_draining: bool) -> (Option<Instant>, bool) {
        let head = self.ring.head();
        let Some(held) = &mut self.held else {
            return (None, false);
        };
        let ripe = held.ripe(is_draining);
        held.is_timed = matches!(ripe, Ripe::Later(_));
        match ripe {
            Ripe::Now => {
                held.release(head, Instant::now());
                (None, true)
            }
            Ripe::Later(at) => (Some(at), false),
            Ripe::Nothing => (None, false),
        }
    }
}

impl Hub {
    /// Sees to it that what is held goes out in time, at the latest when the drain begins.
    pub(crate) fn release_in_time(&self, topic: &Arc<Topic>) {
        let Some(mut at) = topic.peek().held.as_mut().and_then(|held| held.time()) else {
            return;
        };
        let (hub, topic) = (self.clone(), Arc::clone(topic));
        self.0.drain.spawn(async move {
            loop {
                tokio::select! {
                    () = sleep_until(at) => {}
                    () = hub.0.drain.begun() => {}
                }
                let (next, is_released) = topic.peek().release_ripe(hub.0.drain.is_draining());
                if is_released {
                    hub.fan_out(&topic);
                }
                let Some(next) = next else { return };
                at = next;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drain::Drain;
    use crate::hub::{self, Lane, Metrics, Read};
    use crate::store::{self, Store};
    use crate::topic::{Cursor, Draft, TopicName};

    const TENTH: Duration = Duration::from_millis(100);

    /// A topic whose `progress` is capped at ten a second, and a reader of it.
    struct Case {
        hub: Hub,
        topic: Arc<Topic>,
        lane: Lane,
        cursor: Cursor,
    }

    impl Case {
        fn new() -> Self {
            let defaults: toml::Table =
                toml::from_str(include_str!("../../config/tidings.toml")).unwrap();
            let mut config: hub::Config = defaults["hub"].clone().try_into().unwrap();
            config.rate_caps = toml::from_str("progress = 10").unwrap();
            let store: store::Config = defaults["store"].clone().try_into().unwrap();
            let store = Store::open(store).unwrap();
            let hub = Hub::new(config, store, Drain::new(), Metrics::default());
            let topic = hub.topic_or_new(&"session:a".parse().unwrap()).unwrap();
            let cursor = topic.head();
            let lane = Lane::new(cursor.seq);
            Self {
                hub,
                topic,
                lane,
                cursor,
            }
        }

        async fn append(&self, name: &str, key: Option<&str>) {
            let topic: TopicName = "session:a".parse().unwrap();
            let draft = Draft::json(topic, name.parse().unwrap(), "{}").unwrap();
            let draft = draft.with_key(key).unwrap();
            self.hub.append(draft, None).await.unwrap();
        }

        /// The numbers of what the reader sees now.
        fn seen(&mut self) -> Vec<u64> {
            let mut page = Vec::new();
            let read = self.lane.read(&self.topic, &self.cursor, 64, &mut page);
            assert_eq!(read, Read::Entries);
            if let Some(last) = page.last() {
                self.cursor = last.event.cursor();
            }
            page.iter().map(|entry| entry.event.seq.0).collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_goes_out_at_once_and_the_last_in_time() {
        let mut case = Case::new();
        for _ in 0..20 {
            case.append("progress", None).await;
        }
        assert_eq!(case.seen(), [1]);
        tokio::time::sleep(TENTH / 2).await;
        assert_eq!(case.seen(), [0; 0]);
        tokio::time::sleep(TENTH).await;
        assert_eq!(case.seen(), [20]);
        tokio::time::sleep(TENTH * 2).await;
        case.append("progress", None).await;
        assert_eq!(case.seen(), [21], "it was long enough ago");
        let history = case.topic.history(None, 100).unwrap();
        assert_eq!(history.events.len(), 21, "the log has all");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_goes_out_before_what_may_not_be() {
        let mut case = Case::new();
        for key in [None, None, None, Some("a"), Some("a"), Some("a")] {
            case.append("progress", key).await;
        }
        // The first of a key goes out at once, and what is held before it.
        assert_eq!(case.seen(), [1, 3, 4]);
        case.append("note", None).await;
        assert_eq!(case.seen(), [6, 7]);
        case.append("progress", None).await;
        case.append("completed", None).await;
        assert_eq!(case.seen(), [8, 9]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_topic_that_begins_anew_holds_nothing() {
        let mut case = Case::new();
        case.append("progress", None).await;
        case.append("progress", None).await;
        case.hub.delete(case.topic.name()).await.unwrap();
        case.append("progress", None).await;
        let topic = case.hub.topic(case.topic.name()).unwrap();
        case.cursor = Cursor {
            seq: Seq::ZERO,
            ..topic.head()
        };
        (case.topic, case.lane) = (topic, Lane::new(Seq::ZERO));
        assert_eq!(case.seen(), [1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_lets_out_what_is_held() {
        let mut case = Case::new();
        case.append("progress", None).await;
        case.append("progress", None).await;
        assert_eq!(case.seen(), [1]);
        case.hub.0.drain.begin();
        case.hub.0.drain.finished(Duration::from_secs(1)).await;
        assert_eq!(case.seen(), [2]);
    }
}
