//! What operators ask.

use axum::http::{Method, StatusCode};
use serde_json::json;

use super::{Face, request};

#[tokio::test]
async fn readiness_ends_with_the_drain_but_life_does_not() {
    let face = Face::new();
    assert_eq!(face.get("/readyz").await.status, StatusCode::OK);
    face.drain.begin();
    face.get("/readyz").await.problem(503, "draining");
    assert_eq!(face.get("/healthz").await.status, StatusCode::OK);
    assert_eq!(face.get("/health").await.json()["status"], "draining");
}

#[tokio::test]
async fn health_and_version_are_json() {
    let face = Face::new();
    face.publish("session:a", "a", json!({})).await;
    let health = face.get("/health").await.json();
    assert_eq!(
        (&health["status"], &health["topics"]),
        (&json!("ok"), &json!(1))
    );
    assert_eq!(
        (&health["subscriptions"], &health["uptime_seconds"]),
        (&json!(0), &json!(0))
    );
    assert!(health["store"]["bytes"].as_u64() > Some(0));
    let version = face.get("/version").await.json();
    assert_eq!(
        version,
        json!({"name": "tidings", "version": env!("CARGO_PKG_VERSION")})
    );
}

#[tokio::test]
async fn what_happens_is_counted() {
    let face = Face::new();
    face.publish("session:a", "a", json!({})).await;
    face.get("/nothing").await;
    let answer = face.get("/metrics").await;
    assert!(
        answer
            .header("content-type")
            .starts_with("application/openmetrics-text")
    );
    let text = answer.text();
    for line in [
        "tidings_events_total{class=\"fact\"} 1",
        "tidings_http_refusals_total{code=\"path_unknown\"} 1",
        "tidings_http_responses_total{status=\"200\"} 1",
        "tidings_topics 1",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[tokio::test]
async fn the_request_id_is_taken_or_made() {
    let face = Face::new();
    let with = async |id: &str| {
        let request = request(Method::GET, "/healthz", &[("x-request-id", id)], "");
        face.call(request).await.header("x-request-id").to_owned()
    };
    assert_eq!(with("abc-1").await, "abc-1");
    for bad in ["", "a b", "<x>", &"x".repeat(129)] {
        assert_eq!(with(bad).await.len(), 32, "{bad}");
    }
    assert_ne!(with("").await, with("").await);
}
