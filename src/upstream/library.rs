//! A real library service behind the gateway, by HTTP.
//!
//! [`Client`] speaks the REST of the library application. Every call has a timeout and a place
//! among few; what may be repeated is, with growing pauses; and when the service fails again and
//! again a circuit breaker refuses at once until it is worth another try. The name of a request
//! goes along as `X-Request-Id`.

mod answers;
mod breaker;
mod config;
mod error;
mod metrics;

pub use self::breaker::State as BreakerState;
pub use self::config::Config;
pub use self::error::Error;
pub use self::metrics::Metrics;

use std::sync::Arc;

use backon::{ExponentialBuilder, Retryable as _};
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _};
use reqwest::{Method, Response, StatusCode, Url};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

use self::breaker::Breaker;
use crate::document::{
    Document, DocumentId, Hit, Library, LibraryId, NewDocument, NewLibrary, Search, Summary,
};
use crate::origin::{self, TRACEPARENT};

/// Longest explanation of the service that is passed on, in characters.
const DETAIL_CHARS_MAX: usize = 500;

/// Why the client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The address is none.
    #[error("`{0}` is no address of a service: write `http://host:port`")]
    Address(String),
    /// The HTTP client could not be made.
    #[error("the HTTP client could not be made: {0}")]
    Client(#[source] reqwest::Error),
}

/// A client of one library service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    http: reqwest::Client,
    base: Url,
    config: Config,
    places: Semaphore,
    queue: Semaphore,
    breaker: Breaker,
    metrics: Metrics,
}

/// One call.
struct Call<'a> {
    method: Method,
    url: Url,
    body: Option<&'a Value>,
    /// By which the service can find it again.
    request_id: &'a str,
}

