//! The accept loop: HTTP/1.1 connections with a bound on everything slow.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::Service;

use crate::drain::Drain;
use crate::wire::guard::{Guard, Watch};
use crate::wire::{Bound, Config, Deadline, Gate, Place};

/// What a refused connection is told.
const REFUSAL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\n\
content-length: 66\r\n\r\nthis node has as many connections as `wire.connections_max` allows";

/// How long accept rests when the process is out of descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// A connection's place under `wire.connections_max`, in the extensions of each request. It is
/// kept for as long as any part of the connection lives, also after an upgrade.
#[derive(Clone)]
pub struct Permit(
    #[expect(dead_code, reason = "held, not read")] Arc<(OwnedSemaphorePermit, Place)>,
);

/// The address of the client, in the extensions of each request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// The counters of the listener.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    connections: Gauge,
    refused: Counter,
    silent: Counter,
    stalled: Counter,
}

impl Metrics {
    /// The counters, under their names in the registry.
    pub fn register(registry: &mut Registry) -> Self {
        let m = Self::default();
        registry.register(
            "tidings_http_connections",
            "Connections that speak HTTP (upgraded ones are not counted)",
            m.connections.clone(),
        );
        registry.register(
            "tidings_connections_refused",
            "Connections refused at wire.connections_max",
            m.refused.clone(),
        );
        registry.register(
            "tidings_connections_silent",
            "Connections closed at wire.first_byte_timeout",
            m.silent.clone(),
        );
        registry.register(
            "tidings_http_connections_stalled",
            "HTTP connections that took their answers too slowly, closed at wire.write_stall_max",
            m.stalled.clone(),
        );
        m
    }
}

/// Serves connections until the doors close: `service` answers each request, whose body has a
/// deadline and whose extensions hold the [`Peer`]. The gate is asked before a connection is read.
pub async fn serve<S, B>(
    listener: TcpListener,
    config: Arc<Config>,
    service: S,
    (drain, metrics, gate): (Drain, Metrics, Gate),
) where
    S: Service<Request<Deadline<Incoming>>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let permits = Arc::new(Semaphore::new(config.connections_max));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = drain.doors_closed() => return,
        };
        let (tcp, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                rest_after(&error).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            metrics.refused.inc();
            gate.reached(Bound::Connections);
            let _ = tcp.try_write(REFUSAL);
            continue;
        };
        let place = match gate.admit(peer.ip().to_canonical()) {
            Ok(place) => place,
            Err(why) => {
                let _ = tcp.try_write(too_many(&why).as_bytes());
                continue;
            }
        };
        let (config, service) = (Arc::clone(&config), service.clone());
        let (until, metrics, gate) = (drain.clone(), metrics.clone(), gate.clone());
        drain.spawn(async move {
            metrics.connections.inc();
            if prepare(&tcp, &config).await.is_ok() {
                let permit = Permit(Arc::new((permit, place)));
                let watch = Watch::new(metrics.stalled.clone(), gate.told());
                let guard = Guard::new(tcp, config, watch);
                converse(guard, (Peer(peer), permit), (service, until)).await;
            } else {
                metrics.silent.inc();
                gate.reached(Bound::FirstByte);
            }
            metrics.connections.dec();
        });
    }
}

/// What a connection is told that the gate does not let in.
fn too_many(why: &str) -> String {
    let bytes = why.len();
    format!(
        "HTTP/1.1 429 Too Many Requests\r\nretry-after: 5\r\nconnection: close\r\n\
         content-length: {bytes}\r\n\r\n{why}"
    )
}

/// A failed accept is the client's matter, unless descriptors or memory ran out.
async fn rest_after(error: &io::Error) {
    let is_the_clients = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    );
    if !is_the_clients {
        tracing::warn!(%error, "no connection can be accepted");
        tokio::time::sleep(ACCEPT_REST).await;
    }
}

/// Sets the socket up and waits for the first byte.
async fn prepare(tcp: &TcpStream, config: &Config) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    // What is sent and not acknowledged in this time is given up: a peer that vanished.
    let socket = socket2::SockRef::from(tcp);
    socket.set_tcp_user_timeout(Some(config.write_stall_max))?;
    // What the system holds hides whether the client takes anything.
    let unsent_bytes_max = u32::try_from(config.unsent_bytes_max.bytes()).unwrap_or(u32::MAX);
    socket.set_tcp_notsent_lowat(unsent_bytes_max)?;
    // Peeking, since a fresh socket may be called readable before there is anything to read.
    let mut first = [0];
    tokio::time::timeout(config.first_byte_timeout, tcp.peek(&mut first)).await??;
    Ok(())
}

async fn converse<S, B>(guard: Guard, (peer, permit): (Peer, Permit), (service, drain): (S, Drain))
where
    S: Service<Request<Deadline<Incoming>>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let config = guard.config();
    let body_timeout = config.body_timeout;
    let lifeline = guard.lifeline();
    let watch = guard.watch();
    let answer = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(|body| Deadline::new(body, body_timeout));
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(permit.clone());
        request.extensions_mut().insert(lifeline.clone());
        service.clone().call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout)
        .max_buf_size(config.header_bytes_max.bytes().max(8192))
        .serve_connection(TokioIo::new(guard), answer)
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = drain.doors_closed() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = drain.gave_up() => return,
            }
        }
    };
    if let Err(error) = ended {
        watch.ended(&error);
        tracing::debug!(peer = %peer.0, %error, "a connection ended early");
    }
}
