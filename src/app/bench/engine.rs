//! A client as stock ones are on the wire: Engine.IO v4 under Socket.IO v5.

use std::collections::VecDeque;

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::upstream::gateway::{Gateway, SEPARATOR};

/// How packets travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    /// Over a websocket from the start.
    Websocket,
    /// Over polling for good.
    Polling,
}

/// One client, subscribed to one session.
pub(super) struct Client {
    line: Line,
}

enum Line {
    Websocket(Box<WebSocketStream<TcpStream>>),
    Polling {
        gateway: Gateway,
        sid: String,
        ready: VecDeque<String>,
    },
}

impl Client {
    /// Connects and subscribes. Returns when the gateway has confirmed it.
    pub(super) async fn subscribe(
        gateway: &Gateway,
        transport: Transport,
        session: &str,
    ) -> anyhow::Result<Self> {
        let line = match transport {
            Transport::Websocket => websocket(gateway).await?,
            Transport::Polling => polling(gateway).await?,
        };
        let mut client = Self { line };
        client.send("40".to_owned()).await?;
        client.until("40").await?;
        client
            .send(format!("42{}", json!(["subscribe", session])))
            .await?;
        client.until("42[\"subscribed\"").await?;
        Ok(client)
    }

    async fn until(&mut self, start: &str) -> anyhow::Result<()> {
        loop {
            let packet = self.next().await?;
            if packet.starts_with(start) {
                return Ok(());
            }
            if packet.starts_with("44") || packet.starts_with("42[\"error\"") {
                bail!("the gateway refused: {packet}");
            }
        }
    }

    /// The next packet. Pings are answered meanwhile.
    pub(super) async fn next(&mut self) -> anyhow::Result<String> {
        loop {
            let packet = self.line.receive().await?;
            match packet.as_str() {
                "2" => self.send("3".to_owned()).await?,
                "1" => bail!("the gateway closed the connection"),
                "6" => {}
                _ => return Ok(packet),
            }
        }
    }

    async fn send(&mut self, packet: String) -> anyhow::Result<()> {
        match &mut self.line {
            Line::Websocket(socket) => socket.send(Message::text(packet)).await?,
            Line::Polling { gateway, sid, .. } => gateway.push(sid, &packet).await?,
        }
        Ok(())
    }
}

impl Line {
    async fn receive(&mut self) -> anyhow::Result<String> {
        match self {
            Self::Websocket(socket) => loop {
                let message = socket
                    .next()
                    .await
                    .context("the gateway closed the connection")?;
                if let Message::Text(text) = message? {
                    return Ok(text.to_string());
                }
            },
            Self::Polling {
                gateway,
                sid,
                ready,
            } => loop {
                if let Some(packet) = ready.pop_front() {
                    return Ok(packet);
                }
                let body = gateway.poll(Some(sid)).await?;
                ready.extend(body.split(SEPARATOR).map(str::to_owned));
            },
        }
    }
}

async fn websocket(gateway: &Gateway) -> anyhow::Result<Line> {
    let authority = gateway.base().trim_start_matches("http://");
    let stream = TcpStream::connect(authority).await.with_context(|| {
        format!("cannot connect to {authority} (many clients need `ulimit -n`)")
    })?;
    stream.set_nodelay(true)?;
    let url = format!("ws://{authority}/socket.io/?EIO=4&transport=websocket&recovery=1");
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await?;
    socket
        .next()
        .await
        .context("the gateway closed the connection")??;
    Ok(Line::Websocket(Box::new(socket)))
}

async fn polling(gateway: &Gateway) -> anyhow::Result<Line> {
    let open = gateway.poll(None).await?;
    let open: Value = serde_json::from_str(open.trim_start_matches('0'))
        .context("the gateway does not speak Engine.IO")?;
    let sid = open["sid"]
        .as_str()
        .context("the gateway does not speak Engine.IO")?
        .to_owned();
    Ok(Line::Polling {
        gateway: gateway.clone(),
        sid,
        ready: VecDeque::new(),
    })
}
