//! Connections that are slow, silent or too many, over real sockets.

use std::time::Duration;

use tidings::app::config::{Sources, load};
use tidings::app::gateway::Gateway;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than any timeout that is set here, shorter than any default.
const DEADLINE: Duration = Duration::from_secs(8);

async fn gateway(settings: &[&str]) -> Gateway {
    let sources = Sources {
        listen: Some("127.0.0.1:0".to_owned()),
        set: settings.iter().map(|&setting| setting.to_owned()).collect(),
        ..Sources::default()
    };
    let loaded = load(&sources).unwrap_or_else(|problems| panic!("{problems}"));
    Gateway::start(&loaded.config).await.unwrap()
}

async fn connect(gateway: &Gateway) -> TcpStream {
    TcpStream::connect(gateway.local_addr()).await.unwrap()
}

/// What the gateway says until it closes the connection.
async fn last_words(tcp: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let read = tokio::time::timeout(DEADLINE, tcp.read_to_end(&mut said)).await;
    // A reset is a close as well.
    let _ = read.expect("the connection is closed in time");
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let gateway = gateway(&["wire.first_byte_timeout=200ms"]).await;
    let mut tcp = connect(&gateway).await;
    assert_eq!(last_words(&mut tcp).await, "");
    gateway.drain().await;
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let gateway = gateway(&["wire.header_timeout=200ms"]).await;
    let mut tcp = connect(&gateway).await;
    tcp.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\nx-slow: ")
        .await
        .unwrap();
    let said = last_words(&mut tcp).await;
    assert!(
        said.is_empty() || said.starts_with("HTTP/1.1 408"),
        "{said}"
    );
    gateway.drain().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let gateway = gateway(&[]).await;
    let mut tcp = connect(&gateway).await;
    let head = format!(
        "GET /healthz HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
        "x".repeat(20_000)
    );
    // The gateway may close before it has read everything.
    let _ = tcp.write_all(head.as_bytes()).await;
    let said = last_words(&mut tcp).await;
    assert!(
        said.is_empty() || said.starts_with("HTTP/1.1 431"),
        "{said}"
    );
    gateway.drain().await;
}

#[tokio::test]
async fn a_body_that_trickles_is_refused_on_every_face() {
    let gateway = gateway(&["wire.body_timeout=200ms"]).await;
    let mut tcp = connect(&gateway).await;
    let get =
        b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    tcp.write_all(get).await.unwrap();
    let opened = last_words(&mut tcp).await;
    let (_, rest) = opened
        .split_once(r#""sid":""#)
        .expect("the handshake tells an id");
    let (sid, _) = rest.split_once('"').unwrap();

    let posts = [
        "/v1/topics/session:a/events".to_owned(),
        format!("/socket.io/?EIO=4&transport=polling&sid={sid}"),
    ];
    for path in posts {
        let mut tcp = connect(&gateway).await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
             content-length: 100\r\nconnection: close\r\n\r\n{{"
        );
        tcp.write_all(head.as_bytes()).await.unwrap();
        let said = last_words(&mut tcp).await;
        assert!(said.starts_with("HTTP/1.1 408"), "{path}: {said}");
    }
    gateway.drain().await;
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_others_go_on() {
    let gateway = gateway(&["wire.connections_max=1"]).await;
    let mut first = connect(&gateway).await;
    first
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let mut start = [0; 12];
    first.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");

    let mut second = connect(&gateway).await;
    let said = last_words(&mut second).await;
    assert!(said.starts_with("HTTP/1.1 503"), "{said}");
    assert!(said.ends_with("`wire.connections_max` allows"), "{said}");

    first
        .write_all(b"GET /readyz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    assert!(last_words(&mut first).await.contains("HTTP/1.1 200"));
    gateway.drain().await;
}

#[tokio::test]
async fn a_websocket_handshake_that_is_none_is_refused_in_engine_ios_words() {
    let gateway = gateway(&[]).await;
    let heads = [
        "",
        "connection: upgrade\r\nupgrade: websocket\r\n",
        "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n",
        "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 8\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    ];
    for head in heads {
        let mut tcp = connect(&gateway).await;
        let request =
            format!("GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: a\r\n{head}\r\n");
        tcp.write_all(request.as_bytes()).await.unwrap();
        tcp.shutdown().await.unwrap();
        let said = last_words(&mut tcp).await;
        assert!(said.starts_with("HTTP/1.1 400"), "{head}: {said}");
        assert!(
            said.ends_with(r#"{"code":3,"message":"Bad request"}"#),
            "{head}: {said}"
        );
    }
    gateway.drain().await;
}
