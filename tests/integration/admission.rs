//! Who may enter, over real sockets: rights on every face, the end of tokens, stolen session ids,
//! foreign pages, limits.

mod addresses;
mod faces;
mod forgery;
mod issuer;
mod libraries;
mod lifetime;
mod limits;
mod nodes;
mod pages;
mod refusals;
mod rights;
mod theft;

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tidings::app::config::{Sources, load};
use tidings::app::gateway::Gateway;
use tidings::auth::{Issue, Pattern, Secret, SigningKey};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Longest that a test waits for what must come.
const DEADLINE: Duration = Duration::from_secs(20);

const SECRET: &str = "a secret for tests, long enough for HS256";

/// A gateway where everybody has to show who they are.
struct Guarded {
    gateway: Gateway,
    http: reqwest::Client,
}

/// What a token says of topics.
#[derive(Default, Clone, Copy)]
struct Topics {
    sub: Option<&'static [&'static str]>,
    publish: Option<&'static [&'static str]>,
}

impl Guarded {
    async fn start(settings: &[&str]) -> Self {
        let secret = format!("auth.jwt.secret={SECRET}");
        let mut set = vec!["auth.mode=token".to_owned(), secret];
        set.extend(settings.iter().map(|&setting| setting.to_owned()));
        Self::open(set).await
    }

    async fn open(set: Vec<String>) -> Self {
        let sources = Sources {
            listen: Some("127.0.0.1:0".to_owned()),
            set,
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

    async fn get(&self, path: &str, token: Option<&str>) -> (u16, Value) {
        let mut request = self.http.get(self.url(path));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        answer(request.send().await.unwrap()).await
    }

    async fn post(&self, path: &str, token: &str, body: &Value) -> (u16, Value) {
        let request = self.http.post(self.url(path)).bearer_auth(token);
        answer(request.json(body).send().await.unwrap()).await
    }

    /// Publishes an event that must be taken.
    async fn publish(&self, topic: &str, owner: Option<&str>) {
        let mut event = json!({"name": "progress", "data": {"a": 1}});
        if let Some(owner) = owner {
            event["owner"] = json!(owner);
        }
        let path = format!("/v1/topics/{topic}/events");
        let (status, said) = self.post(&path, &admin(), &event).await;
        assert_eq!(status, 200, "{said}");
    }

    /// A Socket.IO client in `/`, whose CONNECT bears this.
    async fn connect(&self, auth: &Value) -> Client {
        let mut client = self.open_socket(&[]).await.unwrap();
        client.until("0").await;
        client.say(&format!("40{auth}")).await;
        client
    }

    /// A websocket on the Engine.IO path, with these headers.
    async fn open_socket(&self, headers: &[(&'static str, &str)]) -> Result<Client, Error> {
        let path = "/socket.io/?EIO=4&transport=websocket";
        self.websocket(path, headers).await
    }

    async fn websocket(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Client, Error> {
        let url = format!("ws://{}{path}", self.gateway.local_addr());
        let mut request = url.into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        connect_async(request)
            .await
            .map(|(socket, _)| Client(socket))
    }
}

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// The next text that begins so.
    async fn until(&mut self, start: &str) -> String {
        let mut said = self.all_until(start).await;
        said.pop().expect("it ends with that text")
    }

    /// All texts up to the next that begins so.
    async fn all_until(&mut self, start: &str) -> Vec<String> {
        let found = async {
            let mut said = Vec::new();
            loop {
                let message = self.0.next().await;
                let message = message.unwrap_or_else(|| panic!("closed before `{start}`"));
                if let Message::Text(text) = message.unwrap() {
                    said.push(text.to_string());
                    if text.starts_with(start) {
                        return said;
                    }
                }
            }
        };
        let found = tokio::time::timeout(DEADLINE, found).await;
        found.unwrap_or_else(|_| panic!("no `{start}` in time"))
    }

    /// Everything until the connection ends.
    async fn last_words(&mut self) -> Vec<String> {
        let said = async {
            let mut said = Vec::new();
            while let Some(Ok(message)) = self.0.next().await {
                said.push(message.to_string());
            }
            said
        };
        let said = tokio::time::timeout(DEADLINE, said).await;
        said.expect("the connection is closed in time")
    }

    /// Asks with an acknowledgement, and returns it.
    async fn ask(&mut self, number: u32, event: &str, data: &Value) -> Value {
        self.say(&format!("42{number}{}", json!([event, data])))
            .await;
        let start = format!("43{number}");
        let answer = self.until(&start).await;
        let answer: Value = serde_json::from_str(&answer[start.len()..]).unwrap();
        answer[0].clone()
    }
}

async fn answer(response: reqwest::Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(json!(text)))
}

fn token(sub: &str, role: Option<&str>, topics: Topics, valid: Duration) -> String {
    let patterns = |texts: &[&str]| {
        let parsed: Vec<Pattern> = texts.iter().map(|text| text.parse().unwrap()).collect();
        parsed.into()
    };
    let issue = Issue {
        sub: sub.to_owned(),
        role: role.map(str::to_owned),
        sub_topics: topics.sub.map(patterns),
        pub_topics: topics.publish.map(patterns),
        iss: None,
        aud: None,
    };
    let key = SigningKey::of_secret(&Secret::from(SECRET.to_owned()));
    issue.sign(&key, valid).unwrap()
}

fn user(sub: &str) -> String {
    token(sub, None, Topics::default(), Duration::from_mins(10))
}

fn admin() -> String {
    let valid = Duration::from_mins(10);
    token("root", Some("admin"), Topics::default(), valid)
}
