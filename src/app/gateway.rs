//! A gateway: every part made, wired and listening.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use hyper::body::Incoming;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::app::config::Config;
use crate::app::{keys, outage};
use crate::auth::{self, Auth, Origins};
use crate::cluster::{self, Nodes};
use crate::connection::Door;
use crate::drain::Drain;
use crate::face::http::Http;
use crate::face::library::Watchers;
use crate::face::socketio::SocketIo;
use crate::face::socketio::shim::Wire;
use crate::face::ws::{Apps, Crowd, Ws};
use crate::face::{dashboard, http};
use crate::hub::Hub;
use crate::limit::{self, Limit, Limits};
use crate::producer::library::Librarian;
use crate::producer::monitor::Monitor;
use crate::producer::scan::Scans;
use crate::producer::webhook::{self, Webhooks};
use crate::producer::{bridges, inbox};
use crate::store::Store;
use crate::store::documents::Documents;
use crate::wire::{self, Bound, Deadline, Gate, Outboxes, Place};
use crate::{connection, hub, upstream};

/// A gateway that listens.
pub struct Gateway {
    addr: SocketAddr,
    drain: Drain,
    drain_config: crate::drain::Config,
    socketio: SocketIo,
    http: http::Metrics,
    connections: connection::Metrics,
    hub: Hub,
    limits: Limits,
}

impl Gateway {
    /// Makes every part, binds the port and serves.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(config: &Config) -> anyhow::Result<Self> {
        let wire_config = Arc::new(config.wire.clone());
        let listener = bind(wire_config.listen)?;
        let addr = listener.local_addr()?;

        let drain = Drain::new();
        #[cfg(feature = "otlp")]
        crate::app::telemetry::otlp::start(&config.trace, &drain)?;
        let mut registry = Registry::default();
        let hub = hub(config, &drain, &mut registry)?;
        let door = door(config, &hub, (&drain, &mut registry)).await?;
        let outboxes = Outboxes::watch(wire_config.write_stall_max, &drain, &mut registry);
        let listener_metrics = wire::Metrics::register(&mut registry);
        let connections = connection::Metrics::register(&mut registry);
        let floor = floor(&wire_config, outboxes, &drain);
        let face = config.face.socketio.clone();
        let nodes = Nodes::join(
            config.cluster.clone(),
            (addr, Arc::clone(&wire_config)),
            (hub.store(), &drain),
            cluster::Metrics::register(&mut registry),
        );
        let socketio = SocketIo::new(face, door.clone(), nodes, floor, &connections);
        bridge(config, (&hub, &drain), &socketio, &mut registry);
        let cors = http::cors(&config.face.http)?;
        let http_metrics = http::Metrics::register(&mut registry);
        let library = behind(config, &hub, &drain, &mut registry)?;
        let metrics = (connections.clone(), http_metrics.clone());
        let parts = (library, &door, (&drain, &socketio));
        let http = pages(config, parts, metrics, Arc::new(registry));

