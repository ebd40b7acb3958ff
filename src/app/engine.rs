//! Engine.IO 4 as stock clients speak it: over a websocket, over polling, or changing from the
//! latter to the former. `bench` and `verify` put Socket.IO on top.

mod polling;
mod websocket;

use std::net::IpAddr;

use anyhow::bail;
use futures_util::SinkExt as _;
use tokio_tungstenite::tungstenite::Message;

use self::polling::Polling;
use self::websocket::Socket;
use crate::upstream::gateway::{Gateway, Recovery};

/// How packets travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    /// Over a websocket from the start.
    Websocket,
    /// Over polling for good.
    Polling,
}

/// How a gateway is called.
#[derive(Debug, Clone)]
pub(super) struct Door {
    /// Where it is.
    pub(super) gateway: Gateway,
    /// Whether the handshake looks like that of a client which can be recovered.
    pub(super) recovery: Recovery,
    /// The address of this machine that websockets come from; the system's choice if none.
    pub(super) source: Option<IpAddr>,
    /// The receive buffer of websockets; the system's choice if none.
    pub(super) receive_bytes: Option<u32>,
}

impl Door {
    /// A door without wishes.
    pub(super) const fn new(gateway: Gateway, recovery: Recovery) -> Self {
        Self {
            gateway,
            recovery,
            source: None,
            receive_bytes: None,
        }
    }
}

/// One Engine.IO session.
pub(super) struct Line {
    path: Path,
    /// A ping that was read and not answered yet.
    owes_pong: bool,
}

enum Path {
    Websocket(Socket),
    Polling(Polling),
}

impl Line {
    /// Opens a session.
    pub(super) async fn open(door: &Door, transport: Transport) -> anyhow::Result<Self> {
        let path = match transport {
            Transport::Websocket => {
                let mut socket = websocket::connect(door, None).await?;
                let open = websocket::receive(&mut socket).await?;
                if !open.starts_with('0') {
                    bail!("the gateway does not speak Engine.IO");
                }
                Path::Websocket(socket)
            }
            Transport::Polling => Path::Polling(Polling::open(door).await?),
        };
        Ok(Self {
            path,
            owes_pong: false,
        })
    }

    /// Goes from polling to a websocket, as stock clients do after the handshake. What the last
    /// polls brought is still read by [`Line::next`]. To be awaited to its end.
    pub(super) async fn upgrade(&mut self, door: &Door) -> anyhow::Result<()> {
        if let Path::Polling(polling) = &mut self.path {
            self.path = Path::Websocket(polling.upgrade(door).await?);
        }
        Ok(())
    }

    /// The next packet. Pings are answered meanwhile. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> anyhow::Result<String> {
        loop {
            if self.owes_pong {
                self.send("3".to_owned()).await?;
                self.owes_pong = false;
            }
            let packet = match &mut self.path {
                Path::Websocket(socket) => websocket::receive(socket).await?,
                Path::Polling(polling) => polling.receive().await?,
            };
            match packet.as_str() {
                "2" => self.owes_pong = true,
                "1" => bail!("the gateway closed the connection"),
                "6" => {}
                _ => return Ok(packet),
            }
        }
    }

    /// Sends a packet.
    pub(super) async fn send(&mut self, packet: String) -> anyhow::Result<()> {
        match &mut self.path {
            Path::Websocket(socket) => Ok(socket.inner.send(Message::text(packet)).await?),
            Path::Polling(polling) => polling.send(&packet).await,
        }
    }

    /// Ends it without a word: a reset for a websocket, a poll that is broken off.
    pub(super) fn cut(self) {
        if let Path::Websocket(socket) = &self.path {
            websocket::reset_at_close(socket);
        }
    }

    /// Says that nothing more will be sent, and goes on reading. Polls are broken off instead:
    /// false.
    pub(super) async fn half_close(&mut self) -> bool {
        match &mut self.path {
            Path::Websocket(socket) => websocket::half_close(socket).await,
            Path::Polling(_) => false,
        }
    }
}
