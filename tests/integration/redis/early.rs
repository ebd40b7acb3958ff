//! Who comes before there is anything: before Redis, before the first event, after all was forgotten.

use super::client::Client;
use super::node::{LIMIT, Node, fact};
use super::server::{Keeping, Server};
use super::{TOPIC, two_nodes};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_of_a_gap_in_a_story_that_has_not_begun() {
    let mut redis = Server::start(Keeping::Nothing);
    redis.kill();
    let nodes = [Node::start(&redis.url()), Node::start(&redis.url())];
    let mut clients = Vec::new();
    for node in &nodes {
        let mut client = Client::open(node).await;
        client.say(r#"42["subscribe","a"]"#).await;
        client.until("subscribed").await;
        clients.push(client);
    }
    redis.restart();
    for node in &nodes {
        node.until_ready(true).await;
    }
    assert_eq!(nodes[0].publish(TOPIC, &fact(1)).await.0, 200);
    for client in &mut clients {
        let heard = client.until("model_result").await;
        assert!(
            !heard.iter().any(|text| text.contains(r#"42["gap""#)),
            "{heard:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_leaves_the_log_on_all_nodes() {
    let redis = Server::start(Keeping::Nothing);
    let settings = ["store.log_age_max=1s"];
    let one = Node::ready(&redis.url(), &settings).await;
    let two = Node::ready(&redis.url(), &settings).await;
    let mut stream = two.stream(TOPIC, None).await;
    for n in 1..=3 {
        one.publish(TOPIC, &fact(n)).await;
    }
    assert_eq!(stream.seqs(3).await, [1, 2, 3]);
    let left = async {
        let mut n = 3;
        loop {
            n += 1;
            one.publish(TOPIC, &fact(n)).await;
            let oldest = one.log(TOPIC).await[0]["seq"].as_u64().unwrap();
            if oldest > 3 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, left).await.unwrap();
    // The copy of a node that watches has no more than the log.
    let newest = one.log(TOPIC).await.last().unwrap()["seq"].clone();
    while stream.next().await.unwrap()["seq"] != newest {}
    assert!(two.log(TOPIC).await[0]["seq"].as_u64().unwrap() > 3);
    let old = redis.cli(&["xlen", "tidings:{session:a}:log"]);
    assert_eq!(old, two.log(TOPIC).await.len().to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn place_zero_of_an_empty_topic_is_good_on_any_node() {
    let (_redis, one, two) = two_nodes().await;
    let stream = one.stream(TOPIC, None).await;
    let (_, presence) = one.get(&format!("/v1/topics/{TOPIC}/subscribers")).await;
    let cursor = presence["cursor"].as_str().unwrap().to_owned();
    drop(stream);
    let mut resumed = two.stream(TOPIC, Some(&cursor)).await;
    let (status, _) = one
        .publish(TOPIC, &json!({"name": "note", "data": {}}))
        .await;
    assert_eq!(status, 200);
    assert_eq!(resumed.seqs(1).await, [1]);
}
