//! The real binary as a process of its own.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// What in the environment of the tests would change what the binary does.
const FOREIGN: [&str; 6] = [
    "PORT",
    "RUST_LOG",
    "REDIS_URL",
    "TIDINGS_CONFIG",
    "TIDINGS_URL",
    "TIDINGS_TOKEN",
];

/// The binary, in an environment that says nothing of its settings.
pub(crate) fn tidings() -> Command {
    run_by(Command::new(env!("CARGO_BIN_EXE_tidings")))
}

/// The same by a program that is given what the binary is to be run with.
pub(crate) fn run_by(mut command: Command) -> Command {
    for name in FOREIGN {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// Starts a gateway. Returns it, and what it says when it listens.
pub(crate) fn listening(command: &mut Command) -> (Child, String) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    (child, line)
}

/// The address in what a gateway says when it listens: `http://HOST:PORT`.
pub(crate) fn url(line: &str) -> &str {
    let url = line
        .split_whitespace()
        .find(|word| word.starts_with("http://"));
    url.unwrap_or_else(|| panic!("no address in `{line}`"))
}

/// The same without the scheme.
pub(crate) fn authority(line: &str) -> &str {
    url(line).trim_start_matches("http://")
}

/// A line of `/proc/PID/status` in KiB: `VmRSS`, or `VmHWM` for the most that there ever was.
pub(crate) fn memory_kib(child: &Child, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// All events of a topic, in order, page by page.
pub(crate) async fn log(client: &reqwest::Client, url: &str, topic: &str) -> Vec<Value> {
    let mut events = Vec::new();
    let mut since = String::new();
    loop {
        let path = format!("{url}/v1/topics/{topic}/events?limit=1000{since}");
        let answer = client.get(path).send().await.unwrap();
        let status = answer.status();
        let page: Value = answer.json().await.unwrap_or_default();
        assert_eq!(status, 200, "{page}");
        events.extend(page["events"].as_array().unwrap().iter().cloned());
        match page["cursor"].as_str() {
            Some(cursor) => since = format!("&since={cursor}"),
            None => return events,
        }
    }
}
