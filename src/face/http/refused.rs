//! Refusals of handshakes, for faces whose paths are merged beside this one's.

use axum::response::{IntoResponse as _, Response};

use crate::face::http::refusal::{Code, Refusal};
use crate::limit::Reached;

/// The node is draining.
pub(crate) fn draining() -> Response {
    let why = "the gateway is shutting down: come back";
    Refusal::new(Code::Draining, why).into_response()
}

/// The request is no WebSocket handshake.
pub(crate) fn not_an_upgrade(why: &str) -> Response {
    Refusal::new(Code::UpgradeRequired, why).into_response()
}

/// A limit is reached.
pub(crate) fn limit(reached: Reached) -> Response {
    Refusal::from(reached).into_response()
}
