//! Traces: a real gateway and a collector of our own that takes OTLP over HTTP.

#![expect(
    clippy::disallowed_methods,
    reason = "the collector ends with the runtime of its test"
)]

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::redis::node::{LIMIT, Node};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Takes requests, and hands their heads and bodies on.
async fn collect(listener: TcpListener, bodies: mpsc::Sender<(String, Vec<u8>)>) {
    loop {
        let (mut socket, _) = listener.accept().await.unwrap();
        let bodies = bodies.clone();
        tokio::spawn(async move {
            let mut bytes = Vec::new();
            loop {
                let head = bytes.windows(4).position(|four| four == b"\r\n\r\n");
                if let Some(head) = head {
                    let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
                    let length = text.split("content-length: ").nth(1).unwrap();
                    let length: usize = length.lines().next().unwrap().parse().unwrap();
                    let end = head + 4 + length;
                    if bytes.len() >= end {
                        let body = bytes[head + 4..end].to_vec();
                        bytes.drain(..end);
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
                        socket.write_all(answer).await.unwrap();
                        bodies.send((text, body)).await.unwrap();
                        continue;
                    }
                }
                if socket.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                    return;
                }
            }
        });
    }
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_from_the_request_to_the_delivery() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("trace.endpoint=http://{}", listener.local_addr().unwrap());
    let (sender, mut bodies) = mpsc::channel(64);
    tokio::spawn(collect(listener, sender));
    let node = Node::start_with("", &[&endpoint, "trace.interval=50ms"]);
    let mut stream = node.stream("session:a", None).await;
    // Without a trace of its own, a request is not recorded.
    node.publish("session:a", &json!({"name": "untold"})).await;
    let answer = node
        .client
        .post(format!("{}/v1/topics/session:a/events", node.url))
        .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"))
        .json(&json!({"name": "told"}))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    stream.next().await;
    stream.next().await;

    let trace = u128::from_str_radix(TRACE, 16).unwrap().to_be_bytes();
    let above = 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes();
    let mut all = Vec::new();
    let names: [&[u8]; 3] = [b"request", b"publish", b"deliver"];
    while !names.iter().all(|name| holds(&all, name)) {
        let next = tokio::time::timeout(LIMIT, bodies.recv()).await;
        let (head, body) = next.expect("all three steps come").unwrap();
        assert!(head.starts_with("post /v1/traces "), "{head}");
        assert!(
            head.contains("content-type: application/x-protobuf"),
            "{head}"
        );
        all.extend(body);
    }
    assert!(holds(&all, &trace) && holds(&all, &above));
    assert!(holds(&all, b"session:a") && holds(&all, b"service.name"));
    let steps = all.windows(16).filter(|window| *window == trace).count();
    assert_eq!(steps, 3, "and no step of a request without a trace");
    let more = tokio::time::timeout(Duration::from_millis(200), bodies.recv()).await;
    assert!(more.is_err(), "nothing else is sent");
}
