//! One client, subscribed to one session.

use anyhow::bail;
use serde_json::json;

use crate::app::engine::{Door, Line, Transport};
use crate::upstream::gateway::{Gateway, Recovery};

/// One client, subscribed to one session.
pub(super) struct Client {
    line: Line,
}

impl Client {
    /// Connects and subscribes. Returns when the gateway has confirmed it.
    pub(super) async fn subscribe(
        gateway: &Gateway,
        transport: Transport,
        session: &str,
    ) -> anyhow::Result<Self> {
        let door = Door::new(gateway.clone(), Recovery::Stock);
        let mut line = Line::open(&door, transport).await?;
        line.send("40".to_owned()).await?;
        let mut client = Self { line };
        client.until("40").await?;
        let subscribe = format!("42{}", json!(["subscribe", session]));
        client.line.send(subscribe).await?;
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
        self.line.next().await
    }
}
