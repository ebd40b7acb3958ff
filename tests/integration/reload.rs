//! SIGHUP: the configuration is read again by a real process, and its log tells what came of it.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use reqwest::Response;
use serde_json::Value;

use crate::process;
use crate::redis::node::LIMIT;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

struct Served {
    child: Child,
    url: String,
    log: Receiver<Value>,
    file: PathBuf,
    _dir: tempfile::TempDir,
}

impl Served {
    fn start(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tidings.toml");
        std::fs::write(&file, config).unwrap();
        let mut command = process::tidings();
        command.args(["serve", "--insecure", "--listen", "127.0.0.1:0", "--config"]);
        command.arg(&file).stderr(Stdio::piped());
        let (mut child, line) = process::listening(&mut command);
        let (sender, log) = channel();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let line = serde_json::from_str(&line).expect("a line of the log is JSON");
                let _ = sender.send(line);
            }
        });
        Self {
            url: process::url(&line).to_owned(),
            child,
            log,
            file,
            _dir: dir,
        }
    }

    /// Reads another configuration, and returns the line of the log that holds a text.
    fn reload(&self, config: &str, part: &str) -> Value {
        std::fs::write(&self.file, config).unwrap();
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-HUP", &pid]).status();
        assert!(status.unwrap().success());
        self.line(part)
    }

    fn line(&self, part: &str) -> Value {
        loop {
            let line = self.log.recv_timeout(LIMIT).expect(part);
            if line.to_string().contains(part) {
                return line;
            }
        }
    }

    /// Publishes from another address, so that it is counted.
    async fn publish(&self) -> Response {
        let request = reqwest::Client::new()
            .post(format!("{}/v1/topics/session:a/events", self.url))
            .header("X-Forwarded-For", "10.0.0.7")
            .header("X-Request-Id", "from-a-test")
            .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"))
            .json(&serde_json::json!({"name": "a"}));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn config(events: u32, more: &str) -> String {
    format!("[limit]\nevents_per_second = {events}\ntrusted_proxies = [\"127.0.0.1\"]\n{more}")
}

/// How many events a second the answer says are allowed.
fn allowed(answer: &Response) -> String {
    answer.headers()["ratelimit-policy"]
        .to_str()
        .unwrap()
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_the_log_change_at_once_and_what_is_wrong_changes_nothing() {
    let served = Served::start(&config(1000, ""));
    assert!(allowed(&served.publish().await).contains("1000"));

    let debug = "[log]\nfilter = \"info,tidings::face::http=debug\"\n";
    let told = served.reload(&config(70, debug), "was reloaded");
    assert_eq!(told["changed"], "limit.events_per_second, log.filter");
    let answer = served.publish().await;
    assert!(allowed(&answer).contains("70"), "{answer:?}");
    assert_eq!(answer.headers()["x-request-id"], "from-a-test");
    let trace = answer.headers()["traceparent"].to_str().unwrap();
    assert!(trace.starts_with(&format!("00-{TRACE}-")) && trace.ends_with("-01"));
    let line = served.line("\"answered\"");
    assert_eq!(line["path"], "/v1/topics/session:a/events", "{line}");
    assert_eq!(
        (&line["method"], &line["status"]),
        (&"POST".into(), &200.into())
    );
    assert_eq!(line["request"], "from-a-test");
    assert_eq!(line["trace"], TRACE);

    let wrong = config(5, "event_per_second = 3\n[log]\nfilter = \"=\"\n");
    let told = served.reload(&wrong, "not reloaded");
    assert_eq!(told["level"], "ERROR");
    let why = told["why"].as_str().unwrap();
    assert!(
        why.contains("limit.event_per_second") && why.contains("log.filter"),
        "{why}"
    );
    assert!(allowed(&served.publish().await).contains("70"));
    served.line("\"answered\"");
    let told = served.reload("[limit", "not reloaded");
    assert!(told["why"].as_str().unwrap().contains("no TOML"), "{told}");

    let later = config(80, "[hub]\ntopics_max = 7\n");
    let told = served.reload(&later, "next start");
    assert_eq!(
        (&told["level"], &told["keys"]),
        (&"WARN".into(), &"hub.topics_max".into())
    );
    assert!(allowed(&served.publish().await).contains("80"));
}

#[test]
fn what_a_reload_changes_is_documented() {
    let page = include_str!("../../docs/operations.md");
    let manual = include_str!("../../config/tidings.toml");
    for live in tidings::app::reload::LIVE {
        assert!(
            page.contains(&format!("`{live}")),
            "{live} in docs/operations.md"
        );
        let (section, key) = live.split_once('.').unwrap_or((live, ""));
        assert!(manual.contains(&format!("[{section}]")) && manual.contains(key));
    }
}
