//! Clients that stop reading, trickle or vanish: each costs itself only, and not for long.

use std::time::Duration;

use serde_json::{Value, json};
use socket2::{SockFilter, SockRef};
use tidings::app::config::{Sources, load};
use tidings::app::gateway::Gateway;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// Longer than the stall limit that is set here, shorter than any ping timeout.
const DEADLINE: Duration = Duration::from_secs(12);

/// The receive buffer of a slow client.
const BUFFER_BYTES: u32 = 4096;

/// A stalled client is closed soon; what counts as taking something is more than a trickle.
const IMPATIENT: [&str; 2] = [
    "wire.write_stall_max=1s",
    "wire.write_stall_bytes_min=256KiB",
];

async fn gateway(settings: &[&str]) -> Gateway {
    let sources = Sources {
        listen: Some("127.0.0.1:0".to_owned()),
        set: settings.iter().map(|&setting| setting.to_owned()).collect(),
        ..Sources::default()
    };
    let loaded = load(&sources).unwrap_or_else(|problems| panic!("{problems}"));
    Gateway::start(&loaded.config).await.unwrap()
}

/// A connection that takes little at a time.
async fn narrow(gateway: &Gateway) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(BUFFER_BYTES).unwrap();
    socket.connect(gateway.local_addr()).await.unwrap()
}

