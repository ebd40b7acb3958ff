//! Questions to the user: one answer, and the worker that waits for it.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Answer, Face};

const RESPOND: &str = "/api/wizard/clarifications/respond";
const ANSWER: &str = "/v1/topics/session:a/clarifications/q/answer";

async fn ask(face: &Face, more: Value) {
    let mut question = json!({"question": "Which?", "clarificationId": "q"});
    for (name, value) in more.as_object().unwrap() {
        question[name] = value.clone();
    }
    face.publish("session:a", "clarification", question).await;
}

async fn respond(face: &Face, response: Value) -> Answer {
    let body = json!({"sessionId": "a", "clarificationId": "q", "response": response});
    face.post(RESPOND, &body.to_string()).await
}

fn after(duration: Duration) -> String {
    (jiff::Timestamp::now() + duration).to_string()
}

#[tokio::test]
async fn the_first_of_two_answers_wins_and_the_worker_gets_it() {
    let face = Face::new();
    ask(&face, json!({})).await;
    let path = format!("{ANSWER}?wait=30s");
    let racers = async { tokio::join!(respond(&face, json!("one")), respond(&face, json!("two"))) };
    let (answer, (one, two)) = tokio::join!(face.get(&path), racers);
    let (won, lost, response) = match one.status {
        StatusCode::OK => (one, two, "one"),
        _ => (two, one, "two"),
    };
    let data = json!({"sessionId": "a", "clarificationId": "q", "status": "answered"});
    assert_eq!(won.json(), json!({"success": true, "data": data}));
    assert_eq!(lost.status, StatusCode::CONFLICT);
    let lost = lost.json();
    assert!(
        lost["error"].as_str().unwrap().contains("was answered at"),
        "{lost}"
    );

    assert_eq!(answer.status, StatusCode::OK);
    let answer = answer.json();
    assert_eq!(
        (&answer["clarificationId"], &answer["response"]),
        (&json!("q"), &json!(response))
    );
    assert_eq!(
        (&answer["answeredAt"], &answer["answeredBy"]),
        (&lost["answeredAt"], &json!("user"))
    );
    assert_eq!(face.get(ANSWER).await.json(), answer);

    let events = face.events("session:a").await;
    assert_eq!(events.len(), 2);
    assert_eq!(
        (&events[1]["name"], &events[1]["data"]["status"]),
        (&json!("clarification"), &json!("answered"))
    );
}

#[tokio::test(start_paused = true)]
async fn an_open_question_is_204_after_the_wait() {
    let face = Face::new();
    ask(&face, json!({})).await;
    assert_eq!(face.get(ANSWER).await.status, StatusCode::NO_CONTENT);
    let began = tokio::time::Instant::now();
    let answer = face.get(&format!("{ANSWER}?wait=30s")).await;
    assert_eq!(
        (answer.status, began.elapsed().as_secs()),
        (StatusCode::NO_CONTENT, 30)
    );
    let answer = face.get(&format!("{ANSWER}?wait=2h")).await;
    assert_eq!(
        (answer.status, began.elapsed().as_secs()),
        (StatusCode::NO_CONTENT, 90)
    );
}

#[tokio::test]
async fn a_waiting_worker_is_let_go_by_a_drain() {
    let face = Face::new();
    ask(&face, json!({})).await;
    let path = format!("{ANSWER}?wait=30s");
    let (answer, ()) = tokio::join!(face.get(&path), async { face.drain.begin() });
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
}

#[tokio::test(start_paused = true)]
async fn at_expiry_the_default_is_the_answer() {
    let face = Face::new();
    let at = after(Duration::from_secs(20));
    ask(&face, json!({"expiresAt": at, "default": {"choice": 1}})).await;
    let answer = face.get(&format!("{ANSWER}?wait=30s")).await.json();
    assert_eq!(
        (&answer["response"], &answer["answeredBy"]),
        (&json!({"choice": 1}), &json!("default"))
    );
    assert_eq!(
        respond(&face, json!("late")).await.status,
        StatusCode::CONFLICT
    );
    let last = face.events("session:a").await.pop().unwrap();
    assert_eq!(
        (&last["data"]["status"], &last["data"]["answeredBy"]),
        (&json!("answered"), &json!("default"))
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_default_it_is_gone() {
    let face = Face::new();
    ask(&face, json!({"expiresAt": after(Duration::from_secs(20))})).await;
    face.get(&format!("{ANSWER}?wait=30s"))
        .await
        .problem(410, "clarification_expired");
    let late = respond(&face, json!("late")).await;
    assert_eq!(late.status, StatusCode::GONE);
    assert_eq!(
        late.json(),
        json!({"error": "the clarification has expired"})
    );
}

#[tokio::test]
async fn an_answer_must_match_the_schema() {
    let face = Face::new();
    ask(&face, json!({"schema": {"type": "integer", "minimum": 1}})).await;
    for wrong in [json!("one"), json!(0), json!(null)] {
        let answer = respond(&face, wrong).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(
            answer.json()["error"].as_str().unwrap().contains("schema"),
            "{answer:?}"
        );
    }
    assert_eq!(respond(&face, json!(1)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn null_is_an_answer_too() {
    let face = Face::new();
    ask(&face, json!({})).await;
    assert_eq!(respond(&face, json!(null)).await.status, StatusCode::OK);
    let answer = face.get(ANSWER).await;
    assert_eq!(
        (answer.status, &answer.json()["response"]),
        (StatusCode::OK, &json!(null))
    );
}

#[tokio::test]
async fn a_question_without_id_gets_one() {
    let face = Face::new();
    let receipt = face
        .publish("session:a", "clarification", json!({"question": "?"}))
        .await;
    let id = receipt["id"].as_str().unwrap();
    let body = json!({"sessionId": "a", "clarificationId": id, "response": 1}).to_string();
    assert_eq!(face.post(RESPOND, &body).await.status, StatusCode::OK);
}
