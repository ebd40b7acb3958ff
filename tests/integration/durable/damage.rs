//! Damage: found, told by a new epoch where it lies, never told as if it were right.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{Chance, Gateway, progress, setting, store_config, tell, until};

const TOPICS: usize = 10;
const EVENTS: usize = 20;
const PAGE: usize = 4096;
/// The first byte of a page that holds rows; others lead to such pages, and may have old bytes.
const LEAF: u8 = 0x0d;

type Logs = Vec<(String, Vec<Value>)>;

async fn publish_all(gateway: &Gateway, events: std::ops::Range<usize>) {
    for number in 0..TOPICS {
        for n in events.clone() {
            let data = json!({"n": n, "text": format!("mark-{number}-{n}-").repeat(20)});
            let body = json!({"name": "model_result", "data": data});
            let topic = format!("session:d{number}");
            assert_eq!(gateway.publish(&topic, &body, None).await.unwrap().0, 200);
        }
    }
}

async fn logs(gateway: &Gateway) -> Logs {
    let mut logs = Vec::new();
    for number in 0..TOPICS {
        let topic = format!("session:d{number}");
        logs.push((topic.clone(), gateway.log(&topic).await));
    }
    logs
}

/// A file with ten topics of twenty events each, and what each topic's log was.
async fn filled(dir: &Path) -> Logs {
    let gateway = Gateway::start(dir, &["--set", "store.sqlite.durability=wal"]);
    publish_all(&gateway, 0..EVENTS).await;
    let logs = logs(&gateway).await;
    gateway.kill();
    drop(tidings::store::Store::open(store_config(dir)).unwrap());
    logs
}

/// The same, with half of the events in the write-ahead log, as a kill leaves it.
async fn filled_with_log(dir: &Path) -> Logs {
    filled(dir).await;
    let gateway = Gateway::start(dir, &["--set", "store.sqlite.durability=wal"]);
    publish_all(&gateway, EVENTS..2 * EVENTS).await;
    let logs = logs(&gateway).await;
    gateway.kill();
    logs
}

/// What became of each topic.
#[derive(Debug, Default)]
struct Fate {
    /// What it was.
    whole: BTreeSet<usize>,
    /// Events that it had, under a new epoch.
    renewed: BTreeSet<usize>,
    /// Empty, under a new epoch.
    gone: BTreeSet<usize>,
}

/// An event apart from the epoch it is told under.
fn told(event: &Value) -> Value {
    let mut event = event.clone();
    event["epoch"] = json!(null);
    event["data"]["_epoch"] = json!(null);
    event
}

/// Every topic is what it was, or under a new epoch the beginning of that, or nothing.
async fn fate(gateway: &Gateway, logs: &Logs) -> Fate {
    let mut fate = Fate::default();
    for (number, (topic, log)) in logs.iter().enumerate() {
        // A publish may be what meets the damage: then it is looked at again after the repair.
        while !fate_of(gateway, number, (topic, log), &mut fate).await {
            until("ready", async || gateway.get("/readyz").await.0 == 200).await;
        }
    }
    fate
}

/// Returns whether the topic could be published to.
async fn fate_of(
    gateway: &Gateway,
    number: usize,
    (topic, log): (&str, &[Value]),
    fate: &mut Fate,
) -> bool {
    let epoch = log[0]["epoch"].as_str().unwrap();
    let since = format!("/v1/topics/{topic}/events?since={epoch}:2&limit=1000");
    let (status, page) = gateway.get(&since).await;
    let (found, _) = gateway.get(&format!("/v1/topics/{topic}")).await;
    let there = match found.as_u16() {
        200 => gateway.log(topic).await,
        404 => Vec::new(),
        other => panic!("{topic}: {other}"),
    };
    let sort = match status.as_u16() {
        200 => {
            assert_eq!(page["events"].as_array().unwrap()[..], log[2..], "{topic}");
            &mut fate.whole
        }
        404 | 410 if there.is_empty() => &mut fate.gone,
        410 => {
            let same = there.iter().zip(log).all(|(is, was)| told(is) == told(was));
            assert!(same && there.len() <= log.len(), "{topic}: {there:?}");
            assert!(there.iter().all(|event| event["epoch"] != epoch));
            assert!(there.iter().all(|e| e["data"]["_epoch"] == e["epoch"]));
            &mut fate.renewed
        }
        other => panic!("{topic}: {other} {page}"),
    };
    let (status, receipt) = gateway.publish(topic, &progress(1), None).await.unwrap();
    if status == 503 {
        return false;
    }
    assert_eq!(status, 200, "{receipt}");
    assert_eq!(receipt["seq"], there.len() + 1, "{topic} {receipt}");
    assert_eq!(receipt["epoch"] == epoch, page["events"].is_array());
    sort.insert(number)
}

