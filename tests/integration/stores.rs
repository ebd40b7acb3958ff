//! What every store keeps: the same claims on memory and on SQLite, through the hub.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::json;
use tidings::drain::Drain;
use tidings::hub::{self, AnswerError, AppendError, FeedItem, From, Hub, Idempotency, Reader};
use tidings::store::{self, Error, Store};
use tidings::topic::{Cursor, Draft, Seq, TopicName};

const EVENTS_IN_LOG: usize = 20;

/// Where a store lives; kept for as long as the test runs.
struct Place {
    dir: Option<tempfile::TempDir>,
}

impl Place {
    fn both() -> [Self; 2] {
        let dir = tempfile::tempdir().unwrap();
        [Self { dir: None }, Self { dir: Some(dir) }]
    }

    fn path(&self) -> Option<PathBuf> {
        self.dir.as_ref().map(|dir| dir.path().to_owned())
    }

    /// A hub over the store, and its drain.
    fn hub(&self) -> (Hub, Drain) {
        open(self.path().as_deref(), EVENTS_IN_LOG)
    }
}

fn configs(dir: Option<&Path>, events_in_log: usize) -> (store::Config, hub::Config) {
    let text = include_str!("../../config/tidings.toml");
    let defaults: toml::Table = text.parse().unwrap();
    let mut store: store::Config = defaults["store"].clone().try_into().unwrap();
    store.data_dir = dir.map(Path::to_owned);
    store.log_events_max = events_in_log;
    store.sqlite.queue_events_max = 8;
    let mut config: hub::Config = defaults["hub"].clone().try_into().unwrap();
    config.ring_events_max = 4;
    (store, config)
}

fn open(dir: Option<&Path>, events_in_log: usize) -> (Hub, Drain) {
    let (store, config) = configs(dir, events_in_log);
    let drain = Drain::new();
    let store = Store::open(store).unwrap();
    let hub = Hub::new(config, store, drain.clone(), hub::Metrics::default());
    (hub, drain)
}

async fn close((hub, drain): (Hub, Drain)) {
    drop(hub);
    drain.begin();
    assert_eq!(drain.finished(std::time::Duration::from_secs(10)).await, 0);
}

fn draft(topic: &TopicName, name: &str, data: &str) -> Draft {
    Draft::json(topic.clone(), name.parse().unwrap(), data).unwrap()
}

