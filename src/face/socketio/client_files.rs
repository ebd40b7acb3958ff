//! `/socket.io/socket.io.js` and its variants, from the npm package where the config names it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use sha2::{Digest, Sha256};

/// The files that a Socket.IO server is expected to have.
const FILES: [&str; 8] = [
    "socket.io.js",
    "socket.io.js.map",
    "socket.io.min.js",
    "socket.io.min.js.map",
    "socket.io.msgpack.min.js",
    "socket.io.msgpack.min.js.map",
    "socket.io.esm.min.js",
    "socket.io.esm.min.js.map",
];

/// What a client is told when the files are not there.
const HOW: &str = "The Socket.IO client is not installed here. Install the npm package \
socket.io-client and set face.socketio.client_dir to its dist folder.\n";

/// The folder of the client's files. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct ClientFiles(Option<Arc<Path>>);

impl ClientFiles {
    pub(crate) fn new(dir: Option<PathBuf>) -> Self {
        Self(dir.map(Into::into))
    }

    /// Answers a request for a file under the Socket.IO path. Only the known names are looked for.
    pub(crate) async fn respond(
        &self,
        method: &Method,
        headers: &HeaderMap,
        file: &str,
    ) -> Response<Body> {
        if *method != Method::GET && *method != Method::HEAD {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD only\n");
            response
                .headers_mut()
                .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        if !FILES.contains(&file) {
            return text(StatusCode::NOT_FOUND, "There is no such file.\n");
        }
        let content = match &self.0 {
            Some(dir) => tokio::fs::read(dir.join(file)).await.ok(),
            None => None,
        };
        let Some(content) = content else {
            return text(StatusCode::NOT_FOUND, HOW);
        };
        let digest = Sha256::digest(&content);
        let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest[..12]));
        let is_known = headers
            .get(header::IF_NONE_MATCH)
            .is_some_and(|known| *known == *tag);
        let is_map = Path::new(file)
            .extension()
            .is_some_and(|extension| extension == "map");
        let kind = if is_map {
            "application/json"
        } else {
            "text/javascript; charset=utf-8"
        };
        let body = if is_known {
            Body::empty()
        } else {
            Body::from(content)
        };
        let status = if is_known {
            StatusCode::NOT_MODIFIED
        } else {
            StatusCode::OK
        };
        Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, kind)
            .header(header::ETAG, tag)
            .header(header::CACHE_CONTROL, "public, max-age=0")
            .body(body)
            .expect("the parts are valid")
    }
}

fn text(status: StatusCode, body: &'static str) -> Response<Body> {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "text/plain; charset=utf-8")
        .body(Body::from(body))
        .expect("the parts are valid")
}
