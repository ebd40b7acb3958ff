//! Assist on many nodes: what waits is told once, and everybody's jobs are told everywhere.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tidings::auth::{Issue, Secret, SigningKey};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::node::{LIMIT, Node};
use super::server::{Keeping, Server};

const SECRET: &str = "a secret of the tests, long enough for HS256";

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    async fn enter(node: &Node, sub: &str, role: &str) -> Self {
        let issue = Issue {
            sub: sub.to_owned(),
            role: Some(role.to_owned()),
            sub_topics: None,
            pub_topics: None,
            iss: None,
            aud: None,
        };
        let key = SigningKey::of_secret(&Secret::from(SECRET.to_owned()));
        let token = issue.sign(&key, Duration::from_mins(10)).unwrap();
        let address = node.url.replacen("http", "ws", 1);
        let url = format!("{address}/ws/connect?token={token}");
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let mut client = Self(socket);
        assert_eq!(client.next().await["status"], "connected");
        client
    }

    async fn say(&mut self, message: Value) {
        self.0
            .send(Message::text(message.to_string()))
            .await
            .unwrap();
    }

    async fn next(&mut self) -> Value {
        loop {
            let message = tokio::time::timeout(LIMIT, self.0.next()).await;
            match message.expect("a message in time").unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let message = self.next().await;
            if message["type"] == kind {
                return message;
            }
        }
    }
}

async fn pair() -> (Server, [Node; 2]) {
    let redis = Server::start(Keeping::Nothing);
    let secret = format!("auth.jwt.secret={SECRET}");
    let nodes = [0, 1].map(|_| Node::start_with(&redis.url(), &[&secret]));
    for node in &nodes {
        node.until_ready(true).await;
    }
    (redis, nodes)
}

async fn publish(node: &Node, topic: &str, name: &str, data: Value) -> Value {
    let (status, receipt) = node
        .publish(topic, &json!({"name": name, "data": data}))
        .await;
    assert_eq!(status, 200, "{receipt}");
    receipt
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_user_is_told_once_by_whatever_node() {
    const STARTED: &str = "document_processing_start";
    const WAITING: usize = 40;
    let (_redis, [one, two]) = pair().await;
    for n in 0..WAITING {
        publish(&one, "documents:ann", STARTED, json!({"document_id": n})).await;
    }
    let (mut here, mut there) = tokio::join!(
        Client::enter(&one, "ann", "user"),
        Client::enter(&two, "ann", "user")
    );
    // What comes while one of them is still told what waited is told once as well: each is level
    // when it has been told of an end.
    let (mut told, mut level, mut ends) = (0, [false; 2], 0);
    while level != [true; 2] {
        ends += 1;
        assert!(ends < 30, "{told} were told, {level:?}");
        let end = "document_processing_complete";
        publish(&one, "documents:ann", end, json!({})).await;
        for (client, is_level) in [&mut here, &mut there].into_iter().zip(&mut level) {
            while !*is_level {
                let next = tokio::time::timeout(Duration::from_secs(1), client.next());
                let Ok(message) = next.await else { break };
                *is_level = message["type"] != STARTED;
                told += usize::from(!*is_level);
            }
        }
    }
    assert_eq!(told, WAITING);
    drop((here, there));
    publish(
        &two,
        "documents:ann",
        STARTED,
        json!({"document_id": "last"}),
    )
    .await;
    let mut again = Client::enter(&two, "ann", "user").await;
    assert_eq!(again.next().await["data"]["document_id"], "last");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_and_documents_of_every_node_are_told_to_administrators_of_every_node() {
    let (_redis, [one, two]) = pair().await;
    let mut root = Client::enter(&one, "root", "admin").await;
    root.say(json!({"type": "subscribe_job_updates"})).await;
    root.next_of("job_status").await;
    root.say(json!({"type": "subscribe_document_updates"}))
        .await;
    // The other node learns within a while that somebody watches.
    let mut n = 0;
    let update = loop {
        n += 1;
        let told = json!({"progress": n % 100});
        let receipt = publish(&two, &format!("job:j{n}"), "job_started", told).await;
        let update = tokio::time::timeout(Duration::from_secs(1), root.next_of("job_updates"));
        if let Ok(updates) = update.await {
            break (updates["data"]["updates"][0].clone(), receipt);
        }
        assert!(n < 30, "nothing is told of the other node's jobs");
    };
    let (update, receipt) = update;
    assert_eq!(
        (&update["_seq"], &update["_epoch"], &update["event"]),
        (&receipt["seq"], &receipt["epoch"], &json!("job_started"))
    );
    let mut told = None;
    for _ in 0..30 {
        let data = json!({"document_id": "d"});
        publish(&two, "documents:ann", "document_processing_start", data).await;
        let next = root.next_of("document_processing_start");
        if let Ok(document) = tokio::time::timeout(Duration::from_secs(1), next).await {
            told = Some(document);
            break;
        }
    }
    let told = told.expect("documents of the other node are told");
    assert_eq!(told["data"]["user_id"], "ann");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_of_a_machine_bear_its_node() {
    let redis = Server::start(Keeping::Nothing);
    let secret = format!("auth.jwt.secret={SECRET}");
    let settings = [secret.as_str(), "producer.monitor.interval=200ms"];
    let nodes = [0, 1].map(|_| Node::start_with(&redis.url(), &settings));
    let mut ids = Vec::new();
    let mut clients = Vec::new();
    for node in &nodes {
        node.until_ready(true).await;
        let (_, standing) = node.get("/v1/admin/nodes").await;
        let own = &standing["nodes"][0];
        assert_eq!(own["is_this"], true, "{standing}");
        ids.push(own["node"].clone());
        clients.push(Client::enter(node, "root", "admin").await);
    }
    for (client, id) in clients.iter_mut().zip(&ids) {
        client
            .say(json!({"type": "subscribe_system_metrics"}))
            .await;
        let own = loop {
            let metrics = client.next_of("system_metrics").await;
            // What is told at once has no place in the log.
            if metrics["data"]["_seq"].is_null() {
                break metrics;
            }
        };
        assert_eq!(&own["data"]["node"], id, "at once of this node");
    }
    for client in &mut clients {
        let mut wanted = ids.clone();
        while !wanted.is_empty() {
            let node = client.next_of("system_metrics").await["data"]["node"].clone();
            wanted.retain(|id| *id != node);
        }
    }
}
