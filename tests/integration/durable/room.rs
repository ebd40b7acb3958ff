//! No room, or no way to write: told, nothing lost, and passing by itself.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::{Gateway, Known, check, progress, publish, tell, until};

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

/// A disk of some megabytes that can be filled: a file system of its own where that may be mounted,
/// else the bound on the size of files that every process has.
struct SmallDisk {
    dir: tempfile::TempDir,
    is_mounted: bool,
}

impl SmallDisk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=6m", "tidings-test"])
            .arg(dir.path())
            .output();
        let is_mounted = mounted.is_ok_and(|output| output.status.success());
        tell(&format!("a file system of its own: {is_mounted}"));
        Self { dir, is_mounted }
    }

    fn data(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }

    /// Leaves room for some events more.
    fn fill(&self, gateway: &Gateway) {
        const ROOM: u64 = 200_000;
        if self.is_mounted {
            let ballast = self.dir.path().join("ballast");
            // As much as goes in, and then somewhat less.
            let _ = fs::write(&ballast, vec![1; 6 << 20]);
            let length = fs::metadata(&ballast).unwrap().len();
            let file = fs::File::options().write(true).open(&ballast).unwrap();
            file.set_len(length - ROOM).unwrap();
        } else {
            let wal = fs::metadata(self.data().join("tidings.db-wal")).unwrap();
            gateway.bound_files(Some(wal.len() + ROOM));
        }
    }

    fn make_room(&self, gateway: &Gateway) {
        if self.is_mounted {
            fs::remove_file(self.dir.path().join("ballast")).unwrap();
        } else {
            gateway.bound_files(None);
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if self.is_mounted {
            let _ = Command::new("umount").arg(self.dir.path()).status();
        }
    }
}

/// What producers note, for all to see.
#[derive(Default)]
struct Notes {
    known: [Mutex<Known>; 2],
    refused: AtomicU64,
    stop: AtomicBool,
}

impl Notes {
    fn acknowledged(&self) -> usize {
        self.known.iter().map(|k| k.lock().unwrap().len()).sum()
    }
}

/// Publishes on and on; a refusal must be one of those that are promised.
async fn produce(gateway: (reqwest::Client, String), number: usize, notes: Arc<Notes>) {
    let topic = format!("session:f{}", number % 2);
    for n in 0_u64.. {
        if notes.stop.load(Ordering::Relaxed) {
            return;
        }
        let mark = format!("{number}-{n}");
        let data = json!({"mark": mark, "text": "x".repeat(2000)});
        let body = json!({"name": "model_result", "data": data});
        let (client, url) = &gateway;
        let (status, answer) = publish(client, url, &topic, &body, None).await.unwrap();
        match (status, answer["code"].as_str()) {
            (200, _) => {
                let seq = answer["seq"].as_u64().unwrap();
                let doubled = notes.known[number % 2].lock().unwrap().insert(seq, mark);
                assert_eq!(doubled, None);
            }
            (507, Some("store_full")) | (503, Some("store_away")) => {
                notes.refused.fetch_add(1, Ordering::Relaxed);
            }
            other => panic!("{other:?} {answer}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_loses_nothing_and_passes_while_publishes_go_on() {
    let disk = SmallDisk::new();
    let gateway = Gateway::start_boundable(&disk.data(), &["--set", "log.filter=off"]);
    let notes = Arc::new(Notes::default());
    let producers: Vec<_> = (0..6)
        .map(|number| {
            let gateway = (gateway.client.clone(), gateway.url.clone());
            #[expect(clippy::disallowed_methods, reason = "a test has no drain")]
            tokio::spawn(produce(gateway, number, Arc::clone(&notes)))
        })
        .collect();
    for _ in 0..2 {
        let before = notes.acknowledged();
        until("publishes go well", async || {
            notes.acknowledged() > before + 30
        })
        .await;
        disk.fill(&gateway);
        let before = notes.refused.load(Ordering::Relaxed);
        let refused = || notes.refused.load(Ordering::Relaxed) - before;
        until("publishes are refused", async || refused() > 30).await;
        for number in 0..2 {
            let known = notes.known[number].lock().unwrap().clone();
            check(
                &gateway.log(&format!("session:f{number}")).await,
                &known,
                &mut None,
            );
        }
        disk.make_room(&gateway);
        let before = notes.acknowledged();
        until("it passes by itself", async || {
            notes.acknowledged() > before + 30
        })
        .await;
        until("it is ready", async || {
            gateway.get("/readyz").await.0 == 200
        })
        .await;
    }
    notes.stop.store(true, Ordering::Relaxed);
    for producer in producers {
        producer.await.unwrap();
    }
    gateway.kill();
    let gateway = Gateway::start(&disk.data(), &["--set", "log.filter=off"]);
    for number in 0..2 {
        let known = notes.known[number].lock().unwrap().clone();
        check(
            &gateway.log(&format!("session:f{number}")).await,
            &known,
            &mut None,
        );
    }
    drop(gateway);
}

/// It is told, by those who ask and to those who publish, that nothing can be written.
async fn is_away(gateway: &Gateway) {
    until("the store is away", async || {
        gateway.publish("session:a", &progress(9), None).await;
        gateway.get("/readyz").await.0 == 503
    })
    .await;
    let (_, why) = gateway.get("/readyz").await;
    assert_eq!(why["code"], "store_away", "{why}");
    let request = gateway
        .client
        .post(format!("{}/v1/topics/session:a/events", gateway.url))
        .json(&progress(9));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"), "{answer:?}");
    let problem: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "store_away", "{problem}");
    assert_eq!(gateway.get("/health").await.1["store"]["state"], "away");
    assert_eq!(gateway.get("/healthz").await.0, 200);
    assert_eq!(gateway.log("session:a").await.len(), 3, "reads go on");
}

async fn is_back(gateway: &Gateway) {
    until("the store is back", async || {
        gateway.get("/readyz").await.0 == 200
    })
    .await;
    let (status, receipt) = gateway
        .publish("session:a", &progress(4), None)
        .await
        .unwrap();
    assert_eq!(
        (status, &receipt["seq"]),
        (200, &json!(4)),
        "no hole: {receipt}"
    );
    assert_eq!(gateway.get("/health").await.1["store"]["state"], "ok");
}

async fn with_three_events(dir: &Path) -> Gateway {
    let gateway = Gateway::start_boundable(dir, &["--set", "log.filter=off"]);
    for n in 1..=3 {
        gateway.publish("session:a", &progress(n), None).await;
    }
    gateway
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_write_is_not_ready_and_comes_back_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = with_three_events(dir.path()).await;
    gateway.bound_files(Some(4096));
    is_away(&gateway).await;
    gateway.bound_files(None);
    is_back(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_moved_away_is_not_written_to() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = with_three_events(dir.path()).await;
    let (path, elsewhere) = (dir.path().join("tidings.db"), dir.path().join("elsewhere"));
    fs::rename(&path, &elsewhere).unwrap();
    is_away(&gateway).await;
    fs::rename(&elsewhere, &path).unwrap();
    is_back(&gateway).await;
}
