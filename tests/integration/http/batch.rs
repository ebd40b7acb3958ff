//! Many events in one request.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Face, request};

#[tokio::test]
async fn failures_stand_beside_successes_in_order() {
    let face = Face::new();
    let batch = json!([
        {"topic": "session:a", "name": "one", "data": {"n": 1}},
        {"topic": "nonsense", "name": "one"},
        {"name": "one"},
        {"topic": "session:a", "name": "connect"},
        {"topic": "session:a", "nam": "x"},
        5,
        {"topic": "job:b", "name": "two", "data": {"n": 2}},
    ]);
    let answer = face.post("/v1/events", &batch.to_string()).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (StatusCode::OK, "application/json")
    );
    let answers = answer.json();
    let codes: Vec<&Value> = answers
        .as_array()
        .unwrap()
        .iter()
        .map(|a| &a["code"])
        .collect();
    let want = [
        json!(null),
        json!("topic_invalid"),
        json!("shape"),
        json!("event_name_invalid"),
        json!("shape"),
        json!("shape"),
        json!(null),
    ];
    assert_eq!(codes, want.iter().collect::<Vec<_>>());
    assert_eq!(
        (&answers[0]["seq"], &answers[6]["topic"]),
        (&json!(1), &json!("job:b"))
    );
    assert_eq!(answers[1]["request_id"], answer.header("x-request-id"));
    assert_eq!(answers[1]["status"], 422);
}

#[tokio::test]
async fn lines_are_answered_by_lines() {
    let face = Face::new();
    let lines = "{\"topic\":\"session:a\",\"name\":\"one\"}\r\n\n{broken\n\
                 {\"topic\":\"session:a\",\"name\":\"two\",\"data_base64\":\"AAE=\"}";
    let answer = face
        .post_as("/v1/events", "application/x-ndjson", lines)
        .await;
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    let text = answer.text();
    let answers: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), 3);
    assert_eq!(
        (&answers[0]["seq"], &answers[2]["seq"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(
        (&answers[1]["code"], &answers[1]["status"]),
        (&json!("not_json"), &json!(400))
    );
}

#[tokio::test]
async fn each_entry_has_its_own_idempotency_key() {
    let face = Face::new();
    let batch = json!([
        {"topic": "session:a", "name": "one", "idempotency_key": "k"},
        {"topic": "session:a", "name": "one", "idempotency_key": "k"},
        {"topic": "session:a", "name": "two", "idempotency_key": "k"},
        {"topic": "session:a", "name": "one", "idempotency_key": "a b"},
    ]);
    let answers = face.post("/v1/events", &batch.to_string()).await.json();
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[2]["code"], "idempotency_key_reused");
    assert_eq!(answers[3]["code"], "idempotency_key_invalid");

    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", "k"),
    ];
    let answer = face
        .call(request(Method::POST, "/v1/events", &headers, "[]"))
        .await;
    answer.problem(422, "idempotency_key_invalid");
}

#[tokio::test]
async fn a_batch_is_bounded() {
    let face = Face::with(|parts| parts.http.batch_entries_max = 2);
    let entry = r#"{"topic":"session:a","name":"one"}"#;
    let array = format!("[{entry},{entry},{entry}]");
    face.post("/v1/events", &array)
        .await
        .problem(413, "batch_too_long");
    let lines = format!("{entry}\n{entry}\n\n{entry}");
    let answer = face
        .post_as("/v1/events", "application/x-ndjson", &lines)
        .await;
    answer.problem(413, "batch_too_long");
    assert!(face.hub.topic(&"session:a".parse().unwrap()).is_none());
    let answer = face.post("/v1/events", "[]").await;
    assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!([])));
}

#[tokio::test]
async fn a_batch_that_is_no_array_is_refused() {
    let face = Face::new();
    face.post("/v1/events", "{}").await.problem(422, "shape");
    face.post("/v1/events", "[{}")
        .await
        .problem(400, "not_json");
    face.post_as("/v1/events", "text/plain", "[]")
        .await
        .problem(415, "media_type");
}
