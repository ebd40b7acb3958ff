//! Who may connect, and whom a node believes: TLS, and a user with the least rights.

use std::process::Command;

use serde_json::json;

use super::super::node::{Node, fact};
use super::super::server::{Keeping, Server, free_port};
use super::{TOPIC, is_refused};

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
    let followed = redis.cli(&["pubsub", "shardchannels"]);
    assert_eq!(followed, "tidings:{session:a}:news");
    let stranger = Node::start_with(&url, &[&format!("store.redis.ca_file={other}")]);
    let (status, answer) = stranger.publish(TOPIC, &fact(2)).await;
    assert!(is_refused(status, &answer), "{answer}");
    assert_eq!(stranger.get("/readyz").await.0, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acl_user_needs_no_more_rights_than_the_manual_says() {
    let redis = Server::start(Keeping::Nothing);
    let manual = include_str!("../../../../docs/redis.md");
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
