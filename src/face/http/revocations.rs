//! Taking credentials back: for administrators.

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use crate::auth::{Revocation, RevocationError, Revoked};
use crate::connection::RevokeError;
use crate::face::http;
use crate::face::http::admission::Caller;
use crate::face::http::exchange;
use crate::face::http::extract::{self, parse};
use crate::face::http::refusal::{Code, Refusal};
use crate::topic::iso8601;

/// Largest body that is read.
const BODY_BYTES_MAX: usize = 4096;

/// What is to be taken back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    jti: Option<String>,
    sub: Option<String>,
    /// When what it concerns has ended anyway, ISO 8601.
    expires_at: Option<String>,
}

/// `POST /v1/admin/revocations`
pub(crate) async fn create(
    State(state): State<http::State>,
    caller: Caller,
    body: Body,
) -> Result<Response, Refusal> {
    let body = extract::body(body, BODY_BYTES_MAX).await?;
    let Wanted {
        jti,
        sub,
        expires_at,
    } = parse(&body)?;
    let (name, id, revoked) = match (jti, sub) {
        (Some(jti), None) => ("jti", jti.clone(), Revoked::Jti(jti)),
        (None, Some(sub)) => ("sub", sub.clone(), Revoked::Sub(sub)),
        (Some(_), Some(_)) | (None, None) => {
            let detail = "give `jti` (one token) or `sub` (a user, or `key:<id>`), one of them";
            return Err(Refusal::new(Code::Shape, detail));
        }
    };
    let expires_at = expires_at.map(|text| text.parse::<jiff::Timestamp>());
    let expires_at = expires_at.transpose().map_err(|error| {
        let detail = format!("`expires_at` is no ISO 8601 time with zone: {error}");
        Refusal::new(Code::Shape, detail)
    })?;
    let at = jiff::Timestamp::now();
    let revocation = Revocation {
        revoked,
        at: at.as_second(),
        expires_at: expires_at.map(jiff::Timestamp::as_second),
    };
    let receipt = state.door().revoke(revocation).await?;
    tracing::info!(
        principal = caller.name(),
        kind = name,
        "a credential was revoked"
    );
    let told = json!({
        name: id,
        "revoked_at": iso8601(at.as_millisecond()),
        "cursor": receipt.cursor(),
    });
    Ok((StatusCode::CREATED, exchange::to_json(&told)).into_response())
}

impl From<RevokeError> for Refusal {
    fn from(error: RevokeError) -> Self {
        match error {
            RevokeError::Revocation(error @ RevocationError::Id) => {
                Self::new(Code::Shape, error.to_string())
            }
            RevokeError::Revocation(error @ RevocationError::Full(_)) => {
                Self::new(Code::RevocationsFull, error.to_string())
            }
            RevokeError::Append(error) => error.into(),
        }
    }
}
