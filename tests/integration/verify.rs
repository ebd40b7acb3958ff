//! `tidings verify`, through the real binary: nothing is lost while connections, network and
//! gateway fail; what cannot be had any more is announced; and it leaves nothing behind.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::process;

/// Longest that something is waited for.
const LIMIT: Duration = Duration::from_mins(1);

fn verify(args: &[&str]) -> Command {
    let mut command = process::tidings();
    command.arg("verify").args(args);
    command
}

/// Runs it; its figures, if it exits as expected.
fn figures(args: &[&str], code: i32) -> Value {
    let output = verify(args).arg("--json").output().unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}\n{err}");
    let figures: Value = serde_json::from_str(&out).unwrap();
    figures
}

fn is_lossless(figures: &Value) -> bool {
    let wrong = [
        "lost",
        "doubled",
        "out_of_order",
        "gaps_unannounced",
        "corrupt",
    ];
    wrong.iter().all(|name| figures[name] == 0)
}

#[test]
fn nothing_is_lost_while_everything_fails() {
    let args = [
        "--clients",
        "60",
        "--topics",
        "6",
        "--rate",
        "40",
        "--for",
        "20s",
        "--every",
        "4s",
        "--away",
        "500ms",
        "--patience",
        "2m",
        "--seed",
        "20261121",
    ];
    let figures = figures(&args, 0);
    assert!(is_lossless(&figures), "{figures}");
    for fault in [
        "kick",
        "half-close",
        "blackhole",
        "delay",
        "stall",
        "retry",
        "herd",
        "kill",
    ] {
        assert!(
            figures["faults"][fault].as_u64() > Some(0),
            "{fault}: {figures}"
        );
    }
    assert!(figures["published"].as_u64() > Some(20), "{figures}");
    assert!(figures["resumed"].as_u64() > Some(0), "{figures}");
}

#[test]
fn what_the_log_no_longer_holds_is_announced() {
    let args = [
        "--clients",
        "12",
        "--topics",
        "2",
        "--rate",
        "100",
        "--for",
        "6s",
        "--every",
        "2s",
        "--away",
        "1s",
        "--patience",
        "2m",
        "--seed",
        "5",
        "--faults",
        "kick",
        "--set",
        "store.log_events_max=20",
        "--set",
        "hub.ring_events_max=20",
        "--set",
        "hub.snapshot_facts_max=10",
        "--set",
        "auth.revocations_max=5",
    ];
    let figures = figures(&args, 0);
    assert!(is_lossless(&figures), "{figures}");
    assert!(figures["gaps_announced"].as_u64() > Some(0), "{figures}");
    assert!(figures["missing_announced"].as_u64() > Some(0), "{figures}");
}

#[test]
fn it_ends_what_it_started_when_it_is_told_to() {
    let mut child = verify(&["--clients", "4", "--for", "2m", "--faults", "kick"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let seed = lines.next().unwrap().unwrap();
    assert!(seed.starts_with("seed "), "{seed}");
    let is_there = |line: String| line.contains("clients are there");
    assert!(lines.map_while(Result::ok).any(is_there));
    let gateways = children(child.id());
    assert_eq!(gateways.len(), 1);
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(child.wait().unwrap().code(), Some(143));
    let begun = std::time::SystemTime::now();
    while is_alive(gateways[0]) {
        assert!(begun.elapsed().unwrap() < LIMIT, "the gateway lives on");
        std::thread::yield_now();
    }
}

fn children(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let path = task.unwrap().path().join("children");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        found.extend(
            text.split_whitespace()
                .map(|pid| pid.parse::<u32>().unwrap()),
        );
    }
    found
}

/// Whether a process is there and more than a name that nobody has taken note of.
fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    stat.is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .starts_with(" Z")
    })
}

#[test]
fn only_a_gateway_of_its_own_is_killed() {
    let args = ["--url", "http://127.0.0.1:1", "--faults", "kill"];
    let output = verify(&args).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(
        why.contains("only a gateway that `verify` started is killed"),
        "{why}"
    );
}
