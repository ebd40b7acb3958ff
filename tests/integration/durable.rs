//! The durable store, through the real binary: what was acknowledged is there after kill -9, what
//! is damaged is never told as if it were whole, and a full store is told and passes.

mod damage;
mod kill;
mod restart;
mod retries;
mod room;
mod space;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::process;

/// Longest that something is waited for.
const LIMIT: Duration = Duration::from_secs(30);

struct Gateway {
    child: Child,
    url: String,
    line: String,
    client: reqwest::Client,
}

impl Gateway {
    fn start(dir: &Path, more: &[&str]) -> Self {
        Self::from(command(dir, more))
    }

    /// One that may be given a bound on the size of its files without being ended by it.
    fn start_boundable(dir: &Path, more: &[&str]) -> Self {
        let plain = command(dir, more);
        let mut command = Command::new("sh");
        command
            .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
            .arg(plain.get_program())
            .args(plain.get_args());
        Self::from(process::run_by(command))
    }

    fn from(mut command: Command) -> Self {
        let (child, line) = process::listening(command.stderr(Stdio::null()));
        Self {
            child,
            url: process::url(&line).to_owned(),
            line,
            client: reqwest::Client::new(),
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    async fn publish(&self, topic: &str, body: &Value, key: Option<&str>) -> Option<(u16, Value)> {
        publish(&self.client, &self.url, topic, body, key).await
    }

    /// Sets or lifts the bound on the size of files that the process may write.
    fn bound_files(&self, bytes: Option<u64>) {
        let bound = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
        let pid = self.child.id().to_string();
        let status = Command::new("prlimit")
            .args(["--pid", &pid, &format!("--fsize={bound}:unlimited")])
            .status();
        assert!(status.expect("prlimit of util-linux").success());
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        let answer = self
            .client
            .get(format!("{}{path}", self.url))
            .send()
            .await
            .unwrap();
        (answer.status(), answer.json().await.unwrap_or_default())
    }

    /// All events of a topic, in order.
    async fn log(&self, topic: &str) -> Vec<Value> {
        process::log(&self.client, &self.url, topic).await
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(dir: &Path, more: &[&str]) -> Command {
    let mut command = process::tidings();
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir)
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The status and body of the answer; nothing if the connection broke.
async fn publish(
    client: &reqwest::Client,
    url: &str,
    topic: &str,
    body: &Value,
    key: Option<&str>,
) -> Option<(u16, Value)> {
    let mut request = client
        .post(format!("{url}/v1/topics/{topic}/events"))
        .json(body);
    if let Some(key) = key {
        request = request.header("Idempotency-Key", key);
    }
    let answer = request.send().await.ok()?;
    let status = answer.status().as_u16();
    Some((status, answer.json().await.ok()?))
}

fn progress(n: u64) -> Value {
    json!({"name": "progress", "data": {"n": n}})
}

/// Why a gateway that must not start did not.
fn refused(dir: &Path) -> String {
    let mut child = command(dir, &[]).spawn().unwrap();
    let mut told = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut told)
        .unwrap();
    assert!(!child.wait().unwrap().success());
    told
}

/// What was acknowledged of a topic: the mark of each event, by its number.
type Known = BTreeMap<u64, String>;

/// What was acknowledged is in the log, nothing twice, without holes, under one epoch.
fn check(log: &[Value], known: &Known, epoch: &mut Option<Value>) {
    for (seq, known) in known {
        let event = &log[usize::try_from(*seq).unwrap() - 1];
        assert_eq!(event["data"]["mark"], known.as_str());
    }
    let mark = |event: &Value| event["data"]["mark"].as_str().unwrap().to_owned();
    let distinct: std::collections::BTreeSet<_> = log.iter().map(mark).collect();
    assert_eq!(distinct.len(), log.len(), "nothing is doubled");
    for (at, event) in log.iter().enumerate() {
        assert_eq!(event["seq"], at as u64 + 1, "there are no holes");
        let epoch = epoch.get_or_insert_with(|| event["epoch"].clone());
        assert_eq!(*epoch, event["epoch"]);
    }
}

/// Waits until something holds.
async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + LIMIT;
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::task::yield_now().await;
    }
}

/// Chance that can be had again: the seed is printed, and `SEED` sets it.
#[derive(Debug, Clone)]
struct Chance(u64);

impl Chance {
    fn new() -> Self {
        let seed = setting("SEED").unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
        tell(&format!("SEED={seed}"));
        Self(seed)
    }

    /// A number below `end` (splitmix64).
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

#[expect(
    clippy::print_stdout,
    reason = "seen when the test fails, or when asked for"
)]
fn tell(line: &str) {
    println!("{line}");
}

/// How much is tried, where more than usual is wanted.
fn setting(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "a test has no configuration")]
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

fn store_config(dir: &Path) -> tidings::store::Config {
    let defaults: toml::Table = toml::from_str(include_str!("../../config/tidings.toml")).unwrap();
    let mut config: tidings::store::Config = defaults["store"].clone().try_into().unwrap();
    config.data_dir = Some(dir.to_owned());
    config
}
