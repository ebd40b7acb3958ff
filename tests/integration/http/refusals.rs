//! Every way to be refused, in the face's own words.

use axum::http::{Method, StatusCode};
use serde_json::json;

use super::{Face, request};

const EVENTS: &str = "/v1/topics/session:a/events";

/// Bodies, each with the status, the code and a part of the detail of its refusal.
const MALFORMED: &[(&str, u16, &str, &str)] = &[
    ("", 400, "not_json", "EOF"),
    ("{\"name\":", 400, "not_json", "line 1"),
    ("[]", 422, "shape", "expected"),
    (r#"{"name":"a","nam":1}"#, 422, "shape", "`nam`"),
    (r#"{"name":7}"#, 422, "shape", "`name`"),
    (r#"{"data":{}}"#, 422, "shape", "missing field `name`"),
    (
        r#"{"name":""}"#,
        422,
        "event_name_invalid",
        "starts with a letter",
    ),
    (
        r#"{"name":"connect"}"#,
        422,
        "event_name_invalid",
        "`connect` is reserved",
    ),
    (r#"{"name":"_a"}"#, 422, "event_name_invalid", "reserved"),
    (
        r#"{"name":"a","data":{"_seq":1}}"#,
        422,
        "payload_invalid",
        "`_seq`",
    ),
    (
        r#"{"name":"a","data":{"sessionId":"b"}}"#,
        422,
        "payload_invalid",
        "`b`",
    ),
    (
        r#"{"name":"a","data":{"sessionId":5}}"#,
        422,
        "payload_invalid",
        "must be a string",
    ),
    (r#"{"name":"a","class":"x"}"#, 422, "shape", "`x`"),
    (r#"{"name":"a","attempt":0}"#, 422, "shape", "`attempt`"),
    (r#"{"name":"a","data_base64":"*"}"#, 422, "shape", "base64"),
    (
        r#"{"name":"clarification","data":5}"#,
        422,
        "clarification_invalid",
        "object",
    ),
    (
        r#"{"name":"clarification","data":{"question":"?","expiresAt":"soon"}}"#,
        422,
        "clarification_invalid",
        "`expiresAt`",
    ),
    (
        r#"{"name":"clarification","data":{"question":"?","schema":{"type":5}}}"#,
        422,
        "clarification_invalid",
        "`schema`",
    ),
];

#[tokio::test]
async fn a_publish_is_refused_with_what_is_wrong() {
    let face = Face::new();
    for &(body, status, code, says) in MALFORMED {
        let problem = face.post(EVENTS, body).await.problem(status, code);
        assert!(
            problem["detail"].as_str().unwrap().contains(says),
            "{body}: {problem}"
        );
    }
    let deep = format!(
        r#"{{"name":"a","data":{}{}}}"#,
        "[".repeat(70),
        "]".repeat(70)
    );
    face.post(EVENTS, &deep)
        .await
        .problem(422, "payload_invalid");
    let long = format!(r#"{{"name":"a","key":"{}"}}"#, "k".repeat(129));
    face.post(EVENTS, &long).await.problem(422, "shape");
    assert!(face.hub.topic(&"session:a".parse().unwrap()).is_none());
}

#[tokio::test]
async fn topics_are_refused_by_name() {
    let face = Face::new();
    for (topic, says) in [
        ("abc", "has no kind"),
        ("stream:a", "unknown topic kind"),
        ("session:", "empty"),
        ("session:.a", "not allowed"),
        ("session:a%2Fb", "not allowed"),
        ("session:%C3%A9", "not allowed"),
        ("job:scan", "reserved"),
    ] {
        let answer = face
            .post(&format!("/v1/topics/{topic}/events"), r#"{"name":"a"}"#)
            .await;
        let problem = answer.problem(422, "topic_invalid");
        assert!(
            problem["detail"].as_str().unwrap().contains(says),
            "{topic}: {problem}"
        );
        face.get(&format!("/v1/topics/{topic}"))
            .await
            .problem(422, "topic_invalid");
        face.get(&format!("/v1/topics/{topic}/events"))
            .await
            .problem(422, "topic_invalid");
    }
    face.get("/v1/topics/session:%FF")
        .await
        .problem(422, "topic_invalid");
}

#[tokio::test]
async fn what_is_unknown_is_404() {
    let face = Face::new();
    face.get("/nothing/here").await.problem(404, "path_unknown");
    face.get("/").await.problem(404, "path_unknown");
    for path in ["", "/events", "/subscribers"] {
        face.get(&format!("/v1/topics/session:x{path}"))
            .await
            .problem(404, "topic_unknown");
    }
    let path = "/v1/topics/session:x/clarifications/q/answer";
    face.get(path).await.problem(404, "clarification_unknown");
    face.publish("session:x", "a", json!({})).await;
    face.get(path).await.problem(404, "clarification_unknown");
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let face = Face::new();
    for (method, path, allow) in [
        (Method::PUT, EVENTS, "GET,HEAD,POST"),
        (Method::POST, "/v1/topics/session:a", "GET,HEAD,DELETE"),
        (Method::GET, "/v1/events", "POST"),
        (Method::DELETE, "/healthz", "GET,HEAD"),
    ] {
        let answer = face.call(request(method, path, &[], "")).await;
        answer.problem(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), allow, "{path}");
    }
}

#[tokio::test]
async fn bodies_of_another_type_are_refused() {
    let face = Face::new();
    for media in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/x-ndjson",
    ] {
        let answer = face.post_as(EVENTS, media, r#"{"name":"a"}"#).await;
        let problem = answer.problem(415, "media_type");
        assert!(
            problem["detail"]
                .as_str()
                .unwrap()
                .contains("application/json")
        );
    }
    let headers = [
        ("content-type", "application/json"),
        ("content-encoding", "gzip"),
    ];
    let answer = face
        .call(request(Method::POST, EVENTS, &headers, "{}"))
        .await;
    answer.problem(415, "media_type");
}

#[tokio::test]
async fn what_is_too_large_is_413() {
    let face = Face::with(|parts| {
        parts.http.body_bytes_max = "2KiB".parse().unwrap();
        parts.hub.payload_bytes_max = "1KiB".parse().unwrap();
    });
    let body = |bytes: usize| format!(r#"{{"name":"a","data":"{}"}}"#, "x".repeat(bytes));
    face.post(EVENTS, &body(1500))
        .await
        .problem(413, "payload_too_large");
    face.post(EVENTS, &body(3000))
        .await
        .problem(413, "body_too_large");
    assert_eq!(face.post(EVENTS, &body(900)).await.status, StatusCode::OK);
    let asked = json!({"question": "?", "clarificationId": "q"});
    face.publish("session:a", "clarification", asked).await;
    for bytes in [1200, 3000] {
        let answer =
            json!({"sessionId": "a", "clarificationId": "q", "response": "x".repeat(bytes)});
        let answer = face
            .post("/api/wizard/clarifications/respond", &answer.to_string())
            .await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    }
}

#[tokio::test]
async fn full_bounds_say_when_to_come_back() {
    let face = Face::with(|parts| parts.hub.topics_max = 1);
    face.publish("session:a", "a", json!({})).await;
    let answer = face
        .post("/v1/topics/session:b/events", r#"{"name":"a"}"#)
        .await;
    answer.problem(503, "topics_full");
    assert_eq!(answer.header("retry-after"), "30");
    let sse = [("accept", "text/event-stream")];
    let answer = face
        .call(request(
            Method::GET,
            "/v1/topics/session:b/events",
            &sse,
            "",
        ))
        .await;
    answer.problem(503, "topics_full");

    let face = Face::with(|parts| parts.store.bytes_max = "1B".parse().unwrap());
    let answer = face.post(EVENTS, r#"{"name":"a"}"#).await;
    answer.problem(507, "store_full");
    assert!(face.hub.topic(&"session:a".parse().unwrap()).is_none());
    assert_eq!(answer.header("retry-after"), "60");

    let face = Face::with(|parts| parts.hub.topic_subscribers_max = 0);
    let answer = face.call(request(Method::GET, EVENTS, &sse, "")).await;
    answer.problem(503, "topic_full");
    assert_eq!(answer.header("retry-after"), "5");
}

#[tokio::test]
async fn queries_and_cursors_are_refused_by_name() {
    let face = Face::new();
    face.publish("session:a", "a", json!({})).await;
    for (query, code, says) in [
        ("limit=0", "query_invalid", "1 to 1000"),
        ("limit=1001", "query_invalid", "face.http.page_limit_max"),
        ("limit=x", "query_invalid", "no whole number"),
        ("form=x", "query_invalid", "`form`"),
        ("reverse=maybe", "query_invalid", "true"),
        ("since=x", "cursor_invalid", "<epoch>:<seq>"),
    ] {
        let problem = face
            .get(&format!("{EVENTS}?{query}"))
            .await
            .problem(422, code);
        assert!(
            problem["detail"].as_str().unwrap().contains(says),
            "{query}: {problem}"
        );
    }
    face.get("/v1/topics?kind=stream")
        .await
        .problem(422, "topic_invalid");
    face.get("/v1/topics?limit=0")
        .await
        .problem(422, "query_invalid");
    let path = "/v1/topics/session:a/clarifications/q/answer?wait=long";
    face.get(path).await.problem(422, "query_invalid");
    let sse = [("accept", "text/event-stream")];
    let path = format!("{EVENTS}?limit=5");
    let answer = face.call(request(Method::GET, &path, &sse, "")).await;
    answer.problem(422, "query_invalid");
    let headers = [("accept", "text/event-stream"), ("last-event-id", "what")];
    let answer = face.call(request(Method::GET, EVENTS, &headers, "")).await;
    answer.problem(422, "cursor_invalid");
}

#[tokio::test]
async fn nothing_that_fits_is_406() {
    let face = Face::new();
    let headers = [("accept", "text/html, application/xml;q=0.9")];
    let answer = face.call(request(Method::GET, EVENTS, &headers, "")).await;
    let problem = answer.problem(406, "not_acceptable");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("text/event-stream")
    );
}

#[tokio::test]
async fn a_question_is_asked_once() {
    let face = Face::new();
    let body = r#"{"name":"clarification","data":{"question":"?","clarificationId":"q"}}"#;
    assert_eq!(face.post(EVENTS, body).await.status, StatusCode::OK);
    face.post(EVENTS, body)
        .await
        .problem(409, "clarification_known");
    let null = r#"{"name":"clarification","data":{"question":"?","clarificationId":null}}"#;
    face.post(EVENTS, null)
        .await
        .problem(422, "clarification_invalid");
}

#[tokio::test]
async fn what_announces_itself_as_too_large_is_not_invited() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let face = Face::with(|parts| parts.http.body_bytes_max = "2KiB".parse().unwrap());
    let mut socket = tokio::net::TcpStream::connect(super::stream::serve(&face).await)
        .await
        .unwrap();
    let head = format!(
        "POST {EVENTS} HTTP/1.1\r\nhost: x\r\ncontent-length: 999999\r\n\
         expect: 100-continue\r\nconnection: close\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    tokio::time::timeout(super::DEADLINE, socket.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}
