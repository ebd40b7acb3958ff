//! A node: the real binary over a Redis, and what a client of it sees.

use std::collections::VecDeque;
use std::process::{Child, Stdio};
use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::process;

/// Longest that something is waited for.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

pub(crate) struct Node {
    child: Child,
    pub(crate) url: String,
    pub(crate) client: reqwest::Client,
}

impl Node {
    pub(crate) fn start(redis: &str) -> Self {
        Self::start_with(redis, &[])
    }

    /// A node with more settings, each `key=value`. Without an address of Redis it is alone.
    pub(crate) fn start_with(redis: &str, settings: &[&str]) -> Self {
        Self::start_in(redis, settings, &[])
    }

    /// The same in an environment with more variables.
    pub(crate) fn start_in(redis: &str, settings: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = process::tidings();
        command
            .envs(environment.iter().copied())
            .args(["serve", "--listen", "127.0.0.1:0"]);
        if !redis.is_empty() {
            command.env("REDIS_URL", redis);
        }
        for setting in settings {
            command.args(["--set", setting]);
        }
        let (child, line) = process::listening(command.stderr(Stdio::null()));
        Self {
            child,
            url: process::url(&line).to_owned(),
            client: reqwest::Client::new(),
        }
    }

    /// A node with more settings that is ready.
    pub(crate) async fn ready(redis: &str, settings: &[&str]) -> Self {
        let node = Self::start_with(redis, settings);
        node.until_ready(true).await;
        node
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it says that it is ready, or that it is not.
    pub(crate) async fn until_ready(&self, is_ready: bool) {
        let ready = async {
            loop {
                let (status, _) = self.get("/readyz").await;
                if (status == 200) == is_ready {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let ready = tokio::time::timeout(LIMIT, ready).await;
        ready.unwrap_or_else(|_| panic!("never ready = {is_ready}"));
    }

    /// Waits until it knows so many nodes, itself included.
    pub(crate) async fn until_knowing(&self, count: usize) {
        let line = format!("tidings_nodes {count}\n");
        let known = async {
            loop {
                let request = self.client.get(format!("{}/metrics", self.url));
                let metrics = request.send().await.unwrap().text().await.unwrap();
                if metrics.contains(&line) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let known = tokio::time::timeout(LIMIT, known).await;
        known.unwrap_or_else(|_| panic!("it never knows {count} nodes"));
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        let answer = self
            .client
            .get(format!("{}{path}", self.url))
            .send()
            .await
            .unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let answer = self
            .client
            .post(format!("{}{path}", self.url))
            .json(body)
            .send()
            .await
            .unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }

    pub(crate) async fn publish(&self, topic: &str, body: &Value) -> (u16, Value) {
        self.post(&format!("/v1/topics/{topic}/events"), body).await
    }

    /// Publishes an event until it is taken: a node may not have seen yet that Redis is back.
    pub(crate) async fn publish_surely(&self, topic: &str, body: &Value) {
        let taken = async {
            while self.publish(topic, body).await.0 != 200 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let taken = tokio::time::timeout(LIMIT, taken).await;
        taken.expect("the event is taken in time");
    }

    pub(crate) async fn publish_keyed(&self, topic: &str, body: &Value, key: &str) -> (u16, Value) {
        let answer = self
            .client
            .post(format!("{}/v1/topics/{topic}/events", self.url))
            .header("Idempotency-Key", key)
            .json(body)
            .send()
            .await
            .unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }

    /// All events of a topic, in order.
    pub(crate) async fn log(&self, topic: &str) -> Vec<Value> {
        process::log(&self.client, &self.url, topic).await
    }

    /// Follows a topic as lines of envelopes.
    pub(crate) async fn stream(&self, topic: &str, since: Option<&str>) -> Stream {
        let since = since.map_or(String::new(), |since| format!("?since={since}"));
        let answer = self
            .client
            .get(format!("{}/v1/topics/{topic}/events{since}", self.url))
            .header("Accept", "application/x-ndjson")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        Stream::of(answer)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A stream of envelopes.
pub(crate) struct Stream {
    bytes: futures_util::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    rest: Vec<u8>,
    lines: VecDeque<Value>,
}

impl Stream {
    pub(crate) fn of(answer: reqwest::Response) -> Self {
        Self {
            bytes: answer.bytes_stream().boxed(),
            rest: Vec::new(),
            lines: VecDeque::new(),
        }
    }

    /// The next line; nothing when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let next = tokio::time::timeout(LIMIT, self.wait_for_next()).await;
        next.expect("a line comes in time")
    }

    async fn wait_for_next(&mut self) -> Option<Value> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some(line);
            }
            self.rest.extend(self.bytes.next().await?.ok()?);
            while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                if line.len() > 1 {
                    self.lines.push_back(serde_json::from_slice(&line).unwrap());
                }
            }
        }
    }

    /// The numbers of the next events.
    pub(crate) async fn seqs(&mut self, count: usize) -> Vec<u64> {
        let mut seqs = Vec::new();
        while seqs.len() < count {
            let line = self.next().await.expect("the stream goes on");
            seqs.push(
                line["seq"]
                    .as_u64()
                    .unwrap_or_else(|| panic!("no event: {line}")),
            );
        }
        seqs
    }
}

pub(crate) fn progress(n: u64) -> Value {
    json!({"name": "progress", "data": {"n": n}})
}

pub(crate) fn fact(n: u64) -> Value {
    json!({"name": "model_result", "data": {"n": n}})
}
