//! Space comes back, and what ended is forgotten.

use std::path::Path;

use serde_json::{Value, json};

use super::{Gateway, LIMIT, progress, until};

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
    assert!(file_bytes(dir.path()) < 300_000, "the file itself is small");
}

/// The bytes of the file on the disk. Opening moved its log into it.
fn file_bytes(dir: &Path) -> u64 {
    std::fs::metadata(dir.join("tidings.db")).unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_keeps_what_its_own_bounds_say() {
    let dir = tempfile::tempdir().unwrap();
    let set = [
        "store.sqlite.durability=wal",
        "store.kinds.job.log_events_max=10",
        "store.kinds.scan.log_bytes_max=64KiB",
        "store.kinds.room.log_age_max=1s",
        "hub.kinds.library.ended_age_max=10ms",
        "hub.sweep_interval=20ms",
    ];
    let more: Vec<_> = set.iter().flat_map(|set| ["--set", *set]).collect();
    let gateway = Gateway::start(dir.path(), &more);
    let big = json!({"name": "progress", "data": {"text": "x".repeat(8000)}});
    for _ in 0..300 {
        for topic in ["job:a", "scan:a"] {
            assert_eq!(gateway.publish(topic, &big, None).await.unwrap().0, 200);
        }
    }
    assert_eq!(gateway.log("job:a").await.len(), 10);
    let in_scan = gateway.log("scan:a").await.len();
    assert!((4..=8).contains(&in_scan), "{in_scan}");

    gateway.publish("room:a", &progress(1), None).await;
    until("the first event is too old", async || {
        gateway.publish("room:a", &progress(2), None).await;
        gateway.log("room:a").await[0]["seq"] != 1
    })
    .await;

    let done = json!({"name": "completed", "data": {}});
    gateway.publish("library:a", &done, None).await;
    gateway.publish("session:a", &done, None).await;
    until("what ended is forgotten", async || {
        gateway.get("/v1/topics/library:a").await.0 == 404
    })
    .await;
    assert_eq!(gateway.get("/v1/topics/session:a").await.0, 200);
    gateway.kill();

    let gateway = Gateway::start(dir.path(), &more);
    assert_eq!(gateway.log("job:a").await.len(), 10);
    until("space comes back", async || {
        file_bytes(dir.path()) < 3_200_000
    })
    .await;
}
