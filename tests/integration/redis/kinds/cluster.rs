//! Cluster: every topic in one slot, the topics spread over the primaries.

use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::super::node::{LIMIT, Node, fact};
use super::super::server::{Keeping, Server, free_port};
use super::{TOPIC, until_gap, until_published};

/// Three primaries that share the slots.
struct Cluster(Vec<Server>);

impl Cluster {
    async fn start(keeping: Keeping) -> Self {
        let servers: Vec<_> = (0..3)
            .map(|_| {
                let bus = free_port().to_string();
                let more = ["--cluster-enabled", "yes", "--cluster-port", &bus];
                Server::start_with(keeping, &more)
            })
            .collect();
        let mut create = Command::new("redis-cli");
        create.args(["--cluster", "create"]);
        for server in &servers {
            create.arg(format!("127.0.0.1:{}", server.port()));
        }
        let made = create.arg("--cluster-yes").output().unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stdout)
        );
        let cluster = Self(servers);
        let whole = async {
            while !cluster
                .0
                .iter()
                .all(|s| s.cli(&["cluster", "info"]).contains("cluster_state:ok"))
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(LIMIT, whole).await.unwrap();
        cluster
    }

    fn url(&self) -> String {
        let ports: Vec<_> = self.0.iter().map(Server::port).collect();
        format!(
            "redis-cluster://127.0.0.1:{}?node=127.0.0.1:{}&node=127.0.0.1:{}",
            ports[0], ports[1], ports[2]
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_cluster_every_topic_has_a_slot_and_nothing_crosses_them() {
    let cluster = Cluster::start(Keeping::Nothing).await;
    let (one, two) = (Node::start(&cluster.url()), Node::start(&cluster.url()));
    one.until_ready(true).await;
    two.until_ready(true).await;
    let topics: Vec<String> = (0..30).map(|n| format!("session:t{n}")).collect();
    let mut streams = Vec::new();
    for topic in &topics {
        streams.push(two.stream(topic, None).await);
    }
    for n in 1..=3 {
        for (of, topic) in topics.iter().enumerate() {
            let node = if of % 2 == 0 { &one } else { &two };
            let (status, answer) = node.publish_keyed(topic, &fact(n), &n.to_string()).await;
            assert_eq!(status, 200, "{answer}");
        }
    }
    for stream in &mut streams {
        assert_eq!(stream.seqs(3).await, [1, 2, 3]);
    }
    let (_, page) = one.get("/v1/topics?kind=session&limit=100").await;
    assert_eq!(page["topics"].as_array().unwrap().len(), 30);
    let (_, present) = one.get("/v1/topics/session:t1/subscribers").await;
    assert_eq!(
        present["subscribers"].as_array().unwrap().len(),
        1,
        "{present}"
    );
    // Jobs, the inbox, a plain channel, the end of a topic.
    assert!(
        one.post("/v1/jobs", &json!({"id": "j", "lease": "10s"}))
            .await
            .0
            < 300
    );
    assert_eq!(two.post("/v1/jobs/j/started", &json!({})).await.0, 200);
    let entry = [
        "-c",
        "xadd",
        "tidings:{inbox}",
        "*",
        "topic",
        "session:t2",
        "name",
        "note",
    ];
    cluster.0[0].cli(&entry);
    assert_eq!(streams[2].seqs(1).await, [4]);
    cluster.0[1].publish("session:t3:progress", br#"{"n":4}"#);
    assert_eq!(streams[3].seqs(1).await, [4]);
    let deleted = one
        .client
        .delete(format!("{}/v1/topics/session:t4", one.url));
    assert_eq!(deleted.send().await.unwrap().status(), 204);
    assert_eq!(streams[4].next().await.unwrap()["name"], "gap");
    for server in &cluster.0 {
        let errors = server.cli(&["info", "errorstats"]);
        assert!(!errors.contains("CROSSSLOT"), "{errors}");
        let keys: usize = server.cli(&["dbsize"]).parse().unwrap();
        assert!(keys > 10, "every primary has its part: {keys}");
        let followed = server.cli(&["pubsub", "shardchannels"]).lines().count();
        assert!(followed > 3, "sharded news go by every primary: {followed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_loses_a_primary_and_gets_it_back_has_lost_nothing() {
    let mut cluster = Cluster::start(Keeping::Always).await;
    let node = Node::ready(&cluster.url(), &[]).await;
    let topics: Vec<String> = (0..12).map(|n| format!("session:t{n}")).collect();
    let mut streams = Vec::new();
    for topic in &topics {
        streams.push(node.stream(topic, None).await);
        assert_eq!(node.publish(topic, &fact(1)).await.0, 200);
    }
    cluster.0[1].kill();
    node.until_ready(false).await;
    cluster.0[1].restart();
    node.until_ready(true).await;
    for (topic, stream) in topics.iter().zip(&mut streams) {
        let published = async {
            while node.publish_keyed(topic, &fact(2), "2").await.0 != 200 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(LIMIT, published).await.unwrap();
        assert_eq!(stream.seqs(2).await, [1, 2], "no gap: nothing was lost");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_whose_primary_may_have_lost_something_says_so() {
    let mut cluster = Cluster::start(Keeping::EverySecond).await;
    let node = Node::ready(&cluster.url(), &[]).await;
    let mut stream = node.stream(TOPIC, None).await;
    let (_, before) = node.publish(TOPIC, &fact(1)).await;
    for server in &mut cluster.0 {
        server.kill();
    }
    node.until_ready(false).await;
    for server in &mut cluster.0 {
        server.restart();
    }
    until_gap(&mut stream).await;
    let after = until_published(&node, &fact(2), "2").await;
    assert_ne!(before["epoch"], after["epoch"]);
}
