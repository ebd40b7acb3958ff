//! Who is there, and how many may be: over all nodes.

use std::time::Duration;

use serde_json::Value;
use tidings::auth::{Issue, Secret, SigningKey};

use super::TOPIC;
use super::node::{LIMIT, Node, Stream};
use super::server::{Keeping, Server};

const SOON: [&str; 1] = ["store.redis.node_age=1s"];

async fn present(node: &Node) -> Vec<Value> {
    let (status, presence) = node.get(&format!("/v1/topics/{TOPIC}/subscribers")).await;
    assert_eq!(status, 200, "{presence}");
    presence["subscribers"].as_array().unwrap().clone()
}

/// Waits until a node counts so many subscribers.
async fn until_counted(node: &Node, wanted: u64) {
    let counted = async {
        loop {
            let (_, page) = node.get("/v1/topics?kind=session").await;
            let (_, topic) = node.get(&format!("/v1/topics/{TOPIC}")).await;
            if page["topics"][0]["subscribers"] == wanted && topic["subscribers"] == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let counted = tokio::time::timeout(LIMIT, counted).await;
    counted.unwrap_or_else(|_| panic!("never {wanted} subscribers"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_subscribers_of_a_topic_are_those_of_all_nodes_that_live() {
    let redis = Server::start(Keeping::Nothing);
    let one = Node::ready(&redis.url(), &SOON).await;
    let two = Node::ready(&redis.url(), &SOON).await;
    let three = Node::ready(&redis.url(), &SOON).await;
    one.publish(TOPIC, &super::node::fact(1)).await;
    let here = [one.stream(TOPIC, None).await, one.stream(TOPIC, None).await];
    let _there = two.stream(TOPIC, None).await;
    for node in [&one, &two, &three] {
        until_counted(node, 3).await;
        let present = present(node).await;
        assert_eq!(present.len(), 3, "{present:?}");
        assert!(present.iter().all(|one| one["transport"] == "ndjson"));
    }
    drop(here);
    until_counted(&three, 1).await;
    // A node that is killed takes its subscribers with it.
    two.kill();
    until_counted(&three, 0).await;
    assert_eq!(present(&three).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_told_again_to_a_redis_that_has_forgotten_them() {
    let mut redis = Server::start(Keeping::Nothing);
    let one = Node::ready(&redis.url(), &SOON).await;
    let two = Node::ready(&redis.url(), &SOON).await;
    let _here = one.stream(TOPIC, None).await;
    redis.kill();
    two.until_ready(false).await;
    redis.restart();
    one.until_ready(true).await;
    two.until_ready(true).await;
    one.publish_surely(TOPIC, &super::node::fact(1)).await;
    until_counted(&two, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_has_no_more_subscribers_than_it_may_on_all_nodes_together() {
    let redis = Server::start(Keeping::Nothing);
    let settings = ["hub.topic_subscribers_max=3"];
    let one = Node::ready(&redis.url(), &settings).await;
    let two = Node::ready(&redis.url(), &settings).await;
    one.publish(TOPIC, &super::node::fact(1)).await;
    let mut held = vec![
        one.stream(TOPIC, None).await,
        one.stream(TOPIC, None).await,
        two.stream(TOPIC, None).await,
    ];
    until_counted(&one, 3).await;
    until_counted(&two, 3).await;
    for node in [&one, &two] {
        let (status, told) = refusal(node).await;
        assert_eq!(status, 503, "{told}");
        assert!(
            told.to_string().contains("hub.topic_subscribers_max"),
            "{told}"
        );
    }
    drop(held.pop());
    until_counted(&one, 2).await;
    held.push(one.stream(TOPIC, None).await);
}

async fn refusal(node: &Node) -> (u16, Value) {
    let request = node
        .client
        .get(format!("{}/v1/topics/{TOPIC}/events", node.url))
        .header("Accept", "application/x-ndjson");
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_no_more_connections_than_they_may_on_all_nodes_together() {
    const SECRET: &str = "a secret for tests, long enough for HS256";
    let redis = Server::start(Keeping::Nothing);
    let secret = format!("auth.jwt.secret={SECRET}");
    let settings = [
        "auth.mode=token",
        secret.as_str(),
        "limit.connections_per_user_max=2",
        "store.redis.node_age=1s",
    ];
    let one = Node::ready(&redis.url(), &settings).await;
    let two = Node::ready(&redis.url(), &settings).await;
    let issue = Issue {
        sub: "ann".to_owned(),
        role: None,
        sub_topics: None,
        pub_topics: None,
        iss: None,
        aud: None,
    };
    let key = SigningKey::of_secret(&Secret::from(SECRET.to_owned()));
    let token = issue.sign(&key, Duration::from_mins(10)).unwrap();
    let connect = async |node: &Node| {
        let request = node
            .client
            .get(format!("{}/v1/topics/documents:ann/events", node.url))
            .header("Accept", "application/x-ndjson")
            .bearer_auth(&token);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), Stream::of(answer))
    };
    for node in [&one, &two] {
        node.until_knowing(2).await;
    }
    let (first, second) = (connect(&one).await, connect(&two).await);
    assert_eq!((first.0, second.0), (200, 200));
    assert_eq!(connect(&one).await.0, 429);
    assert_eq!(connect(&two).await.0, 429);
    // The place of a connection that is gone, or whose node is, is free.
    one.kill();
    tokio::time::timeout(LIMIT, async {
        while connect(&two).await.0 != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap();
}
