//! Bad input to the plain WebSocket dialects: the dialect's own error, the connection as the
//! contract says, and nobody else disturbed.

use serde_json::json;

use super::Running;

/// Ids that are none, as they stand in a path.
const BAD_IDS: [&str; 7] = [
    "..%2F..%2Fetc%2Fpasswd",
    "a%00b",
    "%C3%A4",
    ".hidden",
    "a%20b",
    "%F0%9F%A6%80",
    "a%3Ab",
];

#[tokio::test]
async fn ids_that_are_none_are_refused_in_the_dialects_words() {
    let running = Running::start(&[]).await;
    let mut healthy = running.client("/ws/abc").await;
    let long = "x".repeat(129);
    for id in BAD_IDS.into_iter().chain([long.as_str()]) {
        let mut client = running.client(&format!("/ws/{id}")).await;
        let error = client.next().await;
        assert_eq!(error["type"], "error", "{id}: {error}");
        assert_eq!(client.closed().await.0, 1008, "{id}");
    }
    running.publish("job:abc", "job_started", json!({})).await;
    assert_eq!(healthy.next().await["type"], "job_started");
    running.gateway.drain().await;
}

#[tokio::test]
async fn what_is_no_message_is_an_error_and_the_connection_stays() {
    let running = Running::start(&[]).await;
    let mut client = running.client("/ws/abc").await;
    for text in [
        "{",
        "",
        "null",
        "[]",
        "{\"type\":7}",
        "\u{0}",
        "{\"action\":\"dance\"}",
    ] {
        client.send(text).await;
        assert_eq!(client.next().await["type"], "error", "{text}");
    }
    running.publish("job:abc", "job_started", json!({})).await;
    assert_eq!(client.next().await["type"], "job_started");
    running.gateway.drain().await;
}
