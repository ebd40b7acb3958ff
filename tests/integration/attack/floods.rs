//! All floods at once within 512 MiB: handshakes, half-open connections, big frames, attachments,
//! subscriptions, events. Each comes through a trusted proxy and from an address of its own, since
//! those of this machine are not counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;

use super::*;

/// What the gateway may have, of memory and of addresses.
const BYTES_MAX: u64 = 512 << 20;

/// How long the floods last.
const LAST: Duration = Duration::from_secs(5);

/// A frame's worth of bytes, a little below the bound of a message.
const BIG: usize = (1 << 20) - 1024;

const WEBSOCKET: &str = "/socket.io/?EIO=4&transport=websocket";

/// How somebody floods.
#[derive(Debug, Clone, Copy)]
enum Flood {
    /// Sessions that are opened and never joined.
    Handshakes,
    /// Connections that stay in the middle of a request.
    HalfOpen,
    /// Messages of almost the largest size, held back before their end.
    BigFrames,
    /// Frames that announce more than a message may have.
    HugeFrames,
    /// Attachments that pile up without an end.
    Attachments,
    /// More attachments than a packet may have.
    ManyAttachments,
    /// Topics without an end.
    Subscriptions,
    /// Requests whose answers are not read.
    Requests,
    /// Large events.
    Events,
    /// Bodies that are too large.
    Bodies,
}

impl Flood {
    const ALL: [Self; 10] = [
        Self::Handshakes,
        Self::HalfOpen,
        Self::BigFrames,
        Self::HugeFrames,
        Self::Attachments,
        Self::ManyAttachments,
        Self::Subscriptions,
        Self::Requests,
        Self::Events,
        Self::Bodies,
    ];

    /// How many do it at the same time.
    const fn crowd(self) -> usize {
        match self {
            Self::HalfOpen => 300,
            Self::BigFrames | Self::Attachments => 60,
            Self::HugeFrames | Self::ManyAttachments => 4,
            Self::Subscriptions => 8,
            Self::Handshakes | Self::Requests | Self::Events | Self::Bodies => 2,
        }
    }

    /// The lines of a request's head that say where it comes from.
    fn origin(self) -> String {
        format!(
            "origin: http://a\r\nx-forwarded-for: 203.0.113.{}\r\n",
            self as u8
        )
    }

    /// A websocket in the main namespace; nothing if it is refused.
    async fn joined(self, target: &Target) -> Option<TcpStream> {
        let asked = target.ask_for_websocket(WEBSOCKET, &self.origin()).await;
        let mut tcp = match asked {
            Ok(tcp) => tcp,
            Err(head) => {
                assert!(head.starts_with("HTTP/1.1 429"), "{head}");
                return None;
            }
        };
        let _ = tcp.write_all(&frame(1, b"40")).await;
        Some(tcp)
    }