async fn fate_in(dir: &Path, logs: &Logs) -> Fate {
    let gateway = Gateway::start(dir, &["--set", "log.filter=off"]);
    let fate = fate(&gateway, logs).await;
    gateway.kill();
    fate
}

fn backups(dir: &Path) -> usize {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name.to_string_lossy().contains(".damaged-"))
        .count()
}

/// The topics that have a mark in the page around a place of the file.
fn marked(bytes: &[u8], place: usize) -> BTreeSet<usize> {
    let page = &bytes[place / PAGE * PAGE..][..PAGE];
    (0..TOPICS)
        .filter(|number| {
            let mark = format!("mark-{number}-");
            page.windows(mark.len()).any(|at| at == mark.as_bytes())
        })
        .collect()
}

/// What is done to the files, and which topics it may concern.
fn harm(dir: &Path, chance: &mut Chance) -> (String, BTreeSet<usize>) {
    let all = || (0..TOPICS).collect();
    let (file, log) = (dir.join("tidings.db"), dir.join("tidings.db-wal"));
    let way = chance.below(4);
    let path = if way < 2 { file } else { log };
    let mut bytes = fs::read(&path).unwrap();
    let below = |chance: &mut Chance| usize::try_from(chance.below(bytes.len() as u64)).unwrap();
    match way {
        // The format stands in the first 100 bytes: another one is refused, not repaired.
        0 => {
            let place = below(chance).max(100);
            let page = bytes[place / PAGE * PAGE];
            let concerned = if page == LEAF {
                marked(&bytes, place)
            } else {
                all()
            };
            let concerned = if concerned.is_empty() {
                all()
            } else {
                concerned
            };
            bytes[place] ^= 1 << chance.below(8);
            fs::write(&path, &bytes).unwrap();
            (format!("a bit of the file at {place}"), concerned)
        }
        2 => {
            let place = below(chance);
            bytes[place] ^= 1 << chance.below(8);
            fs::write(&path, &bytes).unwrap();
            (format!("a bit of the log at {place}"), all())
        }
        _ => {
            let length = below(chance);
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_len(length as u64).unwrap();
            (format!("{} cut off at {length}", path.display()), all())
        }
    }
}

