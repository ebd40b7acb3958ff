//! The nodes that share the topics, and how each of them does: for administrators.
//!
//! Each node tells of itself; the one that is asked asks the others.

use std::collections::HashMap;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::face::http;
use crate::face::http::exchange;
use crate::face::http::operations::VERSION;

/// Where a node asks another how it does.
pub(super) const STANDING: &str = "/nodes/standing";

/// Largest answer of a node.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// The path that is for nodes only.
pub(super) fn routes(state: http::State) -> Router {
    Router::new().route(STANDING, post(tell)).with_state(state)
}

/// `GET /v1/admin/nodes`
pub(super) async fn list(State(state): State<http::State>) -> Response {
    let nodes = state.sockets().nodes();
    let addresses: HashMap<Uuid, String> = nodes.others().into_iter().collect();
    let answers = nodes.ask_all(STANDING, Bytes::new(), ANSWER_BYTES_MAX);
    let others = answers.await.into_iter().map(|answered| {
        let told = answered.answer.as_deref().map(serde_json::from_slice);
        let told: Option<Value> = told.and_then(Result::ok);
        let mut told = told.unwrap_or_else(|| json!({ "status": "away" }));
        told["node"] = json!(answered.node);
        told["is_this"] = json!(false);
        told["address"] = json!(addresses.get(&answered.node));
        told
    });
    let mut own = standing(&state);
    own["node"] = match nodes.id() {
        id if id.is_nil() => json!(""),
        id => json!(id),
    };
    own["is_this"] = json!(true);
    own["address"] = json!(nodes.address());
    let all: Vec<Value> = std::iter::once(own).chain(others).collect();
    exchange::to_json(&json!({ "nodes": all }))
}

/// `POST /nodes/standing`: to everybody but nodes there is no such path.
async fn tell(State(state): State<http::State>, request: Request) -> Response {
    if state.sockets().nodes().prove(&request).is_none() {
        return StatusCode::NOT_FOUND.into_response();
    }
    exchange::to_json(&standing(&state))
}

/// How this node does.
fn standing(state: &http::State) -> Value {
    let (hub, store) = (state.hub(), state.hub().store());
    let condition = store.condition();
    json!({
        "status": if state.drain().is_draining() { "draining" } else { "ok" },
        "version": VERSION,
        "uptime_seconds": state.uptime().as_secs(),
        "connections": state.door().roster().len(),
        "topics": hub.metrics().topics(),
        "subscriptions": hub.metrics().subscriptions(),
        "store": { "promise": store.promise(), "bytes": store.bytes(), "state": condition.as_str() },
    })
}
