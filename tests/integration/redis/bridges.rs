//! Other people's emitters: what they publish on channels arrives once, on whatever node.

use std::time::Duration;

use serde_json::{Value, json};

use super::TOPIC;
use super::node::{LIMIT, Node, Stream};
use super::server::{Keeping, Server};

/// Two nodes, of which one has the lease.
async fn nodes(redis: &Server) -> [Node; 2] {
    let nodes = [Node::start(&redis.url()), Node::start(&redis.url())];
    for node in &nodes {
        node.until_ready(true).await;
    }
    until_heard(redis, &nodes[0]).await;
    nodes
}

/// Waits until what is published is recorded: somebody listens, and somebody has the lease.
async fn until_heard(redis: &Server, node: &Node) {
    let heard = async {
        let mut n = 0;
        loop {
            n += 1;
            redis.publish(
                "session:probe:progress",
                json!({"n": n}).to_string().as_bytes(),
            );
            if node.get("/v1/topics/session:probe").await.0 == 200 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, heard).await.unwrap();
}

async fn both(nodes: &[Node; 2]) -> [Stream; 2] {
    [
        nodes[0].stream(TOPIC, None).await,
        nodes[1].stream(TOPIC, None).await,
    ]
}

fn packet(rooms: &[&str], data: &Value) -> Vec<u8> {
    let message = json!([
        "emitter",
        {"type": 2, "data": data, "nsp": "/"},
        {"rooms": rooms, "except": [], "flags": {}},
    ]);
    rmp_serde::to_vec(&message).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_emitter_is_heard_once_and_exactly() {
    let redis = Server::start(Keeping::Nothing);
    let nodes = nodes(&redis).await;
    let mut streams = both(&nodes).await;
    redis.publish("session:a:progress", br#"{"n":1,"sessionId":"other"}"#);
    redis.publish(
        "socket.io#/#a#",
        &packet(&["a"], &json!(["progress", {"n": 2}])),
    );
    redis.publish(
        "socket.io#/#session:a#",
        &packet(&["session:a"], &json!(["model_result", "three"])),
    );
    let json = json!({"method": "emit", "event": "model_result", "data": [{"n": 4}], "binary": false,
        "namespace": "/", "room": "a", "skip_sid": null, "callback": null, "host_id": "h"});
    redis.publish("socketio", json.to_string().as_bytes());
    redis.publish(
        "socketio",
        b"\x80\x02}q\x00(X\x06\x00\x00\x00methodq\x01X\x04\x00\x00\x00emitq\x02X\x05\x00\x00\x00eventq\x03X\x05\x00\x00\x00errorq\x04X\x04\x00\x00\x00roomq\x05X\x01\x00\x00\x00aq\x06X\x04\x00\x00\x00dataq\x07]q\x08(K\x05K\x06eu.",
    );
    for stream in &mut streams {
        // They go by different queues of the gateway, which keep the order of a topic.
        let first = stream.next().await.unwrap();
        assert_eq!(first["data"]["sessionId"], "a", "{first}");
        assert_eq!((&first["seq"], &first["data"]["n"]), (&json!(1), &json!(1)));
        let second = stream.next().await.unwrap();
        assert_eq!(second["data"], json!({"n": 2}), "told as it was emitted");
        assert_eq!(stream.next().await.unwrap()["data"], "three");
        assert_eq!(stream.next().await.unwrap()["data"], json!({"n": 4}));
        let last = stream.next().await.unwrap();
        assert_eq!((&last["data"], &last["seq"]), (&json!([5, 6]), &json!(5)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_messages_are_counted_and_skipped() {
    let redis = Server::start(Keeping::Nothing);
    let nodes = nodes(&redis).await;
    let mut streams = both(&nodes).await;
    let rubbish: [&[u8]; 7] = [
        b"",
        b"{",
        b"\xc1\xff",
        b"[]",
        &[0x91; 2000],
        b"cos\nsystem\n(S'true'\ntR.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
    ];
    for data in rubbish {
        for channel in [
            "socket.io#/#",
            "socket.io#/#a#",
            "socket.io-request#/#",
            "socketio",
        ] {
            redis.publish(channel, data);
        }
        redis.publish("session:a:progress", data);
    }
    redis.publish("session:a:progress", br#"{"n":"alive"}"#);
    for stream in &mut streams {
        loop {
            // `[]` is a payload like any other.
            if stream.next().await.unwrap()["data"]["n"] == "alive" {
                break;
            }
        }
    }
    let metrics = nodes[0].client.get(format!("{}/metrics", nodes[0].url));
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    let broken = metrics
        .lines()
        .find(|line| line.contains("tidings_bridge_messages") && line.contains("broken"));
    assert!(broken.is_some(), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_goes_on_when_the_one_that_appends_is_killed() {
    let redis = Server::start(Keeping::Nothing);
    let [one, two] = nodes(&redis).await;
    // Whichever it is that has the lease: one of the two is the other.
    one.kill();
    let mut stream = two.stream(TOPIC, None).await;
    let heard = async {
        loop {
            redis.publish("session:a:model_result", br#"{"n":1}"#);
            let next = tokio::time::timeout(Duration::from_millis(100), stream.next()).await;
            if next.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(LIMIT, heard).await.unwrap();
}
