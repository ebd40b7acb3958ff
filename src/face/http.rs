//! The HTTP face: publishing, reading and streaming of topics, the session application's REST,
//! and what operators ask.
//!
//! The app puts [`Http`] behind its own accept loop, with [`cors`] outermost. A handler takes
//! a request apart, calls the hub and writes the answer down; it keeps no events and fans nothing
//! out. Every refusal goes through `refusal` and leaves by `exchange`.

pub(crate) mod admission;
mod answer;
mod cloud_event;
mod config;
mod connections;
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
mod nodes;
mod operations;
mod publish;
mod refusal;
pub(crate) mod refused;
mod revocations;
mod sockets;
mod stream;
mod topics;
mod whoami;
mod wizard;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get, post};
use futures_util::FutureExt as _;
use prometheus_client::registry::Registry;
use tokio::time::Instant;
use tower::ServiceExt as _;

pub use self::config::Config;
pub use self::cors::{OriginError, concerns, cors};
pub use self::metrics::Metrics;

use self::exchange::Exchange;
use self::refusal::{Code, Refusal};
use crate::connection::Door;
use crate::drain::Drain;
use crate::face::socketio::Sockets;
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
    sockets: Sockets,
    metrics: Metrics,
    registry: Arc<Registry>,
    started: Instant,
}

impl State {
    /// The state of the face. The uptime counts from here.
    pub fn new(
        (config, webhooks): (Config, Webhooks),
        door: Door,
        (drain, sockets): (Drain, Sockets),
        metrics: Metrics,
        registry: Arc<Registry>,
    ) -> Self {
        let started = Instant::now();
        Self(Arc::new(Shared {
            config,
            webhooks,
            door,
            drain,
            sockets,
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

    fn sockets(&self) -> &Sockets {
        &self.0.sockets
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
        ("/v1/whoami", get(whoami::tell)),
        ("/v1/admin/connections", get(connections::list)),
        ("/v1/admin/nodes", get(nodes::list)),
        ("/v1/admin/revocations", post(revocations::create)),
        ("/v1/sockets", get(sockets::list)),
        ("/v1/sockets/join", post(sockets::join)),
        ("/v1/sockets/leave", post(sockets::leave)),
        ("/v1/sockets/disconnect", post(sockets::disconnect)),
        ("/v1/emit", post(sockets::emit)),
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

/// The face, and what stands beside it. Cheap to clone.
#[derive(Clone)]
pub struct Http {
    state: State,
    router: Router,
}

impl Http {
    /// The paths of the face, and what is merged beside them. What is done here holds for all:
    /// who asks, request ids, problems for 404 and 405, counters. So `beside` must not set a
    /// fallback of its own.
    pub fn new(state: State, beside: Router) -> Self {
        let router = table()
            .into_iter()
            .fold(docs::files(), |router, (path, methods)| {
                router.route(path, methods)
            })
            .with_state(state.clone())
            .merge(nodes::routes(state.clone()))
            .merge(beside)
            .method_not_allowed_fallback(exchange::unknown_method)
            .fallback(exchange::unknown_path);
        Self { state, router }
    }

    /// Answers a request.
    pub async fn respond(&self, request: Request) -> Response {
        let exchange = Exchange::begin(&request);
        let answer = exchange.origin().scope(self.answer(request, &exchange));
        let response = AssertUnwindSafe(answer)
            .catch_unwind()
            .await
            .unwrap_or_else(|_| exchange::panicked());
        exchange.end(&self.state, response)
    }

    async fn answer(&self, mut request: Request, exchange: &Exchange) -> Response {
        let caller = match admission::admit(&self.state, &mut request).await {
            Ok(caller) => caller,
            Err(refusal) => return admission::refused(refusal),
        };
        // What comes most often does without the table.
        if let (Some(caller), Some(posted)) = (&caller, publish::Target::of(&request)) {
            let id = exchange.id();
            let answer = publish::run(&self.state, posted, (caller, id), request).await;
            return answer.into_response();
        }
        let extensions = request.extensions_mut();
        extensions.insert(exchange.id().clone());
        if let Some(caller) = caller {
            extensions.insert(caller);
        }
        let Ok(response) = self.router.clone().oneshot(request).await;
        response
    }
}
