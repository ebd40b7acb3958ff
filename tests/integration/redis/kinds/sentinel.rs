//! Sentinel: a failover that may have lost something is told; one that has not is not.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::super::node::{LIMIT, Node, fact};
use super::super::server::{Keeping, Server, free_port};
use super::{TOPIC, is_refused, until_gap, until_published};

/// A primary with replicas, and a sentinel that watches over them.
struct Watched {
    primary: Server,
    replicas: Vec<Server>,
    sentinel: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Watched {
    async fn start(replicas: usize) -> Self {
        let primary = Server::start(Keeping::Always);
        let of = primary.port().to_string();
        let replicas: Vec<_> = (0..replicas)
            .map(|_| Server::start_with(Keeping::Always, &["--replicaof", "127.0.0.1", &of]))
            .collect();
        let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
        let config = dir.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor house 127.0.0.1 {of} 1\n\
             sentinel down-after-milliseconds house 500\nsentinel failover-timeout house 2000\n"
        );
        std::fs::write(&config, text).unwrap();
        let sentinel = Command::new("redis-server")
            .arg(&config)
            .args(["--sentinel", "--dir"])
            .arg(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let watched = Self {
            primary,
            replicas,
            sentinel,
            port,
            _dir: dir,
        };
        watched.until_known().await;
        watched
    }

    fn url(&self) -> String {
        format!(
            "redis-sentinel://127.0.0.1:{}?sentinelServiceName=house",
            self.port
        )
    }

    /// Waits until the replicas are level, and the sentinel knows them.
    async fn until_known(&self) {
        let known = async {
            loop {
                let told = server_cli(self.port, &["sentinel", "replicas", "house"]);
                let links = told.matches("master-link-status\nok").count();
                if links == self.replicas.len() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(LIMIT, known).await.unwrap();
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.sentinel.kill();
        let _ = self.sentinel.wait();
    }
}

fn server_cli(port: u16, args: &[&str]) -> String {
    let output = Command::new("redis-cli")
        .args(["-p", &port.to_string()])
        .args(args)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_that_may_have_lost_something_is_told_to_all() {
    let mut house = Watched::start(1).await;
    let node = Node::ready(&house.url(), &[]).await;
    let mut stream = node.stream(TOPIC, None).await;
    let (_, kept) = node.publish(TOPIC, &fact(1)).await;
    house.until_known().await;
    // The replica stalls: what comes now is acknowledged by the primary alone.
    house.replicas[0].signal("STOP");
    for n in 2..=20 {
        assert_eq!(node.publish(TOPIC, &fact(n)).await.0, 200);
    }
    assert_eq!(stream.seqs(20).await.len(), 20);
    house.primary.kill();
    house.replicas[0].signal("CONT");
    until_gap(&mut stream).await;
    let after = until_published(&node, &fact(21), "k21").await;
    assert_ne!(kept["epoch"], after["epoch"]);
    let since = format!("{}:20", kept["epoch"].as_str().unwrap());
    let mut resumed = node.stream(TOPIC, Some(&since)).await;
    assert_eq!(resumed.next().await.unwrap()["name"], "gap");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_wait_a_failover_loses_nothing_and_nobody_is_told_of_a_gap() {
    let mut house = Watched::start(2).await;
    let node = Node::ready(&house.url(), &["store.redis.ack=wait(2)"]).await;
    let mut stream = node.stream(TOPIC, None).await;
    for n in 1..=20 {
        until_published(&node, &fact(n), &format!("k{n}")).await;
    }
    // A replica that stalls acknowledges nothing.
    house.replicas[0].signal("STOP");
    let (status, answer) = node.publish_keyed(TOPIC, &fact(21), "k21").await;
    assert!(is_refused(status, &answer), "{answer}");
    house.replicas[0].signal("CONT");
    until_published(&node, &fact(21), "k21").await;
    house.primary.kill();
    let mut due = 1;
    while due <= 21 {
        assert_eq!(stream.next().await.unwrap()["data"]["n"], due);
        due += 1;
    }
    let alive = async {
        while node.get(&format!("/v1/topics/{TOPIC}")).await.0 != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, alive).await.unwrap();
    node.until_ready(true).await;
    let log = node.log(TOPIC).await;
    let seen: Vec<_> = log
        .iter()
        .map(|event| event["data"]["n"].as_u64().unwrap())
        .collect();
    assert_eq!(seen, (1..=21).collect::<Vec<_>>());
    assert_eq!(log[0]["epoch"], log[20]["epoch"]);
}
