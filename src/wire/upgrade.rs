//! The WebSocket handshake (RFC 6455, section 4.2), answered by us, and the raw socket after it.

use bytes::Bytes;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::wire::Permit;
use crate::wire::guard::Guard;

/// An upgrade that was accepted: the socket comes when the 101 has been sent.
pub struct Upgrade {
    on_upgrade: OnUpgrade,
    permit: Option<Permit>,
}

/// The socket after the handshake, and what the client sent too early.
pub struct Raw {
    /// The socket.
    pub tcp: TcpStream,
    /// Bytes that were read together with the request.
    pub early: Bytes,
    /// The connection's place under `wire.connections_max`.
    pub permit: Option<Permit>,
}

/// Why a request cannot be upgraded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeError {
    /// It is no GET, or it asks for no upgrade to websocket.
    #[error("this path wants a WebSocket handshake: GET with `Upgrade: websocket`")]
    NotAnUpgrade,
    /// The version is not 13.
    #[error("only version 13 of the WebSocket protocol is spoken here")]
    Version,
    /// The key is missing or malformed.
    #[error("`Sec-WebSocket-Key` must be 16 bytes in base64")]
    Key,
}

/// Whether a request asks for a WebSocket.
pub fn is_upgrade(headers: &HeaderMap) -> bool {
    has_token(headers, &CONNECTION, "upgrade") && has_token(headers, &UPGRADE, "websocket")
}

impl Upgrade {
    /// Checks the handshake; the answer is to be given to the client as it is.
    ///
    /// # Errors
    /// [`UpgradeError`]; the request is untouched then.
    pub fn accept<B, R: Default>(
        request: &mut Request<B>,
    ) -> Result<(Self, Response<R>), UpgradeError> {
        let headers = request.headers();
        if request.method() != Method::GET || !is_upgrade(headers) {
            return Err(UpgradeError::NotAnUpgrade);
        }
        if headers
            .get(SEC_WEBSOCKET_VERSION)
            .is_none_or(|version| version != "13")
        {
            return Err(UpgradeError::Version);
        }
        let key = headers.get(SEC_WEBSOCKET_KEY).ok_or(UpgradeError::Key)?;
        if key.len() != 24 || !key.as_bytes().ends_with(b"==") {
            return Err(UpgradeError::Key);
        }
        let mut response = Response::new(R::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let accept = derive_accept_key(key.as_bytes());
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(
            SEC_WEBSOCKET_ACCEPT,
            accept.parse().expect("base64 is a header value"),
        );
        let permit = request.extensions_mut().remove::<Permit>();
        Ok((
            Self {
                on_upgrade: hyper::upgrade::on(request),
                permit,
            },
            response,
        ))
    }

    /// The socket. Nothing if the client left before, or if it is not ours.
    pub async fn raw(self) -> Option<Raw> {
        let upgraded = self.on_upgrade.await.ok()?;
        let parts = upgraded.downcast::<TokioIo<Guard>>().ok()?;
        Some(Raw {
            tcp: parts.io.into_inner().into_tcp()?,
            early: parts.read_buf,
            permit: self.permit,
        })
    }
}

fn has_token(headers: &HeaderMap, name: &http::HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|value| value.trim().eq_ignore_ascii_case(token))
}
