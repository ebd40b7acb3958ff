//! Requests of a session on another node, taken by a node that cannot be sure of the others.

use std::time::Duration;

use serde_json::Value;

use super::network::Network;
use super::node::{LIMIT, Node};
use super::server::{Keeping, Server};

/// How long an answer that must not come is waited for.
const HELD: Duration = Duration::from_millis(300);

/// Where a node takes the requests of a polling client.
fn path(sid: &str) -> String {
    let sid = if sid.is_empty() {
        String::new()
    } else {
        format!("&sid={sid}")
    };
    format!("/socket.io/?EIO=4&transport=polling{sid}")
}

/// Begins a session on a node, in the main namespace. Returns its id.
async fn begun(node: &Node) -> String {
    let asked = node.client.get(format!("{}{}", node.url, path(""))).send();
    let opened = asked.await.unwrap().text().await.unwrap();
    let open: Value = serde_json::from_str(opened.strip_prefix('0').unwrap()).unwrap();
    let sid = open["sid"].as_str().unwrap().to_owned();
    assert_eq!(post(node, &sid, "40").await, 200);
    sid
}

/// Posts something of a session to a node.
async fn post(node: &Node, sid: &str, packet: &'static str) -> u16 {
    let request = node.client.post(format!("{}{}", node.url, path(sid)));
    let answer = tokio::time::timeout(LIMIT, request.body(packet).send()).await;
    answer.unwrap().unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_just_started_waits_until_it_knows_the_others() {
    let redis = Server::start(Keeping::Nothing);
    let there = Node::ready(&redis.url(), &[]).await;
    let sid = begun(&there).await;
    let network = Network::to(redis.port()).await;
    network.cut();
    let here = Node::start(&network.url());
    let posted = post(&here, &sid, "42[\"any\"]");
    tokio::pin!(posted);
    let early = tokio::time::timeout(HELD, &mut posted).await;
    assert_eq!(early.ok(), None, "it cannot know whose the session is");
    network.heal();
    assert_eq!(posted.await, 200);
    // A session that begins meanwhile is known on the other node.
    let sid = begun(&here).await;
    assert_eq!(post(&there, &sid, "42[\"any\"]").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_silent_keeps_its_sessions() {
    let redis = Server::start(Keeping::Nothing);
    let soon = ["store.redis.node_age=500ms"];
    let here = Node::ready(&redis.url(), &soon).await;
    let network = Network::to(redis.port()).await;
    let there = Node::ready(&network.url(), &soon).await;
    here.until_knowing(2).await;
    let sid = begun(&there).await;
    network.cut();
    here.until_knowing(1).await;
    assert_eq!(post(&here, &sid, "42[\"any\"]").await, 200);
    there.kill();
    assert_eq!(post(&here, &sid, "42[\"any\"]").await, 400);
}
