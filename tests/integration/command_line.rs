//! The binary as its users run it: what it prints, and how it exits.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

use crate::process;

/// Longest that a line or an exit is waited for.
const LIMIT: Duration = Duration::from_secs(30);

fn tidings(args: &[&str]) -> Command {
    let mut command = process::tidings();
    command.args(args);
    command
}

fn finished(args: &[&str]) -> Output {
    tidings(args).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A process that runs, with the lines of its standard output.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let mut child = tidings(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    /// The next line that holds a text.
    fn line(&self, part: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(LIMIT).expect(part);
            if line.contains(part) {
                return line;
            }
        }
    }

    /// The lines up to the end, then the exit.
    fn end(mut self) -> (Vec<String>, ExitStatus) {
        let mut lines = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(LIMIT) {
            lines.push(line);
        }
        (lines, self.child.wait().unwrap())
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A gateway at a free port, and its address.
fn gateway() -> (Running, String) {
    let serving = Running::start(&["serve", "--listen", "127.0.0.1:0"]);
    let line = serving.line("tidings listening on");
    assert!(
        line.ends_with("(store: memory; data is lost on exit)"),
        "{line}"
    );
    let url = line
        .split_whitespace()
        .find(|word| word.starts_with("http://"))
        .unwrap()
        .to_owned();
    (serving, url)
}

#[test]
fn serve_drains_on_sigterm_and_exits_with_zero() {
    let (serving, url) = gateway();
    assert_eq!(code(&finished(&["healthcheck", "--url", &url])), 0);
    let watching = Running::start(&["watch", "session:a", "--url", &url, "--json"]);
    finished(&["publish", "session:a", "progress", "--url", &url]);
    watching.line("\"progress\"");
    serving.signal("-TERM");
    assert_eq!(serving.end().1.code(), Some(0));
    assert_eq!(code(&finished(&["healthcheck", "--url", &url])), 1);
}

#[test]
fn watch_exits_with_the_outcome_of_the_session() {
    let (_serving, url) = gateway();
    let publish = |topic: &str, name: &str, more: &[&str]| {
        let output = finished(&[&["publish", topic, name, "--url", &url], more].concat());
        assert_eq!(code(&output), 0, "{}", text(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let well = Running::start(&["watch", "session:well", "--url", &url]);
    let ill = Running::start(&["watch", "session:ill", "--url", &url]);
    publish("session:well", "error", &[r#"{"error":"one file"}"#]);
    publish(
        "session:well",
        "progress",
        &[r#"{"progress":40,"status":"PROCESSING"}"#],
    );
    let receipt = publish("session:well", "completed", &[r#"{"result":"done"}"#]);
    assert_eq!(
        (&receipt["topic"], &receipt["seq"]),
        (&"session:well".into(), &3.into())
    );
    publish(
        "session:ill",
        "error",
        &[r#"{"error":"all is lost"}"#, "--terminal"],
    );

    let (lines, status) = well.end();
    assert_eq!(
        lines,
        ["error: one file", " 40%  PROCESSING", "completed: done"]
    );
    assert_eq!(status.code(), Some(0));
    let (lines, status) = ill.end();
    assert_eq!(
        (lines, status.code()),
        (vec!["error: all is lost".to_owned()], Some(1))
    );
}

#[test]
fn lines_of_standard_input_are_published_and_judged_one_by_one() {
    let (_serving, url) = gateway();
    let mut publishing = tidings(&["publish", "session:b", "model_result", "-", "--url", &url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = publishing.stdin.take().unwrap();
    input
        .write_all(b"{\"n\":1}\n\n{\"sessionId\":\"other\"}\n{\"n\":2}\n")
        .unwrap();
    drop(input);
    let mut output = String::new();
    publishing
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut output)
        .unwrap();
    let answers: Vec<Value> = output
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let told: Vec<_> = answers
        .iter()
        .map(|a| (a["seq"].as_u64(), a["status"].as_u64()))
        .collect();
    assert_eq!(told, [(Some(1), None), (None, Some(422)), (Some(2), None)]);
    assert_eq!(publishing.wait().unwrap().code(), Some(1));
}

#[test]
fn the_answer_to_the_demo_decides_its_summary() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/src/topic");
    let args = [
        "demo",
        dir,
        "--pace",
        "0ms",
        "--exit",
        "--listen",
        "127.0.0.1:0",
    ];
    let demo = Running::start(&args);
    let live = demo.line("watch it live");
    let (url, topic) = live
        .trim_start_matches("watch it live: ")
        .split_once("/?topic=")
        .unwrap();
    let asked = demo.line("/api/wizard/clarifications/respond");
    let body = asked.split('\'').rev().nth(1).unwrap();
    let answer: Value = serde_json::from_str(body).unwrap();
    assert_eq!(answer["sessionId"], topic.trim_start_matches("session:"));

    let watching = Running::start(&["watch", topic, "--url", url, "--json"]);
    watching.line("\"clarification\"");
    let client = tidings::upstream::gateway::Gateway::new(url).unwrap();
    let session = answer["sessionId"].as_str().unwrap();
    let id = answer["clarificationId"].as_str().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime
        .block_on(client.answer(session, id, &"words".into()))
        .unwrap();

    let (lines, status) = demo.end();
    assert!(lines.last().unwrap().contains("most words"), "{lines:?}");
    assert_eq!(status.code(), Some(0));
    let (lines, status) = watching.end();
    let last: Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    assert_eq!(last["data"]["result"]["rankedBy"], "words", "{last}");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_gateway_that_is_not_there_is_exit_code_three() {
    for command in ["watch", "publish"] {
        let args = [
            command,
            "session:a",
            "progress",
            "--url",
            "http://127.0.0.1:1",
        ];
        let args = if command == "watch" {
            [&args[..2], &args[3..]].concat()
        } else {
            args.to_vec()
        };
        let output = finished(&args);
        assert_eq!(code(&output), 3, "{command}");
        assert!(text(&output.stderr).contains("is it running?"));
    }
}

#[test]
fn wrong_configurations_are_refused_before_a_port_opens() {
    for (args, part) in [
        (vec!["serve", "--listen", "0.0.0.0:0"], "--insecure"),
        (
            vec!["check-config", "--set", "hub.topic_max=5"],
            "did you mean `hub.topics_max`?",
        ),
        (vec!["--config", "/nowhere/at/all.toml"], "cannot be read"),
        (
            vec!["publish", "session:a", "x", "--url", "nonsense"],
            "http://127.0.0.1:3000",
        ),
    ] {
        let output = finished(&args);
        assert_eq!(code(&output), 2, "{args:?}");
        assert!(
            text(&output.stderr).contains(part),
            "{}",
            text(&output.stderr)
        );
        assert_eq!(text(&output.stdout), "");
    }
}

#[test]
fn print_config_tells_where_values_came_from() {
    let output = finished(&["print-config", "--set", "hub.topics_max=5"]);
    let printed = text(&output.stdout);
    assert!(
        printed.contains("topics_max = 5  # from flag --set hub.topics_max"),
        "{printed}"
    );
    assert_eq!(code(&finished(&["check-config"])), 0);
}

#[test]
fn client_commands_show_a_token() {
    const SECRET: &str = "a secret for tests, long enough for HS256";
    let secret = format!("auth.jwt.secret={SECRET}");
    let gateway = Running::start(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--set",
        "auth.mode=token",
        "--set",
        &secret,
    ]);
    let line = gateway.line("http://");
    let url = line
        .split_whitespace()
        .find(|word| word.starts_with("http://"));
    let url = url.unwrap().to_owned();
    let token = tidings(&["token", "user", "root", "--role", "admin"])
        .env("TIDINGS__AUTH__JWT__SECRET", SECRET)
        .output()
        .unwrap();
    let token = text(&token.stdout).trim().to_owned();
    let publish = ["publish", "session:a", "completed", "--url", &url];
    let bench = ["--clients", "3", "--events", "10", "--url", &url];
    let verify = [
        "--clients",
        "4",
        "--topics",
        "2",
        "--for",
        "1s",
        "--faults",
        "kick",
    ];
    for args in [
        publish.to_vec(),
        vec!["watch", "session:a", "--url", &url],
        [&["bench", "fanout"], &bench[..]].concat(),
        [&["bench", "polling"], &bench[..]].concat(),
        [&["verify", "--url", &url], &verify[..]].concat(),
    ] {
        // Its clients would try for a while.
        if args[0] != "verify" {
            let without = finished(&args);
            assert_ne!(code(&without), 0, "{args:?}");
        }
        let by_flag = finished(&[&args[..], &["--token", &token]].concat());
        assert_eq!(code(&by_flag), 0, "{args:?}: {}", text(&by_flag.stderr));
        let by_variable = tidings(&args)
            .env("TIDINGS_TOKEN", &token)
            .output()
            .unwrap();
        assert_eq!(
            code(&by_variable),
            0,
            "{args:?}: {}",
            text(&by_variable.stderr)
        );
    }
    gateway.signal("-TERM");
    let (said, ended) = gateway.end();
    assert!(ended.success(), "{ended}: {said:?}");
}

#[test]
fn bench_delivers_all_to_websocket_and_polling_clients() {
    for kind in ["fanout", "sessions", "polling"] {
        let output = finished(&["bench", kind, "--clients", "5", "--events", "50", "--json"]);
        assert_eq!(code(&output), 0, "{}", text(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let expected = if kind == "sessions" { 50 } else { 250 };
        assert_eq!(report["delivered"], expected, "{report}");
    }
    let output = finished(&["bench", "fanout", "--url", "http://192.0.2.1:80"]);
    assert!(
        text(&output.stderr).contains("loopback"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn manual_pages_and_completions_know_every_subcommand() {
    let dir = tempfile::tempdir().unwrap();
    let page = text(&finished(&["man"]).stdout);
    assert!(
        page.contains(".TH tidings 1") && page.contains("healthcheck"),
        "{page}"
    );
    let output = finished(&["man", &dir.path().display().to_string()]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let serve = std::fs::read_to_string(dir.path().join("tidings-serve.1")).unwrap();
    assert!(serve.contains("data\\-dir"), "{serve}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = finished(&["completions", shell]);
        assert_eq!(code(&output), 0, "{shell}");
        let script = text(&output.stdout);
        for command in [
            "serve",
            "publish",
            "watch",
            "healthcheck",
            "man",
            "--data-dir",
        ] {
            let command = if shell == "fish" {
                command.trim_start_matches('-')
            } else {
                command
            };
            assert!(script.contains(command), "{command} in {shell}");
        }
    }
    let mut bash = Command::new("bash")
        .arg("-n")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = bash.stdin.take().unwrap();
    input
        .write_all(&finished(&["completions", "bash"]).stdout)
        .unwrap();
    drop(input);
    assert!(
        bash.wait().unwrap().success(),
        "bash understands its script"
    );
}
