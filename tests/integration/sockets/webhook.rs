//! Workers that are told by webhook: signed, repeated, and never where nobody may call.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tidings::drain::Drain;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tower::ServiceExt as _;

use super::{DEADLINE, Running};

const SECRET: &str = "a secret of the tests, long enough";

/// A call that came.
struct Call {
    headers: HeaderMap,
    body: String,
}

/// A worker that is called; the first calls fail with the statuses that it was given.
struct Worker {
    url: String,
    calls: mpsc::Receiver<Call>,
}

type Answering = (mpsc::Sender<Call>, Arc<Mutex<Vec<u16>>>);

async fn called(
    State((told, failures)): State<Answering>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let body = String::from_utf8(body.to_vec()).unwrap();
    let _ = told.send(Call { headers, body }).await;
    let mut failures = failures.lock().unwrap();
    if failures.is_empty() {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::from_u16(failures.remove(0)).unwrap()
    }
}

impl Worker {
    async fn start(failures: &[u16]) -> Self {
        let (told, calls) = mpsc::channel(64);
        let failures = Arc::new(Mutex::new(failures.to_vec()));
        let app = axum::Router::new()
            .route("/hook", axum::routing::post(called))
            .with_state((told, failures));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let drain = Drain::new();
        let tasks = drain.clone();
        drain.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let app = app.clone();
                let service = hyper::service::service_fn(move |request| {
                    let app = app.clone();
                    async move { Ok::<_, Infallible>(app.oneshot(request).await.unwrap()) }
                });
                let http = hyper::server::conn::http1::Builder::new();
                tasks.spawn(async move {
                    let _ = http.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Self { url, calls }
    }

    async fn next(&mut self) -> Call {
        let call = tokio::time::timeout(DEADLINE, self.calls.recv()).await;
        call.expect("a call in time").unwrap()
    }
}

impl Call {
    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// What it says, if it is signed as it must be.
    fn verified(&self) -> Value {
        let (id, at) = (self.header("webhook-id"), self.header("webhook-timestamp"));
        let signed = format!("{id}.{at}.{}", self.body);
        let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
        let algorithm = jsonwebtoken::Algorithm::HS256;
        let mac = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, algorithm).unwrap();
        let mac = STANDARD.encode(URL_SAFE_NO_PAD.decode(mac).unwrap());
        assert_eq!(self.header("webhook-signature"), format!("v1,{mac}"));
        let now = jiff::Timestamp::now().as_second();
        assert!((now - at.parse::<i64>().unwrap()).abs() < 60);
        serde_json::from_str(&self.body).unwrap()
    }
}

fn settings(more: &[String]) -> Vec<String> {
    let mut settings = vec![
        format!("producer.webhook.secret={SECRET}"),
        "producer.webhook.reach=private".to_owned(),
        "producer.webhook.retry_pause=10ms".to_owned(),
    ];
    settings.extend_from_slice(more);
    settings
}

async fn start(more: &[String]) -> Running {
    let settings = settings(more);
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    Running::start(&settings).await
}

#[tokio::test]
async fn a_worker_is_told_that_its_job_is_to_be_given_up() {
    let mut worker = Worker::start(&[503, 429]).await;
    let running = start(&["producer.webhook.hosts=[\"127.0.0.1\"]".to_owned()]).await;
    let job = json!({ "id": "j", "name": "n", "type": "t", "webhook": worker.url });
    let (status, answer) = running.post("/v1/jobs", &job).await;
    assert_eq!(status, 201, "{answer}");
    running.post("/v1/jobs/j/started", &json!({})).await;
    let reason = json!({ "reason": "not needed" });
    let (status, _) = running.post("/v1/jobs/j/cancel", &reason).await;
    assert_eq!(status, 200);
    let mut ids = Vec::new();
    for _ in 0..3 {
        let call = worker.next().await;
        let told = call.verified();
        assert_eq!(told["type"], "job.cancel_requested");
        let data = &told["data"];
        assert_eq!(
            (
                &data["id"],
                &data["attempt"],
                &data["reason"],
                &data["status"]
            ),
            (
                &json!("j"),
                &json!(1),
                &json!("not needed"),
                &json!("in_progress")
            )
        );
        ids.push(call.header("webhook-id").to_owned());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "it is the same message each time");
    // Asking again is no second message, and the worker's word ends it.
    running.post("/v1/jobs/j/cancel", &json!({})).await;
    let (status, _) = running
        .post("/v1/jobs/j/cancelled", &json!({ "attempt": 1 }))
        .await;
    assert_eq!(status, 200);
    running.gateway.drain().await;
    assert!(worker.calls.try_recv().is_err());
}

#[tokio::test]
async fn a_refusal_is_final_and_a_job_that_ended_is_told_no_more() {
    let mut worker = Worker::start(&[410]).await;
    let url = format!("producer.webhook.url={}", worker.url);
    let running = start(&[url]).await;
    for id in ["refused", "next"] {
        running.post("/v1/jobs", &json!({ "id": id })).await;
        running
            .post(&format!("/v1/jobs/{id}/cancel"), &json!({}))
            .await;
        assert_eq!(worker.next().await.verified()["data"]["id"], id);
    }
    running.gateway.drain().await;
    assert!(worker.calls.try_recv().is_err());

    // Nobody listens there any more; the job ends meanwhile.
    let mut down = Worker::start(&[503; 4]).await;
    let url = format!("producer.webhook.url={}", down.url);
    let running = start(&[url, "producer.webhook.retries_max=100".to_owned()]).await;
    running.post("/v1/jobs", &json!({ "id": "ends" })).await;
    running.post("/v1/jobs/ends/cancel", &json!({})).await;
    down.next().await;
    running.post("/v1/jobs/ends/cancelled", &json!({})).await;
    let metric = "tidings_webhook_messages_total{outcome=\"moot\"} 1";
    let taken = "tidings_webhook_messages_total{outcome=\"taken\"} 1";
    let told = async {
        loop {
            let answer = running
                .http
                .get(running.url("/metrics"))
                .send()
                .await
                .unwrap();
            let text = answer.text().await.unwrap();
            // It ended between two calls, or during the last one.
            if text.contains(metric) || text.contains(taken) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, told).await.unwrap();
    running.gateway.drain().await;
}

#[tokio::test]
async fn what_a_restart_found_untold_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let place = format!("store.data_dir={}", dir.path().display());
    let mut worker = Worker::start(&[503]).await;
    let url = format!("producer.webhook.url={}", worker.url);
    let slow = "producer.webhook.retry_pause=1h".to_owned();
    let running = start(&[place.clone(), url.clone(), slow]).await;
    running.post("/v1/jobs", &json!({ "id": "j" })).await;
    running.post("/v1/jobs/j/cancel", &json!({})).await;
    let first = worker.next().await.header("webhook-id").to_owned();
    running.gateway.drain().await;
    let running = start(&[place, url]).await;
    let again = worker.next().await;
    assert_eq!(again.header("webhook-id"), first);
    assert_eq!(again.verified()["data"]["id"], "j");
    running.gateway.drain().await;
}

#[tokio::test]
async fn a_worker_is_told_how_a_question_was_answered() {
    let mut worker = Worker::start(&[]).await;
    let running = start(&[format!("producer.webhook.url={}", worker.url)]).await;
    let question = json!({ "clarificationId": "q", "question": "Which?" });
    running
        .publish("session:s", "clarification", question)
        .await;
    let answer = json!({ "sessionId": "s", "clarificationId": "q", "response": "this" });
    let (status, _) = running
        .post("/api/wizard/clarifications/respond", &answer)
        .await;
    assert_eq!(status, 200);
    let told = worker.next().await.verified();
    assert_eq!(told["type"], "clarification.answered");
    let data = &told["data"];
    assert_eq!(
        (&data["topic"], &data["clarificationId"], &data["response"]),
        (&json!("session:s"), &json!("q"), &json!("this"))
    );
    running.gateway.drain().await;
}

#[tokio::test]
async fn no_job_may_have_an_address_called_that_is_not_allowed() {
    let off = Running::start(&[]).await;
    let job = json!({ "id": "j", "webhook": "https://worker.example.com/" });
    let (status, answer) = off.post("/v1/jobs", &job).await;
    assert_eq!(status, 422, "{answer}");
    assert!(
        answer.to_string().contains("producer.webhook.hosts"),
        "{answer}"
    );
    off.gateway.drain().await;

    let secret = format!("producer.webhook.secret={SECRET}");
    let any = Running::start(&[&secret, "producer.webhook.hosts=[\"*\"]"]).await;
    for address in [
        "http://worker.example.com/",
        "https://127.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:10.0.0.1]/",
        "https://localhost/",
        "file:///etc/passwd",
        "worker",
    ] {
        let job = json!({ "id": "j", "webhook": address });
        let (status, answer) = any.post("/v1/jobs", &job).await;
        assert_eq!(status, 422, "{address}: {answer}");
    }
    // An event that was published directly is looked at before it is called.
    let data = json!({ "webhook": "https://10.0.0.1/" });
    any.publish("job:direct", "job_started", data).await;
    let (status, _) = any.post("/v1/jobs/direct/cancel", &json!({})).await;
    assert_eq!(status, 200);
    let refused = "tidings_webhook_messages_total{outcome=\"refused\"} 1";
    let told = async {
        loop {
            let answer = any.http.get(any.url("/metrics")).send().await.unwrap();
            if answer.text().await.unwrap().contains(refused) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, told).await.unwrap();
    any.gateway.drain().await;
}
