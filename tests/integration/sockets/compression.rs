//! permessage-deflate on the plain websockets, between the gateway and a client of another
//! role of the same library, and with frames written by hand. Stock clients, and messages that
//! inflate to far more than they are, are in `tests/clients/js/test/compression.test.js`.

use futures_util::SinkExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use yawc::{Frame, OpCode, Options, WebSocket};

use super::{DEADLINE, Running};

const BOTH_WITHOUT_CONTEXT: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// A TCP stream after a handshake with these extensions, and what was agreed on.
async fn raw(running: &Running, extensions: &str) -> (TcpStream, String) {
    let mut tcp = TcpStream::connect(running.gateway.local_addr())
        .await
        .unwrap();
    let request = format!(
        "GET /ws/abc HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Extensions: {extensions}\r\n\r\n"
    );
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    let agreed = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-extensions"))
        .map_or("", |(_, value)| value);
    (tcp, agreed.to_owned())
}

/// A frame of a client, masked with zeros: its first byte, and its payload of at most 125 bytes.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat()
}

/// The next frame of the gateway, of at most 125 bytes: its first byte, and its payload.
async fn next(tcp: &mut TcpStream) -> (u8, Vec<u8>) {
    let reading = async {
        let mut head = [0; 2];
        tcp.read_exact(&mut head).await.unwrap();
        let mut payload = vec![0; usize::from(head[1])];
        tcp.read_exact(&mut payload).await.unwrap();
        (head[0], payload)
    };
    tokio::time::timeout(DEADLINE, reading)
        .await
        .expect("a frame in time")
}

/// The code with which the gateway answers frames.
async fn code_for(running: &Running, extensions: &str, frames: &[Vec<u8>]) -> u16 {
    let (mut tcp, _) = raw(running, extensions).await;
    tcp.write_all(&frames.concat()).await.unwrap();
    let (first, payload) = next(&mut tcp).await;
    assert_eq!(first, 0x88, "a close frame");
    u16::from_be_bytes([payload[0], payload[1]])
}

#[tokio::test]
async fn compression_is_for_those_who_offer_it() {
    let running = Running::start(&[]).await;
    for (offer, want) in [
        ("permessage-deflate", BOTH_WITHOUT_CONTEXT),
        ("x-other", ""),
        ("permessage-deflate; server_max_window_bits=8", ""),
    ] {
        assert_eq!(raw(&running, offer).await.1, want, "{offer}");
    }
    running.gateway.drain().await;
    let off = Running::start(&["face.ws.compression.enabled=false"]).await;
    assert_eq!(raw(&off, "permessage-deflate").await.1, "");
    off.gateway.drain().await;
}