    async fn post(self, target: &Target, path: &str, body: &str) -> String {
        let (origin, bytes) = (self.origin(), body.len());
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{origin}\
             content-type: application/json\r\ncontent-length: {bytes}\r\n\r\n"
        );
        target.ask(&format!("{head}{body}")).await
    }

    /// One attack. It ends when the gateway ends it, or when there is nothing more to say.
    async fn strike(self, target: &Target) {
        match self {
            Self::HalfOpen => {
                let mut tcp = target.connect().await;
                let _ = tcp.write_all(b"GET / HTTP/1.1\r\nx: ").await;
                until_closed(&mut tcp).await;
            }
            Self::Handshakes => {
                let (path, origin) = ("/socket.io/?EIO=4&transport=polling", self.origin());
                let head = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n");
                drop(target.ask(&format!("{head}{origin}\r\n")).await);
            }
            Self::Events => {
                let text = "x".repeat(256 * 1024);
                let body = format!(r#"{{"name":"note","data":{{"text":"{text}"}}}}"#);
                drop(
                    self.post(target, "/v1/topics/room:flooded/events", &body)
                        .await,
                );
            }
            Self::Bodies => drop(self.post(target, "/v1/events", &" ".repeat(9 << 20)).await),
            Self::BigFrames
            | Self::HugeFrames
            | Self::Attachments
            | Self::ManyAttachments
            | Self::Subscriptions
            | Self::Requests => {
                if let Some(tcp) = self.joined(target).await {
                    self.go_on(tcp).await;
                }
            }
        }
    }

    /// An attack on a websocket.
    async fn go_on(self, mut tcp: TcpStream) {
        match self {
            Self::BigFrames => {
                let _ = tcp.write_all(&frame_head(1, BIG as u64)).await;
                let _ = tcp.write_all(&vec![b'x'; BIG - 1]).await;
                until_closed(&mut tcp).await;
            }
            Self::HugeFrames => {
                let _ = tcp.write_all(&frame_head(1, 1 << 40)).await;
                let _ = tcp.write_all(&vec![b'x'; BIG]).await;
                until_closed(&mut tcp).await;
            }
            Self::Attachments => {
                let announced = br#"4510-["subscribe",{"_placeholder":true,"num":0}]"#;
                let _ = tcp.write_all(&frame(1, announced)).await;
                for _ in 0..9 {
                    let _ = tcp.write_all(&frame(2, &vec![0; BIG / 10])).await;
                }
                until_closed(&mut tcp).await;
            }
            Self::ManyAttachments => {
                let announced = br#"45999999-["subscribe",{"_placeholder":true,"num":0}]"#;
                let _ = tcp.write_all(&frame(1, announced)).await;
                until_closed(&mut tcp).await;
            }
            Self::Subscriptions => subscribe(&mut tcp).await,
            Self::Requests => {
                let ask = frame(1, br#"420["subscribe","flooded"]"#).repeat(200);
                while tcp.write_all(&ask).await.is_ok() {}
            }
            Self::Handshakes | Self::HalfOpen | Self::Events | Self::Bodies => {
                unreachable!("it needs no websocket")
            }
        }
    }
}

/// Reads until the gateway closes.
async fn until_closed(tcp: &mut TcpStream) {
    let mut heard = [0; 4096];
    while tcp.read(&mut heard).await.is_ok_and(|read| read > 0) {}
}

/// Subscribes to new topics, more than one may have, until it is told so.
async fn subscribe(tcp: &mut TcpStream) {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    for _ in 0..4 {
        let first = NUMBER.fetch_add(256, Ordering::Relaxed);
        let ids: Vec<String> = (first..first + 256).map(|n| format!("f-{n}")).collect();
        let ask = format!("42{}", json!(["subscribe", ids]));
        let _ = tcp.write_all(&frame(1, ask.as_bytes())).await;
    }
    let mut heard = vec![0; 65536];
    while let Ok(read @ 1..) = tcp.read(&mut heard).await {
        let heard = String::from_utf8_lossy(&heard[..read]);
        if heard.contains("too_many_subscriptions") || heard.contains("limit_reached") {
            return;
        }
        // It answers pings, asked or not.
        let _ = tcp.write_all(&frame(1, b"3")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_floods_at_once_stay_within_512_mib_and_nobody_else_notices() {
    let settings = [
        // What an operator gives a process of this size.
        "store.bytes_max=64MiB",
        "store.log_bytes_max=16MiB",
        r#"limit.trusted_proxies=["127.0.0.1"]"#,
        "limit.handshakes_unfinished_max=2000",
        "hub.topics_max=20000",
        "wire.header_timeout=2s",
        "face.socketio.connect_timeout=2s",
        "face.socketio.ping_interval=1s",
        "face.socketio.ping_timeout=2s",
        "wire.write_stall_max=2s",
    ];
    let target = Arc::new(Target::start(&settings, Some(BYTES_MAX)));
    let mut bystander = Bystander::join(&target).await;
    bystander.live(100).await;
    let before = bystander.p99();
    let until = Instant::now() + LAST;
    let mut attackers = JoinSet::new();
    for flood in Flood::ALL {
        for _ in 0..flood.crowd() {
            let target = Arc::clone(&target);
            attackers.spawn(async move {
                while Instant::now() < until {
                    // Each attack is ended by the gateway.
                    let struck = timeout(DEADLINE, flood.strike(&target)).await;
                    assert!(struck.is_ok(), "{flood:?} is never ended");
                }
            });
        }
    }
    let living = async {
        loop {
            bystander.live(5).await;
        }
    };
    tokio::select! {
        ended = attackers.join_all() => drop(ended),
        () = living => unreachable!("it goes on for ever"),
    }
    let meanwhile = bystander.p99();
    // On a slow machine a client may have been ended in each flood before it came so far.
    let mut tcp = target.websocket(WEBSOCKET).await;
    tcp.write_all(&frame(1, b"40")).await.unwrap();
    let alone = timeout(DEADLINE, subscribe(&mut tcp)).await;
    assert!(alone.is_ok(), "the bound of subscriptions is never told");
    for limit in [
        "limit.subscribes_per_minute",
        "wire.header_timeout",
        "face.socketio.connect_timeout",
        "face.socketio.message_bytes_max",
        "face.socketio.attachments_max",
        "face.socketio.subscriptions_max",
        "face.http.body_bytes_max",
    ] {
        target.until_reached(limit, 1).await;
    }
    bystander.live(20).await;
    let peak_kib = target.peak_kib();
    println!("peak {peak_kib} KiB; p99 {before:?} before, {meanwhile:?} meanwhile");
    assert!(peak_kib < BYTES_MAX / 1024, "{peak_kib} KiB");
    drop(bystander);
    Arc::into_inner(target)
        .expect("the attackers are gone")
        .end();
}