fn topic() -> TopicName {
    "session:a".parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn place_zero_of_an_empty_topic_is_good_until_events_are_forgotten() {
    for place in Place::both() {
        let (hub, drain) = place.hub();
        let name = topic();
        let reader = Reader {
            connection: "c".to_owned(),
            principal: None,
            transport: "ndjson",
        };
        let follow = |from| hub.follow(&name, from, reader.clone()).unwrap();
        let feed = follow(From::Head);
        let zero = hub.topic(&name).unwrap().head();
        drop(feed);
        assert!(hub.topic(&name).is_none(), "it was forgotten");
        let mut feed = follow(From::Since(zero.clone()));
        hub.append(draft(&name, "note", "{}"), None).await.unwrap();
        let first = feed.next().await;
        assert!(
            matches!(&first, FeedItem::Event { event, .. } if event.seq == Seq(1)),
            "{first:?}"
        );
        drop(feed);
        assert!(hub.delete(&name).await.unwrap());
        let first = follow(From::Since(zero)).next().await;
        assert!(matches!(first, FeedItem::Gap(_)), "{first:?}");
        // The story that begins now has an epoch of its own.
        let feed = follow(From::Head);
        let zero = hub.topic(&name).unwrap().head();
        drop(feed);
        let mut feed = follow(From::Since(zero));
        hub.append(draft(&name, "note", "{}"), None).await.unwrap();
        assert!(matches!(feed.next().await, FeedItem::Event { .. }));
        drop(feed);
        close((hub, drain)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_have_no_holes_however_many_publish_at_once() {
    for place in Place::both() {
        let (hub, drain) = place.hub();
        let name = topic();
        let publishes = (0..200).map(|n| {
            let draft = draft(&name, "model_result", &json!({"n": n}).to_string());
            hub.append(draft, None)
        });
        let receipts = futures_util::future::join_all(publishes).await;
        let mut seqs: Vec<u64> = receipts.iter().map(|r| r.as_ref().unwrap().seq.0).collect();
        seqs.sort_unstable();
        assert_eq!(seqs, (1..=200).collect::<Vec<_>>());
        let held = hub.topic(&name).unwrap().history(None, 1000).unwrap();
        let held: Vec<u64> = held.events.iter().map(|event| event.seq.0).collect();
        assert_eq!(held, (181..=200).collect::<Vec<_>>());
        close((hub, drain)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_answer_wins_of_many_at_once() {
    for place in Place::both() {
        let (hub, drain) = place.hub();
        let name = topic();
        let question = r#"{"clarificationId":"q","question":"?"}"#;
        let asked = (0..8).map(|_| hub.append(draft(&name, "clarification", question), None));
        let asked = futures_util::future::join_all(asked).await;
        let refused = |r: &Result<_, AppendError>| matches!(r, Err(AppendError::AskedAlready(_)));
        assert_eq!(asked.iter().filter(|r| refused(r)).count(), 7);
        let answers = (0..8).map(|n| hub.answer(&name, "q", json!(n), "somebody"));
        let answers = futures_util::future::join_all(answers).await;
        let won: Vec<_> = answers.iter().filter_map(|a| a.as_ref().ok()).collect();
        assert_eq!(won.len(), 1);
        let late = |a: &Result<_, AnswerError>| matches!(a, Err(AnswerError::Answered { .. }));
        assert_eq!(answers.iter().filter(|a| late(a)).count(), 7);
        let wait = std::time::Duration::ZERO;
        let told = hub.wait_for_answer(&name, "q", wait).await.unwrap();
        assert_eq!(told.unwrap().response, won[0].response);
        close((hub, drain)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_told_the_first_receipt_even_if_its_publisher_went_away() {
    for place in Place::both() {
        let (hub, drain) = place.hub();
        let name = topic();
        let publish = || hub.append(draft(&name, "progress", "{}"), Some(Idempotency("k")));
        // Polled once, so that it is sent, and then given up.
        let _ = futures_util::FutureExt::now_or_never(publish());
        let receipt = loop {
            match publish().await {
                Err(AppendError::KeyInFlight) => tokio::task::yield_now().await,
                other => break other.unwrap(),
            }
        };
        assert_eq!(receipt.seq, Seq(1));
        assert_eq!(hub.topic(&name).unwrap().head().seq, Seq(1));
        close((hub, drain)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_is_another_epoch() {
    for place in Place::both() {
        let (hub, drain) = place.hub();
        let name = topic();
        let first = hub
            .append(draft(&name, "progress", "{}"), None)
            .await
            .unwrap();
        assert!(hub.delete(&name).await.unwrap());
        assert!(!hub.delete(&name).await.unwrap());
        let second = hub
            .append(draft(&name, "progress", "{}"), None)
            .await
            .unwrap();
        assert_eq!(second.seq, Seq(1));
        assert_ne!(first.epoch, second.epoch);
        close((hub, drain)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_refuses_without_holes_and_takes_up_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, config) = configs(Some(dir.path()), 10_000);
    store.sqlite.bytes_max = tidings::quantity::ByteSize(512 * 1024);
    let drain = Drain::new();
    let store = Store::open(store).unwrap();
    let hub = Hub::new(config, store, drain.clone(), hub::Metrics::default());
    let topics: [TopicName; 2] = ["session:a".parse().unwrap(), "session:b".parse().unwrap()];
    let mut known = [Vec::new(), Vec::new()];
    for _ in 0..3 {
        let publishes = (0..400).map(|n| {
            let text = "x".repeat(n * 37 % 4000);
            let draft = draft(
                &topics[n % 2],
                "model_result",
                &json!({"t": text}).to_string(),
            );
            hub.append(draft, None)
        });
        let receipts = futures_util::future::join_all(publishes).await;
        let refused = receipts.iter().filter(|receipt| receipt.is_err()).count();
        assert!(refused > 0, "the bound is reached");
        for receipt in receipts {
            match receipt {
                Ok(r) => known[usize::from(r.topic == topics[1])].push(r.seq.0),
                Err(AppendError::Store(Error::DiskFull | Error::Overtaken)) => {}
                Err(other) => panic!("{other}"),
            }
        }
        for (name, known) in topics.iter().zip(&mut known) {
            let held = hub.topic(name).unwrap().history(None, 10_000).unwrap();
            let held: Vec<u64> = held.events.iter().map(|event| event.seq.0).collect();
            known.sort_unstable();
            assert_eq!(
                held, *known,
                "what was acknowledged is there, and nothing else"
            );
            assert_eq!(held, (1..=held.len() as u64).collect::<Vec<_>>());
        }
        // Room is made: the other topic goes on, and this one begins again.
        assert!(hub.delete(&topics[0]).await.unwrap());
        known[0].clear();
        for name in &topics {
            let receipt = hub
                .append(draft(name, "progress", "{}"), None)
                .await
                .unwrap();
            known[usize::from(*name == topics[1])].push(receipt.seq.0);
        }
    }
    close((hub, drain)).await;
}

#[derive(Debug, Clone)]
enum Step {
    Append(usize, &'static str),
    Delete(usize),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let names = proptest::sample::select(vec!["progress", "model_result", "completed"]);
    prop_oneof![
        40 => (0_usize..2, names).prop_map(|(topic, name)| Step::Append(topic, name)),
        1 => (0_usize..2).prop_map(Step::Delete),
        2 => Just(Step::Reopen),
    ]
}

/// A durable hub that is closed and opened now and then, beside one in memory that is not: they
/// tell the same, and cursors from before stay valid.
async fn compare(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let dir = tempfile::tempdir().unwrap();
    let plain = open(None, EVENTS_IN_LOG);
    let mut durable = open(Some(dir.path()), EVENTS_IN_LOG);
    let topics: [TopicName; 2] = ["session:a".parse().unwrap(), "room:b".parse().unwrap()];
    let mut before: [Option<Cursor>; 2] = [None, None];
    for (n, step) in steps.into_iter().enumerate() {
        match step {
            Step::Append(number, name) => {
                let data = json!({"n": n}).to_string();
                let publish = |hub: &Hub| {
                    let hub = hub.clone();
                    let draft = draft(&topics[number], name, &data);
                    async move { hub.append(draft, None).await.unwrap() }
                };
                let (want, got) = (publish(&plain.0).await, publish(&durable.0).await);
                prop_assert_eq!(want.seq, got.seq);
                before[number] = Some(got.cursor());
            }
            Step::Delete(number) => {
                let want = plain.0.delete(&topics[number]).await.unwrap();
                prop_assert_eq!(durable.0.delete(&topics[number]).await.unwrap(), want);
                before[number] = None;
            }
            Step::Reopen => {
                close(durable).await;
                durable = open(Some(dir.path()), EVENTS_IN_LOG);
            }
        }
    }
    close(durable).await;
    durable = open(Some(dir.path()), EVENTS_IN_LOG);
    for (number, name) in topics.iter().enumerate() {
        let (want, got) = (told(&plain.0, name), told(&durable.0, name));
        prop_assert_eq!(want, got);
        let head = durable.0.topic(name).map(|topic| topic.head());
        prop_assert_eq!(head.as_ref(), before[number].as_ref());
    }
    close(plain).await;
    close(durable).await;
    Ok(())
}

type Told = (Vec<(u64, String)>, Vec<u64>, String);

/// The log, the snapshot and the status of a topic; payloads up to what names the epoch.
fn told(hub: &Hub, name: &TopicName) -> Option<Told> {
    let topic = hub.topic(name)?;
    let log = topic.history(None, 1000).unwrap().events;
    let text = |event: &tidings::topic::Event| {
        let value: serde_json::Value = serde_json::from_str(event.payload.json().unwrap()).unwrap();
        format!("{} {} {}", event.name, value["n"], value["_seq"])
    };
    let log = log.iter().map(|e| (e.seq.0, text(e))).collect();
    let joining = topic.joining().0.iter().map(|e| e.seq.0).collect();
    Some((log, joining, topic.line().status.as_str().to_owned()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_store_that_is_reopened_tells_what_one_that_is_not_does(
        steps in proptest::collection::vec(step(), 0..700),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        runtime.unwrap().block_on(compare(steps))?;
    }
}
