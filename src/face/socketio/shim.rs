//! The shim: every Engine.IO request and websocket passes here on its way to the engine.
//!
//! It answers what the engine would answer differently from other servers (refusals, the probe of
//! an upgrade, crossed closes), strips what the engine need not keep, and lets links see what the
//! engine sends. It knows sessions and transports; what events are due is the link's matter.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::service::Service;

use crate::cluster::Nodes;
use crate::drain::Drain;
use crate::face::socketio::encode::{self, Dialect};
pub use crate::face::socketio::frames::Bounds;
use crate::face::socketio::frames::Frames;
use crate::face::socketio::link::{Direct, Exit, Habits, Link, Probe};
use crate::face::socketio::polling;
use crate::face::socketio::probe::Upgrading;
use crate::face::socketio::request::{Protocol, Query, Refusal, Transport};
use crate::face::socketio::sessions::Sessions;
use crate::face::socketio::ticket::Ticket;
use crate::wire::{self, DeadlineError, Lifeline, Outboxes, Stream, Upgrade, UpgradeError};

/// python-engineio drops the connection when the body of a poll has more packets.
const PYTHON_POLL_PACKETS_MAX: usize = 16;

/// What an engine answered.
#[derive(Debug)]
pub struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) is_binary: bool,
    pub(crate) body: Bytes,
}

/// A client's stream. The engine's tasks have room for it several times over: a pointer keeps them small.
type BoxedStream = Box<Stream<Frames>>;

/// An Engine.IO server that takes requests and raw streams: the services of socketioxide and of
/// engineioxide both do.
pub trait Engine: Clone + Send + Sync + 'static {
    /// Answers a polling request.
    fn answer(&self, request: Request<Full<Bytes>>) -> impl Future<Output = Answer> + Send;

    /// Takes over a websocket whose handshake is done.
    fn take(&self, stream: BoxedStream, request: Request<()>);
}

impl<S, B> Engine for S
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>
        + Service<(BoxedStream, Request<()>), Response = ()>
        + Clone
        + Send
        + Sync
        + 'static,
    <S as Service<Request<Full<Bytes>>>>::Future: Send,
    B: http_body::Body<Data = Bytes> + Send,
{
    async fn answer(&self, request: Request<Full<Bytes>>) -> Answer {
        let answered = Service::<Request<Full<Bytes>>>::call(self, request).await;
        let (parts, body) = answered.unwrap_or_else(|never| match never {}).into_parts();
        let is_binary = parts
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind == "application/octet-stream");
        // The engine's bodies are whole in memory; one that is not is its own failure.
        let body = body
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes);
        let status = if body.is_ok() {
            parts.status
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        };
        Answer {
            status,
            is_binary,
            body: body.unwrap_or_default(),
        }
    }

    fn take(&self, stream: BoxedStream, request: Request<()>) {
        // The engine spawns its tasks here and now; its future is ready at once.
        drop(Service::<(BoxedStream, Request<()>)>::call(
            self,
            (stream, request),
        ));
    }
}

/// How a shim behaves.
#[derive(Clone)]
pub struct Settings {
    /// The engine's ping interval.
    pub ping_interval: std::time::Duration,
    /// How long a probe may take.
    pub upgrade_timeout: std::time::Duration,
    /// Largest body of a poll, in either direction.
    pub payload_bytes_max: usize,
    /// Most packets of a posted body that the engine gets at once; the rest waits for room.
    pub posted_packets_max: usize,
    /// What one message of a client may be; the engine keeps to it.
    pub bounds: Bounds,
    /// What the engine's messages are.
    pub language: Language,
    /// The other nodes, whose clients may ask here, and ours there.
    pub nodes: Nodes,
}

/// What the messages of an engine are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Socket.IO packets of the parser that every client has.
    SocketIo,
    /// Socket.IO packets of socket.io-msgpack-parser.
    SocketIoMsgpack,
    /// Whatever the application says: nothing is looked into.
    EngineIo,
}

/// What a shim needs of the floor below.
#[derive(Clone)]
pub struct Wire {
    /// The bounds of connections.
    pub config: Arc<wire::Config>,
    /// The watch over stalled connections.
    pub outboxes: Outboxes,
    /// The drain of the process.
    pub drain: Drain,
}

/// The shim before one engine. Cheap to clone.
pub struct Shim<E>(pub(crate) Arc<Parts<E>>);

pub(crate) struct Parts<E> {
    pub(crate) engine: E,
    pub(crate) settings: Settings,
    pub(crate) wire: Wire,
    pub(crate) sessions: Arc<Sessions>,
}

impl<E> Clone for Shim<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E: Engine> Shim<E> {
    /// The shim before an engine, whose own settings must agree.
    pub fn new(engine: E, settings: Settings, wire: Wire) -> Self {
        let speaks_socketio = settings.language != Language::EngineIo;
        let nodes = settings.nodes.clone();
        let sessions = Arc::new(Sessions::new(
            settings.ping_interval,
            speaks_socketio,
            nodes,
        ));
        Self(Arc::new(Parts {
            engine,
            settings,
            wire,
            sessions,
        }))
    }

