//! Requests of sessions that another node has.
//!
//! Any node takes any request. What is for a session of this node goes on with the engine's id of
//! it; what is for another node's is relayed there, with the address of its client, and judged there
//! alone; what is for nobody's is answered so that the client begins anew at once. A request that a
//! node sent is never relayed again.

use std::net::IpAddr;

use axum::body::Body;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use uuid::Uuid;

use crate::cluster::{self, Kind, Opened, RelayError, Relayed, Whose};
use crate::face::socketio::SocketIo;
use crate::face::socketio::nodes::RELEASE_PATH;
use crate::face::socketio::request::{Query, Refusal, Transport};
use crate::face::socketio::shim::accept;
use crate::wire::DeadlineError;

/// Where a request goes.
pub(super) enum Routed<B> {
    /// To the engine of this node.
    Here(Request<B>),
    /// It is answered.
    Answered(Response<Body>),
}

impl SocketIo {
    /// Finds out where a request goes, and relays it if it is another node's.
    pub(super) async fn route<B>(
        &self,
        mut request: Request<B>,
        query: Option<&Query<'_>>,
    ) -> Routed<B>
    where
        B: http_body::Body<Data = Bytes, Error = DeadlineError> + Send + 'static,
    {
        if !self.nodes.is_joined() && query.is_some_and(concerns_others) {
            // It was just started, behind something that does not ask whether it is ready: sessions of
            // other nodes go on meanwhile, and those that begin here are to be known there.
            Box::pin(self.nodes.joined()).await;
        }
        let is_relayed = cluster::is_relayed(&request);
        if is_relayed {
            let Some(proven) = self.nodes.prove(&request) else {
                return Routed::Answered(Refusal::SessionUnknown.response());
            };
            self.door.vouch(&mut request, proven.client);
        }
        // What is refused anyway needs no other node for it.
        let Some((told, transport)) = query.and_then(|query| Some((query.sid?, query.transport)))
        else {
            return Routed::Here(request);
        };
        match self.nodes.whose(told) {
            Whose::Ours(sid) if sid == told => Routed::Here(request),
            Whose::Ours(sid) => {
                let renamed = renamed(request.uri(), told, sid);
                *request.uri_mut() = renamed;
                Routed::Here(request)
            }
            Whose::Theirs(node) if !is_relayed => {
                let answered = match transport {
                    // Requests of our own sessions are not to carry the room for these.
                    Transport::Polling => Box::pin(self.relay(node, request)).await,
                    Transport::WebSocket => Box::pin(self.tunnel(node, request)).await,
                };
                Routed::Answered(answered.unwrap_or_else(Refusal::response))
            }
            Whose::Theirs(_) | Whose::Nobodys => {
                Routed::Answered(Refusal::SessionUnknown.response())
            }
        }
    }

    /// Relays a poll or a post.
    async fn relay<B>(&self, node: Uuid, request: Request<B>) -> Result<Response<Body>, Refusal>
    where
        B: http_body::Body<Data = Bytes, Error = DeadlineError> + Send + 'static,
    {
        let bytes_max = self.bounds.post_bytes;
        let length = request.headers().get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if let Some(length) = length.filter(|length| *length > bytes_max) {
            // What is not far too large is read, so that the client reads the refusal.
            if length <= bytes_max.saturating_mul(2) {
                pass_over(request.into_body()).await;
            }
            return Err(Refusal::TooLarge);
        }
        let kind = if *request.method() == Method::GET {
            Kind::Poll
        } else {
            Kind::Post
        };
        let how = Relayed {
            kind,
            client: self.door.address(&request),
            limit: self.bounds.poll,
        };
        let told = sid_of(request.uri()).unwrap_or_default();
        let request = request.map(|body| Limited::new(body, bytes_max).boxed_unsync());
        let answer = self.nodes.relay(node, request, how);
        tokio::pin!(answer);
        let answer = tokio::select! {
            answer = &mut answer => answer,
            () = self.plain.drain().doors_closed(), if kind == Kind::Poll => {
                // The client is to go on at another node, and its session with it.
                self.nodes.tell(node, RELEASE_PATH, told).await;
                answer.await
            }
        };
        Ok(answer?.map(Body::new))
    }

    /// Relays a switch to websocket.
    async fn tunnel<B>(
        &self,
        node: Uuid,
        mut request: Request<B>,
    ) -> Result<Response<Body>, Refusal> {
        let client: IpAddr = self.door.address(&request);
        let (upgrade, response) = accept(&mut request)?;
        let (head, _) = request.into_parts();
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let mut asked = Request::new(body);
        *asked.uri_mut() = head.uri;
        *asked.headers_mut() = head.headers;
        let limit = self.bounds.upgrade;
        let opened = self.nodes.open_tunnel(node, asked, (client, limit)).await?;
        let tunnel = match opened {
            Opened::Tunnel(tunnel) => tunnel,
            Opened::Refused(answer) => return Ok(answer.map(Body::new)),
        };
        self.plain.drain().spawn(async move {
            if let Some(raw) = upgrade.raw().await {
                tunnel.run(raw).await;
            }
        });
        Ok(response)
    }
}

impl From<RelayError> for Refusal {
    fn from(error: RelayError) -> Self {
        match error {
            RelayError::Gone => Self::SessionUnknown,
            RelayError::Full => Self::RelaysFull,
        }
    }
}

/// Reads a body and keeps nothing of it.
async fn pass_over<B>(body: B)
where
    B: http_body::Body<Data = Bytes, Error = DeadlineError>,
{
    let mut body = Box::pin(body);
    while let Some(Ok(_)) = body.frame().await {}
}

/// Whether a request needs the other nodes known: all but the first of a websocket, whose session has
/// one connection.
fn concerns_others(query: &Query<'_>) -> bool {
    query.sid.is_some() || query.transport == Transport::Polling
}

fn sid_of(uri: &Uri) -> Option<Bytes> {
    let mut pairs = uri.query()?.split('&');
    let sid = pairs.find_map(|pair| pair.strip_prefix("sid="))?;
    Some(Bytes::copy_from_slice(sid.as_bytes()))
}

/// The same address with the engine's id of the session.
fn renamed(uri: &Uri, told: &str, sid: &str) -> Uri {
    let is_it = |pair: &str| pair.strip_prefix("sid=") == Some(told);
    let pairs = uri.query().unwrap_or_default().split('&');
    let pairs: Vec<String> = pairs
        .map(|pair| {
            if is_it(pair) {
                format!("sid={sid}")
            } else {
                pair.to_owned()
            }
        })
        .collect();
    let path = format!("{}?{}", uri.path(), pairs.join("&"));
    path.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_id_is_renamed() {
        for (uri, expected) in [
            (
                "/socket.io/?EIO=4&sid=a.b.c&t=x",
                "/socket.io/?EIO=4&sid=a&t=x",
            ),
            ("/socket.io/?sid=a.b.c", "/socket.io/?sid=a"),
            ("http://h/s/?sid=a.b.c&t=sid=a.b.c", "/s/?sid=a&t=sid=a.b.c"),
        ] {
            assert_eq!(renamed(&uri.parse().unwrap(), "a.b.c", "a"), expected);
        }
    }
}
