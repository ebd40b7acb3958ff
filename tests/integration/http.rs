//! The HTTP face as a whole, in process; streams also over a real socket.

mod batch;
mod clarification;
mod cloud_events;
mod docs;
mod library;
mod operations;
mod publish;
mod read;
mod refusals;
mod stream;
mod wizard;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use prometheus_client::registry::Registry;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tidings::auth::{self, Auth, Origins};
use tidings::cluster::Nodes;
use tidings::connection::Door;
use tidings::drain::Drain;
use tidings::face::http::{self, Http};
use tidings::face::library::Watchers;
use tidings::face::socketio::Sockets;
use tidings::hub::{self, Hub};
use tidings::limit::{self, Limits};
use tidings::producer::library::Librarian;
use tidings::producer::webhook::Webhooks;
use tidings::store::Store;
use tidings::store::documents::Documents;
use tidings::upstream::library::{self as upstream, Client};

/// Longest that a test waits for what must come.
const DEADLINE: Duration = Duration::from_secs(10);

/// The contract that the gateway tells of itself.
const CONTRACT: &str = include_str!("../../src/face/http/docs/openapi.json");

/// A section of the embedded config.
fn section<T: DeserializeOwned>(path: &[&str]) -> T {
    let text = include_str!("../../config/tidings.toml");
    let mut value: toml::Value = text.parse::<toml::Table>().unwrap().into();
    for name in path {
        value = value[*name].clone();
    }
    value.try_into().unwrap()
}

/// What a face is made with, as the embedded config has it.
struct Parts {
    store: tidings::store::Config,
    hub: hub::Config,
    http: http::Config,
    upstream: upstream::Config,
}

/// The HTTP face over a hub of its own.
#[derive(Clone)]
struct Face {
    http: Http,
    hub: Hub,
    drain: Drain,
}

/// The library's paths over documents of their own.
fn libraries(
    parts: &Parts,
    hub: &Hub,
    drain: &Drain,
    metrics: &http::Metrics,
) -> http::library::Libraries {
    let documents = Documents::open(&parts.store).unwrap();
    let service = Client::new(&parts.upstream, upstream::Metrics::default()).unwrap();
    let librarian = Librarian::new(documents, service, hub.clone(), drain);
    http::library::Libraries::new(
        (librarian, Watchers::default()),
        parts.http.clone(),
        hub.clone(),
        drain.clone(),
        metrics.clone(),
    )
}

/// A response whose body has been read.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Face {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Parts)) -> Self {
        let mut parts = Parts {
            store: section(&["store"]),
            hub: section(&["hub"]),
            http: section(&["face", "http"]),
            upstream: section(&["upstream", "library"]),
        };
        change(&mut parts);
        let (mut registry, drain) = (Registry::default(), Drain::new());
        let counters = hub::Metrics::register(&mut registry);
        let hub = Hub::new(
            parts.hub.clone(),
            Store::open(parts.store.clone()).unwrap(),
            drain.clone(),
            counters,
        );
        let metrics = http::Metrics::register(&mut registry);
        let libraries = libraries(&parts, &hub, &drain, &metrics);
        let state = http::State::new(
            (parts.http.clone(), Webhooks::none()),
            door(&hub),
            (
                drain.clone(),
                Sockets::new(Nodes::alone(), &section(&["face", "socketio"])),
            ),
            metrics,
            Arc::new(registry),
        );
        Self {
            http: Http::new(state, http::library::routes(libraries)),
            hub,
            drain,
        }
    }

    async fn send(&self, request: Request<Body>) -> axum::response::Response {
        self.http.respond(request).await
    }

    async fn call(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self.send(request).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.call(request(Method::GET, path, &[], "")).await
    }

    async fn post(&self, path: &str, body: &str) -> Answer {
        let headers = [("content-type", "application/json")];
        self.call(request(Method::POST, path, &headers, body)).await
    }

    async fn post_as(&self, path: &str, media: &str, body: &str) -> Answer {
        self.call(request(
            Method::POST,
            path,
            &[("content-type", media)],
            body,
        ))
        .await
    }

    /// Publishes an event that must be taken.
    async fn publish(&self, topic: &str, name: &str, data: Value) -> Value {
        let body = serde_json::json!({ "name": name, "data": data }).to_string();
        let answer = self
            .post(&format!("/v1/topics/{topic}/events"), &body)
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()
    }

    /// All events of a topic, oldest first.
    async fn events(&self, topic: &str) -> Vec<Value> {
        let answer = self
            .get(&format!("/v1/topics/{topic}/events?limit=1000"))
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()["events"].as_array().unwrap().clone()
    }
}

/// A door that is open to everybody.
fn door(hub: &Hub) -> Door {
    let auth = Auth::open(section(&["auth"]), auth::Metrics::default()).unwrap();
    let limits = Limits::new(section(&["limit"]), limit::Metrics::default()).unwrap();
    let origins = Origins::new(&["*".to_owned()]).unwrap();
    Door::new(auth, limits, origins, hub.clone())
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// Checks that this is a problem with a status and a code, and returns it.
    #[track_caller]
    fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{self:?}"
        );
        let problem = self.json();
        assert_eq!(
            (self.status.as_u16(), &problem["code"]),
            (status, &code.into()),
            "{problem}"
        );
        let contract: Value = serde_json::from_str(CONTRACT).unwrap();
        let codes = &contract["components"]["schemas"]["Problem"]["properties"]["code"]["enum"];
        assert!(
            codes.as_array().unwrap().contains(&code.into()),
            "{code} is not in the contract"
        );
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("urn:tidings:problem:{code}"));
        assert_eq!(problem["request_id"], self.header("x-request-id"));
        for member in ["title", "detail"] {
            assert!(
                problem[member]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "{problem}"
            );
        }
        problem
    }
}

fn request(method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body.to_owned())).unwrap()
}