    /// Answers a request for the engine's path.
    pub async fn respond<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes, Error = DeadlineError> + Send,
    {
        let uri = owned(request.uri());
        let query = Query::parse(request.method(), uri.query());
        self.respond_to(request, (&uri, query)).await
    }

    /// The same, when it is known what the request asks for.
    pub(crate) async fn respond_to<B>(
        &self,
        mut request: Request<B>,
        (uri, query): (&Uri, Result<Query<'_>, Refusal>),
    ) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes, Error = DeadlineError> + Send,
    {
        let answered = match query {
            Err(refusal) => Err(refusal),
            Ok(query) if query.sid.is_none() && self.0.wire.drain.is_draining() => {
                Err(Refusal::Draining)
            }
            Ok(query) => match (query.transport, query.sid) {
                (Transport::WebSocket, None) => self.open_websocket(&mut request, &query, uri),
                (Transport::WebSocket, Some(sid)) => self.upgrade(&mut request, sid, uri),
                (Transport::Polling, None) => {
                    self.open_polling(self.habits(&query, &request), uri).await
                }
                (Transport::Polling, Some(sid)) if *request.method() == Method::GET => {
                    let lifeline = request.extensions_mut().remove::<Lifeline>();
                    self.poll(sid, uri, lifeline).await
                }
                // Polls are not to carry the room for these.
                (Transport::Polling, Some(sid)) => Box::pin(self.post(request, sid, uri)).await,
            },
        };
        answered.unwrap_or_else(Refusal::response)
    }

    /// The session of an engine's id, if there is one.
    pub(crate) fn session(&self, sid: &str) -> Option<Arc<Link>> {
        self.0.sessions.get(sid)
    }

    /// Its sessions.
    pub(crate) fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    /// The drain of the process.
    pub(crate) fn drain(&self) -> &Drain {
        &self.0.wire.drain
    }

    fn dialect(&self, protocol: Protocol) -> Dialect {
        match (protocol, self.0.settings.language) {
            (Protocol::Eio3, _) => Dialect::TextEio3,
            (Protocol::Eio4, Language::SocketIoMsgpack) => Dialect::Msgpack,
            (Protocol::Eio4, Language::SocketIo | Language::EngineIo) => Dialect::Text,
        }
    }

    fn habits<B>(&self, query: &Query<'_>, request: &Request<B>) -> Habits {
        let is_websocket_born = query.transport == Transport::WebSocket;
        Habits {
            dialect: self.dialect(query.protocol),
            is_websocket_born,
            poll_packets_max: if query.is_pythons && !is_websocket_born {
                PYTHON_POLL_PACKETS_MAX
            } else {
                usize::MAX
            },
            takes_offsets: match query.protocol {
                Protocol::Eio3 => None,
                Protocol::Eio4 => Some(query.recovery.unwrap_or_else(|| {
                    !query.is_pythons && (!is_websocket_born || offers_window_bits(request))
                })),
            },
            wants_cursors: query.cursors,
            ticket: request.extensions().get::<Arc<Ticket>>().cloned(),
        }
    }

    fn open_websocket<B>(
        &self,
        request: &mut Request<B>,
        query: &Query<'_>,
        uri: &Uri,
    ) -> Result<Response<Body>, Refusal> {
        let (upgrade, response) = accept(request)?;
        let link = Link::new(self.habits(query, request), &self.0.sessions);
        let (shim, request) = (self.clone(), lean(Method::GET, uri, &link, ()));
        self.0.wire.drain.spawn(async move {
            if let Some(raw) = upgrade.raw().await {
                shim.hand_over(raw, &link, request);
            }
        });
        Ok(response)
    }

    fn upgrade<B>(
        &self,
        request: &mut Request<B>,
        sid: &str,
        uri: &Uri,
    ) -> Result<Response<Body>, Refusal> {
        let link = self.0.sessions.get(sid).ok_or(Refusal::SessionUnknown)?;
        let (upgrade, response) = accept(request)?;
        let (shim, request) = (self.clone(), lean(Method::GET, uri, &link, ()));
        let upgrading = Upgrading::begin(&link);
        self.0.wire.drain.spawn(async move {
            let Some(raw) = upgrade.raw().await else {
                return;
            };
            // A session that has its websocket already gets no second one: it is closed at once.
            let Some(upgrading) = upgrading else { return };
            let limit = shim.0.settings.upgrade_timeout;
            let conversed = tokio::select! {
                raw = upgrading.converse(raw, limit) => raw,
                () = shim.drain().gave_up() => None,
            };
            if let Some(raw) = conversed {
                link.lock().probe = Probe::Repeated;
                shim.hand_over(raw, &link, request);
            }
        });
        Ok(response)
    }

    /// From here on events go out by the websocket, and the engine has it.
    fn hand_over(&self, raw: wire::Raw, link: &Arc<Link>, request: Request<()>) {
        let Wire {
            config,
            outboxes,
            drain,
        } = &self.0.wire;
        let filter = Frames::new(Arc::clone(link), self.0.settings.bounds);
        let stream = Stream::new(raw, filter, Arc::clone(config), (drain.clone(), outboxes));
        {
            let mut state = link.lock();
            state.exit = Exit::WebSocket(Arc::clone(stream.outbox()));
            for packet in std::mem::take(&mut state.left_over).iter().rev() {
                let frame = encode::frame_of_packet(packet);
                state.direct.push_front(Direct::Frames(frame));
            }
            link.deliver(&mut state);
        }
        if let Some(admin) = link.sessions.admin() {
            admin.upgraded(link);
        }
        self.0.engine.take(Box::new(stream), request);
    }

    async fn open_polling(&self, habits: Habits, uri: &Uri) -> Result<Response<Body>, Refusal> {
        let link = Link::new(habits, &self.0.sessions);
        let request = lean(Method::GET, uri, &link, Full::default());
        let answer = self.0.engine.answer(request).await;
        if answer.status != StatusCode::OK {
            return Err(Refusal::BadRequest);
        }
        let packets = polling::judge(&link, &answer.body);
        Ok(polling::response(encode::body(&packets, link.dialect)))
    }

    async fn post<B>(
        &self,
        request: Request<B>,
        sid: &str,
        uri: &Uri,
    ) -> Result<Response<Body>, Refusal>
    where
        B: http_body::Body<Data = Bytes, Error = DeadlineError> + Send,
    {
        let link = self.0.sessions.get(sid).ok_or(Refusal::SessionUnknown)?;
        let kind = request
            .headers()
            .get(header::CONTENT_TYPE)
            .map(HeaderValue::as_bytes);
        let kind = kind.and_then(|kind| HeaderValue::from_bytes(kind).ok());
        let body = Limited::new(request.into_body(), self.0.settings.payload_bytes_max);
        let body = Box::pin(body).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                Refusal::TooLarge
            } else {
                Refusal::TooSlow
            }
        })?;
        if matches!(link.lock().exit, Exit::WebSocket(_)) {
            return Err(Refusal::BadRequest);
        }
        let body = body.to_bytes();
        if polling::has_close(&body, link.dialect) {
            self.0.sessions.bid_farewell(sid, link.dialect);
        }
        let mut answered = Bytes::new();
        for part in polling::parts(body, link.dialect, self.0.settings.posted_packets_max) {
            let room = tokio::time::timeout(self.0.wire.config.body_timeout, link.room());
            room.await.map_err(|_| Refusal::TooSlow)?;
            let mut request = bare(Method::POST, uri, Full::new(part));
            if let Some(kind) = &kind {
                let headers = request.headers_mut();
                headers.insert(header::CONTENT_TYPE, kind.clone());
            }
            let answer = self.0.engine.answer(request).await;
            if answer.status != StatusCode::OK {
                return Err(Refusal::BadRequest);
            }
            answered = answer.body;
        }
        Ok(polling::response(answered))
    }
}

