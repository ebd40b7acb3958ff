//! Space comes back, and what ended is forgotten.

use serde_json::{Value, json};

use super::{Gateway, LIMIT};

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