impl Client {
    /// A client of the service that the config names, if it names one. Calls nobody yet.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn new(config: &Config, metrics: Metrics) -> Result<Option<Self>, ConfigError> {
        let Some(url) = &config.url else {
            return Ok(None);
        };
        let base = Url::parse(url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| ConfigError::Address(url.clone()))?;
        let http = reqwest::Client::builder()
            .connect_timeout(config.connect_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("tidings/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(ConfigError::Client)?;
        let breaker = Breaker::new(config.failures_max, config.rest, metrics.clone());
        Ok(Some(Self(Arc::new(Shared {
            http,
            base,
            places: Semaphore::new(config.concurrency_max.max(1)),
            queue: Semaphore::new(config.concurrency_max.max(1) + config.queue_max),
            config: config.clone(),
            breaker,
            metrics,
        }))))
    }

    /// What calls may take.
    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    /// Whether the service is called, left alone, or tried.
    pub fn breaker(&self) -> BreakerState {
        self.0.breaker.state()
    }

    /// Makes a library.
    pub async fn create(&self, new: &NewLibrary, request_id: &str) -> Result<Library, Error> {
        let body = json!({ "name": new.name, "description": new.description });
        let call = self.call(Method::POST, &["libraries"], Some(&body), request_id);
        answers::library(&self.json(&call).await?)
    }

    /// All libraries.
    pub async fn libraries(&self) -> Result<Vec<Library>, Error> {
        let call = self.call(Method::GET, &["libraries"], None, "");
        answers::libraries(&self.repeated(&call).await?)
    }

    /// A library.
    pub async fn library(&self, id: LibraryId) -> Result<Library, Error> {
        let path = ["libraries", &id.to_string()];
        let call = self.call(Method::GET, &path, None, "");
        let found = self.repeated(&call).await;
        answers::library(&found.map_err(|error| named(error, &format!("Library {id} not found")))?)
    }

    /// Deletes a library.
    pub async fn delete_library(&self, id: LibraryId, request_id: &str) -> Result<(), Error> {
        let path = ["libraries", &id.to_string()];
        let call = self.call(Method::DELETE, &path, None, request_id);
        let gone = format!("Library {id} not found");
        self.deleted(&call).await.map_err(|e| named(e, &gone))
    }

    /// Adds a document.
    pub async fn add(
        &self,
        library: LibraryId,
        new: &NewDocument,
        request_id: &str,
    ) -> Result<Summary, Error> {
        let body = json!({ "title": new.title, "texts": new.texts, "metadata": new.metadata });
        let path = ["libraries", &library.to_string(), "documents"];
        let call = self.call(Method::POST, &path, Some(&body), request_id);
        let added = self.json(&call).await;
        let missing = format!("Library {library} not found");
        let answer = added.map_err(|error| named(error, &missing))?;
        answers::summary(&answer, &new.title, new.texts.len())
    }

    /// A document with its text.
    pub async fn document(&self, library: LibraryId, id: DocumentId) -> Result<Document, Error> {
        let call = self.document_call(Method::GET, library, id, "");
        let found = self.repeated(&call).await;
        answers::document(&found.map_err(|error| named(error, "Document not found"))?)
    }

    /// What a library holds, without the texts, as the service lists it.
    pub async fn documents(&self, library: LibraryId) -> Result<Vec<Summary>, Error> {
        let path = ["libraries", &library.to_string(), "documents"];
        let call = self.call(Method::GET, &path, None, "");
        let missing = format!("Library {library} not found");
        let found = self.repeated(&call).await;
        answers::summaries(&found.map_err(|error| named(error, &missing))?)
    }

    /// Deletes a document.
    pub async fn delete(
        &self,
        library: LibraryId,
        id: DocumentId,
        request_id: &str,
    ) -> Result<(), Error> {
        let call = self.document_call(Method::DELETE, library, id, request_id);
        let deleted = self.deleted(&call).await;
        deleted.map_err(|error| named(error, "Document not found"))
    }

    /// The documents that are nearest to a query.
    pub async fn search(
        &self,
        library: LibraryId,
        wanted: &Search,
        request_id: &str,
    ) -> Result<Vec<Hit>, Error> {
        let body = json!({ "query": wanted.query, "k": wanted.k });
        let path = ["libraries", &library.to_string(), "search"];
        let call = self.call(Method::POST, &path, Some(&body), request_id);
        let missing = format!("Library {library} not found");
        let found = self.repeated(&call).await;
        answers::hits(&found.map_err(|error| named(error, &missing))?)
    }

    /// All documents of a library as the service streams them, one JSON text a line.
    pub async fn export(
        &self,
        library: LibraryId,
    ) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + use<>, Error> {
        let path = ["libraries", &library.to_string(), "documents", "stream"];
        let call = self.call(Method::GET, &path, None, "");
        let missing = format!("Library {library} not found");
        let (response, _) = self
            .guarded(&call)
            .await
            .map_err(|error| named(error, &missing))?;
        Ok(response.bytes_stream().map_err(|_| Error::Broken))
    }

    fn call<'a>(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&'a Value>,
        request_id: &'a str,
    ) -> Call<'a> {
        let mut url = self.0.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        Call {
            method,
            url,
            body,
            request_id,
        }
    }

    fn document_call<'a>(
        &self,
        method: Method,
        library: LibraryId,
        id: DocumentId,
        request_id: &'a str,
    ) -> Call<'a> {
        let path = self.0.config.document_path.trim_start_matches('/');
        let path = path
            .replace("{library_id}", &library.to_string())
            .replace("{document_id}", &id.to_string());
        let path: Vec<&str> = path.trim_start_matches("v1/").split('/').collect();
        self.call(method, &path, None, request_id)
    }

    /// A call that may be made again when it fails.
    async fn repeated(&self, call: &Call<'_>) -> Result<Value, Error> {
        (|| self.json(call))
            .retry(self.pauses())
            .when(Error::is_failure)
            .await
    }

    /// A deletion that may be made again: what is gone at the second try was there at the first.
    async fn deleted(&self, call: &Call<'_>) -> Result<(), Error> {
        let mut is_repeated = false;
        (|| {
            let again = std::mem::replace(&mut is_repeated, true);
            async move {
                match self.guarded(call).await {
                    Err(Error::NotFound(_)) if again => Ok(()),
                    done => done.map(drop),
                }
            }
        })
        .retry(self.pauses())
        .when(Error::is_failure)
        .await
    }

    fn pauses(&self) -> ExponentialBuilder {
        ExponentialBuilder::default()
            .with_min_delay(self.0.config.retry_pause)
            .with_max_times(self.0.config.retries_max)
            .with_jitter()
    }

    async fn json(&self, call: &Call<'_>) -> Result<Value, Error> {
        let timeout = self.0.config.timeout;
        let (response, _place) = self.guarded(call).await?;
        let body = self.body(response);
        let body = tokio::time::timeout(timeout, body)
            .await
            .map_err(|_| Error::TimedOut(timeout))??;
        serde_json::from_slice(&body).map_err(|error| Error::Answer(error.to_string()))
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, Error> {
        let max = self.0.config.answer_bytes_max.bytes();
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|_| Error::Broken)? {
            if body.len() + piece.len() > max {
                let why = format!("more than {max} bytes (`upstream.library.answer_bytes_max`)");
                return Err(Error::Answer(why));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    /// Makes a call if there is a place for it and the breaker lets it, and tells the breaker.
    async fn guarded(&self, call: &Call<'_>) -> Result<(Response, SemaphorePermit<'_>), Error> {
        let _waiting = self.0.queue.try_acquire().map_err(|_| Error::Busy)?;
        let timeout = self.0.config.timeout;
        let place = tokio::time::timeout(timeout, self.0.places.acquire())
            .await
            .map_err(|_| Error::Busy)?
            .map_err(|_| Error::Busy)?;
        let attempt = self.0.breaker.enter()?;
        let sent = tokio::time::timeout(timeout, self.sent(call)).await;
        let answered = sent.unwrap_or(Err(Error::TimedOut(timeout)));
        let is_well = !matches!(&answered, Err(error) if error.is_failure());
        attempt.ended(is_well);
        self.0.metrics.called(is_well);
        Ok((answered?, place))
    }

    async fn sent(&self, call: &Call<'_>) -> Result<Response, Error> {
        let mut request = self.0.http.request(call.method.clone(), call.url.clone());
        if let Some(body) = call.body {
            request = request.json(body);
        }
        let from = origin::current();
        let id = Some(call.request_id).filter(|id| !id.is_empty());
        let id = id.or(from.request.as_deref()).unwrap_or_default();
        if !id.is_empty() && id.bytes().all(|b| b.is_ascii_graphic()) {
            request = request.header("X-Request-Id", id);
        }
        if let Some(trace) = &from.trace {
            request = request.header(TRACEPARENT, trace.to_string());
        }
        let response = request.send().await.map_err(|error| {
            if error.is_connect() {
                Error::Unreachable
            } else if error.is_timeout() {
                Error::TimedOut(self.0.config.timeout)
            } else {
                Error::Broken
            }
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(Error::Failed {
                status: status.as_u16(),
            });
        }
        let body = self.body(response).await.unwrap_or_default();
        let detail = answers::detail(&body);
        let detail = detail.chars().take(DETAIL_CHARS_MAX).collect();
        Err(match status {
            StatusCode::NOT_FOUND => Error::NotFound(detail),
            _ => Error::Refused {
                status: status.as_u16(),
                detail,
            },
        })
    }
}

/// What is not found, in our own words.
fn named(error: Error, not_found: &str) -> Error {
    match error {
        Error::NotFound(_) => Error::NotFound(not_found.to_owned()),
        error => error,
    }
}