#[tokio::test]
async fn long_messages_are_compressed_both_ways_and_short_ones_are_not() {
    let running = Running::start(&[]).await;
    let text = "the same again ".repeat(20_000);
    running
        .publish("job:abc", "job_started", json!({ "text": text }))
        .await;
    let url = format!("ws://{}/ws/abc", running.gateway.local_addr());
    let options = Options::default()
        .with_balanced_compression()
        .with_max_payload_read(4 << 20);
    let connect = WebSocket::connect(url.parse().unwrap()).with_options(options);
    let mut client = connect.await.unwrap();
    let frame = client.next_frame().await.unwrap();
    let told: Value = serde_json::from_str(frame.as_str()).unwrap();
    assert_eq!(told["text"], text);
    // As large as allowed, inflated; one more is too large.
    client.send(Frame::text(" ".repeat(1 << 20))).await.unwrap();
    let answer = client.next_frame().await.unwrap();
    assert!(answer.as_str().contains("Invalid JSON format"));
    let text = " ".repeat((1 << 20) + 1);
    client.send(Frame::text(text)).await.unwrap();
    let close = client.next_frame().await.unwrap();
    assert_eq!(close.opcode(), OpCode::Close);
    assert_eq!(close.close_code().map(u16::from), Some(1009));

    let (mut tcp, _) = raw(&running, "permessage-deflate").await;
    tcp.write_all(&bad_json()).await.unwrap();
    loop {
        let mut head = [0; 2];
        tcp.read_exact(&mut head).await.unwrap();
        let is_compressed = head[0] & 0x40 != 0;
        let length = match head[1] {
            126 => usize::from(tcp.read_u16().await.unwrap()),
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        tcp.read_exact(&mut payload).await.unwrap();
        let is_answer = payload.windows(12).any(|part| part == b"Invalid JSON");
        if is_answer {
            assert!(!is_compressed, "short ones go as they are");
            break;
        }
    }
    running.gateway.drain().await;
}

fn bad_json() -> Vec<u8> {
    frame(0x81, b"{")
}

#[tokio::test]
async fn pings_between_fragments_are_answered() {
    let running = Running::start(&[]).await;
    let (mut tcp, _) = raw(&running, "permessage-deflate").await;
    // "Hello" as in RFC 7692, section 7.2.3.1, in three frames.
    let frames = [
        frame(0x41, &[0xf2, 0x48, 0xcd]),
        frame(0x89, b"first"),
        frame(0x00, &[0xc9, 0xc9]),
        frame(0x89, b"second"),
        frame(0x80, &[0x07, 0x00]),
    ];
    tcp.write_all(&frames.concat()).await.unwrap();
    assert_eq!(next(&mut tcp).await, (0x8a, b"first".to_vec()));
    assert_eq!(next(&mut tcp).await, (0x8a, b"second".to_vec()));
    let (first, payload) = next(&mut tcp).await;
    assert_eq!(first, 0x81);
    let text = String::from_utf8(payload).unwrap();
    assert!(text.contains("Invalid JSON format"), "{text}");
    running.gateway.drain().await;
}

#[tokio::test]
async fn what_breaks_the_protocol_is_closed_with_its_code() {
    const DEFLATE: &str = "permessage-deflate";
    let running = Running::start(&[]).await;
    let cases: [(&str, &str, Vec<Vec<u8>>, u16); 9] = [
        (
            "RSV1 that was not agreed on",
            "x",
            vec![frame(0xc1, b"x")],
            1002,
        ),
        ("RSV2", DEFLATE, vec![frame(0xa1, b"x")], 1002),
        ("no deflate", DEFLATE, vec![frame(0xc1, &[0xff; 32])], 1007),
        ("no UTF-8", "x", vec![frame(0x81, &[0xc3, 0x28])], 1007),
        (
            "inflated to no UTF-8",
            DEFLATE,
            vec![frame(0xc1, &[0x7a, 0x00])],
            1007,
        ),
        (
            "a continuation of nothing",
            "x",
            vec![frame(0x80, b"x")],
            1002,
        ),
        (
            "a frame without a mask",
            "x",
            vec![vec![0x81, 0x01, b'x']],
            1002,
        ),
        ("an opcode that is none", "x", vec![frame(0x83, b"x")], 1002),
        (
            "a close code that is none",
            "x",
            vec![frame(0x88, &[0x03, 0xed])],
            1002,
        ),
    ];
    for (what, extensions, frames, want) in cases {
        assert_eq!(
            code_for(&running, extensions, &frames).await,
            want,
            "{what}"
        );
    }
    running.gateway.drain().await;
}

#[tokio::test]
async fn a_flood_of_pings_of_a_client_that_reads_nothing_ends_the_client() {
    let running = Running::start(&[
        "wire.write_stall_max=300ms",
        "face.ws.messages_per_minute_max=100000000",
    ])
    .await;
    let (mut tcp, _) = raw(&running, "x").await;
    let pings = frame(0x89, &[0; 125]).repeat(512);
    let flooding = async { while tcp.write_all(&pings).await.is_ok() {} };
    let ended = tokio::time::timeout(DEADLINE, flooding).await;
    assert!(ended.is_ok(), "pongs are not queued without end");
    running.gateway.drain().await;
}