        let limits = door.limits().clone();
        let gate = gate(&limits);
        let faces = Arc::new((door, socketio.clone(), http));
        // Answers a request; that a page of another origin may ask is not thought of yet.
        let answer = move |mut request: axum::http::Request<Deadline<Incoming>>| {
            let faces = Arc::clone(&faces);
            async move {
                let (door, socketio, http) = &*faces;
                if SocketIo::owns(request.uri().path()) {
                    return Ok::<_, Infallible>(socketio.respond(request).await);
                }
                // Whatever comes after this sees no credential.
                door.visitor(&mut request);
                Ok(http.respond(request.map(axum::body::Body::new)).await)
            }
        };
        let shared = cors.layer(service_fn(answer.clone()));
        let service = service_fn(move |request| {
            if http::concerns(&request) {
                shared.clone().oneshot(request).left_future()
            } else {
                answer(request).right_future()
            }
        });
        let (wire, until) = (wire_config, (drain.clone(), listener_metrics, gate));
        drain.spawn(wire::serve(listener, wire, service, until));
        Ok(Self {
            addr,
            drain,
            drain_config: config.drain.clone(),
            socketio,
            http: http_metrics,
            connections,
            hub,
            limits,
        })
    }

    /// Where it listens.
    pub const fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// The Socket.IO face.
    pub const fn socketio(&self) -> &SocketIo {
        &self.socketio
    }

    /// How much somebody may take.
    pub(super) const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What the store promises, in a few words.
    pub fn store_promise(&self) -> &str {
        self.hub.store().promise()
    }

    /// How many clients there are that a drain closes in turn.
    fn clients(&self) -> usize {
        // A session that has not joined is no connection yet, and other faces have no sessions.
        let connected = self.connections.count().max(self.socketio.sessions());
        connected + self.http.streams()
    }

    /// Finishes: no new clients, those that are there are closed in a way that makes clients
    /// come back, tasks end. Bounded by `drain.limit`. Returns how many tasks had not ended.
    pub async fn drain(self) -> usize {
        let config = &self.drain_config;
        let end = Instant::now() + config.limit;
        self.drain.begin_in_turn(config.gap(self.clients()));
        let orderly = async {
            self.socketio
                .leave(config.grace.min(config.limit / 4))
                .await;
            self.drain.close_doors();
            self.socketio.close().await;
            self.drain.finished(config.limit).await;
        };
        // The rest is for those that waited for somebody else, and are told to wait no longer.
        if timeout_at(end - config.limit / 10, orderly).await.is_err() {
            self.drain.close_doors();
            self.drain.give_up();
        }
        self.drain.finished(end - Instant::now()).await
    }
}

/// All faces but Socket.IO.
fn pages(
    config: &Config,
    ((librarian, webhooks), door, (drain, socketio)): (
        (Librarian, Webhooks),
        &Door,
        (&Drain, &SocketIo),
    ),
    (connections, metrics): (connection::Metrics, http::Metrics),
    registry: Arc<Registry>,
) -> Http {
    let (face, hub) = (&config.face.http, door.hub());
    let library = (librarian, Watchers::default());
    let libraries = http::library::Libraries::new(
        library.clone(),
        face.clone(),
        hub.clone(),
        drain.clone(),
        metrics.clone(),
    );
    let parts = (drain.clone(), socketio.sockets().clone());
    let state = http::State::new(
        (face.clone(), webhooks),
        door.clone(),
        parts,
        metrics,
        registry,
    );
    let apps = apps(config, library, hub, drain);
    let ws = sockets(config, (door, apps), drain, connections);
    let beside = dashboard::routes()
        .merge(ws.routes())
        .merge(http::library::routes(libraries));
    Http::new(state, beside)
}

/// What the faces stand on.
fn floor(config: &Arc<wire::Config>, outboxes: Outboxes, drain: &Drain) -> Wire {
    let (config, drain) = (Arc::clone(config), drain.clone());
    Wire {
        config,
        outboxes,
        drain,
    }
}

/// The hub over the store that the config names.
fn hub(config: &Config, drain: &Drain, registry: &mut Registry) -> anyhow::Result<Hub> {
    let store = Store::open(config.store.clone())?;
    store.metrics().register(registry);
    let metrics = hub::Metrics::register(registry);
    let (config, drain) = (config.hub.clone(), drain.clone());
    Ok(Hub::new(config, store, drain, metrics))
}

/// The applications behind the gateway: the library, and workers that are called.
fn behind(
    config: &Config,
    hub: &Hub,
    drain: &Drain,
    registry: &mut Registry,
) -> anyhow::Result<(Librarian, Webhooks)> {
    let library = librarian(config, hub, drain, registry)?;
    Ok((library, webhooks(config, hub, drain, registry)?))
}

/// Workers that are called, if the config says so.
fn webhooks(
    config: &Config,
    hub: &Hub,
    drain: &Drain,
    registry: &mut Registry,
) -> anyhow::Result<Webhooks> {
    let metrics = webhook::Metrics::register(registry);
    let config = config.producer.webhook.clone();
    Ok(Webhooks::start(config, hub, drain, metrics)?)
}

/// The library over its store, or over the service that the config names.
fn librarian(
    config: &Config,
    hub: &Hub,
    drain: &Drain,
    registry: &mut Registry,
) -> anyhow::Result<Librarian> {
    let documents = Documents::open(&config.store)?;
    let metrics = upstream::library::Metrics::register(registry);
    let client = upstream::library::Client::new(&config.upstream.library, metrics)?;
    Ok(Librarian::new(documents, client, hub.clone(), drain))
}

