//! Every kind of Redis: Sentinel, Cluster, TLS, an ACL user. Each a few real redis-server processes.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::node::{LIMIT, Node, Stream, fact};
use super::server::{Keeping, Server, free_port};
use super::{TOPIC, is_refused};

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

async fn until_published(node: &Node, event: &Value, key: &str) -> Value {
    let published = async {
        loop {
            let (status, answer) = node.publish_keyed(TOPIC, event, key).await;
            if status == 200 {
                return answer;
            }
            assert!(is_refused(status, &answer), "{status} {answer}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let published = tokio::time::timeout(LIMIT * 2, published).await;
    published.expect("it can be published again")
}

async fn until_gap(stream: &mut Stream) {
    while stream.next().await.expect("the stream goes on")["name"] != "gap" {}
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

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_reached_over_tls_and_a_foreign_certificate_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let make = |name: &str, more: &[&str]| {
        let made = Command::new("openssl")
            .args([
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
            ])
            .arg(format!("/CN={name}"))
            .args([
                "-keyout",
                &path(&format!("{name}.key")),
                "-out",
                &path(name),
            ])
            .args(more)
            .output()
            .expect("openssl is installed: apt-get install openssl");
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        path(name)
    };
    let (authority, other) = (make("authority", &[]), make("other", &[]));
    let cert = make(
        "redis",
        &[
            "-CA",
            &authority,
            "-CAkey",
            &path("authority.key"),
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ],
    );
    let key = path("redis.key");
    let port = free_port();
    let tls = port.to_string();
    let more = [
        "--tls-port",
        &tls,
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &authority,
        "--tls-auth-clients",
        "no",
    ];
    let redis = Server::start_with(Keeping::Nothing, &more);
    let url = format!("rediss://127.0.0.1:{port}");
    let node = Node::ready(&url, &[&format!("store.redis.ca_file={authority}")]).await;
    let mut stream = node.stream(TOPIC, None).await;
    assert_eq!(node.publish(TOPIC, &fact(1)).await.0, 200);
    assert_eq!(stream.seqs(1).await, [1]);
    assert!(redis.cli(&["client", "list"]).contains("cmd=ssubscribe"));
    let stranger = Node::start_with(&url, &[&format!("store.redis.ca_file={other}")]);
    let (status, answer) = stranger.publish(TOPIC, &fact(2)).await;
    assert!(is_refused(status, &answer), "{answer}");
    assert_eq!(stranger.get("/readyz").await.0, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acl_user_needs_no_more_rights_than_the_manual_says() {
    let redis = Server::start(Keeping::Nothing);
    let manual = include_str!("../../../docs/redis.md");
    let rule = manual
        .split("ACL SETUSER tidings")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let rule = rule
        .expect("the manual has the rule")
        .replace("\\\n", " ")
        .replace("<password>", "secret");
    let mut command = vec!["acl", "setuser", "tidings"];
    command.extend(rule.split_whitespace().map(|word| word.trim_matches('\'')));
    assert_eq!(redis.cli(&command), "OK");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, "secret\n").unwrap();
    let settings = [
        "store.redis.username=tidings".to_owned(),
        format!("store.redis.password_file={}", file.display()),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let one = Node::ready(&redis.url(), &settings).await;
    let two = Node::ready(&redis.url(), &settings).await;
    let mut stream = two.stream(TOPIC, None).await;
    assert_eq!(one.publish_keyed(TOPIC, &fact(1), "k").await.0, 200);
    redis.cli(&[
        "xadd",
        "tidings:{inbox}",
        "*",
        "topic",
        TOPIC,
        "name",
        "note",
    ]);
    redis.cli(&["xadd", "tidings:{inbox}", "*", "topic", TOPIC]);
    assert_eq!(stream.seqs(2).await, [1, 2]);
    redis.publish("session:a:progress", br#"{"n":3}"#);
    assert_eq!(stream.seqs(1).await, [3]);
    let question =
        json!({"name": "clarification", "data": {"clarificationId": "q", "question": "?"}});
    assert_eq!(one.publish(TOPIC, &question).await.0, 200);
    assert!(
        one.post("/v1/jobs", &json!({"id": "j", "lease": "5s"}))
            .await
            .0
            < 300
    );
    assert_eq!(
        two.post("/v1/jobs/j/heartbeat", &json!({})).await.0 / 100,
        2
    );
    assert_eq!(one.get("/v1/topics").await.0, 200);
    let (_, present) = one.get(&format!("/v1/topics/{TOPIC}/subscribers")).await;
    assert_eq!(present["subscribers"].as_array().unwrap().len(), 1);
    let deleted = one.client.delete(format!("{}/v1/topics/{TOPIC}", one.url));
    assert_eq!(deleted.send().await.unwrap().status(), 204);
    assert_eq!(redis.cli(&["acl", "log"]), "", "nothing was denied");
}
