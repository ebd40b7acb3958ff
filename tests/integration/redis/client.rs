//! A Socket.IO client that says and hears packets as they are.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::node::{LIMIT, Node};

pub(crate) struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    pub(crate) async fn open(node: &Node) -> Self {
        let url = node.url.replace("http", "ws");
        let url = format!("{url}/socket.io/?EIO=4&transport=websocket");
        let (socket, _) = connect_async(url).await.unwrap();
        let mut client = Self(socket);
        client.say("40").await;
        client.until("connected").await;
        client
    }

    pub(crate) async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// Waits for a ping, and answers it.
    pub(crate) async fn ping(&mut self) {
        let ping = async {
            while let Some(Ok(message)) = self.0.next().await {
                if matches!(&message, Message::Text(text) if text.as_str() == "2") {
                    return;
                }
            }
            panic!("the connection ended");
        };
        tokio::time::timeout(LIMIT, ping).await.unwrap();
        self.say("3").await;
    }

    /// What is heard up to an event of this name.
    pub(crate) async fn until(&mut self, name: &str) -> Vec<String> {
        let wanted = format!(r#"42["{name}""#);
        let mut heard = Vec::new();
        let hear = async {
            while let Some(Ok(message)) = self.0.next().await {
                let Message::Text(text) = message else {
                    continue;
                };
                if text.as_str() == "2" {
                    self.0.send(Message::text("3")).await.unwrap();
                }
                heard.push(text.to_string());
                if text.starts_with(&wanted) {
                    return;
                }
            }
            panic!("the connection ended");
        };
        tokio::time::timeout(LIMIT, hear).await.unwrap();
        heard
    }
}
