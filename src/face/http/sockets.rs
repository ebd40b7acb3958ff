//! The sockets of all nodes, for administrators: listed, moved, disconnected, and sent events.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use crate::face::http;
use crate::face::http::exchange;
use crate::face::http::extract::{self, Query, parse};
use crate::face::http::refusal::{Code, Refusal};
use crate::face::socketio::{Deed, Wish};

/// Which sockets are listed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listed {
    /// Rooms, with commas between them.
    #[serde(rename = "in")]
    within: Option<String>,
    except: Option<String>,
    limit: Option<usize>,
}

/// `GET /v1/sockets`
pub(crate) async fn list(
    State(state): State<http::State>,
    Query(listed): Query<Listed>,
) -> Result<Response, Refusal> {
    let rooms = |text: String| text.split(',').map(str::to_owned).collect();
    let wish = Wish {
        within: listed.within.map(rooms),
        except: listed.except.map(rooms).unwrap_or_default(),
        limit: listed.limit,
        ..Wish::default()
    };
    fulfil(&state, Deed::Fetch, wish, Code::QueryInvalid).await
}

/// `POST /v1/sockets/join`
pub(crate) async fn join(
    State(state): State<http::State>,
    body: Body,
) -> Result<Response, Refusal> {
    said(&state, Deed::Join, body).await
}

/// `POST /v1/sockets/leave`
pub(crate) async fn leave(
    State(state): State<http::State>,
    body: Body,
) -> Result<Response, Refusal> {
    said(&state, Deed::Leave, body).await
}

/// `POST /v1/sockets/disconnect`
pub(crate) async fn disconnect(
    State(state): State<http::State>,
    body: Body,
) -> Result<Response, Refusal> {
    said(&state, Deed::Disconnect, body).await
}

/// `POST /v1/emit`
pub(crate) async fn emit(
    State(state): State<http::State>,
    body: Body,
) -> Result<Response, Refusal> {
    said(&state, Deed::Emit, body).await
}

async fn said(state: &http::State, deed: Deed, body: Body) -> Result<Response, Refusal> {
    let bytes_max = state.config().body_bytes_max.bytes();
    let body = extract::body(body, bytes_max).await?;
    fulfil(state, deed, parse(&body)?, Code::Shape).await
}

async fn fulfil(
    state: &http::State,
    deed: Deed,
    wish: Wish,
    code: Code,
) -> Result<Response, Refusal> {
    let operation = state.sockets().operation(deed, wish);
    let operation = operation.map_err(|why| Refusal::new(code, why))?;
    let done = state.sockets().everywhere(&operation).await;
    Ok(exchange::to_json(&done))
}
