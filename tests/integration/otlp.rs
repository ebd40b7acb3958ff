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
use crate::redis::server::{Keeping, Server};

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

/// What is collected until all of these are there.
async fn until_all(bodies: &mut mpsc::Receiver<(String, Vec<u8>)>, parts: &[&[u8]]) -> Vec<u8> {
    let mut all = Vec::new();
    while !parts.iter().all(|part| holds(&all, part)) {
        let next = tokio::time::timeout(LIMIT, bodies.recv()).await;
        let (head, body) = next.expect("all steps come").unwrap();
        assert!(head.starts_with("post /v1/traces "), "{head}");
        assert!(
            head.contains("content-type: application/x-protobuf"),
            "{head}"
        );
        all.extend(body);
    }
    all
}

/// A collector, and the settings of nodes that send to it.
async fn collector() -> (String, mpsc::Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("trace.endpoint=http://{}", listener.local_addr().unwrap());
    let (sender, bodies) = mpsc::channel(64);
    tokio::spawn(collect(listener, sender));
    (endpoint, bodies)
}

/// Publishes as a step of the trace.
async fn publish_traced(node: &Node) {
    let answer = node
        .client
        .post(format!("{}/v1/topics/session:a/events", node.url))
        .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"))
        .json(&json!({"name": "told"}))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
}

fn trace() -> [u8; 16] {
    u128::from_str_radix(TRACE, 16).unwrap().to_be_bytes()
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_from_the_request_to_the_delivery() {
    let (endpoint, mut bodies) = collector().await;
    let node = Node::start_with("", &[&endpoint, "trace.interval=50ms"]);
    let mut stream = node.stream("session:a", None).await;
    // Without a trace of its own, a request is not recorded.
    node.publish("session:a", &json!({"name": "untold"})).await;
    publish_traced(&node).await;
    stream.next().await;
    stream.next().await;

    let above = 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes();
    let names: [&[u8]; 3] = [b"request", b"publish", b"deliver"];
    let all = until_all(&mut bodies, &names).await;
    assert!(holds(&all, &trace()) && holds(&all, &above));
    assert!(holds(&all, b"session:a") && holds(&all, b"service.name"));
    let steps = all.windows(16).filter(|window| *window == trace()).count();
    assert_eq!(steps, 3, "and no step of a request without a trace");
    let more = tokio::time::timeout(Duration::from_millis(200), bodies.recv()).await;
    assert!(more.is_err(), "nothing else is sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_by_another_node_belongs_to_the_trace_of_the_publish() {
    let redis = Server::start(Keeping::Nothing);
    let (there_endpoint, mut there_bodies) = collector().await;
    let (here_endpoint, mut here_bodies) = collector().await;
    let interval = "trace.interval=50ms";
    let here = Node::ready(&redis.url(), &[&here_endpoint, interval]).await;
    let there = Node::ready(&redis.url(), &[&there_endpoint, interval]).await;
    // A node that records nothing takes the event as well.
    let untold = Node::ready(&redis.url(), &[]).await;
    let mut streams = Vec::new();
    for node in [&here, &there, &untold] {
        streams.push(node.stream("session:a", None).await);
    }
    here.publish("session:a", &json!({"name": "untold"})).await;
    publish_traced(&here).await;
    for stream in &mut streams {
        stream.next().await;
        stream.next().await;
    }
    let names: [&[u8]; 3] = [b"request", b"publish", b"deliver"];
    let all = until_all(&mut here_bodies, &names).await;
    assert_eq!(
        all.windows(16).filter(|window| *window == trace()).count(),
        3
    );
    let all = until_all(&mut there_bodies, &[b"deliver"]).await;
    assert_eq!(
        all.windows(16).filter(|window| *window == trace()).count(),
        1
    );
    assert!(!holds(&all, b"publish"));
    // What is read from the log afterwards is no step of it.
    let mut late = there.stream("session:a", None).await;
    late.next().await;
    for mut bodies in [here_bodies, there_bodies] {
        let more = tokio::time::timeout(Duration::from_millis(200), bodies.recv()).await;
        assert!(more.is_err(), "nothing else is sent");
    }
}
