//! Sockets of the Socket.IO face, from inside: their rooms, and the bound of what they may ask.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tidings::app::config::{Sources, load};
use tidings::app::gateway::Gateway;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const DEADLINE: Duration = Duration::from_secs(8);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Reads until a text packet begins with `start`.
async fn until(socket: &mut Socket, start: &str) -> String {
    let found = async {
        loop {
            let message = socket.next().await.expect("the connection stays").unwrap();
            if let Message::Text(text) = message
                && text.starts_with(start)
            {
                return text.to_string();
            }
        }
    };
    tokio::time::timeout(DEADLINE, found)
        .await
        .unwrap_or_else(|_| panic!("no `{start}` in time"))
}

#[tokio::test]
async fn a_subscriber_is_in_the_room_of_its_topic() {
    let sources = Sources {
        listen: Some("127.0.0.1:0".to_owned()),
        ..Sources::default()
    };
    let loaded = load(&sources).unwrap_or_else(|problems| panic!("{problems}"));
    let gateway = Gateway::start(&loaded.config).await.unwrap();
    let url = format!(
        "ws://{}/socket.io/?EIO=4&transport=websocket",
        gateway.local_addr()
    );
    let (mut socket, _) = connect_async(url).await.unwrap();
    until(&mut socket, "0").await;
    socket.send(Message::text("40")).await.unwrap();
    until(&mut socket, "40").await;

    // The acknowledgement comes when the request has been served.
    socket
        .send(Message::text(r#"420["subscribe",["abc","job:x"]]"#))
        .await
        .unwrap();
    until(&mut socket, "430").await;
    assert_eq!(gateway.socketio().room_len("session:abc"), 1);
    assert_eq!(gateway.socketio().room_len("job:x"), 1);
    assert_eq!(gateway.socketio().room_len("abc"), 0);

    socket
        .send(Message::text(r#"421["subscribe","../abc"]"#))
        .await
        .unwrap();
    assert!(until(&mut socket, "431").await.contains("invalid_topic"));
    assert_eq!(gateway.socketio().room_len("session:../abc"), 0);

    socket
        .send(Message::text(r#"422["unsubscribe","abc"]"#))
        .await
        .unwrap();
    until(&mut socket, "432").await;
    assert_eq!(gateway.socketio().room_len("session:abc"), 0);
    assert_eq!(gateway.socketio().room_len("job:x"), 1);
    drop(socket);
    gateway.drain().await;
}

#[tokio::test]
async fn a_client_that_asks_beyond_the_bound_is_closed() {
    let sources = Sources {
        listen: Some("127.0.0.1:0".to_owned()),
        set: vec!["face.socketio.requests_max=1".to_owned()],
        ..Sources::default()
    };
    let loaded = load(&sources).unwrap_or_else(|problems| panic!("{problems}"));
    let gateway = Gateway::start(&loaded.config).await.unwrap();
    let url = format!(
        "ws://{}/socket.io/?EIO=4&transport=websocket",
        gateway.local_addr()
    );
    let (mut socket, _) = connect_async(url).await.unwrap();
    until(&mut socket, "0").await;
    socket.send(Message::text("40")).await.unwrap();
    until(&mut socket, "40").await;
    for _ in 0..200 {
        let asked = socket.feed(Message::text(r#"42["subscribe","abc"]"#)).await;
        asked.unwrap();
    }
    // The gateway may close while the rest is being written.
    let _ = socket.flush().await;
    let ended = async { while let Some(Ok(_)) = socket.next().await {} };
    let ended = tokio::time::timeout(DEADLINE, ended).await;
    ended.expect("the connection is closed in time");
    gateway.drain().await;
}
