//! The plain WebSocket dialects over real sockets.

mod assist;
mod bad_input;
mod compression;
mod conversations;
mod driver;
mod jobs;
mod library;
mod pages;
mod scan;
mod scan_size;
mod webhook;

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tidings::app::config::{Sources, load};
use tidings::app::gateway::Gateway;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Longest that a test waits for what must come.
const DEADLINE: Duration = Duration::from_mins(1);

/// A gateway in this process, and what asks it over HTTP.
struct Running {
    gateway: Gateway,
    http: reqwest::Client,
}

/// A client of a dialect.
struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Running {
    async fn start(settings: &[&str]) -> Self {
        let sources = Sources {
            listen: Some("127.0.0.1:0".to_owned()),
            set: settings.iter().map(|&setting| setting.to_owned()).collect(),
            ..Sources::default()
        };
        let loaded = load(&sources).unwrap_or_else(|problems| panic!("{problems}"));
        Self {
            gateway: Gateway::start(&loaded.config).await.unwrap(),
            http: reqwest::Client::new(),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.gateway.local_addr())
    }

    async fn client(&self, path: &str) -> Client {
        let url = format!("ws://{}{path}", self.gateway.local_addr());
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        Client(socket)
    }

    /// A request with a JSON body; the status and the body of the answer.
    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let answer = self
            .http
            .post(self.url(path))
            .json(body)
            .send()
            .await
            .unwrap();
        (
            answer.status().as_u16(),
            answer.json().await.unwrap_or_default(),
        )
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let answer = self.http.get(self.url(path)).send().await.unwrap();
        (
            answer.status().as_u16(),
            answer.json().await.unwrap_or_default(),
        )
    }

    /// Publishes an event that must be taken.
    async fn publish(&self, topic: &str, name: &str, data: Value) -> Value {
        let body = json!({ "name": name, "data": data });
        let (status, receipt) = self
            .post(&format!("/v1/topics/{topic}/events"), &body)
            .await;
        assert_eq!(status, 200, "{receipt}");
        receipt
    }

    async fn subscribers(&self, topic: &str) -> usize {
        let (_, list) = self.get(&format!("/v1/topics/{topic}/subscribers")).await;
        list["subscribers"].as_array().map_or(0, Vec::len)
    }
}

impl Client {
    async fn send(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// The next message of the gateway.
    async fn next(&mut self) -> Value {
        loop {
            let message = tokio::time::timeout(DEADLINE, self.0.next()).await;
            match message
                .expect("a message in time")
                .expect("no end")
                .unwrap()
            {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The close code and the reason, after whatever is said before.
    async fn closed(mut self) -> (u16, String) {
        loop {
            let message = tokio::time::timeout(DEADLINE, self.0.next()).await;
            match message.expect("the end in time") {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(_)) => {}
                other => panic!("ended without a close frame: {other:?}"),
            }
        }
    }
}
