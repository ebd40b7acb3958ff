//! Every kind of Redis: Sentinel, Cluster, TLS, an ACL user. Each a few real redis-server processes.

mod access;
mod cluster;
mod sentinel;

use std::time::Duration;

use serde_json::Value;

use super::node::{LIMIT, Node, Stream};
use super::{TOPIC, is_refused};

/// Publishes until it is taken.
pub(crate) async fn until_published(node: &Node, event: &Value, key: &str) -> Value {
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

/// Waits until a gap is told.
pub(crate) async fn until_gap(stream: &mut Stream) {
    while stream.next().await.expect("the stream goes on")["name"] != "gap" {}
}
