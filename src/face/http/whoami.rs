//! Who asks, as the gateway sees them: the page asks it to know what it may offer.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use crate::face::http;
use crate::face::http::admission::Caller;
use crate::face::http::exchange;

/// Who asks.
#[derive(Debug, Serialize)]
struct Whoami {
    /// The `sub` of a token, `key:<id>` of an API key; nothing where nobody has to say it.
    name: Option<String>,
    /// `anyone`, `admin`, `producer` or `user`.
    role: &'static str,
    is_admin: bool,
    may_produce: bool,
    /// Whether the gateway asks everybody who they are.
    needs_credential: bool,
}

/// `GET /v1/whoami`
pub(crate) async fn tell(State(state): State<http::State>, caller: Caller) -> Response {
    let principal = &caller.principal;
    exchange::to_json(&Whoami {
        name: principal.name(),
        role: principal.role.as_str(),
        is_admin: principal.is_admin(),
        may_produce: principal.may_produce(),
        needs_credential: state.door().auth().needs_credential(),
    })
}
