//! What operators and orchestrators ask: alive, ready, how busy, which version.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::encode;
use serde_json::json;

use crate::face::http;
use crate::face::http::exchange;
use crate::face::http::refusal::{Code, Refusal};
use crate::store::Condition;

/// The version of the gateway.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `GET /healthz`: the process answers.
pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: requests may be sent here.
pub(crate) async fn ready(State(state): State<http::State>) -> Result<&'static str, Refusal> {
    if state.drain().is_draining() {
        return Err(Refusal::new(
            Code::Draining,
            "the gateway is shutting down: use another node",
        ));
    }
    if let Condition::Away(why) = state.hub().store().condition() {
        let detail = format!("the store cannot write: {why}");
        return Err(Refusal::new(Code::StoreAway, detail));
    }
    if !state.sockets().nodes().is_joined() {
        let detail = "the other nodes do not know of this one yet";
        return Err(Refusal::new(Code::StoreAway, detail));
    }
    Ok("ready\n")
}

/// `GET /health`: how busy it is.
pub(crate) async fn health(State(state): State<http::State>) -> Response {
    let (hub, store) = (state.hub(), state.hub().store());
    let condition = store.condition();
    exchange::to_json(&json!({
        "status": if state.drain().is_draining() { "draining" } else { "ok" },
        "version": VERSION,
        "uptime_seconds": state.uptime().as_secs(),
        "topics": hub.metrics().topics(),
        "subscriptions": hub.metrics().subscriptions(),
        "store": { "promise": store.promise(), "bytes": store.bytes(), "state": condition.as_str() },
    }))
}

/// `GET /metrics`: everything that is counted, in the text form that Prometheus reads.
pub(crate) async fn metrics(State(state): State<http::State>) -> Result<Response, Refusal> {
    state.hub().store().measure();
    let mut text = String::new();
    encode(&mut text, state.registry())
        .map_err(|_| Refusal::new(Code::Internal, "the metrics could not be written"))?;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(CONTENT_TYPE, content_type)], text).into_response())
}

/// `GET /version`
pub(crate) async fn version() -> Response {
    exchange::to_json(&json!({ "name": env!("CARGO_PKG_NAME"), "version": VERSION }))
}
