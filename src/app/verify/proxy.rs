//! A network of our own between a client and the gateway: it can be slow, swallow, and be cut.
//!
//! One listener on loopback for each client, so that all its connections (polls as well) go the
//! same way. Its tasks end with it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Most connections at once.
const CONNECTIONS_MAX: usize = 64;

/// How long the gateway's side of a connection stays open after the client's has vanished.
const VANISHED: Duration = Duration::from_secs(5);

/// How the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weather {
    /// Everything passes.
    Fair,
    /// Everything passes late.
    Slow(Duration),
    /// Nothing passes.
    Black,
    /// All connections are reset, on both sides, and new ones at once.
    Cut,
    /// Clients are reset; the gateway is not told.
    Vanished,
}

/// A network of our own.
pub(super) struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    cuts: Arc<AtomicU32>,
    _tasks: JoinSet<()>,
}

#[derive(Clone)]
struct Way {
    target: SocketAddr,
    weather: watch::Receiver<Weather>,
    cuts: Arc<AtomicU32>,
}

impl Proxy {
    /// A network in fair weather in front of a gateway.
    pub(super) async fn start(target: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("cannot listen for a proxy")?;
        let address = listener.local_addr()?;
        let (weather, changes) = watch::channel(Weather::Fair);
        let cuts = Arc::new(AtomicU32::new(0));
        let way = Way {
            target,
            weather: changes,
            cuts: Arc::clone(&cuts),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, way));
        Ok(Self {
            address,
            weather,
            cuts,
            _tasks: tasks,
        })
    }

    /// The gateway's address through this network.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes the weather.
    pub(super) fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// The next replies, so many, do not arrive: their connections are reset instead.
    pub(super) fn cut_replies(&self, count: u32) {
        self.cuts.store(count, Ordering::Relaxed);
    }
}

async fn accept(listener: TcpListener, way: Way) {
    // The connections belong to this set and end with it.
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    connections.spawn(connect(client, way.clone()));
                }
                // The process has no descriptors left, for now.
                Err(_) => sleep(Duration::from_millis(50)).await,
            },
            _ = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn connect(client: TcpStream, way: Way) {
    if let Ok(server) = TcpStream::connect(way.target).await {
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        carry(client, server, way).await;
    } else {
        reset(&client);
    }
}

/// Carries both directions until both have ended, or the weather ends them.
async fn carry(mut client: TcpStream, mut server: TcpStream, way: Way) {
    let (client_in, client_out) = client.split();
    let (server_in, server_out) = server.split();
    let mut weather = way.weather.clone();
    let up = pump(client_in, server_out, way.weather.clone(), None);
    let down = pump(server_in, client_out, way.weather, Some(&way.cuts));
    let ended = weather.wait_for(|now| matches!(now, Weather::Cut | Weather::Vanished));
    let end = tokio::select! {
        both = async { tokio::try_join!(up, down) } => both.err().map(|Broken| Weather::Cut),
        weather = ended => weather.ok().map(|now| *now),
    };
    if end.is_some() {
        reset(&client);
    }
    match end {
        Some(Weather::Vanished) => {
            drop(client);
            sleep(VANISHED).await;
        }
        Some(_) => reset(&server),
        None => {}
    }
}

/// A direction did not come to an orderly end.
struct Broken;

/// Carries one direction to its end. With a count of cuts it carries replies.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut weather: watch::Receiver<Weather>,
    cuts: Option<&AtomicU32>,
) -> Result<(), Broken> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        if weather
            .wait_for(|now| *now != Weather::Black)
            .await
            .is_err()
        {
            return Err(Broken);
        }
        let count = match from.read(&mut buffer).await {
            Ok(0) => {
                let _ = to.shutdown().await;
                return Ok(());
            }
            Ok(count) => count,
            Err(_) => return Err(Broken),
        };
        if cuts.is_some_and(take_one) {
            return Err(Broken);
        }
        let now = *weather.borrow();
        match now {
            Weather::Slow(late) => sleep(late).await,
            Weather::Black => {
                // What was on its way waits with the rest.
                if weather
                    .wait_for(|now| *now != Weather::Black)
                    .await
                    .is_err()
                {
                    return Err(Broken);
                }
            }
            Weather::Fair | Weather::Cut | Weather::Vanished => {}
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return Err(Broken);
        }
    }
}

fn take_one(cuts: &AtomicU32) -> bool {
    cuts.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
        left.checked_sub(1)
    })
    .is_ok()
}

fn reset(stream: &TcpStream) {
    // Where this cannot be set, the connection is closed in the ordinary way: a cut as well.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

#[cfg(test)]
mod tests;
