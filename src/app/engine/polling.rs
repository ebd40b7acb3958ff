//! The polling transport, and the way from it to a websocket.

use std::collections::VecDeque;
use std::pin::Pin;

use anyhow::{Context as _, bail};
use futures_util::SinkExt as _;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

use super::Door;
use super::websocket::{self, Socket};
use crate::upstream::gateway::{self, Gateway, SEPARATOR};

type Poll = Pin<Box<dyn Future<Output = Result<String, gateway::Error>> + Send>>;

/// A session over polling. There is one poll at a time.
pub(super) struct Polling {
    gateway: Gateway,
    sid: String,
    poll: Option<Poll>,
    ready: VecDeque<String>,
}

impl Polling {
    pub(super) async fn open(door: &Door) -> anyhow::Result<Self> {
        let open = door.gateway.open_poll(door.recovery).await?;
        let open: Value = serde_json::from_str(open.trim_start_matches('0'))
            .context("the gateway does not speak Engine.IO")?;
        let sid = open["sid"]
            .as_str()
            .context("the gateway does not speak Engine.IO")?
            .to_owned();
        Ok(Self {
            gateway: door.gateway.clone(),
            sid,
            poll: None,
            ready: VecDeque::new(),
        })
    }

    /// The next packet. A poll goes on when the future is dropped.
    pub(super) async fn receive(&mut self) -> anyhow::Result<String> {
        loop {
            if let Some(packet) = self.ready.pop_front() {
                return Ok(packet);
            }
            self.fetch().await?;
        }
    }

    async fn fetch(&mut self) -> anyhow::Result<()> {
        let poll = self.poll.get_or_insert_with(|| {
            let (gateway, sid) = (self.gateway.clone(), self.sid.clone());
            Box::pin(async move { gateway.poll(&sid).await })
        });
        let body = poll.await;
        self.poll = None;
        self.ready.extend(body?.split(SEPARATOR).map(str::to_owned));
        Ok(())
    }

    pub(super) async fn send(&mut self, packet: &str) -> anyhow::Result<()> {
        Ok(self.gateway.push(&self.sid, packet).await?)
    }

    /// Probes a websocket beside the polls; when it answers, the poll that is out is awaited (the
    /// gateway frees it), and the websocket takes over.
    pub(super) async fn upgrade(&mut self, door: &Door) -> anyhow::Result<Socket> {
        let mut socket = websocket::connect(door, Some(&self.sid)).await?;
        socket.inner.send(Message::text("2probe")).await?;
        loop {
            tokio::select! {
                answer = websocket::receive(&mut socket) => {
                    if answer? == "3probe" {
                        break;
                    }
                    bail!("the gateway did not answer the probe");
                }
                fetched = self.fetch() => fetched?,
            }
        }
        if self.poll.is_some() {
            self.fetch().await?;
        }
        socket.inner.send(Message::text("5")).await?;
        socket.earlier = std::mem::take(&mut self.ready);
        Ok(socket)
    }
}
