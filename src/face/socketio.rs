//! The Socket.IO face: stock clients of every major, over websocket and polling.
//!
//! socketioxide does handshake, namespaces, acknowledgements, pings and close. What matters to the
//! application in its order (`connected`, `subscribed`, snapshot, events, `gap`) never enters its
//! queue: it goes from the ring to the connection's exit, by cursor. The [`shim`] stands between
//! client and engine and makes the two agree.

mod admin;
mod argument;
mod client_files;
mod commanding;
mod config;
mod delivery;
mod encode;
mod entering;
mod frames;
mod leaving;
mod link;
mod messages;
mod namespaces;
mod nodes;
mod operations;
mod pacing;
mod packets;
mod polling;
mod probe;
mod producers;
mod recovery;
mod relaying;
mod request;
mod requests;
mod sessions;
pub mod shim;
mod sink;
mod sockets;
mod standing;
mod subscribing;
mod ticket;
mod workers;

pub use self::config::{Config, OnJoin};
pub use self::sockets::{Deed, Everywhere, Line, Operation, Sockets, Wish};

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use engineioxide::service::NotFoundService;
use http::{Request, Response, StatusCode};
use socketioxide::service::SocketIoService;
use socketioxide::{ParserConfig, SocketIoBuilder};
use tokio::time::Instant;

use self::admin::Admin;
use self::client_files::ClientFiles;
use self::recovery::Recovery;
use self::relaying::Routed;
use self::request::{Query, Refusal};
use self::requests::Desk;
use self::shim::{Language, Settings, Shim, Wire, owned};
use self::ticket::{Fit, Started, Ticket};
use crate::auth::Principal;
use crate::cluster::Nodes;
use crate::connection::{Admission, Door, Metrics, Visitor};
use crate::limit::Limit;
use crate::wire::DeadlineError;

/// The path of clients with the usual parser.
pub const PATH: &str = "/socket.io/";

/// The path of clients with socket.io-msgpack-parser.
pub const MSGPACK_PATH: &str = "/socket.io-msgpack/";

/// How long socketioxide may wait for an acknowledgement of ours; none is asked for.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);

/// The Socket.IO face. Cheap to clone.
#[derive(Clone)]
pub struct SocketIo {
    plain: Shim<SocketIoService<NotFoundService>>,
    msgpack: Shim<SocketIoService<NotFoundService>>,
    handles: [socketioxide::SocketIo; 2],
    client_files: ClientFiles,
    door: Door,
    binds_address: bool,
    connect_timeout: Duration,
    nodes: Nodes,
    bounds: Bounds,
    sockets: Sockets,
}

/// The bounds of what is relayed to other nodes.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// Largest body of a post.
    post_bytes: usize,
    /// Longest that a poll may wait.
    poll: Duration,
    /// Longest that a switch to websocket may take to begin.
    upgrade: Duration,
}

impl SocketIo {
    /// The face over a hub.
    pub fn new(config: Config, door: Door, nodes: Nodes, wire: Wire, metrics: &Metrics) -> Self {
        let config = Arc::new(config);
        let recovery = Recovery::new(
            config.recovery.clone(),
            door.hub().clone(),
            &wire.drain,
            metrics.clone(),
        );
        let sockets = Sockets::new(nodes.clone(), &config);
        let desk = Desk {
            sockets: sockets.clone(),
            hub: door.hub().clone(),
            anyone: Arc::new(Admission::new(door.clone(), door.auth().anyone())),
            door: door.clone(),
            config: Arc::clone(&config),
            recovery,
            drain: wire.drain.clone(),
        };
        let admin = Admin::new(&config.admin_ui, (&sockets, &wire.drain));
        let (plain, plain_io) = engine(&config, PATH, Language::SocketIo);
        let (msgpack, msgpack_io) = engine(&config, MSGPACK_PATH, Language::SocketIoMsgpack);
        for io in [&plain_io, &msgpack_io] {
            namespaces::open(io, &desk, metrics);
            if let Some(admin) = &admin {
                namespaces::open_admin(io, admin);
            }
        }
        sockets.open([plain_io.clone(), msgpack_io.clone()]);
        let settings = |language| Settings {
            ping_interval: config.ping_interval,
            upgrade_timeout: config.upgrade_timeout,
            payload_bytes_max: config.payload_bytes_max.bytes(),
            posted_packets_max: (config.requests_max / 2).max(1),
            bounds: shim::Bounds {
                message_bytes_max: config.message_bytes_max.bytes() as u64,
                attachments_max: config.attachments_max,
            },
            language,
            nodes: nodes.clone(),
        };
        let bounds = Bounds {
            post_bytes: config.payload_bytes_max.bytes(),
            poll: config.ping_interval + config.ping_timeout,
            upgrade: config.upgrade_timeout,
        };
        let plain = Shim::new(plain, settings(Language::SocketIo), wire.clone());
        let msgpack = Shim::new(msgpack, settings(Language::SocketIoMsgpack), wire);
        if let Some(admin) = admin {
            for shim in [&plain, &msgpack] {
                shim.sessions().tell(admin.clone());
            }
        }
        Self {
            plain,
            msgpack,
            handles: [plain_io, msgpack_io],
            client_files: ClientFiles::new(config.client_dir.clone()),
            door,
            binds_address: config.bind_address,
            connect_timeout: config.connect_timeout,
            nodes,
            bounds,
            sockets,
        }
    }

    /// Whether a path belongs to this face.
    pub fn owns(path: &str) -> bool {
        [PATH, MSGPACK_PATH]
            .iter()
            .any(|own| path.starts_with(own) || path == own.trim_end_matches('/'))
            || nodes::owns(path)
    }

