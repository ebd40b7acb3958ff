//! Many nodes over one Redis: the real binary, a real redis-server, and what clients see.

mod assist;
mod bridges;
mod client;
mod early;
mod inbox;
mod kinds;
mod network;
pub(crate) mod node;
mod once;
mod outage;
mod presence;
mod relays;
pub(crate) mod server;

use std::time::Duration;

use serde_json::{Value, json};

use self::node::{Node, fact, progress};
use self::server::{Keeping, Server};

const TOPIC: &str = "session:a";

/// A Redis that keeps nothing, and two nodes over it that are ready.
async fn two_nodes() -> (Server, Node, Node) {
    let redis = Server::start(Keeping::Nothing);
    let (one, two) = (Node::start(&redis.url()), Node::start(&redis.url()));
    one.until_ready(true).await;
    two.until_ready(true).await;
    (redis, one, two)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_on_one_node_arrives_on_the_other_once_and_in_order() {
    let (_redis, one, two) = two_nodes().await;
    let mut here = one.stream(TOPIC, None).await;
    let mut there = two.stream(TOPIC, None).await;
    for n in 1..=100 {
        let node = if n % 3 == 0 { &two } else { &one };
        let (status, receipt) = node.publish(TOPIC, &fact(n)).await;
        assert_eq!(
            (status, receipt["seq"].as_u64()),
            (200, Some(n)),
            "{receipt}"
        );
    }
    let all: Vec<u64> = (1..=100).collect();
    assert_eq!(here.seqs(100).await, all);
    assert_eq!(there.seqs(100).await, all);
    let log = two.log(TOPIC).await;
    assert_eq!(log.len(), 100);
    for (n, event) in (1..).zip(&log) {
        assert_eq!(event["data"]["n"], n);
        assert_eq!(event["data"]["_seq"], n);
        assert_eq!(event["data"]["_epoch"], event["epoch"]);
        assert_eq!(event["data"]["sessionId"], "a");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_producers_on_all_nodes_leave_no_hole() {
    let (_redis, one, two) = two_nodes().await;
    let nodes = [one, two];
    let mut streams = [
        nodes[0].stream(TOPIC, None).await,
        nodes[1].stream(TOPIC, None).await,
    ];
    let publishes = (0..16_u64).map(async |producer| {
        for n in 0..50 {
            let node = &nodes[usize::try_from(producer % 2).unwrap()];
            let (status, answer) = node.publish(TOPIC, &fact(producer * 1000 + n)).await;
            assert_eq!(status, 200, "{answer}");
        }
    });
    futures_util::future::join_all(publishes).await;
    let all: Vec<u64> = (1..=800).collect();
    for stream in &mut streams {
        assert_eq!(stream.seqs(800).await, all);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_joiner_gets_the_snapshot_on_any_node_and_a_cursor_what_was_missed() {
    let redis = Server::start(Keeping::Nothing);
    let one = Node::start(&redis.url());
    one.until_ready(true).await;
    one.publish(TOPIC, &progress(1)).await;
    let (_, receipt) = one.publish(TOPIC, &fact(2)).await;
    one.publish(TOPIC, &progress(3)).await;
    one.publish(TOPIC, &fact(4)).await;
    one.kill();
    let two = Node::start(&redis.url());
    two.until_ready(true).await;
    let mut joined = two.stream(TOPIC, None).await;
    assert_eq!(joined.seqs(3).await, [2, 3, 4]);
    let since = format!("{}:{}", receipt["epoch"].as_str().unwrap(), receipt["seq"]);
    let mut resumed = two.stream(TOPIC, Some(&since)).await;
    assert_eq!(resumed.seqs(2).await, [3, 4]);
    let (status, snapshot) = two.get(&format!("/v1/topics/{TOPIC}")).await;
    assert_eq!(status, 200);
    assert_eq!(snapshot["state"][0]["seq"], 3);
    assert_eq!(snapshot["facts"].as_array().unwrap().len(), 2);
    let (status, _) = two.get("/v1/topics/session:nobody").await;
    assert_eq!(status, 404);
    let (_, page) = two.get("/v1/topics?kind=session").await;
    assert_eq!(page["topics"][0]["topic"], TOPIC, "{page}");
    assert_eq!(page["topics"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_before_the_first_event_resumes_elsewhere() {
    let (_redis, one, two) = two_nodes().await;
    let stream = one.stream(TOPIC, None).await;
    let (_, presence) = one.get(&format!("/v1/topics/{TOPIC}/subscribers")).await;
    let cursor = presence["cursor"].as_str().unwrap().to_owned();
    assert!(cursor.ends_with(":0"), "{cursor}");
    drop(stream);
    one.publish(TOPIC, &fact(1)).await;
    one.publish(TOPIC, &fact(2)).await;
    let mut resumed = two.stream(TOPIC, Some(&cursor)).await;
    assert_eq!(resumed.seqs(2).await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_good_for_one_event_on_all_nodes() {
    let (_redis, one, two) = two_nodes().await;
    let (status, first) = one.publish_keyed(TOPIC, &fact(1), "k").await;
    assert_eq!(status, 200);
    let (status, mut again) = two.publish_keyed(TOPIC, &fact(1), "k").await;
    assert_eq!(status, 200);
    again["subscribers"] = first["subscribers"].clone();
    assert_eq!(first, again);
    let (status, other) = two.publish_keyed(TOPIC, &fact(2), "k").await;
    assert_eq!(status, 422, "{other}");
    let third = fact(3);
    let (both_one, both_two) = tokio::join!(
        one.publish_keyed(TOPIC, &third, "both"),
        two.publish_keyed(TOPIC, &third, "both"),
    );
    assert_eq!(both_one.1["seq"], both_two.1["seq"]);
    assert_eq!(one.log(TOPIC).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_topic_is_another_story_for_all() {
    let (_redis, one, two) = two_nodes().await;
    let mut there = two.stream(TOPIC, None).await;
    one.publish(TOPIC, &fact(1)).await;
    assert_eq!(there.seqs(1).await, [1]);
    let deleted = one.client.delete(format!("{}/v1/topics/{TOPIC}", one.url));
    assert_eq!(deleted.send().await.unwrap().status(), 204);
    let gap = there.next().await.unwrap();
    assert_eq!(gap["name"], "gap", "{gap}");
    one.publish(TOPIC, &fact(2)).await;
    assert_eq!(there.seqs(1).await, [1]);
    assert_eq!(one.log(TOPIC).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_trimmed_and_forgotten_as_configured() {
    let redis = Server::start(Keeping::Nothing);
    let settings = [
        "store.log_events_max=10",
        "auth.revocations_max=5",
        "hub.ended_age_max=4s",
        "store.redis.verify_interval=100ms",
        // A topic that is looked at while its last subscriber leaves goes with the next sweep.
        "hub.sweep_interval=1s",
    ];
    let node = Node::ready(&redis.url(), &settings).await;
    let question =
        json!({"name": "clarification", "data": {"clarificationId": "q", "question": "?"}});
    node.publish(TOPIC, &question).await;
    node.publish(TOPIC, &progress(2)).await;
    for n in 3..=30 {
        node.publish(TOPIC, &fact(n)).await;
    }
    let log = node.log(TOPIC).await;
    assert_eq!(log.len(), 10);
    assert_eq!(log[0]["seq"], 21);
    let mut joined = node.stream(TOPIC, None).await;
    let mut want = vec![1, 2];
    want.extend(21..=30);
    assert_eq!(
        joined.seqs(12).await,
        want,
        "questions and states outlive the log"
    );
    let end = json!({"name": "completed", "data": {}});
    node.publish(TOPIC, &end).await;
    assert_eq!(joined.seqs(1).await, [31]);
    // Somebody watches: it is kept for longer than its age.
    let watched = tokio::time::timeout(Duration::from_secs(5), joined.next()).await;
    assert!(watched.is_err(), "{watched:?}");
    assert_eq!(node.get(&format!("/v1/topics/{TOPIC}")).await.0, 200);
    drop(joined);
    let gone = async {
        while node.get(&format!("/v1/topics/{TOPIC}")).await.0 != 404 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(node::LIMIT, gone).await.unwrap();
    assert_eq!(redis.cli(&["keys", "*{session:a}*"]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_watching_leaves_nothing_on_the_node() {
    let redis = Server::start(Keeping::Nothing);
    let node = Node::ready(&redis.url(), &[]).await;
    let streams = [
        node.stream(TOPIC, None).await,
        node.stream(TOPIC, None).await,
    ];
    assert_eq!(
        redis
            .cli(&["pubsub", "shardnumsub", "tidings:{session:a}:news"])
            .lines()
            .last(),
        Some("1")
    );
    drop(streams);
    let gone = async {
        loop {
            let (_, health) = node.get("/health").await;
            let subscribed = redis.cli(&["pubsub", "shardchannels"]);
            if health["topics"] == 0 && subscribed.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(node::LIMIT, gone).await.unwrap();
}

/// What a producer is told when the store cannot take an event.
fn is_refused(status: u16, answer: &Value) -> bool {
    status == 503 && answer["code"] == "store_away"
}
