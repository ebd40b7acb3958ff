//! One event to a topic.

use axum::http::{Method, StatusCode};
use serde_json::json;

use super::{Face, request};

const EVENTS: &str = "/v1/topics/session:a/events";

#[tokio::test]
async fn a_receipt_says_where_the_event_is() {
    let face = Face::new();
    let first = face
        .publish("session:a", "progress", json!({"progress": 1}))
        .await;
    let second = face
        .publish("session:a", "progress", json!({"progress": 2}))
        .await;
    assert_eq!(
        (&first["topic"], &first["seq"]),
        (&json!("session:a"), &json!(1))
    );
    assert_eq!(
        (&second["seq"], &second["epoch"]),
        (&json!(2), &first["epoch"])
    );
    assert_eq!(first["subscribers"], 0);
    assert_eq!(first["id"].as_str().unwrap().len(), 36);
    assert!(first["timestamp"].as_str().unwrap().ends_with('Z'));

    let events = face.events("session:a").await;
    assert_eq!(events[0]["data"]["sessionId"], "a");
    assert_eq!(events[0]["data"]["_seq"], 1);
    assert_eq!(events[0]["data"]["_epoch"], first["epoch"]);
    assert_eq!(events[0]["timestamp"], first["timestamp"]);
}

#[tokio::test]
async fn any_json_is_a_payload_and_passes_untouched() {
    let face = Face::new();
    let payloads = [
        json!(null),
        json!(1.5),
        json!("é\n"),
        json!([1, {"a": null}]),
    ];
    for payload in &payloads {
        face.publish("room:a", "note", payload.clone()).await;
    }
    let events = face.events("room:a").await;
    let got: Vec<_> = events.iter().map(|event| event["data"].clone()).collect();
    assert_eq!(got, payloads);
}

#[tokio::test]
async fn bytes_are_published_as_base64() {
    let face = Face::new();
    let answer = face
        .post(EVENTS, r#"{"name":"blob","data_base64":"AP8Q"}"#)
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    let events = face.events("session:a").await;
    assert_eq!(events[0]["data_base64"], "AP8Q");
    assert!(events[0].get("data").is_none());
}

#[tokio::test]
async fn class_key_and_terminal_are_kept() {
    let face = Face::new();
    for body in [
        r#"{"name":"step","class":"state","key":"one","data":{"n":1}}"#,
        r#"{"name":"step","class":"state","key":"one","data":{"n":2},"attempt":2}"#,
        r#"{"name":"error","data":{"error":"x"},"terminal":true}"#,
    ] {
        assert_eq!(
            face.post(EVENTS, body).await.status,
            StatusCode::OK,
            "{body}"
        );
    }
    let snapshot = face.get("/v1/topics/session:a").await.json();
    assert_eq!(snapshot["state"].as_array().unwrap().len(), 1);
    assert_eq!(snapshot["state"][0]["attempt"], 2);
    assert_eq!(
        (
            &snapshot["state"][0]["key"],
            &snapshot["state"][0]["data"]["n"]
        ),
        (&json!("one"), &json!(2))
    );
    assert_eq!(
        (&snapshot["status"], &snapshot["terminal"]["class"]),
        (&json!("failed"), &json!("terminal"))
    );
}

#[tokio::test]
async fn a_name_that_ends_the_story_can_be_told_not_to() {
    let face = Face::new();
    let body = r#"{"name":"completed","terminal":false}"#;
    assert_eq!(face.post(EVENTS, body).await.status, StatusCode::OK);
    assert_eq!(face.events("session:a").await[0]["class"], "fact");
}

#[tokio::test]
async fn a_body_without_content_type_is_taken_as_json() {
    let face = Face::new();
    let answer = face
        .call(request(Method::POST, EVENTS, &[], r#"{"name":"a"}"#))
        .await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn a_retry_gets_the_first_receipt() {
    let face = Face::new();
    let send = async |key: &str, body: &str| {
        let headers = [
            ("content-type", "application/json"),
            ("idempotency-key", key),
        ];
        face.call(request(Method::POST, EVENTS, &headers, body))
            .await
    };
    let first = send("k1", r#"{"name":"a","data":{"n":1}}"#).await;
    let retry = send("k1", r#"{"name":"a","data":{"n":1}}"#).await;
    assert_eq!((retry.status, retry.json()), (StatusCode::OK, first.json()));

    for other in [
        r#"{"name":"a","data":{"n":2}}"#,
        r#"{"name":"b","data":{"n":1}}"#,
    ] {
        send("k1", other)
            .await
            .problem(422, "idempotency_key_reused");
    }
    assert_eq!(
        send("k2", r#"{"name":"a","data":{"n":2}}"#).await.json()["seq"],
        2
    );
    for bad in ["", "a b", &"x".repeat(256)] {
        send(bad, r#"{"name":"a"}"#)
            .await
            .problem(422, "idempotency_key_invalid");
    }
    assert_eq!(face.events("session:a").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_at_once_make_one_event() {
    let face = Face::new();
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", "k"),
    ];
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let face = face.clone();
        let request = request(Method::POST, EVENTS, &headers, r#"{"name":"a"}"#);
        tasks.spawn(async move { face.call(request).await });
    }
    let answers = tasks.join_all().await;
    let mut receipts = Vec::new();
    for answer in answers {
        match answer.status {
            StatusCode::OK => receipts.push(answer.json()),
            _ => assert!(answer.problem(409, "idempotency_key_in_flight")["detail"].is_string()),
        }
    }
    assert!(!receipts.is_empty());
    assert!(
        receipts
            .iter()
            .all(|receipt| receipt["id"] == receipts[0]["id"])
    );
    assert_eq!(face.events("session:a").await.len(), 1);
}
