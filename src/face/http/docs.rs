//! The contract, for programs (OpenAPI, `AsyncAPI`) and for people (`/docs`).
//!
//! The documents are written by hand beside this module and embedded; a test holds every path and
//! method of the router against them. The page renders `/openapi.json` by itself, from files of our
//! own under `clients/dashboard/docs`, and its policy allows nothing from elsewhere.

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::header::{X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::face::http;

/// Nothing from elsewhere, nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The contract as OpenAPI 3.1.
const OPENAPI: &str = include_str!("docs/openapi.json");

/// What streams and Socket.IO carry, as `AsyncAPI` 3.0.
const ASYNCAPI: &str = include_str!("docs/asyncapi.json");

const PAGE: &str = include_str!("../../../clients/dashboard/docs/index.html");
const SCRIPT: &str = include_str!("../../../clients/dashboard/docs/docs.js");
const STYLE: &str = include_str!("../../../clients/dashboard/docs/docs.css");

/// `GET /openapi.json`
pub(crate) async fn openapi() -> Response {
    answer("application/json", OPENAPI)
}

/// `GET /asyncapi.json`
pub(crate) async fn asyncapi() -> Response {
    answer("application/json", ASYNCAPI)
}

/// `GET /docs`
pub(crate) async fn page() -> Response {
    answer("text/html; charset=utf-8", PAGE)
}

/// The files of the page.
pub(crate) fn files() -> Router<http::State> {
    Router::new()
        .route(
            "/docs/docs.js",
            get(async || answer("text/javascript; charset=utf-8", SCRIPT)),
        )
        .route(
            "/docs/docs.css",
            get(async || answer("text/css; charset=utf-8", STYLE)),
        )
}

fn answer(content_type: &'static str, body: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
    ];
    (headers, body).into_response()
}
