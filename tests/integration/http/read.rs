//! Snapshots, history, lists, and the end of a topic.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Face, request};

fn seqs(page: &Value) -> Vec<u64> {
    page["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["seq"].as_u64().unwrap())
        .collect()
}

async fn with_events(count: u64) -> (Face, String) {
    let face = Face::with(|parts| parts.store.log_events_max = 10);
    let first = face.publish("session:a", "note", json!({"n": 1})).await;
    for n in 2..=count {
        face.publish("session:a", "note", json!({"n": n})).await;
    }
    let epoch = first["epoch"].as_str().unwrap().to_owned();
    (face, epoch)
}

#[tokio::test]
async fn a_snapshot_has_what_a_late_joiner_must_know() {
    let face = Face::new();
    face.publish("session:a", "progress", json!({"progress": 1}))
        .await;
    face.publish("session:a", "model_result", json!({"modelName": "m"}))
        .await;
    face.publish(
        "session:a",
        "clarification",
        json!({"question": "?", "clarificationId": "q"}),
    )
    .await;
    face.publish("session:a", "progress", json!({"progress": 2}))
        .await;
    let last = face
        .publish("session:a", "completed", json!({"result": {}}))
        .await;
    let answer = face.get("/v1/topics/session:a").await;
    let snapshot = answer.json();
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (StatusCode::OK, "application/json")
    );
    assert_eq!(
        snapshot["cursor"],
        format!("{}:5", last["epoch"].as_str().unwrap())
    );
    assert_eq!(
        (&snapshot["topic"], &snapshot["status"]),
        (&json!("session:a"), &json!("completed"))
    );
    assert_eq!(snapshot["state"][0]["seq"], 4);
    assert_eq!(snapshot["facts"][0]["data"]["modelName"], "m");
    assert_eq!(
        snapshot["clarifications"][0]["data"]["clarificationId"],
        "q"
    );
    assert_eq!(snapshot["terminal"]["name"], "completed");
    assert_eq!(snapshot["subscribers"], 0);
}

#[tokio::test]
async fn history_is_read_by_pages() {
    let (face, epoch) = with_events(7).await;
    let page = face.get("/v1/topics/session:a/events?limit=3").await.json();
    assert_eq!(
        (seqs(&page), &page["cursor"]),
        (vec![1, 2, 3], &json!(format!("{epoch}:3")))
    );
    let page = face
        .get(&format!(
            "/v1/topics/session:a/events?since={epoch}:3&limit=4"
        ))
        .await
        .json();
    assert_eq!(
        (seqs(&page), &page["cursor"]),
        (vec![4, 5, 6, 7], &json!(null))
    );
    let page = face
        .get(&format!("/v1/topics/session:a/events?since={epoch}:7"))
        .await
        .json();
    assert_eq!((seqs(&page), &page["cursor"]), (vec![], &json!(null)));

    let page = face
        .get("/v1/topics/session:a/events?reverse=true&limit=3")
        .await
        .json();
    assert_eq!(
        (seqs(&page), &page["cursor"]),
        (vec![7, 6, 5], &json!(format!("{epoch}:5")))
    );
    let path = format!("/v1/topics/session:a/events?reverse=true&since={epoch}:5");
    let page = face.get(&path).await.json();
    assert_eq!(
        (seqs(&page), &page["cursor"]),
        (vec![4, 3, 2, 1], &json!(null))
    );
}

