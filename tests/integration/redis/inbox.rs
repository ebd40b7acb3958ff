//! The inbox: what workers add to a stream is appended once and in order, whoever dies.

use std::time::Duration;

use super::TOPIC;
use super::node::{LIMIT, Node};
use super::server::{Keeping, Server};
use super::two_nodes;

const INBOX: &str = "tidings:{inbox}";

fn add(redis: &Server, fields: &[&str]) -> String {
    let mut command = vec!["xadd", INBOX, "*"];
    command.extend(fields);
    redis.cli(&command)
}

/// Adds numbered entries to one topic, as a worker that pipelines would.
fn add_numbers(redis: &Server, numbers: std::ops::RangeInclusive<u64>) {
    let script = "for n = ARGV[1], ARGV[2] do redis.call('XADD', KEYS[1], '*', 'topic', 'session:a', \
                  'name', 'model_result', 'data', string.format('{\"n\":%d}', n)) end";
    let (first, last) = (numbers.start().to_string(), numbers.end().to_string());
    redis.cli(&["eval", script, "1", INBOX, &first, &last]);
}

async fn until_empty(redis: &Server) {
    let empty = async {
        while redis.cli(&["xlen", INBOX]) != "0" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let empty = tokio::time::timeout(LIMIT, empty).await;
    empty.unwrap_or_else(|_| panic!("{} entries are left", redis.cli(&["xlen", INBOX])));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_workers_add_is_appended_and_leaves_the_stream() {
    let (redis, one, two) = two_nodes().await;
    let mut streams = [one.stream(TOPIC, None).await, two.stream(TOPIC, None).await];
    let (topic, name) = (["topic", TOPIC], ["name", "progress"]);
    add(
        &redis,
        &[topic[0], topic[1], name[0], name[1], "data", r#"{"n":1}"#],
    );
    let bytes = ["topic", TOPIC, "name", "thumbnail", "bytes", "raw"];
    add(&redis, &bytes);
    let keyed = [
        "topic",
        TOPIC,
        "name",
        "note",
        "data",
        "3",
        "idempotency_key",
        "k",
    ];
    add(&redis, &keyed);
    add(&redis, &keyed);
    let end = [
        "topic", TOPIC, "name", "archived", "terminal", "true", "key", "x",
    ];
    add(&redis, &end);
    for stream in &mut streams {
        let first = stream.next().await.unwrap();
        assert_eq!(
            (&first["data"]["n"], &first["class"]),
            (&1.into(), &"state".into())
        );
        assert_eq!(first["data"]["sessionId"], "a");
        assert_eq!(stream.next().await.unwrap()["data_base64"], "cmF3");
        assert_eq!(stream.next().await.unwrap()["data"], 3);
        assert_eq!(stream.next().await.unwrap()["class"], "terminal");
    }
    until_empty(&redis).await;
    assert_eq!(
        one.log(TOPIC).await.len(),
        4,
        "the key was good for one event"
    );
    assert!(redis.cli(&["xpending", INBOX, "tidings"]).starts_with('0'));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_be_appended_is_put_aside_with_the_reason() {
    let redis = Server::start(Keeping::Nothing);
    let settings = [
        "producer.inbox.entry_bytes_max=1KiB",
        "producer.inbox.refused_max=5",
    ];
    let node = Node::ready(&redis.url(), &settings).await;
    let mut stream = node.stream(TOPIC, None).await;
    let long = "x".repeat(2000);
    let broken: [&[&str]; 7] = [
        &["a", "b"],
        &["topic", "nothing", "name", "note"],
        &["topic", TOPIC, "name", "note", "data", "{"],
        &["topic", TOPIC, "name", "note", "data", &long],
        &["topic", TOPIC, "name", "connect"],
        &["topic", "system:revocations", "name", "revoked"],
        &["topic", TOPIC, "name", "note", "class", "urgent"],
    ];
    for entry in broken {
        add(&redis, entry);
    }
    add(
        &redis,
        &["topic", TOPIC, "name", "note", "data", r#"{"n":"alive"}"#],
    );
    assert_eq!(stream.next().await.unwrap()["data"]["n"], "alive");
    until_empty(&redis).await;
    let refused = format!("{INBOX}:refused");
    assert_eq!(redis.cli(&["xlen", &refused]), "5", "the oldest made room");
    let told = redis.cli(&["xrange", &refused, "-", "+"]);
    for why in [
        "entry_bytes_max",
        "reserved",
        "nobody publishes",
        "write state, fact or terminal",
    ] {
        assert!(told.contains(why), "`{why}` is not in {told}");
    }
    assert!(told.len() < 20_000, "fields are cut");
    let metrics = node.client.get(format!("{}/metrics", node.url));
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    assert!(
        metrics.contains(r#"tidings_inbox_entries_total{fate="refused"} 7"#),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_entry_is_appended_once_and_in_order_though_nodes_are_killed() {
    const EACH: u64 = 1000;
    let redis = Server::start(Keeping::Nothing);
    let settings = [
        "producer.inbox.lease_age=1s",
        "producer.inbox.batch_entries_max=64",
    ];
    let mut nodes = vec![Node::ready(&redis.url(), &settings).await];
    // It watches only, so that whoever reads is among those that are killed.
    let last = Node::ready(&redis.url(), &["producer.inbox.enabled=false"]).await;
    let mut stream = last.stream(TOPIC, None).await;
    let mut seen = 0;
    for round in 0..4 {
        nodes.push(Node::ready(&redis.url(), &settings).await);
        add_numbers(&redis, round * EACH + 1..=(round + 1) * EACH);
        // In the middle of it: some are appended, and others wait.
        for _ in 0..EACH / 4 {
            seen += 1;
            let event = stream.next().await.unwrap();
            assert_eq!(
                (&event["seq"], &event["data"]["n"]),
                (&seen.into(), &seen.into())
            );
        }
        nodes.remove(0).kill();
    }
    while seen < 4 * EACH {
        seen += 1;
        let event = stream.next().await.unwrap();
        assert_eq!(
            (&event["seq"], &event["data"]["n"]),
            (&seen.into(), &seen.into())
        );
    }
    until_empty(&redis).await;
    assert_eq!(
        last.log(TOPIC).await.len(),
        usize::try_from(4 * EACH).unwrap()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inbox_waits_while_redis_is_away_and_goes_on() {
    let mut redis = Server::start(Keeping::Always);
    let node = Node::ready(&redis.url(), &[]).await;
    let mut stream = node.stream(TOPIC, None).await;
    add_numbers(&redis, 1..=500);
    assert_eq!(stream.seqs(10).await.len(), 10);
    redis.kill();
    node.until_ready(false).await;
    redis.restart();
    add_numbers(&redis, 501..=600);
    let mut seen = 10;
    while seen < 600 {
        seen += 1;
        let event = stream.next().await.unwrap();
        assert_eq!(
            (&event["seq"], &event["data"]["n"]),
            (&seen.into(), &seen.into())
        );
    }
    until_empty(&redis).await;
}