/// Whether the request offers compression as the socket.io-client of browsers and of Node do, and
/// those of other languages do not.
fn offers_window_bits<B>(request: &Request<B>) -> bool {
    let offers = request.headers().get_all(header::SEC_WEBSOCKET_EXTENSIONS);
    offers
        .iter()
        .filter_map(|offer| offer.to_str().ok())
        .any(|offer| offer.contains("client_max_window_bits"))
}

pub(crate) fn accept<B>(request: &mut Request<B>) -> Result<(Upgrade, Response<Body>), Refusal> {
    Upgrade::accept(request).map_err(|error| match error {
        UpgradeError::NotAnUpgrade | UpgradeError::Version | UpgradeError::Key => {
            Refusal::BadRequest
        }
    })
}

/// The engine keeps the request for as long as the session lives: it gets the address and the
/// link, and nothing that would keep a read buffer alive.
pub(crate) fn lean<B>(method: Method, uri: &Uri, link: &Arc<Link>, body: B) -> Request<B> {
    let mut request = bare(method, uri, body);
    request.extensions_mut().insert(Arc::clone(link));
    request
}

/// A request of a session that the engine knows: it has the link already.
pub(crate) fn bare<B>(method: Method, uri: &Uri, body: B) -> Request<B> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri.clone();
    request
}

/// Path and query in memory of their own.
pub(crate) fn owned(uri: &Uri) -> Uri {
    let text = uri.path_and_query().map_or("/", |path| path.as_str());
    Uri::from_maybe_shared(Bytes::copy_from_slice(text.as_bytes())).unwrap_or_default()
}
