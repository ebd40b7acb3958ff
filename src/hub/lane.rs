//! The lane: what a subscriber that is far behind may do without.
//!
//! A subscriber that keeps up gets every event. One whose connection takes less than is published
//! falls behind; past `hub.lanes.behind_*_min` it gets, until it is level again, only the newest
//! `state` of each (name, key). A state is left out when a newer one of its name and key is in the
//! log and no terminal event lies between the two: so what was newest before a terminal event goes
//! out before it. (Of a topic that ended more than once only those within a page are known to have
//! none between them; the others are sent.) Facts and terminal events are never left out, nor is anything that was there
//! before the subscriber came (it asked for that). Past `hub.lanes.lag_*_max` what follows the
//! cursor counts as gone: a gap and the snapshot.
//!
//! There is no queue here. A lane is a few words beside a cursor, and the choice is made when the
//! log is read at it.

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::hub::topic::State;
use crate::hub::{Read, Topic};
use crate::quantity::ByteSize;
use crate::topic::{Class, Cursor, Entry, Seq};

/// How far behind is how bad. Bytes are reckoned by the mean size of the topic's newest events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// From so many events on, a subscriber that was held up gets the newest states only.
    pub behind_events_min: u64,
    /// From so many bytes on, likewise.
    pub behind_bytes_min: ByteSize,
    /// Most events that a subscriber that was held up may be behind; then it is told of a gap.
    pub lag_events_max: u64,
    /// Most bytes, likewise.
    pub lag_bytes_max: ByteSize,
}

/// How a subscriber keeps up.
#[derive(Debug, Clone, Copy)]
pub struct Lane {
    live_after: Seq,
    pace: Pace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// It has taken everything it was offered.
    Level,
    /// It was offered more than it took, and has not been level since.
    HeldUp,
    /// It was held up and is far behind.
    Behind,
}

/// How far a cursor is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lag {
    Small,
    Large,
    TooLarge,
}

impl Lane {
    /// A lane of a subscriber that is level; what came after this event is live to it.
    pub const fn new(live_after: Seq) -> Self {
        Self {
            live_after,
            pace: Pace::Level,
        }
    }

    /// Up to here events are not live.
    pub const fn live_after(&self) -> Seq {
        self.live_after
    }

    /// The connection took less than it was offered.
    pub fn hold_up(&mut self) {
        if self.pace == Pace::Level {
            self.pace = Pace::HeldUp;
        }
    }

    /// Puts up to `max` entries after the cursor into `out`, which is empty, without those that
    /// the subscriber may do without. Nothing is put there if the subscriber is level.
    pub fn read(
        &mut self,
        topic: &Topic,
        cursor: &Cursor,
        max: usize,
        out: &mut Vec<Arc<Entry>>,
    ) -> Read {
        if self.pace != Pace::Level {
            match topic.lock().lag(cursor.seq.max(self.live_after)) {
                Lag::Small => {}
                Lag::Large => self.pace = Pace::Behind,
                Lag::TooLarge if cursor.seq < self.live_after => self.pace = Pace::Behind,
                Lag::TooLarge => return Read::Gap,
            }
        }
        let mut at = cursor.clone();
        loop {
            if topic.read(&at, max, out) == Read::Gap {
                return Read::Gap;
            }
            let Some(last) = out.last() else {
                self.pace = Pace::Level;
                return Read::Entries;
            };
            at.seq = last.event.seq;
            if self.pace == Pace::Behind {
                topic.lock().leave_out(self.live_after, out);
            }
            if topic.has_caps {
                out.retain(|entry| !entry.is_withheld() || entry.event.seq <= self.live_after);
            }
            if !out.is_empty() {
                return Read::Entries;
            }
        }
    }
}

