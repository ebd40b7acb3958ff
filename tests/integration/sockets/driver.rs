//! What holds for every dialect: limits, drain, handshakes, clients that take nothing.

use futures_util::SinkExt as _;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio_tungstenite::tungstenite::Message;

use super::{DEADLINE, Running};

#[tokio::test]
async fn a_late_joiner_gets_the_snapshot_then_what_comes() {
    let running = Running::start(&[]).await;
    running
        .publish("job:abc", "job_started", json!({"total_files": 2}))
        .await;
    running
        .publish("job:abc", "file_processing", json!({"processed_files": 0}))
        .await;
    running
        .publish("job:abc", "file_processing", json!({"processed_files": 1}))
        .await;
    let mut client = running.client("/ws/abc?token=anything").await;
    let (started, processing) = (client.next().await, client.next().await);
    assert_eq!(
        (&started["type"], &started["_replayed"]),
        (&json!("job_started"), &json!(true))
    );
    assert_eq!(processing["processed_files"], 1);
    running
        .publish("job:abc", "job_completed", json!({"message": "done"}))
        .await;
    let done = client.next().await;
    assert_eq!(
        (&done["type"], &done["_replayed"]),
        (&json!("job_completed"), &json!(null))
    );

    let since = format!(
        "{}:{}",
        processing["_epoch"].as_str().unwrap(),
        processing["_seq"]
    );
    let mut later = running.client(&format!("/ws/abc?since={since}")).await;
    assert_eq!(later.next().await["_seq"], done["_seq"]);
    running.gateway.drain().await;
}

#[tokio::test]
async fn a_drain_says_the_last_words_and_closes_with_1012() {
    let running = Running::start(&[]).await;
    let mut first = running.client("/ws/abc").await;
    running
        .publish("job:abc", "job_started", json!({"total_files": 1}))
        .await;
    assert_eq!(first.next().await["total_files"], 1);
    let second = running.client("/ws/other").await;
    let (left, first, second) =
        tokio::join!(running.gateway.drain(), first.closed(), second.closed());
    assert_eq!((left, first.0, second.0), (0, 1012, 1012));
}

#[tokio::test]
async fn a_request_that_is_no_handshake_is_told_so() {
    let running = Running::start(&[]).await;
    let (status, problem) = running.get("/ws/abc").await;
    assert_eq!(
        (status, &problem["code"]),
        (426, &json!("upgrade_required"))
    );
    running.gateway.drain().await;
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_closed() {
    let running = Running::start(&["face.ws.ping_interval=1s", "face.ws.ping_timeout=3s"]).await;
    let mut alive = running.client("/ws/abc").await;
    let silent = running.client("/ws/abc").await;
    let reading = async {
        running.publish("job:abc", "job_started", json!({})).await;
        alive.next().await;
        // Reading answers pings; the other one does not read, and leaves the list.
        loop {
            tokio::select! {
                _ = alive.next() => unreachable!("nothing more is published"),
                left = running.subscribers("job:abc") => if left == 1 { break },
            }
        }
        running.publish("job:abc", "job_completed", json!({})).await;
        assert_eq!(alive.next().await["type"], "job_completed");
    };
    tokio::time::timeout(DEADLINE, reading).await.unwrap();
    drop(silent);
    running.gateway.drain().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_closed_and_nobody_else_waits() {
    let running = Running::start(&["wire.write_stall_max=300ms", "hub.ring_events_max=8"]).await;
    let stuck = running.client("/ws/abc").await;
    let mut healthy = running.client("/ws/abc").await;
    let text = "x".repeat(500_000);
    let mut closed = false;
    for n in 0..200 {
        running
            .publish("job:abc", "file_completed", json!({"n": n, "text": text}))
            .await;
        while healthy.next().await["n"] != n {}
        closed = running.subscribers("job:abc").await == 1;
        if closed {
            break;
        }
    }
    assert!(closed, "the client that takes nothing is closed");
    drop(stuck);
    running.gateway.drain().await;
}

#[tokio::test]
async fn too_many_messages_close_with_1008_and_one_too_large_with_1009() {
    let running = Running::start(&["face.ws.messages_per_minute_max=10"]).await;
    let mut chatty = running.client("/ws/abc").await;
    for _ in 0..11 {
        chatty.send("{}").await;
    }
    assert_eq!(chatty.closed().await.0, 1008);

    let mut exact = running.client("/ws/abc").await;
    exact.send(&" ".repeat(1 << 20)).await;
    assert_eq!(exact.next().await["message"], "Invalid JSON format");
    let mut large = running.client("/ws/abc").await;
    large.send(&" ".repeat((1 << 20) + 1)).await;
    let (code, why) = large.closed().await;
    assert_eq!(code, 1009, "{why}");
    let mut parts = running.client("/ws/abc").await;
    // Ends a conversation that breaks the protocol.
    let tokio_tungstenite::MaybeTlsStream::Plain(tcp) = parts.0.get_mut() else {
        unreachable!("no TLS here")
    };
    tokio::io::AsyncWriteExt::write_all(tcp, &[0xff; 64])
        .await
        .unwrap();
    let mut rest = Vec::new();
    let end = tokio::time::timeout(DEADLINE, tcp.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "a client that speaks no WebSocket is closed");
    assert!(parts.0.send(Message::text("{}")).await.is_err() || rest.len() < 64);
    running.gateway.drain().await;
}
