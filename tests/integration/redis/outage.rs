//! What Redis may do: be away, stop, lose what it acknowledged.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::client::Client;
use super::network::Network;
use super::node::{LIMIT, Node, fact};
use super::server::{Keeping, Server};
use super::{TOPIC, is_refused};

/// How long a command waits for its answer (`store.redis.command_timeout`).
const COMMAND_TIMEOUT: Duration = Duration::from_millis(800);

#[tokio::test(flavor = "multi_thread")]
async fn a_node_may_start_before_redis() {
    let mut redis = Server::start(Keeping::Nothing);
    redis.kill();
    let node = Node::start(&redis.url());
    let begun = Instant::now();
    let (status, answer) = node.publish(TOPIC, &fact(1)).await;
    assert!(is_refused(status, &answer), "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(node.get("/readyz").await.0, 503);
    assert_eq!(node.get("/healthz").await.0, 200);
    // A client that comes meanwhile is told what it missed when the store is there.
    let mut early = node.stream(TOPIC, None).await;
    redis.restart();
    node.until_ready(true).await;
    assert_eq!(node.publish(TOPIC, &fact(1)).await.0, 200);
    loop {
        let line = early.next().await.expect("the stream goes on");
        if line["data"]["n"] == 1 {
            break;
        }
    }
}

/// What a producer and its test tell each other.
#[derive(Default)]
struct Production {
    acknowledged: AtomicU64,
    is_over: AtomicBool,
}

impl Production {
    /// Waits until so many more were acknowledged.
    async fn more(&self, count: u64) {
        let wanted = self.acknowledged.load(Ordering::Relaxed) + count;
        let reached = async {
            while self.acknowledged.load(Ordering::Relaxed) < wanted {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LIMIT, reached).await.unwrap();
    }
}

/// Publishes numbers until it is told to stop; returns those that were acknowledged.
async fn produce(node: &Node, told: &Production, round: u64) -> (BTreeSet<u64>, Duration) {
    let (mut acknowledged, mut slowest) = (BTreeSet::new(), Duration::ZERO);
    let mut n = round * 100_000;
    while !told.is_over.load(Ordering::Relaxed) {
        n += 1;
        // A producer tries again with the same key until it is told.
        loop {
            let begun = Instant::now();
            let (status, answer) = node.publish_keyed(TOPIC, &fact(n), &n.to_string()).await;
            slowest = slowest.max(begun.elapsed());
            if status == 200 {
                acknowledged.insert(n);
                told.acknowledged.fetch_add(1, Ordering::Relaxed);
                break;
            }
            assert!(is_refused(status, &answer), "{status} {answer}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    (acknowledged, slowest)
}

/// Sees every acknowledged number once, in the order of the log.
async fn check(stream: &mut super::node::Stream, mut due: BTreeSet<u64>, last: &mut u64) {
    while !due.is_empty() {
        let line = stream.next().await.expect("the stream goes on");
        let seq = line["seq"]
            .as_u64()
            .unwrap_or_else(|| panic!("no event: {line}"));
        assert_eq!(seq, *last + 1, "{line}");
        *last = seq;
        let n = line["data"]["n"].as_u64().unwrap();
        assert!(due.remove(&n), "{n} twice, or never acknowledged");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_redis_is_killed_that_keeps_all() {
    let mut redis = Server::start(Keeping::Always);
    let nodes = Arc::new([Node::start(&redis.url()), Node::start(&redis.url())]);
    for node in &*nodes {
        node.until_ready(true).await;
    }
    let mut streams = [
        nodes[0].stream(TOPIC, None).await,
        nodes[1].stream(TOPIC, None).await,
    ];
    let mut last = [0, 0];
    for round in 1..=3 {
        let production = Arc::new(Production::default());
        let (of, told) = (Arc::clone(&nodes), Arc::clone(&production));
        let produced = async move { produce(&of[0], &told, round).await };
        #[expect(clippy::disallowed_methods, reason = "the test waits for it")]
        let producer = tokio::spawn(produced);
        production.more(50).await;
        redis.kill();
        nodes[1].until_ready(false).await;
        redis.restart();
        for node in &*nodes {
            node.until_ready(true).await;
        }
        production.more(20).await;
        production.is_over.store(true, Ordering::Relaxed);
        let (acknowledged, slowest) = producer.await.unwrap();
        assert!(slowest < Duration::from_millis(1500), "{slowest:?}");
        for (stream, last) in streams.iter_mut().zip(&mut last) {
            check(stream, acknowledged.clone(), last).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_stops_is_away_and_what_was_missed_arrives() {
    let redis = Server::start(Keeping::Nothing);
    let (one, two) = (Node::start(&redis.url()), Node::start(&redis.url()));
    one.until_ready(true).await;
    two.until_ready(true).await;
    let mut stream = two.stream(TOPIC, None).await;
    one.publish(TOPIC, &fact(1)).await;
    redis.signal("STOP");
    let begun = Instant::now();
    let (status, answer) = one.publish(TOPIC, &fact(2)).await;
    assert!(is_refused(status, &answer), "{answer}");
    assert!(
        begun.elapsed() < Duration::from_millis(1500),
        "{:?}",
        begun.elapsed()
    );
    one.until_ready(false).await;
    let begun = Instant::now();
    let (status, answer) = one.publish(TOPIC, &fact(2)).await;
    assert!(is_refused(status, &answer), "{answer}");
    assert!(
        begun.elapsed() < COMMAND_TIMEOUT,
        "refused without being asked: {:?}",
        begun.elapsed()
    );
    redis.signal("CONT");
    one.until_ready(true).await;
    assert_eq!(one.publish(TOPIC, &fact(3)).await.0, 200);
    assert_eq!(stream.next().await.unwrap()["data"]["n"], 1);
    let next = stream.next().await.unwrap();
    assert_eq!(
        next["data"]["n"], 3,
        "what was refused was not done later: {next}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_stay_and_are_told_when_their_node_is_without_redis() {
    let redis = Server::start(Keeping::Nothing);
    let settings = [
        "store.redis.outage_told_after=1s",
        "face.socketio.ping_interval=1s",
    ];
    let node = Node::ready(&redis.url(), &settings).await;
    let mut client = Client::open(&node).await;
    client.say(r#"42["subscribe","a"]"#).await;
    client.until("subscribed").await;
    redis.signal("STOP");
    let begun = Instant::now();
    client.until("store_away").await;
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
    // Pings come all the time.
    client.ping().await;
    client.ping().await;
    redis.signal("CONT");
    client.until("store_back").await;
    node.until_ready(true).await;
    assert_eq!(node.publish(TOPIC, &fact(1)).await.0, 200);
    let heard = client.until("model_result").await;
    assert!(
        !heard.iter().any(|text| text.contains(r#"42["gap""#)),
        "{heard:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_cut_off_says_so_and_its_clients_miss_nothing() {
    let redis = Server::start(Keeping::Nothing);
    let network = Network::to(redis.port()).await;
    let one = Node::ready(&network.url(), &["store.redis.outage_told_after=1s"]).await;
    let two = Node::ready(&redis.url(), &[]).await;
    let mut client = Client::open(&one).await;
    client.say(r#"42["subscribe","a"]"#).await;
    client.until("subscribed").await;
    let mut stream = one.stream(TOPIC, None).await;
    two.publish(TOPIC, &fact(1)).await;
    assert_eq!(stream.seqs(1).await, [1]);
    client.until("model_result").await;
    network.cut();
    one.until_ready(false).await;
    client.until("store_away").await;
    // The others go on.
    assert_eq!(two.get("/readyz").await.0, 200);
    for n in 2..=50 {
        assert_eq!(two.publish(TOPIC, &fact(n)).await.0, 200);
    }
    let begun = Instant::now();
    let (status, answer) = one.publish(TOPIC, &fact(0)).await;
    assert!(is_refused(status, &answer), "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(1), "refused at once");
    network.heal();
    one.until_ready(true).await;
    assert_eq!(stream.seqs(49).await, (2..=50).collect::<Vec<_>>());
    for _ in 2..=50 {
        let heard = client.until("model_result").await;
        assert!(
            !heard.iter().any(|text| text.contains(r#"42["gap""#)),
            "{heard:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_are_moved_change_neither_order_nor_cursors() {
    let redis = Server::start(Keeping::Nothing);
    let dir = tempfile::tempdir().unwrap();
    let clock = dir.path().join("clock");
    let set = |offset: &str| std::fs::write(&clock, offset).unwrap();
    set("+0");
    let library = std::fs::read_dir("/usr/lib").unwrap().find_map(|dir| {
        let library = dir.unwrap().path().join("faketime/libfaketime.so.1");
        library.exists().then_some(library)
    });
    let library = library.expect("libfaketime is installed: apt-get install faketime");
    let environment = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let moved = Node::start_in(&redis.url(), &[], &environment);
    let steady = Node::ready(&redis.url(), &[]).await;
    moved.until_ready(true).await;
    let mut streams = [
        moved.stream(TOPIC, None).await,
        steady.stream(TOPIC, None).await,
    ];
    let mut receipts = Vec::new();
    for (round, offset) in ["+0", "-10m", "+20m", "-1h", "+0"].iter().enumerate() {
        set(offset);
        for n in 0..4 {
            let node = if n % 2 == 0 { &moved } else { &steady };
            let n = u64::try_from(round).unwrap() * 4 + n + 1;
            let (status, receipt) = node.publish_keyed(TOPIC, &fact(n), &n.to_string()).await;
            assert_eq!((status, &receipt["seq"]), (200, &n.into()), "{receipt}");
            receipts.push(receipt);
        }
    }
    let times: BTreeSet<_> = receipts
        .iter()
        .map(|receipt| receipt["timestamp"].as_str().unwrap()[..13].to_owned())
        .collect();
    assert!(times.len() > 1, "the clock was moved: {times:?}");
    for stream in &mut streams {
        assert_eq!(stream.seqs(20).await, (1..=20).collect::<Vec<_>>());
    }
    let since = format!(
        "{}:{}",
        receipts[4]["epoch"].as_str().unwrap(),
        receipts[4]["seq"]
    );
    for node in [&moved, &steady] {
        let mut resumed = node.stream(TOPIC, Some(&since)).await;
        assert_eq!(resumed.seqs(15).await, (6..=20).collect::<Vec<_>>());
    }
    // A key is known whatever the time is.
    let (status, again) = moved.publish_keyed(TOPIC, &fact(6), "6").await;
    assert_eq!((status, &again["seq"]), (200, &6.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_may_have_lost_something_is_told_as_another_epoch() {
    let mut redis = Server::start(Keeping::EverySecond);
    let node = Node::start(&redis.url());
    node.until_ready(true).await;
    let mut stream = node.stream(TOPIC, None).await;
    let (_, receipt) = node.publish(TOPIC, &fact(1)).await;
    assert_eq!(stream.seqs(1).await, [1]);
    redis.kill();
    node.until_ready(false).await;
    redis.restart();
    let back = Instant::now();
    let gap = stream.next().await.unwrap();
    assert!(is_gap(&gap), "{gap}");
    assert!(back.elapsed() < Duration::from_secs(10));
    node.until_ready(true).await;
    let (status, receipt_after) = node.publish(TOPIC, &fact(2)).await;
    assert_eq!(status, 200);
    assert_ne!(receipt["epoch"], receipt_after["epoch"]);
    let since = format!("{}:{}", receipt["epoch"].as_str().unwrap(), receipt["seq"]);
    let mut resumed = node.stream(TOPIC, Some(&since)).await;
    assert!(is_gap(&resumed.next().await.unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flushed_redis_is_told_as_another_epoch() {
    let redis = Server::start(Keeping::Always);
    let node = Node::start(&redis.url());
    node.until_ready(true).await;
    let mut stream = node.stream(TOPIC, None).await;
    node.publish(TOPIC, &fact(1)).await;
    assert_eq!(stream.seqs(1).await, [1]);
    redis.cli(&["flushall"]);
    assert!(is_gap(&stream.next().await.unwrap()));
    let answered = async {
        while node.publish(TOPIC, &fact(2)).await.0 != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, answered).await.unwrap();
    assert_eq!(stream.seqs(1).await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_wait_a_publish_is_acknowledged_when_a_replica_has_it() {
    let primary = Server::start(Keeping::Nothing);
    let settings = ["store.redis.ack=wait(1)"];
    let node = Node::start_with(&primary.url(), &settings);
    node.until_ready(true).await;
    let (status, answer) = node.publish_keyed(TOPIC, &fact(1), "k").await;
    assert!(is_refused(status, &answer), "nobody replicates: {answer}");
    let port = primary.port().to_string();
    let replica = Server::start_with(Keeping::Nothing, &["--replicaof", "127.0.0.1", &port]);
    let acknowledged = async {
        while node.publish_keyed(TOPIC, &fact(1), "k").await.0 != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, acknowledged).await.unwrap();
    assert_eq!(node.log(TOPIC).await.len(), 1);
    assert_eq!(replica.cli(&["xlen", "tidings:{session:a}:log"]), "1");
}

#[tokio::test]
async fn a_store_that_is_nowhere_is_refused_with_what_to_do() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_tidings"))
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--set",
            "store.kind=redis",
        ])
        .env_remove("REDIS_URL")
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(told.contains("store.redis.url"), "{told}");
}

fn is_gap(line: &Value) -> bool {
    line["name"] == "gap"
}