impl State {
    /// How bad it is to be at `seq`.
    fn lag(&self, seq: Seq) -> Lag {
        let Config {
            behind_events_min,
            behind_bytes_min,
            lag_events_max,
            lag_bytes_max,
        } = self.bounds.lanes;
        let events = self.ring.head().0.saturating_sub(seq.0);
        let bytes = events.saturating_mul(self.ring.mean_bytes() as u64);
        let reaches = |bound: ByteSize| bytes >= bound.bytes() as u64;
        if events > lag_events_max || reaches(lag_bytes_max) {
            Lag::TooLarge
        } else if events >= behind_events_min || reaches(behind_bytes_min) {
            Lag::Large
        } else {
            Lag::Small
        }
    }

    /// Takes the states out of a page that a newer one stands for.
    fn leave_out(&self, live_after: Seq, page: &mut Vec<Arc<Entry>>) {
        let mut keep = vec![true; page.len()];
        let mut newer = HashSet::new();
        for (entry, keep) in page.iter().zip(&mut keep).rev() {
            let event = &entry.event;
            match event.class {
                Class::Terminal => newer.clear(),
                Class::State if self.fold.holds_state(event) => {
                    let is_newest = newer.insert((event.name.as_str(), event.key.as_deref()));
                    let stands = is_newest && !self.fold.supersedes(event);
                    *keep = stands || event.seq <= live_after;
                }
                Class::Fact | Class::State => {}
            }
        }
        let mut keep = keep.into_iter();
        page.retain(|_| keep.next().unwrap_or(true));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::drain::Drain;
    use crate::hub::{self, Hub, Metrics};
    use crate::store::{self, Store};
    use crate::topic::{Draft, Event, EventName, TopicName};

    /// What is appended: a name, and for some a key.
    const KINDS: [(&str, Option<&str>); 6] = [
        ("progress", None),
        ("progress", Some("a")),
        ("progress", Some("b")),
        ("file_processing", Some("a")),
        ("note", None),
        ("completed", None),
    ];

    #[derive(Debug, Clone)]
    enum Step {
        Append(usize),
        /// Reads up to so many entries, and takes this many of them.
        Read(usize, usize),
        /// Reads until it is level.
        CatchUp,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            20 => (0..KINDS.len()).prop_map(Step::Append),
            2 => (1_usize..9, 0_usize..9).prop_map(|(max, taken)| Step::Read(max, taken)),
            1 => Just(Step::CatchUp),
        ]
    }

    fn hub(lanes: Config) -> Hub {
        let defaults: toml::Table =
            toml::from_str(include_str!("../../config/tidings.toml")).unwrap();
        let mut config: hub::Config = defaults["hub"].clone().try_into().unwrap();
        (config.ring_events_max, config.lanes) = (5, lanes);
        let store: store::Config = defaults["store"].clone().try_into().unwrap();
        let store = Store::open(store).unwrap();
        Hub::new(config, store, Drain::new(), Metrics::default())
    }

    const LANES: Config = Config {
        behind_events_min: 6,
        behind_bytes_min: ByteSize(u64::MAX),
        lag_events_max: 100_000,
        lag_bytes_max: ByteSize(u64::MAX),
    };

    async fn append(hub: &Hub, kind: usize) {
        let (name, key) = KINDS[kind];
        let topic: TopicName = "session:a".parse().unwrap();
        let draft = Draft::json(topic, name.parse().unwrap(), "{}").unwrap();
        hub.append(draft.with_key(key).unwrap(), None)
            .await
            .unwrap();
    }

    /// A reader at a cursor, and the numbers of what it took.
    struct Reader {
        topic: Arc<Topic>,
        lane: Lane,
        cursor: Cursor,
        seen: Vec<u64>,
    }

    impl Reader {
        fn of(hub: &Hub) -> Self {
            let topic = hub.topic_or_new(&"session:a".parse().unwrap()).unwrap();
            let cursor = topic.head();
            Self {
                lane: Lane::new(cursor.seq),
                topic,
                cursor,
                seen: Vec::new(),
            }
        }

