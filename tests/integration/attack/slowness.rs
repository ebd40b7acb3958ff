//! Two thousand requests and connections that are half open or slow, in every way that there is.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::*;

/// Connections of each kind.
const EACH: usize = 200;

/// How long a slow client waits between two bytes.
const TICK: Duration = Duration::from_millis(100);

/// How a connection is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It says nothing at all.
    Silent,
    /// The head of a request comes byte by byte.
    Head,
    /// The body of a request comes byte by byte.
    Body,
    /// A handshake of a websocket that stops in the middle.
    Handshake,
    /// A websocket on which nothing is said.
    Mute,
    /// A websocket that answers pings and joins nothing.
    Outside,
    /// A websocket whose first frame comes byte by byte.
    Frame,
    /// A post of a session on polling, byte by byte.
    Post,
    /// A switch to websocket that is never decided.
    Switch,
    /// Answers that are asked for and not read.
    Deaf,
}

impl Kind {
    const ALL: [Self; 10] = [
        Self::Silent,
        Self::Head,
        Self::Body,
        Self::Handshake,
        Self::Mute,
        Self::Outside,
        Self::Frame,
        Self::Post,
        Self::Switch,
        Self::Deaf,
    ];

    /// The limit that ends it, if that is counted as one.
    const fn limit(self) -> Option<&'static str> {
        match self {
            Self::Silent => Some("wire.first_byte_timeout"),
            Self::Head | Self::Handshake => Some("wire.header_timeout"),
            Self::Body | Self::Post => Some("wire.body_timeout"),
            Self::Mute | Self::Outside | Self::Frame => Some("face.socketio.connect_timeout"),
            // Its session goes on, on polling.
            Self::Switch => None,
            Self::Deaf => Some("wire.write_stall_max"),
        }
    }

    /// Opens a connection that is slow in this way.
    async fn open(self, target: &Target) -> TcpStream {
        const WEBSOCKET: &str = "/socket.io/?EIO=4&transport=websocket";
        let says = match self {
            Self::Silent => String::new(),
            Self::Head => "GET /healthz HTTP/1.1\r\nhost: a\r\nx-slow: ".to_owned(),
            Self::Body => {
                "POST /v1/events HTTP/1.1\r\nhost: a\r\ncontent-length: 99999\r\n\r\n[".to_owned()
            }
            Self::Handshake => format!(
                "GET {WEBSOCKET} HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upg"
            ),
            Self::Mute | Self::Outside => return target.websocket(WEBSOCKET).await,
            Self::Frame => {
                let mut tcp = target.websocket(WEBSOCKET).await;
                tcp.write_all(&frame_head(1, 60_000)).await.unwrap();
                return tcp;
            }
            Self::Switch => {
                let sid = target.session().await;
                return target.websocket(&format!("{WEBSOCKET}&sid={sid}")).await;
            }
            Self::Post => {
                let sid = target.session().await;
                format!(
                    "POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nhost: a\r\n\
                     content-length: 99999\r\n\r\n40"
                )
            }
            Self::Deaf => {
                let socket = tokio::net::TcpSocket::new_v4().unwrap();
                socket.set_recv_buffer_size(4096).unwrap();
                let mut tcp = socket.connect(target.address).await.unwrap();
                let ask = "GET /openapi.json HTTP/1.1\r\nhost: a\r\n\r\n".repeat(40);
                tcp.write_all(ask.as_bytes()).await.unwrap();
                return tcp;
            }
        };
        let mut tcp = target.connect().await;
        tcp.write_all(says.as_bytes()).await.unwrap();
        tcp
    }

    /// Goes on in its way until the gateway closes the connection; then says how long that took.
    async fn suffer(self, mut tcp: TcpStream, opened: Instant) -> Duration {
        let pong = frame(1, b"3");
        let byte: &[u8] = match self {
            Self::Head | Self::Body | Self::Frame | Self::Post => b"x",
            Self::Outside => &pong,
            Self::Silent | Self::Handshake | Self::Mute | Self::Switch | Self::Deaf => b"",
        };
        let (mut read, mut write) = tcp.split();
        let closed = async {
            if self == Self::Deaf {
                // It never reads: that it was closed is seen by writing.
                loop {
                    tokio::time::sleep(TICK).await;
                    if write.write_all(b"\r\n").await.is_err() {
                        return;
                    }
                }
            }
            let mut heard = [0; 1024];
            let listening = async { while read.read(&mut heard).await.is_ok_and(|n| n > 0) {} };
            let speaking = async {
                while !byte.is_empty() && write.write_all(byte).await.is_ok() {
                    tokio::time::sleep(TICK).await;
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = listening => {}
                () = speaking => {}
            }
        };
        let closed = timeout(DEADLINE, closed).await;
        assert!(closed.is_ok(), "{self:?} is never closed");
        opened.elapsed()
    }
}

/// All of them at once, with the limits as they come. Returns the longest time that one
/// stayed open, and the bystander's latencies before and meanwhile.
async fn besiege() -> (Duration, Duration, Duration) {
    let target = Arc::new(Target::start(&[], None));
    let mut bystander = Bystander::join(&target).await;
    bystander.live(100).await;
    let before = bystander.p99();
    let mut attackers = JoinSet::new();
    for kind in Kind::ALL {
        let target = Arc::clone(&target);
        // So many open at a time that the backlog of the listener is not what is tested.
        attackers.spawn(async move {
            let mut open = JoinSet::new();
            for _ in 0..EACH {
                let tcp = kind.open(&target).await;
                let opened = Instant::now();
                open.spawn(kind.suffer(tcp, opened));
            }
            open.join_all().await.into_iter().max().unwrap()
        });
    }
    let suffering = attackers.join_all();
    let living = async {
        loop {
            bystander.live(10).await;
        }
    };
    let longest = tokio::select! {
        all = suffering => all.into_iter().max().unwrap(),
        () = living => unreachable!("it goes on for ever"),
    };
    for limit in Kind::ALL.into_iter().filter_map(Kind::limit) {
        let kinds = Kind::ALL
            .into_iter()
            .filter(|kind| kind.limit() == Some(limit));
        target
            .until_reached(limit, (kinds.count() * EACH) as u64)
            .await;
    }
    let meanwhile = bystander.p99();
    drop(bystander);
    let target = Arc::into_inner(target).expect("the attackers are gone");
    target.end();
    (longest, before, meanwhile)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_slow_connections_end_by_their_limits_and_nobody_else_notices() {
    let (longest, before, meanwhile) = besiege().await;
    println!("closed after {longest:?} at most; p99 {before:?} before, {meanwhile:?} meanwhile");
    assert!(longest < Duration::from_secs(30), "{longest:?}");
}
