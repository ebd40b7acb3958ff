//! The REST of the session application, in its own shapes.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Face, request};

const RESPOND: &str = "/api/wizard/clarifications/respond";

async fn data(face: &Face, path: &str) -> Value {
    let answer = face.get(path).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let mut body = answer.json();
    assert_eq!(body["success"], true);
    body["data"].take()
}

#[tokio::test]
async fn the_status_is_folded_from_events() {
    let face = Face::new();
    face.publish("session:a", "started", json!({})).await;
    let status = data(&face, "/api/wizard/status/a").await;
    assert_eq!(
        (&status["status"], &status["progress"]),
        (&json!("ACTIVE"), &json!(0))
    );
    assert_eq!(
        (&status["prompts"]["total"], &status["hasResult"]),
        (&json!(0), &json!(false))
    );

    let prompts = json!({"total": 4, "completed": 1, "processing": 1, "pending": 2, "failed": 0});
    let progress = json!({"status": "PROCESSING", "progress": 25, "prompts": prompts});
    face.publish("session:a", "progress", progress).await;
    face.publish("session:a", "clarification", json!({"question": "?"}))
        .await;
    let status = data(&face, "/api/wizard/status/a").await;
    assert_eq!(status["prompts"], prompts);
    assert_eq!(
        (&status["status"], &status["progress"]),
        (&json!("PROCESSING"), &json!(25))
    );
    assert_eq!(
        (&status["hasClarifications"], &status["clarificationCount"]),
        (&json!(true), &json!(1))
    );
    assert_eq!(
        (&status["sessionId"], &status["_seq"]),
        (&json!("a"), &json!(null))
    );
    assert!(status["timestamp"].is_string());

    face.publish("session:a", "completed", json!({"result": {"answer": 42}}))
        .await;
    let status = data(&face, "/api/wizard/status/a").await;
    assert_eq!(
        (&status["status"], &status["progress"]),
        (&json!("COMPLETED"), &json!(100))
    );
    assert_eq!(
        (&status["hasResult"], &status["result"]),
        (&json!(true), &json!({"answer": 42}))
    );
}

#[tokio::test]
async fn a_session_that_failed_says_why() {
    let face = Face::new();
    face.publish("session:a", "progress", json!({"progress": 25}))
        .await;
    let body = r#"{"name":"error","data":{"error":"no disk"},"terminal":true}"#;
    face.post("/v1/topics/session:a/events", body).await;
    let status = data(&face, "/api/wizard/status/a").await;
    assert_eq!(
        (&status["status"], &status["error"]),
        (&json!("FAILED"), &json!("no disk"))
    );
    assert_eq!(
        (&status["progress"], &status["hasResult"]),
        (&json!(25), &json!(false))
    );

    face.publish("session:b", "cancelled", json!({})).await;
    assert_eq!(
        data(&face, "/api/wizard/status/b").await["status"],
        "FAILED"
    );
}

#[tokio::test]
async fn a_session_has_results_and_open_questions() {
    let face = Face::new();
    face.publish("session:a", "model_result", json!({"modelName": "m1"}))
        .await;
    face.publish("session:a", "model_result", json!({"modelName": "m2"}))
        .await;
    let asked = json!({"question": "Which?", "clarificationId": "z", "context": {"file": "x"}});
    face.publish("session:a", "clarification", asked).await;
    face.publish(
        "session:a",
        "clarification",
        json!({"question": "?", "clarificationId": "b"}),
    )
    .await;
    let session = data(&face, "/api/wizard/session/a").await;
    assert_eq!(
        (&session["id"], &session["sessionId"]),
        (&json!("a"), &json!("a"))
    );
    assert_eq!(session["modelResults"][1]["modelName"], "m2");

    let questions = data(&face, "/api/wizard/clarifications/a").await;
    assert_eq!(questions["sessionId"], "a");
    let list = questions["clarifications"].as_array().unwrap();
    assert_eq!(list, session["clarifications"].as_array().unwrap());
    assert_eq!(
        (&list[0]["id"], &list[0]["question"]),
        (&json!("z"), &json!("Which?"))
    );
    assert_eq!(
        (&list[0]["context"], &list[1]["context"]),
        (&json!({"file": "x"}), &json!(null))
    );
    assert!(list[0]["createdAt"].as_str().unwrap().ends_with('Z'));

    let body = json!({"sessionId": "a", "clarificationId": "z", "response": "x"}).to_string();
    assert_eq!(face.post(RESPOND, &body).await.status, StatusCode::OK);
    let questions = data(&face, "/api/wizard/clarifications/a").await;
    assert_eq!(questions["clarifications"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn refusals_are_in_the_applications_shape() {
    let face = Face::new();
    face.publish("session:a", "progress", json!({})).await;
    for path in ["session", "status", "clarifications"] {
        let answer = face.get(&format!("/api/wizard/{path}/nobody")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.json(), json!({"error": "Session not found"}));
    }
    let refused = async |body: &str| {
        let answer = face.post(RESPOND, body).await;
        let json = answer.json();
        assert_eq!(json.as_object().unwrap().len(), 1, "{json}");
        (
            answer.status.as_u16(),
            json["error"].as_str().unwrap().to_owned(),
        )
    };
    assert_eq!(refused("{").await.0, 400);
    for (body, status, says) in [
        (
            r#"{"sessionId":"a","clarificationId":"q"}"#,
            422,
            "response",
        ),
        (r#"{"sessionId":"a","response":1}"#, 422, "clarificationId"),
        (
            r#"{"sessionId":5,"clarificationId":"q","response":1}"#,
            422,
            "sessionId",
        ),
        (
            r#"{"sessionId":"a b","clarificationId":"q","response":1}"#,
            422,
            "not allowed",
        ),
        (
            r#"{"sessionId":"b","clarificationId":"q","response":1}"#,
            404,
            "Session not found",
        ),
        (
            r#"{"sessionId":"a","clarificationId":"q","response":1}"#,
            404,
            "Clarification not found",
        ),
    ] {
        let (got, error) = refused(body).await;
        assert!(
            got == status && error.contains(says),
            "{body}: {got} {error}"
        );
    }
    assert_eq!(
        face.post_as(RESPOND, "text/plain", "{}")
            .await
            .status
            .as_u16(),
        415
    );
    let answer = face.call(request(Method::DELETE, RESPOND, &[], "")).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(answer.json()["error"].is_string());
    let answer = face.get("/api/wizard/nothing").await;
    assert_eq!(
        (answer.status, answer.json()["error"].is_string()),
        (StatusCode::NOT_FOUND, true)
    );
}