/// `DAMAGES=500` asks for more.
#[tokio::test(flavor = "multi_thread")]
async fn damage_anywhere_is_told_and_concerns_what_it_covers() {
    let origin = tempfile::tempdir().unwrap();
    let logs = filled_with_log(origin.path()).await;
    let mut chance = Chance::new();
    let mut unharmed = 0;
    for _ in 0..setting("DAMAGES").unwrap_or(16) {
        let dir = tempfile::tempdir().unwrap();
        for name in ["tidings.db", "tidings.db-wal", "tidings.db-shm"] {
            fs::copy(origin.path().join(name), dir.path().join(name)).unwrap();
        }
        let (what, concerned) = harm(dir.path(), &mut chance);
        tell(&what);
        let fate = fate_in(dir.path(), &logs).await;
        let others: BTreeSet<_> = fate.gone.union(&fate.renewed).copied().collect();
        tell(&format!("{fate:?}"));
        assert!(others.is_subset(&concerned), "{what}: {fate:?}");
        if what.contains("log") || what.contains("-wal") {
            assert_eq!(fate.whole.len(), 0, "{what} is noticed: {fate:?}");
        }
        if others.is_empty() {
            unharmed += 1;
        } else {
            assert!(backups(dir.path()) >= 1, "{what}: a copy is kept");
        }
    }
    tell(&format!(
        "{unharmed} times it covered nothing that is needed"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bit_of_a_payload_concerns_one_topic() {
    let dir = tempfile::tempdir().unwrap();
    let logs = filled(dir.path()).await;
    let path = dir.path().join("tidings.db");
    let mut bytes = fs::read(&path).unwrap();
    let place = bytes.windows(9).position(|at| at == b"mark-3-7-");
    bytes[place.unwrap()] ^= 0x10;
    fs::write(&path, &bytes).unwrap();
    let fate = fate_in(dir.path(), &logs).await;
    assert_eq!(fate.gone, BTreeSet::from([3]), "{fate:?}");
    assert_eq!(fate.whole.len(), 9, "{fate:?}");
    assert!(backups(dir.path()) >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_file_is_told_and_copied() {
    let dir = tempfile::tempdir().unwrap();
    let logs = filled(dir.path()).await;
    let path = dir.path().join("tidings.db");
    let length = fs::metadata(&path).unwrap().len();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_len(length / 4096 * 3 / 4 * 4096).unwrap();
    let fate = fate_in(dir.path(), &logs).await;
    assert!(fate.whole.len() < logs.len(), "{fate:?}");
    assert!(backups(dir.path()) >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_damaged_write_ahead_log_leaves_is_told_under_new_epochs() {
    let dir = tempfile::tempdir().unwrap();
    let logs = filled_with_log(dir.path()).await;
    let path = dir.path().join("tidings.db-wal");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let fate = fate_in(dir.path(), &logs).await;
    assert_eq!(fate.renewed.len(), TOPICS, "{fate:?}");
    assert_eq!(backups(dir.path()), 2, "the file and its log");
}

/// Waits for a text in a stream of events.
async fn hear(stream: &mut reqwest::Response, text: &str) {
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains(text) {
        let chunk = tokio::time::timeout(super::LIMIT, stream.chunk()).await;
        heard.extend_from_slice(&chunk.expect(text).unwrap().expect("it goes on"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_a_write_meets_is_repaired_while_the_gateway_runs() {
    let dir = tempfile::tempdir().unwrap();
    let logs = filled(dir.path()).await;
    let gateway = Gateway::start(dir.path(), &["--set", "log.filter=off"]);
    let stream = format!("{}/v1/topics/session:d1/events", gateway.url);
    let request = gateway
        .client
        .get(stream)
        .header("accept", "text/event-stream");
    let mut stream = request.send().await.unwrap();
    hear(&mut stream, "mark-1-19-").await;

    let path = dir.path().join("tidings.db");
    let mut bytes = fs::read(&path).unwrap();
    let mut destroyed = BTreeSet::new();
    for page in (0..bytes.len()).step_by(PAGE) {
        let marked = marked(&bytes, page);
        let is_leaf = bytes[page] == LEAF;
        if is_leaf && (marked.contains(&0) || marked.contains(&1)) {
            bytes[page..page + PAGE].fill(0xff);
            destroyed.extend(marked);
        }
    }
    fs::write(&path, &bytes).unwrap();
    assert!(destroyed.len() < TOPICS);

    // The rows of the topic cannot be found any more: its deletion meets the damage.
    let delete = format!("{}/v1/topics/session:d0", gateway.url);
    let deleted = gateway.client.delete(&delete).send().await.unwrap();
    assert_eq!(deleted.status(), 503);
    hear(&mut stream, "event: gap").await;
    until("it is ready again", async || {
        gateway.get("/readyz").await.0 == 200
    })
    .await;
    let fate = fate(&gateway, &logs).await;
    assert_eq!(fate.gone, destroyed, "{fate:?}");
    assert_eq!(fate.whole.len(), TOPICS - destroyed.len(), "{fate:?}");
    hear(&mut stream, "event: progress").await;
    assert!(backups(dir.path()) >= 1);
    let metrics = format!("{}/metrics", gateway.url);
    let metrics = gateway.client.get(metrics).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(
        metrics.contains("tidings_store_rebuilds_total 1"),
        "{metrics}"
    );
    gateway.kill();

    let gateway = Gateway::start(dir.path(), &["--set", "log.filter=off"]);
    for (number, (topic, log)) in logs.iter().enumerate() {
        let there = gateway.log(topic).await;
        let kept = if destroyed.contains(&number) {
            0
        } else {
            log.len()
        };
        assert_eq!(there[..kept], log[..kept]);
        assert_eq!(there.len(), kept + 1);
    }
}