#[tokio::test]
async fn a_cursor_whose_place_is_gone_is_a_gap() {
    let (face, epoch) = with_events(15).await;
    let oldest = format!("{epoch}:5");
    assert_eq!(
        seqs(&face.get("/v1/topics/session:a/events").await.json()).first(),
        Some(&6)
    );
    let kept = face
        .get(&format!("/v1/topics/session:a/events?since={oldest}"))
        .await;
    assert_eq!(kept.status, StatusCode::OK);
    for from in [
        format!("{epoch}:4"),
        format!("{epoch}:16"),
        "other:6".to_owned(),
    ] {
        let answer = face
            .get(&format!("/v1/topics/session:a/events?since={from}"))
            .await;
        let problem = answer.problem(410, "gap");
        assert_eq!(
            (&problem["from"], &problem["topic"]),
            (&json!(from), &json!("session:a"))
        );
        assert_eq!(
            (&problem["to"], &problem["oldest"]),
            (&json!(format!("{epoch}:15")), &json!(oldest))
        );
    }
    let answer = face
        .get("/v1/topics/session:a/events?reverse=true&since=other:6")
        .await;
    answer.problem(410, "gap");
}

#[tokio::test]
async fn topics_are_listed_by_pages() {
    let face = Face::new();
    for topic in ["session:b", "session:a1", "session:a2", "job:a"] {
        face.publish(topic, "note", json!({})).await;
    }
    let names = |page: &Value| -> Vec<String> {
        let topics = page["topics"].as_array().unwrap();
        topics
            .iter()
            .map(|topic| topic["topic"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = face.get("/v1/topics").await.json();
    assert_eq!(
        names(&all),
        ["job:a", "session:a1", "session:a2", "session:b"]
    );
    assert_eq!(all["next"], json!(null));
    assert_eq!(
        (
            &all["topics"][0]["status"],
            &all["topics"][0]["subscribers"]
        ),
        (&json!("active"), &json!(0))
    );
    assert!(
        all["topics"][0]["updated_at"]
            .as_str()
            .unwrap()
            .ends_with('Z')
    );
    let page = face.get("/v1/topics?kind=session&limit=2").await.json();
    assert_eq!(
        (names(&page).len(), &page["next"]),
        (2, &json!("session:a2"))
    );
    let page = face
        .get("/v1/topics?kind=session&limit=2&after=session:a2")
        .await
        .json();
    assert_eq!(
        (names(&page), &page["next"]),
        (vec!["session:b".to_owned()], &json!(null))
    );
    assert_eq!(
        names(&face.get("/v1/topics?prefix=session:a").await.json()).len(),
        2
    );
}

#[tokio::test]
async fn a_deleted_topic_begins_anew() {
    let (face, epoch) = with_events(2).await;
    let delete = async || {
        face.call(request(Method::DELETE, "/v1/topics/session:a", &[], ""))
            .await
    };
    let answer = delete().await;
    assert_eq!(
        (answer.status, answer.body.len()),
        (StatusCode::NO_CONTENT, 0)
    );
    delete().await.problem(404, "topic_unknown");
    face.get("/v1/topics/session:a")
        .await
        .problem(404, "topic_unknown");
    let receipt = face.publish("session:a", "note", json!({})).await;
    assert_eq!(receipt["seq"], 1);
    assert_ne!(receipt["epoch"], epoch);
}

#[tokio::test]
async fn the_list_tells_progress_and_open_questions() {
    let face = Face::new();
    face.publish("session:a", "progress", json!({"progress": 42.5}))
        .await;
    let question = json!({"clarificationId": "q", "question": "Which?"});
    face.publish("session:a", "clarification", question).await;
    face.publish("session:b", "note", json!({"progress": 10}))
        .await;
    face.publish("session:c", "completed", json!({})).await;
    face.publish(
        "job:d",
        "file_processing",
        json!({"processed_files": 1, "total_files": 4}),
    )
    .await;
    let page = face.get("/v1/topics").await.json();
    let told: Vec<_> = page["topics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| json!([line["topic"], line["progress"], line["questions"]]))
        .collect();
    let expected = [
        json!(["job:d", 25.0, 0]),
        json!(["session:a", 42.5, 1]),
        json!(["session:b", null, 0]),
        json!(["session:c", 100.0, 0]),
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn whoever_asks_is_told_who_they_are() {
    let me = Face::new().get("/v1/whoami").await.json();
    assert_eq!(
        me,
        json!({"name": null, "role": "anyone", "is_admin": true, "may_produce": true, "needs_credential": false})
    );
}
