//! The websocket transport.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use socket2::SockRef;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::Door;
use crate::upstream::gateway::Recovery;

/// Read buffer of a connection: there may be thousands of them.
const BUFFER_BYTES: usize = 4096;

/// A websocket.
pub(super) struct Socket {
    pub(super) inner: Box<WebSocketStream<TcpStream>>,
    /// Packets that came by polling before.
    pub(super) earlier: VecDeque<String>,
}

/// Connects; with the id of a session to go on with, or to begin one.
pub(super) async fn connect(door: &Door, sid: Option<&str>) -> anyhow::Result<Socket> {
    let authority = door.gateway.authority();
    let stream = dial(door, authority).await.with_context(|| {
        format!("cannot connect to {authority} (many clients need `ulimit -n`)")
    })?;
    stream.set_nodelay(true)?;
    let mut url = format!("ws://{authority}/socket.io/?EIO=4&transport=websocket");
    if let Some(sid) = sid {
        url.push_str("&sid=");
        url.push_str(sid);
    }
    if door.recovery == Recovery::Off {
        url.push_str("&recovery=0");
    }
    let mut request = url.into_client_request()?;
    if door.recovery == Recovery::Stock {
        // What browsers and Node offer; nobody has to accept it.
        let offer = HeaderValue::from_static("permessage-deflate; client_max_window_bits");
        request
            .headers_mut()
            .insert("Sec-WebSocket-Extensions", offer);
    }
    if let Some(token) = door.gateway.authorization() {
        request.headers_mut().insert(AUTHORIZATION, token);
    }
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(0);
    let (inner, _) =
        tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await?;
    Ok(Socket {
        inner: Box::new(inner),
        earlier: VecDeque::new(),
    })
}

async fn dial(door: &Door, authority: &str) -> anyhow::Result<TcpStream> {
    let target = lookup_host(authority)
        .await?
        .next()
        .context("the name has no address")?;
    let socket = if target.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if let Some(source) = door.source.filter(|ip| ip.is_ipv4() == target.is_ipv4()) {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    if let Some(bytes) = door.receive_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    Ok(socket.connect(target).await?)
}

/// The next text packet.
pub(super) async fn receive(socket: &mut Socket) -> anyhow::Result<String> {
    if let Some(packet) = socket.earlier.pop_front() {
        return Ok(packet);
    }
    loop {
        let message = socket
            .inner
            .next()
            .await
            .context("the gateway closed the connection")?;
        if let Message::Text(text) = message? {
            return Ok(text.to_string());
        }
    }
}

/// Makes that the connection is reset when it is dropped.
pub(super) fn reset_at_close(socket: &Socket) {
    // Where this cannot be set, the connection is closed in the ordinary way: a cut as well.
    let _ = SockRef::from(socket.inner.get_ref()).set_linger(Some(Duration::ZERO));
}

/// Ends the sending direction of the TCP connection, without a word in WebSocket.
pub(super) async fn half_close(socket: &mut Socket) -> bool {
    socket.inner.get_mut().shutdown().await.is_ok()
}
