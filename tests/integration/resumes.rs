//! Resumes: what a face keeps to know its clients again after the process was killed.

use std::path::Path;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tidings::drain::Drain;
use tidings::hub::{self, Hub, Idempotency};
use tidings::store::{self, Store};
use tidings::topic::{Draft, Seq};

/// Longer than the file of an older format lies here.
const AGES: Duration = Duration::from_hours(100 * 365 * 24);

fn store_config(dir: Option<&Path>) -> store::Config {
    let defaults: toml::Table = include_str!("../../config/tidings.toml").parse().unwrap();
    let mut config: store::Config = defaults["store"].clone().try_into().unwrap();
    config.data_dir = dir.map(Path::to_owned);
    config
}

fn open(dir: Option<&Path>) -> Store {
    Store::open(store_config(dir)).unwrap()
}

/// What a process would leave that is killed now.
fn as_if_killed(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in ["tidings.db", "tidings.db-wal"] {
        std::fs::copy(dir.join(name), copy.path().join(name)).unwrap();
    }
    copy
}

#[tokio::test]
async fn what_was_kept_is_found_after_a_kill_and_memory_keeps_nothing() {
    let memory = open(None).resumes();
    memory.keep("a", b"1".to_vec()).await.unwrap();
    assert_eq!(memory.find("a").await.unwrap(), None);
    assert_eq!(memory.forget_earlier().await.unwrap(), 0);

    let dir = tempfile::tempdir().unwrap();
    let store = open(Some(dir.path()));
    let resumes = store.resumes();
    resumes.keep("a", b"1".to_vec()).await.unwrap();
    resumes.keep("b", vec![7; 20_000]).await.unwrap();
    resumes.keep("a", b"2".to_vec()).await.unwrap();
    let killed = as_if_killed(dir.path());

    let again = open(Some(killed.path())).resumes();
    assert_eq!(again.find("a").await.unwrap().as_deref(), Some(&b"2"[..]));
    assert_eq!(again.find("b").await.unwrap(), Some(vec![7; 20_000]));
    assert_eq!(again.find("c").await.unwrap(), None);
    again.forget("a").await;
    // Jobs are done in order: this one comes after it.
    again.keep("c", Vec::new()).await.unwrap();
    assert_eq!(again.find("a").await.unwrap(), None);
    assert_eq!(again.find("c").await.unwrap(), Some(Vec::new()));
}

#[tokio::test]
async fn those_of_earlier_processes_go_unless_kept_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(Some(dir.path()));
    let keeps = (0..1200).map(|n| {
        let resumes = store.resumes();
        async move { resumes.keep(&format!("id-{n}"), vec![1]).await.unwrap() }
    });
    futures_util::future::join_all(keeps).await;
    assert_eq!(store.resumes().forget_earlier().await.unwrap(), 0);
    drop(store);

    let resumes = open(Some(dir.path())).resumes();
    resumes.keep("id-7", vec![2]).await.unwrap();
    resumes.keep("new", vec![3]).await.unwrap();
    assert_eq!(resumes.forget_earlier().await.unwrap(), 1199);
    assert_eq!(resumes.find("id-7").await.unwrap(), Some(vec![2]));
    assert_eq!(resumes.find("new").await.unwrap(), Some(vec![3]));
    assert_eq!(resumes.find("id-8").await.unwrap(), None);
    assert_eq!(resumes.forget_earlier().await.unwrap(), 0);
}

#[tokio::test]
async fn the_oldest_make_room_and_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = store_config(Some(dir.path()));
    config.resumes_max = 3;
    let store = Store::open(config).unwrap();
    let mut registry = Registry::default();
    store.metrics().register(&mut registry);
    let resumes = store.resumes();
    for id in ["a", "b", "c", "a", "d"] {
        resumes.keep(id, id.into()).await.unwrap();
    }
    for (id, is_there) in [("a", true), ("b", false), ("c", true), ("d", true)] {
        assert_eq!(resumes.find(id).await.unwrap().is_some(), is_there, "{id}");
    }
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    assert!(text.contains("tidings_resumes 3"), "{text}");
    assert!(text.contains("tidings_resumes_displaced_total 1"), "{text}");
}

/// `files/format_1.db` was written by the version before format 2.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_format_1_is_migrated_with_all_that_it_holds() {
    let dir = tempfile::tempdir().unwrap();
    let file = include_bytes!("files/format_1.db");
    std::fs::write(dir.path().join("tidings.db"), file).unwrap();
    for round in 1..3 {
        let drain = Drain::new();
        let defaults: toml::Table = include_str!("../../config/tidings.toml").parse().unwrap();
        let mut config: hub::Config = defaults["hub"].clone().try_into().unwrap();
        config.idle_age_max = AGES;
        let mut stored = store_config(Some(dir.path()));
        stored.receipt_age_max = AGES;
        let store = Store::open(stored).unwrap();
        let hub = Hub::new(config, store, drain.clone(), hub::Metrics::default());
        let name = "session:a".parse().unwrap();
        let topic = hub.topic(&name).unwrap();
        assert_eq!(topic.head().epoch.as_str(), "777rhyyj");
        let held = topic.history(None, 10).unwrap().events;
        assert_eq!(held.len(), 2 + round);
        assert_eq!(held[0].name.as_str(), "model_result");
        let job = hub.topic(&"job:b".parse().unwrap()).unwrap();
        assert_eq!(job.snapshot().facts.len(), 1);
        let draft = |data| Draft::json(name.clone(), "model_result".parse().unwrap(), data);
        let retried = hub.append(draft(r#"{"n":2}"#).unwrap(), Some(Idempotency("k2")));
        assert_eq!(retried.await.unwrap().seq, Seq(2), "the receipt is known");
        let next = hub.append(draft(r#"{"n":4}"#).unwrap(), None).await;
        assert_eq!(next.unwrap().seq, Seq(3 + round as u64));

        let found = hub.resumes().find("a").await.unwrap();
        assert_eq!(found.is_some(), round == 2);
        hub.resumes().keep("a", vec![1]).await.unwrap();
        drop((hub, topic, job));
        drain.begin();
        assert_eq!(drain.finished(Duration::from_secs(10)).await, 0);
    }
}