/// One exchange on a connection of its own; the body of the answer.
async fn exchange(gateway: &Gateway, head: &str, body: &str) -> String {
    let mut tcp = TcpStream::connect(gateway.local_addr()).await.unwrap();
    let request = format!(
        "{head} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(DEADLINE, tcp.read_to_string(&mut answer));
    read.await.expect("an answer in time").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{head}: {answer}");
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// Publishes entries to `session:a`.
async fn publish(gateway: &Gateway, entries: &[Value]) {
    for part in entries.chunks(100) {
        let receipts = exchange(gateway, "POST /v1/events", &json!(part).to_string()).await;
        assert!(!receipts.contains("\"problem\""), "{receipts}");
    }
}

fn entry(name: &str, n: usize, bytes: usize) -> Value {
    json!({"topic": "session:a", "name": name, "data": {"n": n, "text": "x".repeat(bytes)}})
}

/// More than all buffers between gateway and client hold.
fn flood() -> Vec<Value> {
    (0..200).map(|n| entry("note", n, 16 * 1024)).collect()
}

/// Reads until the text holds this.
async fn until(tcp: &mut TcpStream, wanted: &str) -> String {
    let mut text = String::new();
    let reading = async {
        let mut piece = [0; 2048];
        while !text.contains(wanted) {
            let read = tcp.read(&mut piece).await.unwrap();
            assert!(read > 0, "the connection ended after {text}");
            text.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
    };
    let ended = tokio::time::timeout(DEADLINE, reading).await;
    assert!(ended.is_ok(), "no `{wanted}` in time: {text}");
    text
}

/// A short text frame of a client, masked with zero.
fn frame(text: &str) -> Vec<u8> {
    let len = u8::try_from(text.len()).unwrap();
    assert!(len < 126);
    [&[0x81, 0x80 | len, 0, 0, 0, 0], text.as_bytes()].concat()
}

/// How a client is connected to `session:a`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Face {
    WebSocket,
    Polling,
    Sse,
}

/// What becomes of a client.
#[derive(Debug, Clone, Copy)]
enum Fault {
    StopsReading,
    Trickles,
    Vanishes,
}

impl Face {
    /// A subscribed client on a narrow connection, about to be sent what is published.
    async fn subscribe(self, gateway: &Gateway) -> TcpStream {
        match self {
            Self::WebSocket => websocket(gateway).await,
            Self::Polling => polling(gateway).await,
            Self::Sse => {
                let mut tcp = narrow(gateway).await;
                let request = b"GET /v1/topics/session:a/events HTTP/1.1\r\nhost: a\r\n\
                                accept: text/event-stream\r\n\r\n";
                tcp.write_all(request).await.unwrap();
                until(&mut tcp, "retry:").await;
                tcp
            }
        }
    }
}

async fn websocket(gateway: &Gateway) -> TcpStream {
    let mut tcp = narrow(gateway).await;
    let request = b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: a\r\n\
        connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
        sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    tcp.write_all(request).await.unwrap();
    until(&mut tcp, "\"sid\"").await;
    tcp.write_all(&frame("40")).await.unwrap();
    until(&mut tcp, "40{").await;
    tcp.write_all(&frame(r#"42["subscribe","a"]"#))
        .await
        .unwrap();
    until(&mut tcp, "\"subscribed\"").await;
    tcp
}

/// A session whose next poll is open, on a narrow connection.
async fn polling(gateway: &Gateway) -> TcpStream {
    let path = "/socket.io/?EIO=4&transport=polling";
    let opened = exchange(gateway, &format!("GET {path}"), "").await;
    let (_, rest) = opened.split_once(r#""sid":""#).unwrap();
    let path = format!("{path}&sid={}", rest.split_once('"').unwrap().0);
    exchange(gateway, &format!("POST {path}"), "40").await;
    exchange(gateway, &format!("POST {path}"), r#"42["subscribe","a"]"#).await;
    let mut told = String::new();
    while !told.contains("\"subscribed\"") {
        told = exchange(gateway, &format!("GET {path}"), "").await;
    }
    let mut tcp = narrow(gateway).await;
    let poll = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    tcp.write_all(poll.as_bytes()).await.unwrap();
    tcp
}

impl Fault {
    /// What the client does from now on.
    async fn go_on(self, tcp: &mut TcpStream) {
        match self {
            Self::StopsReading => {}
            Self::Trickles => {
                let mut tick = tokio::time::interval(Duration::from_millis(20));
                let mut piece = [0; 512];
                while tcp.read(&mut piece).await.is_ok_and(|read| read > 0) {
                    tick.tick().await;
                }
            }
            Self::Vanishes => {
                // Nothing that arrives is taken in any more, nor acknowledged.
                let nothing = SockFilter::new(0x06, 0, 0, 0);
                SockRef::from(&*tcp).attach_filter(&[nothing]).unwrap();
            }
        }
        std::future::pending::<()>().await;
    }
}

/// Waits until the gateway's figures hold all of these lines.
async fn figures(gateway: &Gateway, wanted: &[&str]) {
    let mut last = String::new();
    let asking = async {
        loop {
            last = exchange(gateway, "GET /metrics", "").await;
            if wanted.iter().all(|line| last.lines().any(|l| l == *line)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let ended = tokio::time::timeout(DEADLINE, asking).await;
    assert!(ended.is_ok(), "no {wanted:?} in time: {last}");
}

/// The client is closed in time, and nothing of it stays.
async fn costs_itself_only(face: Face, fault: Fault) {
    let gateway = gateway(&IMPATIENT).await;
    let mut slow = face.subscribe(&gateway).await;
    figures(&gateway, &["tidings_subscriptions 1"]).await;
    let mut nothing_stays = vec!["tidings_subscriptions 0"];
    match face {
        Face::WebSocket | Face::Polling => {
            nothing_stays.push(r#"tidings_connections{face="socketio"} 0"#);
        }
        Face::Sse => nothing_stays.push("tidings_http_streams 0"),
    }
    if face == Face::WebSocket {
        nothing_stays
            .push(r#"tidings_connections_closed_total{face="socketio",reason="stalled"} 1"#);
    }
    let watched = async {
        publish(&gateway, &flood()).await;
        figures(&gateway, &nothing_stays).await;
    };
    tokio::select! {
        () = watched => {}
        () = fault.go_on(&mut slow) => unreachable!("it goes on for ever"),
    }
    gateway.drain().await;
}

#[tokio::test]
async fn a_websocket_that_is_not_read_is_closed() {
    costs_itself_only(Face::WebSocket, Fault::StopsReading).await;
}

#[tokio::test]
async fn a_websocket_that_trickles_is_closed() {
    costs_itself_only(Face::WebSocket, Fault::Trickles).await;
}

#[tokio::test]
async fn a_websocket_that_vanished_is_closed() {
    costs_itself_only(Face::WebSocket, Fault::Vanishes).await;
}

#[tokio::test]
async fn a_poll_that_is_not_read_ends_its_session() {
    costs_itself_only(Face::Polling, Fault::StopsReading).await;
}

#[tokio::test]
async fn a_poll_that_trickles_ends_its_session() {
    costs_itself_only(Face::Polling, Fault::Trickles).await;
}

#[tokio::test]
async fn a_poll_that_vanished_ends_its_session() {
    costs_itself_only(Face::Polling, Fault::Vanishes).await;
}

#[tokio::test]
async fn an_event_stream_that_is_not_read_is_closed() {
    costs_itself_only(Face::Sse, Fault::StopsReading).await;
}

#[tokio::test]
async fn an_event_stream_that_trickles_is_closed() {
    costs_itself_only(Face::Sse, Fault::Trickles).await;
}

#[tokio::test]
async fn an_event_stream_that_vanished_is_closed() {
    costs_itself_only(Face::Sse, Fault::Vanishes).await;
}

/// The numbers that a client was sent of the events of a name.
fn numbers(text: &str, start: &str) -> Vec<usize> {
    let events = text.split(start).skip(1);
    events
        .map(|rest| rest.split(',').next().unwrap().parse().unwrap())
        .collect()
}

/// Far behind, it gets every fact and the newest state, and goes on when it reads again.
async fn is_given_the_newest(face: Face, start: impl Fn(&str) -> String) {
    let gateway = gateway(&["hub.lanes.behind_events_min=200"]).await;
    let mut slow = face.subscribe(&gateway).await;
    let story: Vec<Value> = (0..1500)
        .map(|n| entry(if n % 100 == 50 { "note" } else { "progress" }, n, 2048))
        .chain([entry("completed", 1500, 1)])
        .collect();
    publish(&gateway, &story).await;
    let text = until(&mut slow, &start("completed")).await;
    let notes: Vec<usize> = (0..15).map(|n| n * 100 + 50).collect();
    assert_eq!(numbers(&text, &start("note")), notes);
    let states = numbers(&text, &start("progress"));
    assert!(states.is_sorted_by(|a, b| a < b), "{states:?}");
    assert_eq!(states.last(), Some(&1499));
    let left_out = 1485 - states.len();
    assert!(left_out > 500, "only {left_out} were left out");
    let face = match face {
        Face::WebSocket | Face::Polling => "socketio",
        Face::Sse => "sse",
    };
    let counted = format!("tidings_events_conflated_total{{face=\"{face}\"}} {left_out}");
    figures(&gateway, &[&counted]).await;
    drop(slow);
    gateway.drain().await;
}

#[tokio::test]
async fn a_websocket_far_behind_gets_every_fact_and_the_newest_state() {
    let start = |name: &str| format!(r#"42["{name}",{{"n":"#);
    is_given_the_newest(Face::WebSocket, start).await;
}

#[tokio::test]
async fn an_event_stream_far_behind_gets_every_fact_and_the_newest_state() {
    let start = |name: &str| format!("event: {name}\ndata: {{\"n\":");
    is_given_the_newest(Face::Sse, start).await;
}