/// The applications that dialects ask.
fn apps(config: &Config, library: (Librarian, Watchers), hub: &Hub, drain: &Drain) -> Apps {
    let monitor = config.producer.monitor.clone();
    let crowd = config.face.ws.assistant.clone();
    Apps {
        library,
        monitor: Monitor::new(monitor, hub.clone(), drain.clone()),
        crowd: Crowd::new(crowd, hub.clone(), drain),
        scans: Scans::new(config.producer.scan.clone(), hub.clone(), drain.clone()),
    }
}

/// The door before a hub, with who may enter and how much they may take. Its keys and revocations
/// are kept up to date until the drain.
async fn door(
    config: &Config,
    hub: &Hub,
    (drain, registry): (&Drain, &mut Registry),
) -> anyhow::Result<Door> {
    let auth = Auth::open(config.auth.clone(), auth::Metrics::register(registry))?;
    let limits = Limits::new(config.limit.clone(), limit::Metrics::register(registry))?;
    let store = hub.store().clone();
    limits.on_user_change(move |user, count| store.note_connections(user, count));
    let origins = Origins::new(&config.face.http.cors_origins)?;
    let door = Door::new(auth, limits, origins, hub.clone());
    keys::keep(config, door.auth(), drain).await?;
    if door.auth().needs_credential() || door.auth().keys().is_some() {
        door.follow_revocations(drain).await?;
    }
    Ok(door)
}

/// What the limits say of connections before anything is read of them.
fn gate(limits: &Limits) -> Gate {
    let (admits, counter) = (limits.clone(), limits.counter());
    let admit = move |address| match admits.accept(address) {
        Ok(held) => Ok(Box::new(held) as Place),
        Err(reached) => Err(reached.to_string()),
    };
    Gate::new(admit, move |bound| {
        counter.reached(match bound {
            Bound::Connections => Limit::Connections,
            Bound::FirstByte => Limit::FirstByte,
            Bound::Header => Limit::Header,
            Bound::HeaderBytes => Limit::HeaderBytes,
            Bound::WriteStall => Limit::WriteStall,
        });
    })
}

/// The plain WebSocket face.
fn sockets(
    config: &Config,
    (door, apps): (&Door, Apps),
    drain: &Drain,
    connections: connection::Metrics,
) -> Ws {
    let face = (config.face.ws.clone(), &config.wire);
    Ws::new(face, door.clone(), apps, drain.clone(), connections)
}

/// Lets other people's emitters in, and empties the inbox of workers.
fn bridge(
    config: &Config,
    (hub, drain): (&Hub, &Drain),
    socketio: &SocketIo,
    registry: &mut Registry,
) {
    /// Most actions that wait for the sockets of this node.
    const ACTIONS_MAX: usize = 1024;
    let metrics = inbox::Metrics::register(registry);
    inbox::start(&config.producer.inbox, (hub, drain), &metrics);
    let metrics = bridges::Metrics::register(registry);
    let (sender, mut actions) = mpsc::channel(ACTIONS_MAX);
    bridges::start(&config.producer.bridges, (hub, drain), &metrics, sender);
    outage::tell(socketio, hub, drain);
    let (sockets, until) = (socketio.sockets().clone(), drain.clone());
    drain.spawn(async move {
        loop {
            tokio::select! {
                action = actions.recv() => match action {
                    Some(action) => sockets.act(action).await,
                    None => return,
                },
                () = until.doors_closed() => return,
            }
        }
    });
}

/// A socket that listens, with a backlog for a crowd that comes back at once.
fn bind(addr: SocketAddr) -> anyhow::Result<TcpListener> {
    const BACKLOG: i32 = 4096;
    let why = || {
        format!(
            "cannot listen on {addr}: choose another address with --listen, or a port with PORT"
        )
    };
    let domain = socket2::Domain::for_address(addr);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).with_context(why)?;
    socket.set_reuse_address(true).with_context(why)?;
    socket.set_nonblocking(true).with_context(why)?;
    socket.bind(&addr.into()).with_context(why)?;
    socket.listen(BACKLOG).with_context(why)?;
    TcpListener::from_std(socket.into()).with_context(why)
}
