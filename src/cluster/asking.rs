//! Questions to all other nodes, with a deadline for each, and word of those that did not answer.

use bytes::Bytes;
use futures_util::future::join_all;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use uuid::Uuid;

use crate::cluster::{Kind, Nodes, RelayError, Shared};

/// What one node answered.
#[derive(Debug, Clone)]
pub struct Answered {
    /// The node.
    pub node: Uuid,
    /// Its answer; nothing if none came in time.
    pub answer: Option<Bytes>,
}

impl Nodes {
    /// Asks all other nodes the same, at the same time. Answers may have so many bytes.
    pub async fn ask_all(
        &self,
        path: &'static str,
        question: Bytes,
        bytes_max: usize,
    ) -> Vec<Answered> {
        let Some(own) = &self.0 else {
            return Vec::new();
        };
        let asked = own.registry.all().into_iter().map(|(node, _)| {
            let question = question.clone();
            async move {
                let answer = own.ask(node, path, question, bytes_max).await;
                own.count(Kind::Ask, &answer);
                let answer = answer.ok();
                Answered { node, answer }
            }
        });
        join_all(asked).await
    }

    /// Tells one node something. Whether it heard is of no matter to the caller.
    pub async fn tell(&self, node: Uuid, path: &'static str, what: Bytes) {
        if let Some(own) = &self.0 {
            let told = own.ask(node, path, what, 0).await;
            own.count(Kind::Ask, &told);
        }
    }
}

impl Shared {
    async fn ask(
        &self,
        node: Uuid,
        path: &'static str,
        question: Bytes,
        bytes_max: usize,
    ) -> Result<Bytes, RelayError> {
        let length = question.len();
        let body = Full::new(question).map_err(|never| match never {});
        let mut request = Request::new(body.boxed_unsync());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = http::Uri::from_static(path);
        let headers = request.headers_mut();
        headers.insert(CONTENT_LENGTH, length.into());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let limit = self.config.answer_timeout;
        let asked = async {
            let answer = self.send(node, request, (None, limit)).await?;
            if answer.status() != StatusCode::OK {
                return Err(RelayError::Gone);
            }
            let body = Limited::new(answer.into_body(), bytes_max);
            let body = body.collect().await.map_err(|_| RelayError::Gone)?;
            Ok(body.to_bytes())
        };
        let asked = tokio::time::timeout(limit, asked).await;
        asked.unwrap_or(Err(RelayError::Gone))
    }
}
