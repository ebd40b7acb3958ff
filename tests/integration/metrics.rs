//! What operators see of a gateway that works: each of the four signals of each face, and nothing
//! that a dashboard or an alert asks for in vain.

use std::collections::BTreeSet;
use std::fs;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::redis::node::{LIMIT, Node};
use crate::redis::server::{Keeping, Server};

/// The metrics of a node as they stand.
async fn metrics(node: &Node) -> String {
    let answer = node.client.get(format!("{}/metrics", node.url)).send();
    answer.await.unwrap().text().await.unwrap()
}

/// The number in the line that begins so; zero if there is none.
fn value(text: &str, line: &str) -> f64 {
    let rest = text.lines().find_map(|one| one.strip_prefix(line));
    rest.map_or(0.0, |rest| rest.trim().parse().unwrap())
}

/// Waits until a line has at least this number.
async fn reaches(node: &Node, line: &str, least: f64) -> String {
    let looking = async {
        loop {
            let text = metrics(node).await;
            if value(&text, line) >= least {
                return text;
            }
            tokio::task::yield_now().await;
        }
    };
    let reached = tokio::time::timeout(LIMIT, looking).await;
    reached.unwrap_or_else(|_| panic!("`{line}` never reached {least}"))
}

/// A websocket that is told what is sent, and tells the first frame that holds a text.
async fn socket(node: &Node, path: &str, sent: &[&str], until: &str) -> impl Sized + use<> {
    let url = format!("{}{path}", node.url.replace("http", "ws"));
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    for text in sent {
        let said = Message::text((*text).to_owned());
        socket.send(said).await.unwrap();
        // Who speaks before it has joined is closed.
        let mut is_answered = *text != "40";
        while !is_answered {
            let heard = socket.next().await.unwrap().unwrap();
            is_answered = heard.to_text().is_ok_and(|heard| heard.starts_with("40"));
        }
    }
    let told = async {
        while let Some(Ok(message)) = socket.next().await {
            if message.to_text().is_ok_and(|text| text.contains(until)) {
                return;
            }
        }
        panic!("it ended without `{until}`");
    };
    tokio::time::timeout(LIMIT, told).await.unwrap();
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn every_face_tells_its_connections_rates_and_delays() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = format!("store.data_dir={}", dir.path().display());
    let node = Node::start_with("", &[&data_dir]);
    let open = "/socket.io/?EIO=4&transport=websocket";
    let join = ["40", r#"42["subscribe",{"topic":"job:a"}]"#];
    let _client = socket(&node, open, &join, "subscribed").await;
    let publish = |n: u32| json!({"name": "progress", "data": {"n": n, "progress": n}});
    let (status, _) = node.publish("job:a", &publish(1)).await;
    assert_eq!(status, 200);
    let _dialect = socket(&node, "/progress/ws/a", &[], "in_progress").await;
    let mut stream = node.stream("job:a", None).await;
    for n in 2..20 {
        node.publish("job:a", &publish(n)).await;
    }
    while stream.next().await.unwrap()["data"]["n"] != 19 {}
    let said = node.publish("nonsense", &json!({})).await;
    assert_eq!(said.0, 422);

    reaches(&node, "tidings_deliveries_total{face=\"socketio\"}", 19.0).await;
    reaches(
        &node,
        "tidings_deliveries_total{face=\"progress_channel\"}",
        1.0,
    )
    .await;
    let text = metrics(&node).await;
    for (line, least) in [
        ("tidings_connections{face=\"socketio\"}", 1.0),
        ("tidings_connections{face=\"progress_channel\"}", 1.0),
        ("tidings_http_streams", 1.0),
        ("tidings_publishes_total{face=\"http\"}", 19.0),
        ("tidings_deliveries_total{face=\"ndjson\"}", 18.0),
        ("tidings_delivery_seconds_count{face=\"socketio\"}", 1.0),
        ("tidings_store_append_seconds_count", 19.0),
        ("tidings_http_request_seconds_count", 20.0),
        ("tidings_http_refusals_total{code=\"topic_invalid\"}", 1.0),
        ("tidings_store_bytes", 1.0),
        ("tidings_store_writable", 1.0),
    ] {
        assert!(value(&text, line) >= least, "{line} of {least} in\n{text}");
    }
    assert!(text.contains("tidings_delivery_seconds_bucket{le=\"0.001\",face=\"socketio\"}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_tells_how_far_it_is_behind_and_how_long_redis_takes() {
    let redis = Server::start(Keeping::Nothing);
    let (here, there) = (Node::start(&redis.url()), Node::start(&redis.url()));
    here.until_ready(true).await;
    there.until_ready(true).await;
    let mut stream = there.stream("session:a", None).await;
    let said = here.publish("session:a", &json!({"name": "a"})).await;
    assert_eq!(said.0, 200, "{}", said.1);
    stream.next().await;
    reaches(&there, "tidings_node_lag_seconds_count", 1.0).await;
    let text = reaches(&here, "tidings_redis_seconds_count{script=\"append\"}", 1.0).await;
    assert!(value(&text, "tidings_store_append_seconds_count") >= 1.0);
    redis.signal("STOP");
    here.until_ready(false).await;
    assert!(metrics(&here).await.contains("tidings_store_writable 0\n"));
    redis.signal("CONT");
}

/// The metrics that a text names.
fn named(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.split(|c: char| !is_part(c))
        .filter(|word| word.starts_with("tidings_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn what_dashboard_and_alerts_ask_for_exists_and_all_of_it_is_documented() {
    let mut sources = Vec::new();
    crate::layers::sources("src".as_ref(), &mut sources);
    let registered: BTreeSet<String> = sources
        .iter()
        .flat_map(|path| {
            let text = fs::read_to_string(path).unwrap();
            let parts: Vec<_> = text
                .split('"')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect();
            parts
        })
        .filter(|text| text.starts_with("tidings_") && named(text).contains(text))
        .collect();
    let plain = |name: &str| {
        let suffixes = ["_total", "_bucket", "_count", "_sum"];
        let cut = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix));
        cut.unwrap_or(name).to_owned()
    };
    let documented: BTreeSet<String> = named(include_str!("../../docs/operations.md"))
        .iter()
        .map(|name| plain(name))
        .collect();
    for registered in &registered {
        assert!(
            documented.contains(registered),
            "{registered} is not in docs/operations.md"
        );
    }
    let dashboard: Value =
        serde_json::from_str(include_str!("../../deploy/grafana-dashboard.json")).unwrap();
    let asked = dashboard.to_string() + include_str!("../../deploy/prometheus-rules.yml");
    let asked = named(&asked);
    assert!(asked.len() > 30, "{asked:?}");
    for asked in asked {
        assert!(
            registered.contains(&plain(&asked)),
            "nothing tells `{asked}`"
        );
    }
}
