//! The durable store, through the real binary: what was acknowledged is there after kill -9, what
//! is damaged is never told as if it were whole, and a full store is told and passes.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

/// Longest that something is waited for.
const LIMIT: Duration = Duration::from_secs(30);

struct Gateway {
    child: Child,
    url: String,
    line: String,
    client: reqwest::Client,
}

impl Gateway {
    fn start(dir: &Path, more: &[&str]) -> Self {
        let mut child = command(dir, more).spawn().unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let url = line
            .split_whitespace()
            .find(|word| word.starts_with("http://"))
            .unwrap_or_else(|| panic!("no address in `{line}`"))
            .to_owned();
        Self {
            child,
            url,
            line,
            client: reqwest::Client::new(),
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    async fn publish(&self, topic: &str, body: &Value, key: Option<&str>) -> Option<(u16, Value)> {
        publish(&self.client, &self.url, topic, body, key).await
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        let answer = self
            .client
            .get(format!("{}{path}", self.url))
            .send()
            .await
            .unwrap();
        (answer.status(), answer.json().await.unwrap_or_default())
    }

    /// All events of a topic, in order.
    async fn log(&self, topic: &str) -> Vec<Value> {
        let mut events = Vec::new();
        let mut since = String::new();
        loop {
            let path = format!("/v1/topics/{topic}/events?limit=1000{since}");
            let (status, page) = self.get(&path).await;
            assert_eq!(status, 200, "{page}");
            events.extend(page["events"].as_array().unwrap().iter().cloned());
            match page["cursor"].as_str() {
                Some(cursor) => since = format!("&since={cursor}"),
                None => return events,
            }
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(dir: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    for name in ["PORT", "RUST_LOG", "TIDINGS_CONFIG", "TIDINGS_URL"] {
        command.env_remove(name);
    }
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir)
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The status and body of the answer; nothing if the connection broke.
async fn publish(
    client: &reqwest::Client,
    url: &str,
    topic: &str,
    body: &Value,
    key: Option<&str>,
) -> Option<(u16, Value)> {
    let mut request = client
        .post(format!("{url}/v1/topics/{topic}/events"))
        .json(body);
    if let Some(key) = key {
        request = request.header("Idempotency-Key", key);
    }
    let answer = request.send().await.ok()?;
    let status = answer.status().as_u16();
    Some((status, answer.json().await.ok()?))
}

fn progress(n: u64) -> Value {
    json!({"name": "progress", "data": {"n": n}})
}

/// Why a gateway that must not start did not.
fn refused(dir: &Path) -> String {
    let mut child = command(dir, &[]).spawn().unwrap();
    let mut told = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut told)
        .unwrap();
    assert!(!child.wait().unwrap().success());
    told
}

/// Publishes until the connection breaks; notes what was acknowledged, by sequence.
async fn produce(
    client: reqwest::Client,
    url: String,
    topic: String,
    known: Arc<Mutex<BTreeMap<u64, String>>>,
) {
    for n in 0_u64.. {
        let key = format!("{}-{n}", uuid::Uuid::new_v4());
        let body = json!({"name": "model_result", "data": {"mark": key}});
        let Some((status, receipt)) = publish(&client, &url, &topic, &body, Some(&key)).await
        else {
            return;
        };
        assert_eq!(status, 200, "{receipt}");
        let seq = receipt["seq"].as_u64().unwrap();
        let doubled = known.lock().unwrap().insert(seq, key);
        assert_eq!(doubled, None, "{seq} was given twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_or_doubled_by_kill_9() {
    const TOPICS: usize = 3;
    const ROUNDS: usize = 20;
    let dir = tempfile::tempdir().unwrap();
    let known: Vec<Arc<Mutex<BTreeMap<u64, String>>>> =
        (0..TOPICS).map(|_| Arc::default()).collect();
    let mut epochs: Vec<Option<Value>> = vec![None; TOPICS];
    for round in 0..ROUNDS {
        let gateway = Gateway::start(dir.path(), &["--set", "log.filter=error"]);
        let before: usize = known.iter().map(|k| k.lock().unwrap().len()).sum();
        let producers: Vec<_> = (0..TOPICS * 2)
            .map(|n| {
                let topic = format!("session:k{}", n % TOPICS);
                let known = Arc::clone(&known[n % TOPICS]);
                #[expect(clippy::disallowed_methods, reason = "a test has no drain")]
                tokio::spawn(produce(
                    gateway.client.clone(),
                    gateway.url.clone(),
                    topic,
                    known,
                ))
            })
            .collect();
        let until = tokio::time::Instant::now() + LIMIT;
        while known.iter().map(|k| k.lock().unwrap().len()).sum::<usize>() < before + 40 {
            assert!(
                tokio::time::Instant::now() < until,
                "round {round} makes progress"
            );
            tokio::task::yield_now().await;
        }
        gateway.kill();
        for producer in producers {
            producer.await.unwrap();
        }
        let again = Gateway::start(dir.path(), &["--set", "log.filter=error"]);
        for (number, known) in known.iter().enumerate() {
            let topic = format!("session:k{number}");
            let log = again.log(&topic).await;
            let known = known.lock().unwrap().clone();
            check(&log, &known, &mut epochs[number]);
        }
        let (seq, mark) = known[0]
            .lock()
            .unwrap()
            .iter()
            .next_back()
            .map(owned)
            .unwrap();
        let body = json!({"name": "model_result", "data": {"mark": mark}});
        let (_, receipt) = again
            .publish("session:k0", &body, Some(&mark))
            .await
            .unwrap();
        assert_eq!(receipt["seq"], seq, "the receipt is replayed");
        again.kill();
    }
}

/// What was acknowledged is in the log, nothing twice, without holes, under one epoch.
fn check(log: &[Value], known: &BTreeMap<u64, String>, epoch: &mut Option<Value>) {
    let mark = |event: &Value| event["data"]["mark"].as_str().unwrap().to_owned();
    for (seq, known) in known {
        assert_eq!(mark(&log[usize::try_from(*seq).unwrap() - 1]), *known);
    }
    let distinct: std::collections::BTreeSet<_> = log.iter().map(mark).collect();
    assert_eq!(distinct.len(), log.len(), "nothing is doubled");
    for (at, event) in log.iter().enumerate() {
        assert_eq!(event["seq"], at as u64 + 1, "there are no holes");
        let epoch = epoch.get_or_insert_with(|| event["epoch"].clone());
        assert_eq!(*epoch, event["epoch"]);
    }
}

fn owned((seq, mark): (&u64, &String)) -> (u64, String) {
    (*seq, mark.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_topics_and_cursors() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(dir.path(), &[]);
    let place = dir.path().display();
    let told = format!("(store: sqlite at {place}; acknowledged after fsync)");
    assert!(gateway.line.trim_end().ends_with(&told), "{}", gateway.line);
    for n in 1..=5 {
        gateway.publish("session:a", &progress(n), None).await;
    }
    let done = json!({"name": "completed", "data": {}});
    gateway.publish("session:b", &done, None).await;
    let (_, before) = gateway.get("/v1/topics/session:a").await;
    let (_, listed) = gateway.get("/v1/topics").await;
    gateway.kill();

    let gateway = Gateway::start(dir.path(), &["--set", "store.sqlite.durability=wal"]);
    let told = "acknowledged after the write-ahead log was written";
    assert!(gateway.line.contains(told), "{}", gateway.line);
    assert_eq!(gateway.get("/v1/topics").await.1, listed);
    assert_eq!(gateway.get("/v1/topics/session:a").await.1, before);
    let cursor = before["cursor"].as_str().unwrap();
    let epoch = cursor.split(':').next().unwrap();
    let path = format!("/v1/topics/session:a/events?since={epoch}:3");
    let (_, page) = gateway.get(&path).await;
    let events = page["events"].as_array().unwrap();
    let seqs: Vec<_> = events.iter().map(|e| e["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [4, 5]);
    let next = gateway.publish("session:a", &progress(6), None).await;
    let next = next.unwrap().1;
    assert_eq!((&next["seq"], &next["epoch"]), (&json!(6), &json!(epoch)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_questions_and_receipts() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(dir.path(), &[]);
    let soon = jiff::Timestamp::now() + Duration::from_secs(2);
    for (id, expires_at) in [("q", Some(soon.to_string())), ("open", None)] {
        let data = json!({
            "clarificationId": id, "question": "?", "default": "blue", "expiresAt": expires_at
        });
        let question = json!({"name": "clarification", "data": data});
        gateway.publish("session:a", &question, None).await;
    }
    let keyed = gateway
        .publish("session:b", &progress(1), Some("key"))
        .await;
    gateway.kill();

    let gateway = Gateway::start(dir.path(), &[]);
    let answer = "/v1/topics/session:a/clarifications/q/answer?wait=20s";
    let (status, answer) = gateway.get(answer).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        (&answer["response"], &answer["answeredBy"]),
        (&json!("blue"), &json!("default"))
    );
    let (_, snapshot) = gateway.get("/v1/topics/session:a").await;
    let open = snapshot["clarifications"].as_array().unwrap();
    assert_eq!(open.len(), 1, "{snapshot}");
    let again = gateway
        .publish("session:b", &progress(1), Some("key"))
        .await;
    assert_eq!(again, keyed);
    let other = gateway
        .publish("session:b", &progress(2), Some("key"))
        .await;
    assert_eq!(other.unwrap().0, 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_and_a_newer_file_are_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(dir.path(), &[]);
    assert!(refused(dir.path()).contains("in use by another process"));
    gateway.kill();

    let path = dir.path().join("tidings.db");
    // A start and a proper end bring everything into the file; the format stands at byte 60.
    drop(tidings::store::Store::open(store_config(dir.path())).unwrap());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let told = refused(dir.path());
    assert!(
        told.contains("has format 99") && told.contains("--data-dir"),
        "{told}"
    );
    assert_eq!(std::fs::read(&path).unwrap()[60..64], 99_u32.to_be_bytes());
}

fn store_config(dir: &Path) -> tidings::store::Config {
    let defaults: toml::Table = toml::from_str(include_str!("../../config/tidings.toml")).unwrap();
    let mut config: tidings::store::Config = defaults["store"].clone().try_into().unwrap();
    config.data_dir = Some(dir.to_owned());
    config
}

/// A file with ten topics of twenty events each, and what each topic's log was.
async fn filled(dir: &Path) -> Vec<(String, Vec<Value>)> {
    let gateway = Gateway::start(dir, &["--set", "store.sqlite.durability=wal"]);
    let mut logs = Vec::new();
    for number in 0..10 {
        let topic = format!("session:d{number}");
        for n in 0..20 {
            let data = json!({"n": n, "text": format!("mark-{number}-{n}-").repeat(20)});
            let body = json!({"name": "model_result", "data": data});
            assert_eq!(gateway.publish(&topic, &body, None).await.unwrap().0, 200);
        }
        logs.push((topic.clone(), gateway.log(&topic).await));
    }
    gateway.kill();
    drop(tidings::store::Store::open(store_config(dir)).unwrap());
    logs
}

/// Every topic is what it was, or empty under a new epoch. Returns how many are what they were.
async fn whole(dir: &Path, logs: &[(String, Vec<Value>)]) -> usize {
    let gateway = Gateway::start(dir, &["--set", "log.filter=off"]);
    let mut whole = 0;
    for (topic, log) in logs {
        let epoch = log[0]["epoch"].as_str().unwrap();
        let path = format!("/v1/topics/{topic}/events?since={epoch}:2&limit=1000");
        let (status, page) = gateway.get(&path).await;
        match status.as_u16() {
            200 => {
                assert_eq!(page["events"].as_array().unwrap()[..], log[2..], "{topic}");
                whole += 1;
            }
            404 | 410 => {}
            other => panic!("{topic}: {other} {page}"),
        }
        let (status, receipt) = gateway.publish(topic, &progress(1), None).await.unwrap();
        assert_eq!(status, 200, "{receipt}");
        let is_new = receipt["epoch"] != epoch;
        assert_eq!(
            receipt["seq"],
            if is_new { 1 } else { 21 },
            "{topic} {receipt}"
        );
    }
    gateway.kill();
    whole
}

fn backups(dir: &Path) -> usize {
    std::fs::read_dir(dir)
        .unwrap()
        .filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_string_lossy().contains(".damaged-")
        })
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_file_is_told_and_copied() {
    let dir = tempfile::tempdir().unwrap();
    let logs = filled(dir.path()).await;
    let path = dir.path().join("tidings.db");
    let length = std::fs::metadata(&path).unwrap().len();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(length / 4096 * 3 / 4 * 4096).unwrap();
    let whole = whole(dir.path(), &logs).await;
    assert!(whole < logs.len(), "{whole} topics are as they were");
    assert!(backups(dir.path()) >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_is_never_told_as_if_it_were_right() {
    let origin = tempfile::tempdir().unwrap();
    let logs = filled(origin.path()).await;
    let bytes = std::fs::read(origin.path().join("tidings.db")).unwrap();
    let in_payload = bytes
        .windows(9)
        .position(|window| window == b"mark-3-7-")
        .unwrap();
    let step = bytes.len() / 12;
    let places = std::iter::once(in_payload).chain((0..12).map(|n| 100 + n * step));
    for place in places {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = bytes.clone();
        bytes[place] ^= 0x10;
        std::fs::write(dir.path().join("tidings.db"), &bytes).unwrap();
        let whole = whole(dir.path(), &logs).await;
        if place == in_payload {
            assert_eq!(whole, 9, "one topic begins anew");
            assert!(backups(dir.path()) >= 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_write_ahead_log_is_not_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(dir.path(), &[]);
    let mut last = json!(null);
    for n in 1..=30 {
        last = gateway
            .publish("session:w", &progress(n), None)
            .await
            .unwrap()
            .1;
    }
    gateway.kill();
    let path = dir.path().join("tidings.db-wal");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let gateway = Gateway::start(dir.path(), &["--set", "log.filter=off"]);
    let (_, next) = gateway
        .publish("session:w", &progress(31), None)
        .await
        .unwrap();
    assert_ne!(next["epoch"], last["epoch"]);
    assert_eq!(backups(dir.path()), 2, "the file and its log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_refuses_and_recovers_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let more = [
        "--set",
        "store.sqlite.bytes_max=512KiB",
        "--set",
        "log.filter=error",
    ];
    let gateway = Gateway::start(dir.path(), &more);
    let big = json!({"name": "model_result", "data": {"text": "x".repeat(8000)}});
    let stop = AtomicBool::new(false);
    let mut known = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let topic = format!("session:f{}", known.len() % 2);
        let (status, answer) = gateway.publish(&topic, &big, None).await.unwrap();
        match status {
            200 => known.push((topic, answer["seq"].as_u64().unwrap())),
            507 => stop.store(true, Ordering::Relaxed),
            other => panic!("{other} {answer}"),
        }
        assert!(known.len() < 500, "the bound is reached");
    }
    for number in 0..2 {
        let topic = format!("session:f{number}");
        let mine = known.iter().filter(|(name, _)| *name == topic);
        let log = gateway.log(&topic).await;
        assert_eq!(
            log.len(),
            mine.count(),
            "{topic}: what was acknowledged is readable"
        );
    }
    let delete = format!("{}/v1/topics/session:f1", gateway.url);
    let deleted = gateway.client.delete(delete).send().await.unwrap();
    assert!(deleted.status().is_success(), "{deleted:?}");
    let head = gateway.log("session:f0").await.len() as u64;
    let (status, receipt) = gateway.publish("session:f0", &big, None).await.unwrap();
    assert_eq!(
        (status, &receipt["seq"]),
        (200, &json!(head + 1)),
        "no hole: {receipt}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn space_comes_back_and_what_ended_is_forgotten_across_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let wal = ["--set", "store.sqlite.durability=wal"];
    let gateway = Gateway::start(dir.path(), &wal);
    let big = json!({"name": "completed", "data": {"text": "x".repeat(50_000)}});
    for n in 0..60 {
        let topic = format!("session:g{}", n % 6);
        assert_eq!(gateway.publish(&topic, &big, None).await.unwrap().0, 200);
    }
    let bytes = |health: Value| health["store"]["bytes"].as_u64().unwrap();
    assert!(bytes(gateway.get("/health").await.1) > 3_000_000);
    gateway.kill();

    let sweep = [
        "--set",
        "hub.sweep_interval=20ms",
        "--set",
        "hub.ended_age_max=10ms",
    ];
    let gateway = Gateway::start(dir.path(), &sweep);
    let until = tokio::time::Instant::now() + LIMIT;
    loop {
        let (_, health) = gateway.get("/health").await;
        if health["topics"] == 0 && bytes(health.clone()) < 300_000 {
            break;
        }
        assert!(tokio::time::Instant::now() < until, "{health}");
        tokio::task::yield_now().await;
    }
    gateway.kill();
    let gateway = Gateway::start(dir.path(), &[]);
    assert_eq!(gateway.get("/v1/topics").await.1["topics"], json!([]));
}
