//! Which pages of other origins may use the gateway. The app puts this layer outermost.

use axum::http::header::{ORIGIN, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, Method, Request};
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

use crate::face::http::Config;

/// An origin in the config cannot be sent as a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`face.http.cors_origins`: `{0}` is no origin: write it as `https://host` or `*`")]
pub struct OriginError(String);

/// The layer that answers preflights and adds the headers. Any origin (`*`) is never allowed
/// together with credentials; origins that are listed are.
///
/// # Errors
/// When an origin is malformed.
pub fn cors(config: &Config) -> Result<CorsLayer, OriginError> {
    let layer = CorsLayer::new()
        .allow_methods(AllowMethods::mirror_request())
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([HeaderName::from_static("x-request-id"), RETRY_AFTER])
        .max_age(config.cors_age_max);
    if config.cors_origins.iter().any(|origin| origin == "*") {
        return Ok(layer.allow_origin(AllowOrigin::any()));
    }
    let origins: Result<Vec<HeaderValue>, _> = config
        .cors_origins
        .iter()
        .map(|text| origin(text))
        .collect();
    Ok(layer
        .allow_origin(AllowOrigin::list(origins?))
        .allow_credentials(true))
}

/// Whether a request is for the layer: not where no page asks and no cache keeps the answer, which
/// is most of what producers and polling scripts send.
pub fn concerns<B>(request: &Request<B>) -> bool {
    let is_kept = *request.method() != Method::POST
        && !request
            .uri()
            .query()
            .is_some_and(|query| query.contains("sid="));
    is_kept || request.headers().contains_key(ORIGIN)
}

fn origin(text: &str) -> Result<HeaderValue, OriginError> {
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let is_origin = host.is_some_and(|host| !host.is_empty() && !host.contains('/'));
    let value = HeaderValue::from_str(text).ok().filter(|_| is_origin);
    value.ok_or_else(|| OriginError(text.to_owned()))
}
