//! A client of a gateway's public HTTP API.
//!
//! `publish`, `watch`, `demo`, `bench` and `healthcheck` use it, so they can do nothing that a
//! worker elsewhere could not. [`Gateway::follow`] resumes by cursor after a lost connection; all
//! other calls are tried once, except a publish with an idempotency key, which is safe to repeat.

mod error;
mod event;
mod follow;
mod history;
mod poll;
mod sse;

pub use self::error::Error;
pub use self::event::{Answer, Publish, Receipt};
pub use self::follow::{Follow, Followed};
pub use self::history::{Entry, Page};
pub use self::poll::{Recovery, SEPARATOR};
pub use self::sse::{Parser, SseEvent};

use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::{Value, json};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an ordinary call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a publish with an idempotency key is tried.
const PUBLISH_ATTEMPTS: u32 = 4;

/// The pause before a publish is repeated.
const PUBLISH_PAUSE: Duration = Duration::from_millis(200);

/// A client of one gateway. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Gateway {
    http: reqwest::Client,
    base: Url,
    token: Option<HeaderValue>,
}

impl Gateway {
    /// A client of the gateway at an address such as `http://127.0.0.1:3000`. Calls nobody yet.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(url: &str) -> Result<Self, Error> {
        Self::from_address(url, None)
    }

    /// The same, called from one of the addresses of this machine.
    ///
    /// # Errors
    /// When the address of the gateway is none.
    pub fn from_address(url: &str, source: Option<IpAddr>) -> Result<Self, Error> {
        let base = Url::parse(url).map_err(|_| Error::Address(url.to_owned()))?;
        if base.scheme() != "http" || base.host_str().is_none() {
            return Err(Error::Address(url.to_owned()));
        }
        let mut http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(CONNECT_TIMEOUT)
            .local_address(source)
            .user_agent(concat!("tidings/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&base) {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|source| Error::Client { source })?;
        Ok(Self {
            http,
            base,
            token: None,
        })
    }

    /// The same, showing a token or an API key. What cannot be a header is not shown.
    #[must_use]
    pub fn with_token(mut self, token: Option<String>) -> Self {
        self.token = token.and_then(|token| {
            let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        self
    }

    /// The address.
    pub fn base(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Host and port.
    pub fn authority(&self) -> &str {
        self.base().trim_start_matches("http://")
    }

    /// Whether the gateway is on this machine.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.base)
    }

    /// Publishes one event.
    ///
    /// # Errors
    /// When the gateway refuses it or cannot be reached. With an idempotency key it is tried
    /// several times before the latter is reported.
    pub async fn publish(&self, topic: &str, event: &Publish) -> Result<Receipt, Error> {
        let mut attempt = 1;
        loop {
            let result = self.publish_once(topic, event).await;
            match result {
                Err(Error::Unreachable { .. })
                    if event.idempotency_key.is_some() && attempt < PUBLISH_ATTEMPTS =>
                {
                    attempt += 1;
                    tokio::time::sleep(PUBLISH_PAUSE).await;
                }
                result => return result,
            }
        }
    }

    /// Publishes one event, with a single attempt whatever happens.
    ///
    /// # Errors
    /// When the gateway refuses it or cannot be reached.
    pub async fn publish_once(&self, topic: &str, event: &Publish) -> Result<Receipt, Error> {
        let mut request = self
            .call(Method::POST, &["v1", "topics", topic, "events"])
            .json(event);
        if let Some(key) = &event.idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        self.read(self.send(request).await?).await
    }

    /// Publishes lines of NDJSON, each `{"topic", "name", "data", ..}`. Returns what the gateway
    /// says of each, in order: a receipt or a problem.
    ///
    /// # Errors
    /// When the batch as a whole is refused or the gateway cannot be reached.
    pub async fn publish_batch(&self, ndjson: String) -> Result<Vec<Value>, Error> {
        let request = self
            .call(Method::POST, &["v1", "events"])
            .header("Content-Type", "application/x-ndjson")
            .body(ndjson);
        let response = self.send(request).await?;
        let text = response
            .text()
            .await
            .map_err(|source| self.unreachable(source))?;
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        lines
            .map(|line| serde_json::from_str(line).map_err(|source| Error::Body { source }))
            .collect()
    }

    /// What is known of a topic; nothing if nobody published to it.
    ///
    /// # Errors
    /// When the gateway refuses or cannot be reached.
    pub async fn snapshot(&self, topic: &str) -> Result<Option<Value>, Error> {
        let request = self.call(Method::GET, &["v1", "topics", topic]);
        match self.send(request).await {
            Ok(response) => self.read(response).await.map(Some),
            Err(Error::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits for the answer to a question, at most `wait`.
    ///
    /// # Errors
    /// When the gateway refuses or cannot be reached.
    pub async fn wait_for_answer(
        &self,
        topic: &str,
        clarification: &str,
        wait: Duration,
    ) -> Result<Answer, Error> {
        let path = [
            "v1",
            "topics",
            topic,
            "clarifications",
            clarification,
            "answer",
        ];
        let mut url = self.url(&path);
        url.query_pairs_mut()
            .append_pair("wait", &crate::quantity::duration::format(wait));
        let request = self
            .showing(self.http.get(url))
            .timeout(wait + CALL_TIMEOUT);
        let response = match self.send(request).await {
            Ok(response) => response,
            Err(Error::Refused { status: 410, .. }) => return Ok(Answer::Expired),
            Err(error) => return Err(error),
        };
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(Answer::Open);
        }
        let mut body: Value = self.read(response).await?;
        let by = body["answeredBy"].as_str().unwrap_or_default().to_owned();
        Ok(Answer::Given {
            response: body["response"].take(),
            by,
        })
    }

    /// Answers a question of a session.
    ///
    /// # Errors
    /// When the gateway refuses (somebody was first, the answer does not fit) or cannot be
    /// reached.
    pub async fn answer(
        &self,
        session: &str,
        clarification: &str,
        response: &Value,
    ) -> Result<Value, Error> {
        let body = json!({
            "sessionId": session,
            "clarificationId": clarification,
            "response": response,
        });
        let path = ["api", "wizard", "clarifications", "respond"];
        self.read(
            self.send(self.call(Method::POST, &path).json(&body))
                .await?,
        )
        .await
    }

    /// Follows a topic, from a cursor or with the snapshot first.
    pub fn follow(&self, topic: &str, since: Option<String>) -> Follow {
        Follow::new(self.clone(), topic.to_owned(), since)
    }

    /// Whether the gateway is alive.
    ///
    /// # Errors
    /// When it is not, or says that it is not well.
    pub async fn health(&self, limit: Duration) -> Result<(), Error> {
        self.send(self.call(Method::GET, &["healthz"]).timeout(limit))
            .await
            .map(|_| ())
    }

    fn call(&self, method: Method, path: &[&str]) -> RequestBuilder {
        self.open(method, path).timeout(CALL_TIMEOUT)
    }

    /// A request without a limit on the time of its body.
    fn open(&self, method: Method, path: &[&str]) -> RequestBuilder {
        self.showing(self.http.request(method, self.url(path)))
    }

    /// A request with the token, if there is one.
    fn showing(&self, request: RequestBuilder) -> RequestBuilder {
        match self.authorization() {
            Some(token) => request.header(AUTHORIZATION, token),
            None => request,
        }
    }

    /// The header `Authorization` that shows the token, if there is one.
    pub fn authorization(&self) -> Option<HeaderValue> {
        self.token.clone()
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        let response = request
            .send()
            .await
            .map_err(|source| self.unreachable(source))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let body = response.text().await.unwrap_or_default();
        Err(Error::refused(status, &body))
    }

    async fn read<T: for<'de> Deserialize<'de>>(&self, response: Response) -> Result<T, Error> {
        let body = response
            .bytes()
            .await
            .map_err(|source| self.unreachable(source))?;
        serde_json::from_slice(&body).map_err(|source| Error::Body { source })
    }

    fn unreachable(&self, source: reqwest::Error) -> Error {
        Error::Unreachable {
            base: self.base().to_owned(),
            source: source.without_url(),
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_none_is_refused_with_an_example() {
        for url in [
            "",
            "localhost:3000",
            "https://example.org",
            "ftp://x",
            "http://",
        ] {
            let error = Gateway::new(url).unwrap_err().to_string();
            assert!(error.contains("http://127.0.0.1:3000"), "{url}: {error}");
        }
    }

    #[test]
    fn loopback_is_recognised() {
        for (url, is_loopback) in [
            ("http://127.0.0.1:3000", true),
            ("http://localhost:3000/", true),
            ("http://[::1]:3000", true),
            ("http://10.0.0.1:3000", false),
            ("http://example.org", false),
        ] {
            assert_eq!(
                Gateway::new(url).unwrap().is_loopback(),
                is_loopback,
                "{url}"
            );
        }
    }
}