        /// Takes the first `taken` of up to `max` entries. Returns what it found, and how many.
        fn read(&mut self, max: usize, taken: usize) -> (Read, usize) {
            let mut page = Vec::new();
            let found = self.lane.read(&self.topic, &self.cursor, max, &mut page);
            for entry in page.iter().take(taken) {
                self.seen.push(entry.event.seq.0);
                self.cursor = entry.event.cursor();
            }
            if taken < page.len() {
                self.lane.hold_up();
            }
            (found, page.len())
        }

        fn catch_up(&mut self) {
            while self.read(4, 4).1 > 0 {}
        }
    }

    type Like<'a> = (&'a EventName, Option<&'a str>);

    fn like(event: &Event) -> Like<'_> {
        (&event.name, event.key.as_deref())
    }

    /// What is missing are states, and each has the newest of its story among what was seen.
    fn check(log: &[Arc<Event>], seen: &[u64], start: u64) -> Result<(), TestCaseError> {
        prop_assert!(
            seen.is_sorted_by(|a, b| a < b),
            "in order, and once: {seen:?}"
        );
        for (n, event) in log.iter().enumerate() {
            if event.seq.0 <= start || seen.contains(&event.seq.0) {
                continue;
            }
            prop_assert_eq!(event.class, Class::State, "{} is missing", event.seq.0);
            let story = log[n + 1..]
                .iter()
                .take_while(|later| later.class != Class::Terminal);
            let newest = story.filter(|later| like(later) == like(event)).last();
            let newest = newest.map(|newest| newest.seq.0);
            prop_assert!(
                newest.is_some_and(|newest| seen.contains(&newest)),
                "{} is missing, and so is {newest:?}, which stands for it",
                event.seq.0
            );
        }
        Ok(())
    }

    async fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
        let hub = hub(LANES);
        append(&hub, 0).await;
        let (mut lagging, mut level) = (Reader::of(&hub), Reader::of(&hub));
        for step in steps {
            match step {
                Step::Append(kind) => append(&hub, kind).await,
                Step::Read(max, taken) => drop(lagging.read(max, taken)),
                Step::CatchUp => lagging.catch_up(),
            }
        }
        lagging.catch_up();
        level.catch_up();
        let log = lagging.topic.history(None, 10_000).unwrap().events;
        check(&log, &lagging.seen, 1)?;
        let all: Vec<u64> = log.iter().skip(1).map(|event| event.seq.0).collect();
        prop_assert_eq!(&level.seen, &all, "who is never held up gets everything");
        Ok(())
    }

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(work)
    }

    proptest! {
        #[test]
        fn whoever_lags_gets_every_fact_and_the_newest_states_in_order(
            steps in proptest::collection::vec(step(), 0..160),
        ) {
            block_on(run(steps))?;
        }
    }

    #[test]
    fn a_burst_to_a_lagging_subscriber_is_its_newest_states_and_all_facts() {
        block_on(async {
            let hub = hub(LANES);
            let mut reader = Reader::of(&hub);
            for kind in [0, 0, 4, 0, 1, 0, 5, 0, 0, 0] {
                append(&hub, kind).await;
            }
            reader.read(1, 0);
            reader.read(64, 64);
            // The fact, the states before the end, the end, and the newest after it.
            assert_eq!(reader.seen, [3, 5, 6, 7, 10]);
        });
    }

    #[test]
    fn too_far_behind_is_a_gap_only_for_what_came_after_the_subscriber() {
        block_on(async {
            let hub = hub(Config {
                lag_events_max: 8,
                ..LANES
            });
            for _ in 0..20 {
                append(&hub, 4).await;
            }
            let mut reader = Reader::of(&hub);
            reader.cursor.seq = Seq::ZERO;
            reader.read(1, 0);
            let (found, count) = reader.read(4, 4);
            assert_eq!((found, count), (Read::Entries, 4), "a replay goes on");
            reader.catch_up();
            for _ in 0..9 {
                append(&hub, 4).await;
            }
            reader.read(1, 0);
            assert_eq!(reader.read(4, 4), (Read::Gap, 0));
        });
    }
}