    /// Answers a request for one of the face's paths.
    pub async fn respond<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes, Error = DeadlineError> + Send + 'static,
    {
        let path = request.uri().path();
        if nodes::owns(path) {
            return Box::pin(self.respond_to_node(request)).await;
        }
        if let Some(file) = path.strip_prefix(PATH).filter(|file| !file.is_empty()) {
            let files = &self.client_files;
            return Box::pin(files.respond(request.method(), request.headers(), file)).await;
        }
        let shim = if path.starts_with(MSGPACK_PATH.trim_end_matches('/')) {
            &self.msgpack
        } else {
            &self.plain
        };
        let given = owned(request.uri());
        let query = Query::parse(request.method(), given.query());
        let mut request = match self.route(request, query.as_ref().ok()).await {
            Routed::Here(request) => request,
            Routed::Answered(response) => return response,
        };
        let visitor = self.door.visitor(&mut request);
        // A token was taken out of it, or the id of the session is another one here.
        let changed;
        let (uri, query) = if *request.uri() == given {
            (&given, query)
        } else {
            changed = owned(request.uri());
            let query = Query::parse(request.method(), changed.query());
            (&changed, query)
        };
        match self.check(shim, &mut request, (&visitor, query)).await {
            Ok(()) => self.counted(shim.respond_to(request, (uri, query)).await),
            Err(refusal) => refusal.response(),
        }
    }

    /// Counts the limits that the shim tells by a status of their own.
    fn counted(&self, response: Response<Body>) -> Response<Body> {
        let limit = match response.status() {
            StatusCode::REQUEST_TIMEOUT => Limit::Body,
            StatusCode::PAYLOAD_TOO_LARGE => Limit::SocketIoPoll,
            _ => return response,
        };
        self.door.limits().count(limit);
        response
    }

    /// Whether a request may go to the engine. The first of a session gets a ticket, later ones
    /// have to fit it.
    async fn check<B>(
        &self,
        shim: &Shim<SocketIoService<NotFoundService>>,
        request: &mut Request<B>,
        (visitor, query): (&Visitor, Result<Query<'_>, Refusal>),
    ) -> Result<(), Refusal> {
        if !self.door.admits_origin(request.headers(), visitor) {
            return Err(Refusal::Origin);
        }
        let Some(sid) = query?.sid else {
            let limits = self.door.limits();
            let unfinished = limits.handshake(visitor.address).map_err(Refusal::Limit)?;
            let places = limits
                .connect(visitor.address, None)
                .map_err(Refusal::Limit)?;
            let until = Instant::now() + self.connect_timeout;
            let started = Started::new(limits.counter(), unfinished, until);
            let ticket = Ticket::of(request, visitor, (started, places));
            request.extensions_mut().insert(Arc::new(ticket));
            return Ok(());
        };
        // A session that is not known has its own answer, further on.
        let Some(link) = shim.session(sid) else {
            return Ok(());
        };
        let Some(ticket) = link.ticket.as_deref() else {
            return Ok(());
        };
        let fits = match ticket.compare(request, visitor, self.binds_address) {
            Fit::Fits => true,
            Fit::Foreign => false,
            Fit::OtherCredential => {
                let first = Box::pin(self.door.admit(ticket.credentials())).await;
                let now = Box::pin(self.door.admit(&visitor.credentials)).await;
                let subject = |admitted: &Result<Arc<Principal>, _>| {
                    admitted.as_ref().ok().map(|one| one.subject.clone())
                };
                subject(&now).is_some_and(|now| subject(&first).is_none_or(|first| first == now))
            }
        };
        if fits {
            Ok(())
        } else {
            Err(Refusal::SessionUnknown)
        }
    }

    /// The sockets of all nodes.
    pub const fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    /// How many sockets of this node are in a room; the room of a topic bears the topic's name.
    pub fn room_len(&self, room: &str) -> usize {
        let main = self.handles.iter().filter_map(|io| io.of("/"));
        main.map(|io| io.within(room.to_owned()).sockets().len())
            .sum()
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        self.plain.sessions().len() + self.msgpack.sessions().len()
    }

    /// Closes all connections in a way that makes clients come back, each when its turn comes. Those
    /// that are busy are waited for, at most `grace`. The drain has begun, so nobody new comes.
    pub async fn leave(&self, grace: Duration) {
        let sessions = [self.plain.sessions(), self.msgpack.sessions()];
        leaving::leave(&sessions, self.plain.drain(), grace).await;
    }

    /// Ends what is left at once.
    pub async fn close(&self) {
        let [plain, msgpack] = &self.handles;
        tokio::join!(plain.close(), msgpack.close());
    }
}

fn engine(
    config: &Config,
    path: &'static str,
    language: Language,
) -> (SocketIoService<NotFoundService>, socketioxide::SocketIo) {
    let message_bytes_max = config.message_bytes_max.bytes();
    let builder = SocketIoBuilder::new()
        .req_path(path.trim_end_matches('/'))
        .ping_interval(config.ping_interval)
        .ping_timeout(config.ping_timeout)
        .connect_timeout(config.connect_timeout)
        .upgrade_timeout(config.upgrade_timeout)
        .ack_timeout(ACK_TIMEOUT)
        .max_buffer_size(config.engine_packets_max)
        .max_payload(config.payload_bytes_max.bytes() as u64)
        .ws_read_buffer_size(config.read_buffer_bytes.bytes())
        .ws_max_message_size(message_bytes_max)
        .ws_max_frame_size(message_bytes_max);
    match language {
        Language::SocketIoMsgpack => builder.with_parser(ParserConfig::msgpack()).build_svc(),
        Language::SocketIo | Language::EngineIo => builder
            .with_parser(
                ParserConfig::common()
                    .max_incoming_binaries(config.attachments_max)
                    .max_incoming_binary_buf_size(message_bytes_max),
            )
            .build_svc(),
    }
}
