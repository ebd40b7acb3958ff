//! CloudEvents 1.0 in their three modes.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Answer, Face, request};

const EVENTS: &str = "/v1/topics/session:a/events";
const STRUCTURED: &str = "application/cloudevents+json";

fn event() -> Value {
    json!({
        "specversion": "1.0", "id": "1", "source": "/worker", "type": "progress",
        "subject": "session:a", "time": "2026-01-15T10:00:00Z", "myextension": 5,
        "data": {"progress": 5},
    })
}

async fn binary(face: &Face, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut all = vec![
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "/w"),
    ];
    all.extend_from_slice(headers);
    face.call(request(Method::POST, path, &all, body)).await
}

#[tokio::test]
async fn a_structured_event_is_published_once() {
    let face = Face::new();
    for path in ["/v1/events", EVENTS, "/v1/events"] {
        let answer = face.post_as(path, STRUCTURED, &event().to_string()).await;
        assert_eq!(
            (answer.status, &answer.json()["seq"]),
            (StatusCode::OK, &json!(1))
        );
    }
    let events = face.events("session:a").await;
    assert_eq!(
        (&events[0]["name"], &events[0]["class"]),
        (&json!("progress"), &json!("state"))
    );
    assert_eq!(events[0]["data"]["progress"], 5);
}

#[tokio::test]
async fn a_structured_event_may_carry_bytes() {
    let face = Face::new();
    let mut event = event();
    event.as_object_mut().unwrap().remove("data");
    event["data_base64"] = json!("AAE=");
    let answer = face
        .post_as("/v1/events", STRUCTURED, &event.to_string())
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(face.events("session:a").await[0]["data_base64"], "AAE=");
}

#[tokio::test]
async fn a_batch_has_a_result_for_each() {
    let face = Face::new();
    let mut broken = event();
    broken["specversion"] = json!("0.3");
    let mut other = event();
    other["id"] = json!("2");
    let batch = json!([event(), broken, other]).to_string();
    for path in ["/v1/events", EVENTS] {
        let answer = face
            .post_as(path, "application/cloudevents-batch+json", &batch)
            .await;
        let answers = answer.json();
        assert_eq!(
            (&answers[0]["seq"], &answers[2]["seq"]),
            (&json!(1), &json!(2))
        );
        assert_eq!(answers[1]["code"], "cloud_event_invalid");
    }
}

#[tokio::test]
async fn binary_mode_keeps_what_the_data_is() {
    let face = Face::new();
    for (id, media, body) in [
        ("1", "application/json", r#"{"n":1}"#),
        ("2", "application/vnd.app+json; charset=utf-8", "[1]"),
        ("3", "text/plain", "two\nlines"),
        ("4", "application/octet-stream", "\u{1}"),
        ("5", "application/json", ""),
    ] {
        let headers = [("content-type", media), ("ce-type", "note"), ("ce-id", id)];
        let answer = face
            .call(request(
                Method::POST,
                "/v1/events",
                &[
                    &headers[..],
                    &[
                        ("ce-specversion", "1.0"),
                        ("ce-source", "/w"),
                        ("ce-subject", "room:a"),
                    ],
                ]
                .concat(),
                body,
            ))
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
    let events = face.events("room:a").await;
    assert_eq!(events[0]["data"]["n"], 1);
    assert_eq!(events[1]["data"], json!([1]));
    assert_eq!(events[2]["data"], "two\nlines");
    assert_eq!(events[3]["data_base64"], "AQ==");
    assert_eq!(events[4]["data"]["_seq"], 5);
}

#[tokio::test]
async fn what_is_no_cloud_event_is_refused() {
    let face = Face::new();
    for (change, says) in [
        (json!({"specversion": "2.0"}), "use `1.0`"),
        (json!({"id": ""}), "`id` is missing"),
        (json!({"source": null}), "`source` is missing"),
        (json!({"type": null}), "`type` is missing"),
        (json!({"subject": null}), "`subject` must name the topic"),
        (json!({"data_base64": "AA=="}), "not both"),
        (json!({"source": "x".repeat(1100)}), "more than 1024 bytes"),
    ] {
        let mut event = event();
        for (name, value) in change.as_object().unwrap() {
            event[name] = value.clone();
        }
        let answer = face
            .post_as("/v1/events", STRUCTURED, &event.to_string())
            .await;
        let problem = answer.problem(422, "cloud_event_invalid");
        assert!(
            problem["detail"].as_str().unwrap().contains(says),
            "{problem}"
        );
    }
    let mut wrong = event();
    wrong["subject"] = json!("nonsense");
    let answer = face
        .post_as("/v1/events", STRUCTURED, &wrong.to_string())
        .await;
    answer.problem(422, "topic_invalid");
    let answer = binary(
        &face,
        EVENTS,
        &[("content-type", STRUCTURED), ("ce-type", "a")],
        "{}",
    );
    answer.await.problem(422, "cloud_event_invalid");
    let answer = binary(&face, EVENTS, &[("ce-type", "a b")], "{}").await;
    answer.problem(422, "event_name_invalid");
    let answer = binary(&face, EVENTS, &[("ce-type", "a")], "{").await;
    answer.problem(422, "payload_invalid");
}
