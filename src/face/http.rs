//! The HTTP face: publishing, reading and streaming of topics, the session application's REST,
//! and what operators ask.
//!
//! The app mounts [`routes`] behind its own accept loop, with [`cors`] outermost. A handler takes
//! a request apart, calls the hub and writes the answer down; it keeps no events and fans nothing
//! out. Every refusal goes through `refusal` and leaves by `exchange`, the outermost layer here.

pub(crate) mod admission;
mod answer;
mod cloud_event;
mod config;
mod cors;
mod docs;
mod entry;
mod exchange;
mod extract;
mod history;
mod jobs;
pub mod library;
mod metrics;
mod negotiate;
mod operations;
mod publish;
mod refusal;
pub(crate) mod refused;
mod revocations;
mod stream;
mod topics;
mod wizard;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};
use prometheus_client::registry::Registry;
use tokio::time::Instant;
use tower_http::catch_panic::CatchPanicLayer;

pub use self::config::Config;
pub use self::cors::{OriginError, cors};
pub use self::metrics::Metrics;

use self::refusal::{Code, Refusal};
use crate::connection::Door;
use crate::drain::Drain;
use crate::hub::{Hub, Topic};
use crate::producer::webhook::Webhooks;
use crate::topic::TopicName;

/// What the face uses. Cheap to clone.
#[derive(Clone)]
pub struct State(Arc<Shared>);

struct Shared {
    config: Config,
    webhooks: Webhooks,
    door: Door,
    drain: Drain,
    metrics: Metrics,
    registry: Arc<Registry>,
    started: Instant,
}

impl State {
    /// The state of the face. The uptime counts from here.
    pub fn new(
        (config, webhooks): (Config, Webhooks),
        door: Door,
        drain: Drain,
        metrics: Metrics,
        registry: Arc<Registry>,
    ) -> Self {
        let started = Instant::now();
        Self(Arc::new(Shared {
            config,
            webhooks,
            door,
            drain,
            metrics,
            registry,
            started,
        }))
    }

    fn config(&self) -> &Config {
        &self.0.config
    }

    fn webhooks(&self) -> &Webhooks {
        &self.0.webhooks
    }

    fn hub(&self) -> &Hub {
        self.0.door.hub()
    }

    fn door(&self) -> &Door {
        &self.0.door
    }

    fn drain(&self) -> &Drain {
        &self.0.drain
    }

    fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    fn registry(&self) -> &Registry {
        &self.0.registry
    }

    fn uptime(&self) -> Duration {
        self.0.started.elapsed()
    }

    /// The topic, if it exists.
    async fn topic(&self, name: &TopicName) -> Result<Arc<Topic>, Refusal> {
        let topic = self.hub().open(name).await?;
        topic.ok_or_else(|| topics::unknown(name))
    }

    /// How many entries a page is to have.
    fn limit(&self, wanted: Option<usize>) -> Result<usize, Refusal> {
        let Config {
            page_limit,
            page_limit_max: max,
            ..
        } = *self.config();
        let limit = wanted.unwrap_or(page_limit);
        if (1..=max).contains(&limit) {
            return Ok(limit);
        }
        let detail = format!("`limit` is 1 to {max} (`face.http.page_limit_max`)");
        Err(Refusal::new(Code::QueryInvalid, detail))
    }
}

/// Every path of the face, with its methods.
fn table() -> Vec<(&'static str, MethodRouter<State>)> {
    vec![
        ("/v1/events", post(publish::to_many)),
        ("/v1/topics", get(topics::list)),
        (
            "/v1/topics/{topic}",
            get(topics::snapshot).delete(topics::delete),
        ),
        (
            "/v1/topics/{topic}/events",
            get(history::events).post(publish::to_topic),
        ),
        ("/v1/topics/{topic}/subscribers", get(topics::subscribers)),
        (
            "/v1/topics/{topic}/clarifications/{id}/answer",
            get(answer::wait),
        ),
        ("/v1/jobs", get(jobs::list).post(jobs::create)),
        ("/v1/jobs/{id}", get(jobs::one)),
        ("/v1/jobs/{id}/queued", moves(jobs::QUEUED)),
        ("/v1/jobs/{id}/started", moves(jobs::STARTED)),
        ("/v1/jobs/{id}/progress", moves(jobs::PROGRESS)),
        ("/v1/jobs/{id}/completed", moves(jobs::COMPLETED)),
        ("/v1/jobs/{id}/failed", moves(jobs::FAILED)),
        ("/v1/jobs/{id}/cancelled", moves(jobs::CANCELLED)),
        ("/v1/jobs/{id}/retry", moves(jobs::RETRY)),
        (
            "/v1/jobs/{id}/cancel",
            moves(jobs::CANCEL).get(jobs::stopping),
        ),
        ("/v1/jobs/{id}/heartbeat", post(jobs::heartbeat)),
        ("/api/wizard/session/{sessionId}", get(wizard::session)),
        ("/api/wizard/status/{sessionId}", get(wizard::status)),
        (
            "/api/wizard/clarifications/{sessionId}",
            get(wizard::clarifications),
        ),
        ("/api/wizard/clarifications/respond", post(wizard::respond)),
        ("/v1/admin/revocations", post(revocations::create)),
        ("/healthz", get(operations::alive)),
        ("/readyz", get(operations::ready)),
        ("/health", get(operations::health)),
        ("/metrics", get(operations::metrics)),
        ("/version", get(operations::version)),
        ("/openapi.json", get(docs::openapi)),
        ("/asyncapi.json", get(docs::asyncapi)),
        ("/docs", get(docs::page)),
    ]
}

/// A request that moves a job.
fn moves(to: jobs::Move) -> MethodRouter<State> {
    post(move |state, path, headers, body| jobs::advance(state, path, headers, (body, to)))
}

/// Every path of the face, as it stands in the route table.
pub fn paths() -> Vec<&'static str> {
    let libraries = library::table().into_iter().map(|(path, _)| path);
    let own = table().into_iter().map(|(path, _)| path);
    own.chain(libraries).collect()
}

/// The paths of the face, and what is merged beside them. The layers here hold for all: who asks,
/// request ids, problems for 404 and 405, counters. So `beside` must not set a fallback of its own.
pub fn routes(state: State, beside: Router) -> Router {
    let router = table()
        .into_iter()
        .fold(docs::files(), |router, (path, methods)| {
            router.route(path, methods)
        });
    router
        .with_state(state.clone())
        .merge(beside)
        .method_not_allowed_fallback(exchange::unknown_method)
        .fallback(exchange::unknown_path)
        .layer(from_fn_with_state(state.clone(), admission::run))
        .layer(CatchPanicLayer::custom(exchange::panicked))
        .layer(from_fn_with_state(state, exchange::run))
}
