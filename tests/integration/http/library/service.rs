//! A library service behind the gateway: a real HTTP server that fails, hangs and recovers.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::json;
use tidings::drain::Drain;

use super::super::Parts;
use super::super::stream::{serve, serve_router};
use super::{DEADLINE, Face, until};

const WELL: u8 = 0;
const FAILS: u8 = 1;
const HANGS: u8 = 2;
const FAILS_ONCE: u8 = 3;
/// Reads, and adds nothing.
const FULL: u8 = 4;

const LIBRARY: &str = "8179ce48-fd2b-4141-9ab0-9cfba4f6848b";
const DOCUMENT: &str = "20fc54b4-ba48-43e8-8e48-4800e71f7765";

#[derive(Default)]
struct Service {
    mood: AtomicU8,
    calls: AtomicUsize,
    /// The ids of the requests to add a document.
    asked: Mutex<Vec<String>>,
}

impl Service {
    fn is(&self, mood: u8) {
        self.mood.store(mood, Ordering::SeqCst);
        self.calls.store(0, Ordering::SeqCst);
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    async fn answer(&self, request: Request) -> Response {
        self.calls.fetch_add(1, Ordering::SeqCst);
        match self.mood.load(Ordering::SeqCst) {
            FAILS => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            HANGS => std::future::pending().await,
            FAILS_ONCE => {
                self.mood.store(WELL, Ordering::SeqCst);
                return StatusCode::BAD_GATEWAY.into_response();
            }
            _ => {}
        }
        let path = request.uri().path().to_owned();
        let id = request.headers().get("x-request-id").cloned();
        let id = id.map_or(String::new(), |id| id.to_str().unwrap().to_owned());
        if request.method() == "POST" && path.ends_with("/documents") {
            self.asked.lock().unwrap().push(id.clone());
            if self.mood.load(Ordering::SeqCst) == FULL {
                return StatusCode::INSUFFICIENT_STORAGE.into_response();
            }
        }
        if !path.contains(LIBRARY) {
            return (StatusCode::NOT_FOUND, Json(json!({ "detail": "no" }))).into_response();
        }
        let metadata = json!({ "title": "From there", "request_id": id });
        match (request.method().as_str(), path.rsplit('/').next().unwrap()) {
            ("POST", "search") => Json(json!({ "results": [{
                "chunk": { "id": "c", "text": "found there", "metadata": metadata },
                "distance": 0.25, "document_id": DOCUMENT, "document_title": "From there",
            }] }))
            .into_response(),
            ("POST", "documents") => {
                let body = json!({ "id": DOCUMENT, "chunks": [{}, {}], "metadata": metadata });
                (StatusCode::CREATED, Json(body)).into_response()
            }
            ("GET", "documents") => Json(json!([
                { "id": DOCUMENT, "title": "From there", "num_chunks": 2 },
                { "id": LIBRARY, "metadata": { "title": "Second" }, "chunks": [{}] },
            ]))
            .into_response(),
            ("GET", "stream") => "{\"id\":1}\n{\"id\":2}\n".into_response(),
            ("DELETE", _) => StatusCode::NO_CONTENT.into_response(),
            ("GET", DOCUMENT) => {
                Json(json!({ "id": DOCUMENT, "chunks": [{ "text": "whole" }], "metadata": {} }))
                    .into_response()
            }
            _ => Json(json!({ "id": LIBRARY, "name": "There" })).into_response(),
        }
    }
}

/// A service on a port of its own, and a face in front of it.
async fn pair() -> (Arc<Service>, Face) {
    pair_with(|_| {}).await
}

async fn pair_with(change: impl FnOnce(&mut Parts)) -> (Arc<Service>, Face) {
    let service = Arc::new(Service::default());
    let answering = Arc::clone(&service);
    let router = Router::new().fallback(move |request| {
        let service = Arc::clone(&answering);
        async move { service.answer(request).await }
    });
    let url = format!("http://{}", serve_router(router, &Drain::new()).await);
    let face = Face::with(|parts| {
        parts.upstream.url = Some(url);
        parts.upstream.timeout = Duration::from_secs(1);
        parts.upstream.retry_pause = Duration::from_millis(1);
        parts.upstream.failures_max = 3;
        parts.upstream.rest = Duration::from_secs(2);
        change(parts);
    });
    (service, face)
}

fn search() -> String {
    format!("/v1/libraries/{LIBRARY}/search")
}

const QUERY: &str = r#"{"query":"x"}"#;

#[tokio::test]
async fn requests_are_forwarded_and_changes_are_told_here() {
    let (_, face) = pair().await;
    let headers = [
        ("x-request-id", "abc"),
        ("content-type", "application/json"),
    ];
    let asked = super::request(super::Method::POST, &search(), &headers, QUERY);
    let found = face.call(asked).await.json();
    assert_eq!(found["results"][0]["id"], DOCUMENT);
    assert_eq!(found["results"][0]["metadata"]["request_id"], "abc");
    let path = format!("/v1/libraries/{LIBRARY}/documents?limit=1");
    let page = face.get(&path).await.json();
    assert_eq!(
        (&page["documents"][0]["title"], &page["next"]),
        (&json!("From there"), &json!(DOCUMENT))
    );
    let page = face.get(&format!("{path}&after={DOCUMENT}")).await.json();
    assert_eq!(
        (&page["documents"][0]["title"], &page["next"]),
        (&json!("Second"), &json!(null))
    );
    let added = super::add(&face, LIBRARY, json!({ "title": "T", "text": "x" })).await;
    assert_eq!(
        (&added["id"], &added["num_chunks"]),
        (&json!(DOCUMENT), &json!(2))
    );
    let path = format!("/v1/libraries/{LIBRARY}/documents/{DOCUMENT}");
    assert_eq!(face.get(&path).await.json()["text"], "whole");
    assert_eq!(
        super::delete(&face, &path).await.status,
        StatusCode::NO_CONTENT
    );
    let events = face.events(&format!("library:{LIBRARY}")).await;
    let names: Vec<_> = events
        .iter()
        .map(|event| event["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["document.added", "document.deleted"]);
    let exported = face
        .get(&format!("/v1/libraries/{LIBRARY}/documents/stream"))
        .await;
    assert_eq!(exported.text(), "{\"id\":1}\n{\"id\":2}\n");
    let other = DOCUMENT;
    let unknown = face.get(&format!("/v1/libraries/{other}")).await;
    unknown.problem(404, "library_unknown");
}

#[tokio::test]
async fn what_may_be_repeated_is_and_nothing_else() {
    let (service, face) = pair().await;
    service.is(FAILS_ONCE);
    let found = face.post(&search(), QUERY).await;
    assert_eq!((found.status, service.calls()), (StatusCode::OK, 2));
    service.is(FAILS_ONCE);
    let path = format!("/v1/libraries/{LIBRARY}/documents");
    let added = face.post(&path, r#"{"text":"x"}"#).await;
    added.problem(502, "upstream_failed");
    assert_eq!(service.calls(), 1, "a document is never added twice");
}

#[tokio::test]
async fn a_service_that_fails_is_left_alone_and_tried_again() {
    let (service, face) = pair().await;
    service.is(FAILS);
    face.post(&search(), QUERY)
        .await
        .problem(502, "upstream_failed");
    assert_eq!(service.calls(), 3);
    let resting = face.post(&search(), QUERY).await;
    let problem = resting.problem(503, "upstream_resting");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("circuit breaker is open")
    );
    assert_eq!(resting.header("retry-after"), "5");
    assert_eq!(service.calls(), 3, "it is not asked");
    service.is(WELL);
    until(|| async { face.post(&search(), QUERY).await.status == StatusCode::OK }).await;
}

#[tokio::test]
async fn a_service_that_hangs_costs_its_own_requests_only() {
    let (service, face) = pair().await;
    service.is(HANGS);
    let asked = async { face.post(&search(), QUERY).await };
    let hanging = tokio::time::timeout(DEADLINE, asked);
    let (answer, stats) = tokio::join!(hanging, face.get("/v1/websockets/stats"));
    assert_eq!(stats.status, StatusCode::OK);
    let problem = answer.unwrap().problem(502, "upstream_failed");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("did not answer"),
        "{problem}"
    );
    service.is(WELL);
    until(|| async { face.post(&search(), QUERY).await.status == StatusCode::OK }).await;
}

#[tokio::test]
async fn a_service_that_is_not_there_is_named() {
    let face = Face::with(|parts| {
        // A port that nobody listens on.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        parts.upstream.url = Some(format!("http://{}", listener.local_addr().unwrap()));
    });
    let problem = face
        .post(&search(), QUERY)
        .await
        .problem(502, "upstream_failed");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("upstream.library.url"),
        "{problem}"
    );
}

/// Begins a background import; the topic of its job.
async fn background(face: &Face, library: &str, lines: usize) -> String {
    let path = format!("/v1/libraries/{library}/documents/stream");
    let headers = [("prefer", "respond-async"), ("content-type", super::NDJSON)];
    let lines: String = (0..lines)
        .map(|n| match n {
            7 => "bad\n".to_owned(),
            n => format!("{{\"title\":\"{n}\",\"text\":\"text {n}\"}}\n"),
        })
        .collect();
    let asked = super::request(super::Method::POST, &path, &headers, &lines);
    let answer = face.call(asked).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    answer.json()["topic"].as_str().unwrap().to_owned()
}

/// How far the import is: `(successful, failed)`; and the status of its job.
async fn standing(face: &Face, topic: &str) -> ((u64, u64), String) {
    let path = format!("/v1/jobs/{}", topic.trim_start_matches("job:"));
    let job = face.get(&path).await.json();
    let count = |name: &str| job["metadata"][name].as_u64().unwrap_or(0);
    let status = job["status"].as_str().unwrap_or_default().to_owned();
    ((count("successful"), count("failed")), status)
}

#[tokio::test]
async fn a_background_import_goes_on_to_another_gateway() {
    let there = Face::new();
    let library = super::library(&there).await;
    let url = format!("http://{}", serve(&there).await);
    let here = Face::with(|parts| parts.upstream.url = Some(url));
    let topic = background(&here, &library, 100).await;
    until(|| async { standing(&here, &topic).await.1 == "completed" }).await;
    assert_eq!(standing(&here, &topic).await.0, (99, 1));
    let kept = there.get(&format!("/v1/libraries/{library}")).await.json();
    assert_eq!(kept["num_documents"], 99);
    let told = here.events(&format!("library:{library}")).await;
    assert_eq!(told.len(), 99, "each is told here as well");
    let names = here.events(&topic).await;
    assert_eq!(names[0]["name"], "job_started");
    assert_eq!(names[names.len() - 1]["data"]["progress"], 100);
}

#[tokio::test]
async fn a_background_import_waits_for_its_service_and_sends_no_line_twice() {
    let (service, face) = pair().await;
    service.is(FULL);
    let topic = background(&face, LIBRARY, 60).await;
    until(|| async { face.post(&search(), QUERY).await.status != StatusCode::OK }).await;
    service.is(WELL);
    until(|| async { standing(&face, &topic).await.1 == "completed" }).await;
    let (successful, failed) = standing(&face, &topic).await.0;
    assert_eq!(successful + failed, 60);
    assert!(successful > 0 && failed > 3, "{successful}, {failed}");
    let mut asked = service.asked();
    assert_eq!(asked.len(), 59, "each document was sent once");
    asked.sort();
    asked.dedup();
    assert_eq!(asked.len(), 59, "each under an id of its own");
}

#[tokio::test]
async fn a_background_import_that_waits_can_be_cancelled() {
    let (service, face) = pair().await;
    service.is(FULL);
    let topic = background(&face, LIBRARY, 2000).await;
    let cancel = format!("/v1/jobs/{}/cancel", topic.trim_start_matches("job:"));
    until(|| async { standing(&face, &topic).await.0.1 > 0 }).await;
    let asked = face.post(&cancel, "{}").await;
    assert!(asked.status.is_success(), "{asked:?}");
    until(|| async { standing(&face, &topic).await.1 == "cancelled" }).await;
}

#[tokio::test]
async fn a_background_import_gives_up_a_service_that_stays_away() {
    let (service, face) = pair_with(|parts| {
        parts.upstream.rest = Duration::from_mins(1);
        parts.upstream.import_wait_max = Duration::from_millis(5);
    })
    .await;
    service.is(FULL);
    let topic = background(&face, LIBRARY, 60).await;
    until(|| async { standing(&face, &topic).await.1 == "failed" }).await;
    let events = face.events(&topic).await;
    let why = events[events.len() - 1]["data"]["message"]
        .as_str()
        .unwrap();
    assert!(why.contains("circuit breaker is open"), "{why}");
}
