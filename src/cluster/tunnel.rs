//! Tunnels: the websocket of a session that another node has, as bytes both ways.
//!
//! A client that takes nothing stops the tunnel, and so the node at its other end, which judges it as
//! if it were there. What either end leaves unread for `wire.write_stall_max` ends the tunnel too, so
//! that neither can hold it open for the other.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use crate::cluster::metrics::Open;
use crate::cluster::relay::handed_back;
use crate::cluster::{Body, Kind, Nodes, RelayError};
use crate::drain::{Drain, Turn};
use crate::wire::{self, Raw};

/// What is read at once from a client, and from a node.
const CLIENT_BYTES: usize = 2048;
const NODE_BYTES: usize = 8192;

/// What a node says to a switch to websocket.
pub enum Opened {
    /// It agrees.
    Tunnel(Box<Tunnel>),
    /// It does not.
    Refused(Response<Body>),
}

/// The way to a session on another node.
pub struct Tunnel {
    node: TokioIo<Upgraded>,
    wire: Arc<wire::Config>,
    drain: Drain,
    _place: OwnedSemaphorePermit,
    _open: Open,
}

impl Nodes {
    /// Asks the node that has a session for a websocket. The request has no body; its handshake was
    /// checked by the caller, who answers it.
    ///
    /// # Errors
    /// [`RelayError`].
    pub async fn open_tunnel(
        &self,
        node: Uuid,
        request: Request<Body>,
        (client, limit): (IpAddr, Duration),
    ) -> Result<Opened, RelayError> {
        let own = self.0.as_ref().ok_or(RelayError::Gone)?;
        let opened = async {
            let places = Arc::clone(&own.relays);
            let place = places.try_acquire_owned().map_err(|_| RelayError::Full)?;
            let mut answer = own.send(node, request, (Some(client), limit)).await?;
            if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                let answer = answer.map(|body| body.map_err(Into::into).boxed_unsync());
                return Ok(Opened::Refused(handed_back(answer)));
            }
            let upgraded = hyper::upgrade::on(&mut answer).await;
            Ok(Opened::Tunnel(Box::new(Tunnel {
                node: TokioIo::new(upgraded.map_err(|_| RelayError::Gone)?),
                wire: Arc::clone(&own.wire),
                drain: own.drain.clone(),
                _place: place,
                _open: own.metrics.tunnel(),
            })))
        }
        .await;
        own.count(Kind::Upgrade, &opened);
        opened
    }
}

impl Tunnel {
    /// Carries bytes both ways until one end closes, or until the drain comes to this connection.
    pub async fn run(self, client: Raw) {
        let Raw {
            tcp,
            early,
            permit: _permit,
        } = client;
        let stall = self.wire.write_stall_max;
        let (from_client, to_client) = tcp.into_split();
        let (from_node, mut to_node) = tokio::io::split(self.node);
        if write(&mut to_node, &early, stall).await.is_err() {
            return;
        }
        let up = carry::<CLIENT_BYTES>(from_client, to_node, stall);
        let down = carry::<NODE_BYTES>(from_node, to_client, stall);
        tokio::pin!(up, down);
        let mut turn = Turn::default();
        tokio::select! {
            // What the other end still says is let through.
            _ = &mut up => drop(tokio::time::timeout(self.wire.linger_max, down).await),
            _ = &mut down => {}
            () = turn.comes(&self.drain) => {}
        }
    }
}

async fn carry<const BYTES: usize>(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    stall: Duration,
) -> io::Result<()> {
    let mut bytes = vec![0; BYTES];
    loop {
        let count = from.read(&mut bytes).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        write(&mut to, &bytes[..count], stall).await?;
    }
}

async fn write(
    to: &mut (impl AsyncWrite + Unpin),
    bytes: &[u8],
    stall: Duration,
) -> io::Result<()> {
    let written = async {
        to.write_all(bytes).await?;
        to.flush().await
    };
    tokio::time::timeout(stall, written).await?
}
