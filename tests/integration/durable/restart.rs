//! What a restart brings back.

use std::time::Duration;

use serde_json::json;

use super::{Gateway, progress, refused, store_config};

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
