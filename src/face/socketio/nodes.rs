//! What other nodes ask of this face: their part of an operation on sockets, to let a poll go, and how
//! it does.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use serde::Serialize;

use crate::cluster::Whose;
use crate::face::socketio::link::Link;
use crate::face::socketio::sockets::{self, Operation};
use crate::face::socketio::{SocketIo, admin};
use crate::wire::DeadlineError;

/// Where a node that drains asks for the answer to a poll that it relays.
pub(super) const RELEASE_PATH: &str = "/nodes/polls/release";

/// Whether a path is for nodes only.
pub(super) fn owns(path: &str) -> bool {
    [sockets::PATH, RELEASE_PATH, admin::PATH].contains(&path)
}

impl SocketIo {
    /// Answers a node. To everybody else there is no such path.
    pub(super) async fn respond_to_node<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes, Error = DeadlineError> + Send + 'static,
    {
        if self.nodes.prove(&request).is_none() {
            return empty(StatusCode::NOT_FOUND);
        }
        if request.uri().path() == admin::PATH {
            return match self.plain.sessions().admin() {
                Some(admin) => json(&admin.standing()),
                None => empty(StatusCode::NOT_FOUND),
            };
        }
        let is_release = request.uri().path() == RELEASE_PATH;
        let body = Limited::new(request.into_body(), sockets::BYTES_MAX);
        let Ok(body) = Box::pin(body).collect().await else {
            return empty(StatusCode::BAD_REQUEST);
        };
        let body = body.to_bytes();
        if is_release {
            if let Some(link) = std::str::from_utf8(&body)
                .ok()
                .and_then(|sid| self.told(sid))
            {
                link.release();
            }
            return empty(StatusCode::OK);
        }
        let Ok(operation) = serde_json::from_slice::<Operation>(&body) else {
            return empty(StatusCode::UNPROCESSABLE_ENTITY);
        };
        json(&self.sockets.here(&operation).await)
    }

    /// The session of this node that a polling client knows by this id.
    fn told(&self, sid: &str) -> Option<Arc<Link>> {
        match self.nodes.whose(sid) {
            Whose::Ours(sid) => self
                .plain
                .session(sid)
                .or_else(|| self.msgpack.session(sid)),
            Whose::Theirs(_) | Whose::Nobodys => None,
        }
    }
}

impl Link {
    /// The poll that waits, or the next one, is answered at once, with nothing if nothing is due.
    fn release(&self) {
        self.lock().is_released = true;
        self.news.notify_one();
    }
}

fn json(answer: &impl Serialize) -> Response<Body> {
    let mut response = Response::new(Body::from(serde_json::to_vec(answer).unwrap_or_default()));
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
