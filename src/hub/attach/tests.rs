use std::sync::Mutex;

use proptest::prelude::*;

use super::*;
use crate::drain::Drain;
use crate::hub::{Config, Description, Metrics, Read};
use crate::store::Store;
use crate::topic::Draft;

const EVENTS_IN_RING: usize = 4;
const EVENTS_IN_LOG: usize = 10;

/// A subscriber that notes every sequence it is handed, and every gap it is told of.
#[derive(Default)]
struct Reader(Mutex<Reading>);

#[derive(Default)]
struct Reading {
    is_blocked: bool,
    place: Option<(Seat, Cursor)>,
    seen: Vec<u64>,
    /// (the last number before, the number where the story goes on)
    gaps: Vec<(u64, u64)>,
}

impl Reading {
    fn read(&mut self) {
        let Some((seat, cursor)) = &mut self.place else {
            return;
        };
        while !self.is_blocked {
            let mut page = Vec::new();
            match seat.topic().read(cursor, 3, &mut page) {
                Read::Entries if page.is_empty() => return,
                Read::Entries => {}
                Read::Gap => {
                    let (_, to) = seat.topic().joining();
                    self.gaps.push((cursor.seq.0, to.seq.0));
                    *cursor = to;
                }
            }
            for entry in page {
                self.seen.push(entry.event.seq.0);
                *cursor = entry.event.cursor();
            }
        }
    }
}

impl Subscriber for Reader {
    fn wake(&self, _: &Arc<Topic>) {
        self.0.lock().unwrap().read();
    }

    fn face(&self) -> &'static str {
        "test"
    }

    fn describe(&self, _: Seq) -> Description {
        unreachable!("nobody asks")
    }
}

#[derive(Debug, Clone)]
enum Step {
    Append,
    /// Attaches a reader, at this many events before the head.
    Attach(Option<u64>),
    /// Lets the last attached reader begin.
    Begin,
    /// Blocks or frees the reader of this number.
    Toggle(usize),
    /// Lets the pump run for a while.
    Pump,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Append),
        1 => proptest::option::of(0_u64..14).prop_map(Step::Attach),
        1 => Just(Step::Begin),
        1 => (0_usize..4).prop_map(Step::Toggle),
        3 => Just(Step::Pump),
    ]
}

fn hub() -> Hub {
    let defaults: toml::Table =
        toml::from_str(include_str!("../../../config/tidings.toml")).unwrap();
    let mut config: Config = defaults["hub"].clone().try_into().unwrap();
    config.ring_events_max = EVENTS_IN_RING;
    let mut store: crate::store::Config = defaults["store"].clone().try_into().unwrap();
    store.log_events_max = EVENTS_IN_LOG;
    Hub::new(
        config,
        Store::open(store).unwrap(),
        Drain::new(),
        Metrics::default(),
    )
}

struct Follower {
    reader: Arc<Reader>,
    attached: Option<Attached>,
    start: u64,
}

impl Follower {
    fn begin(&mut self) {
        let Some(attached) = self.attached.take() else {
            return;
        };
        let mut reading = self.reader.0.lock().unwrap();
        if let Some(gap) = attached.gap {
            reading.gaps.push((gap.from.seq.0, gap.to.seq.0));
        }
        reading.place = Some((attached.seat, attached.cursor));
        reading.read();
    }
}

async fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let hub = hub();
    let name: TopicName = "session:a".parse().unwrap();
    let mut followers: Vec<Follower> = Vec::new();
    for step in steps {
        match step {
            Step::Append => {
                let name = (name.clone(), "progress".parse().unwrap());
                let draft = Draft::json(name.0, name.1, "{}").unwrap();
                hub.append(draft, None).await.unwrap();
            }
            Step::Attach(back) => {
                let head = hub.topic_or_new(&name).unwrap().head();
                let seq = head.seq.0.saturating_sub(back.unwrap_or(0));
                let from = match back {
                    None => From::Head,
                    Some(_) => From::Since(Cursor {
                        seq: Seq(seq),
                        ..head
                    }),
                };
                let reader = Arc::new(Reader::default());
                let attached = hub
                    .attach(&name, from, Arc::<Reader>::clone(&reader))
                    .unwrap();
                followers.push(Follower {
                    reader,
                    attached: Some(attached),
                    start: seq,
                });
            }
            Step::Begin => followers.iter_mut().for_each(Follower::begin),
            Step::Toggle(number) => {
                if let Some(follower) = followers.get(number) {
                    let mut reading = follower.reader.0.lock().unwrap();
                    reading.is_blocked = !reading.is_blocked;
                    reading.read();
                }
            }
            Step::Pump => tokio::task::yield_now().await,
        }
    }
    let head = hub.topic_or_new(&name).unwrap().head().seq.0;
    for follower in &mut followers {
        follower.begin();
        let mut reading = follower.reader.0.lock().unwrap();
        reading.is_blocked = false;
        reading.read();
        check(&reading, follower.start, head)?;
        drop(reading);
        // The seat is held by the reader, and the reader by its seat.
        let place = follower.reader.0.lock().unwrap().place.take();
        drop(place);
    }
    prop_assert_eq!(hub.metrics().subscriptions(), 0);
    Ok(())
}

/// Everything after the start is seen once and in order, or lies in a gap that was told.
fn check(reading: &Reading, start: u64, head: u64) -> Result<(), TestCaseError> {
    let mut at = start;
    let mut gaps = reading.gaps.iter();
    for seen in &reading.seen {
        while at + 1 != *seen {
            let gap = gaps.next();
            prop_assert!(gap.is_some(), "{at} -> {seen} without a gap");
            let (from, to) = gap.expect("checked");
            prop_assert_eq!(*from, at, "the gap begins where the reader was");
            at = *to;
        }
        at = *seen;
    }
    for (from, to) in gaps {
        prop_assert_eq!(*from, at);
        at = *to;
    }
    prop_assert_eq!(at, head, "the reader is level at the end");
    Ok(())
}

proptest! {
    #[test]
    fn no_interleaving_loses_doubles_or_reorders(
        steps in proptest::collection::vec(step(), 0..120),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(run(steps))?;
    }
}
