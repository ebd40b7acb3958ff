//! Requests that another node is to answer: sent there as they are, and their answers handed back.
//!
//! Neither bodies nor answers are gathered up; a client that leaves takes its request with it, so
//! that the other node notices as if the client had been there.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_TYPE, EXPECT, HOST, HeaderName, HeaderValue, RETRY_AFTER,
    TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, Request, Response, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use uuid::Uuid;

use crate::cluster::proof::RELAY;
use crate::cluster::{Body, Config, Kind, Nodes, Shared};
use crate::wire::{self, Deadline};

/// Headers that are of one hop, or that the other node must not believe.
const NOT_RELAYED: [HeaderName; 12] = [
    CONNECTION,
    EXPECT,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    RELAY,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("forwarded"),
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-real-ip"),
];

/// What of an answer is handed back besides its body.
const HANDED_BACK: [HeaderName; 3] = [CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER];

/// How a request is relayed.
#[derive(Debug, Clone, Copy)]
pub struct Relayed {
    /// What it is.
    pub kind: Kind,
    /// Who sent it.
    pub client: IpAddr,
    /// Longest that its answer may take to begin.
    pub limit: Duration,
}

/// Why a request was not relayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RelayError {
    /// There is no such node, or it does not answer.
    #[error("the node is gone")]
    Gone,
    /// Too much is being relayed.
    #[error("this node relays as much as `cluster.relays_max` allows")]
    Full,
}

impl RelayError {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Full => "full",
        }
    }
}

/// What sends requests to other nodes. The tasks of its connections are the library's own; they end
/// with what is sent through them.
pub(super) fn client(config: &Config, wire: &wire::Config) -> Client<HttpConnector, Body> {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(config.connect_timeout));
    connector.set_nodelay(true);
    #[cfg(target_os = "linux")]
    connector.set_tcp_user_timeout(Some(wire.write_stall_max));
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        // The other node closes what idles: rather close it first.
        .pool_idle_timeout(config.idle_timeout.min(wire.header_timeout / 2))
        .pool_max_idle_per_host(config.idle_max)
        .build(connector)
}

impl Nodes {
    /// Sends a client's request to the node that is to answer it, and returns the answer.
    ///
    /// # Errors
    /// [`RelayError`].
    pub async fn relay(
        &self,
        node: Uuid,
        request: Request<Body>,
        how: Relayed,
    ) -> Result<Response<Body>, RelayError> {
        let own = self.0.as_ref().ok_or(RelayError::Gone)?;
        let relayed = async {
            let places = Arc::clone(&own.relays);
            let place = places.try_acquire_owned().map_err(|_| RelayError::Full)?;
            let answer = own
                .send(node, request, (Some(how.client), how.limit))
                .await?;
            let body_timeout = own.wire.body_timeout;
            Ok(answer.map(|body| {
                let body = Deadline::new(body, body_timeout).map_frame(move |frame| {
                    // The place is kept until the body has gone.
                    let _ = &place;
                    frame
                });
                body.map_err(Into::into).boxed_unsync()
            }))
        }
        .await;
        own.count(how.kind, &relayed);
        relayed.map(handed_back)
    }
}

impl Shared {
    pub(super) fn count<T>(&self, kind: Kind, relayed: &Result<T, RelayError>) {
        let outcome = relayed
            .as_ref()
            .map_or_else(|error| error.as_str(), |_| "answered");
        self.metrics.sent(kind, outcome);
    }

    /// Sends a request to a node, on behalf of a client or of this node.
    pub(super) async fn send(
        &self,
        node: Uuid,
        mut request: Request<Body>,
        (client, limit): (Option<IpAddr>, Duration),
    ) -> Result<Response<Incoming>, RelayError> {
        let address = self.find(node).await.ok_or(RelayError::Gone)?;
        let proof = self.proof((request.method(), request.uri()), node, client);
        let proof = proof.ok_or(RelayError::Gone)?;
        let is_upgrade = wire::is_upgrade(request.headers());
        let headers = request.headers_mut();
        for name in NOT_RELAYED {
            headers.remove(name);
        }
        if is_upgrade {
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        headers.insert(RELAY, proof);
        *request.uri_mut() = at(&address, request.uri()).ok_or(RelayError::Gone)?;
        *request.version_mut() = http::Version::HTTP_11;
        if !request.headers().contains_key(HOST)
            && let Ok(host) = address.as_str().parse()
        {
            request.headers_mut().insert(HOST, host);
        }
        let sent = tokio::time::timeout(limit, self.client.request(request)).await;
        match sent {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                tracing::debug!(%node, %address, %error, "a node does not answer");
                Err(RelayError::Gone)
            }
            Err(_) => {
                tracing::debug!(%node, %address, "a node takes too long to answer");
                Err(RelayError::Gone)
            }
        }
    }
}

/// The same path at a node.
fn at(address: &Authority, uri: &Uri) -> Option<Uri> {
    let path = uri.path_and_query()?.clone();
    let uri = Uri::builder().scheme(Scheme::HTTP);
    uri.authority(address.clone())
        .path_and_query(path)
        .build()
        .ok()
}

/// The answer as a client is to get it: what else the node said was said to this one.
pub(super) fn handed_back(answer: Response<Body>) -> Response<Body> {
    let (mut parts, body) = answer.into_parts();
    let mut said = std::mem::replace(&mut parts.headers, HeaderMap::new());
    for name in HANDED_BACK {
        if let Some(value) = said.remove(&name) {
            parts.headers.insert(name, value);
        }
    }
    parts.extensions.clear();
    Response::from_parts(parts, body)
}
