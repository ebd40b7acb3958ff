//! The conversations in `docs/protocols/` are run as they stand there.
//!
//! A block of the language `transcript` has one step a line: `POST path [body] -> status`,
//! `GET path -> status`, `OPEN path` (a client; later lines are about the newest), `> message` of the
//! client, `< message` of the gateway, `~ message` that may come any number of times, and
//! `CLOSED code`. A message matches if it has all members that the page shows; `"..."` is anything.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{Client, Running};

/// The directory of the pages.
const DOCUMENTS: &str = "/documents";

/// Whether `said` has everything that the page shows.
fn matches(shown: &Value, said: &Value) -> bool {
    match (shown, said) {
        (Value::String(any), _) if any == "..." => true,
        (Value::Object(shown), Value::Object(said)) => shown
            .iter()
            .all(|(name, value)| said.get(name).is_some_and(|said| matches(value, said))),
        (Value::Array(shown), Value::Array(said)) => {
            shown.len() == said.len() && shown.iter().zip(said).all(|(a, b)| matches(a, b))
        }
        _ => shown == said,
    }
}

/// The blocks of a page.
fn blocks(page: &str) -> Vec<Vec<String>> {
    let mut blocks = Vec::new();
    let mut inside: Option<Vec<String>> = None;
    for line in page.lines() {
        match (&mut inside, line) {
            (None, "```transcript") => inside = Some(Vec::new()),
            (Some(_), "```") => blocks.extend(inside.take()),
            (Some(block), line) => block.push(line.to_owned()),
            (None, _) => {}
        }
    }
    blocks
}

struct Conversation<'a> {
    running: &'a Running,
    client: Option<Client>,
    /// What may come any number of times.
    between: Option<Value>,
}

impl Conversation<'_> {
    async fn step(&mut self, line: &str) {
        let (verb, rest) = line.split_once(' ').unwrap();
        match verb {
            "OPEN" => self.client = Some(self.running.client(rest).await),
            ">" => self.client.as_mut().unwrap().send(rest).await,
            "~" => self.between = Some(parse(rest)),
            "<" => self.hear(&parse(rest)).await,
            "CLOSED" => {
                let (code, _) = self.client.take().unwrap().closed().await;
                assert_eq!(code.to_string(), rest, "{line}");
            }
            "POST" | "GET" => self.ask(verb, rest).await,
            other => panic!("`{other}` is no step: {line}"),
        }
    }

    async fn hear(&mut self, shown: &Value) {
        let between = self.between.take();
        loop {
            let said = self.client.as_mut().unwrap().next().await;
            if matches(shown, &said) {
                return;
            }
            let is_between = between
                .as_ref()
                .is_some_and(|between| matches(between, &said));
            assert!(is_between, "the page shows {shown}, and {said} came");
        }
    }

    async fn ask(&self, verb: &str, rest: &str) {
        let (request, status) = rest.rsplit_once(" -> ").unwrap();
        let (path, body) = request.split_once(' ').unwrap_or((request, "{}"));
        let (got, answer) = if verb == "POST" {
            self.running.post(path, &parse(body)).await
        } else {
            self.running.get(path).await
        };
        assert_eq!(got.to_string(), status, "{rest}: {answer}");
    }
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Runs every conversation of a page against a gateway of its own, with the directory of the pages
/// at another place.
async fn run(page: &str) {
    let dir = tempfile::tempdir().unwrap();
    let documents = dir.path().join("documents");
    fs::create_dir_all(documents.join("subfolder")).unwrap();
    fs::write(documents.join("file1.pdf"), [0; 1024]).unwrap();
    fs::write(documents.join("subfolder/file.txt"), "0123456789").unwrap();
    let there = documents.to_str().unwrap();
    let text = fs::read_to_string(Path::new("docs/protocols").join(page)).unwrap();
    let blocks = blocks(&text);
    assert!(!blocks.is_empty(), "{page} has no conversation");
    for block in blocks {
        let roots = json!([there]);
        let running = Running::start(&[&format!("producer.scan.roots={roots}")]).await;
        let mut conversation = Conversation {
            running: &running,
            client: None,
            between: None,
        };
        for line in block {
            conversation.step(&line.replace(DOCUMENTS, there)).await;
        }
        drop(conversation);
        running.gateway.drain().await;
    }
}

#[tokio::test]
async fn the_conversations_about_job_progress_happen() {
    run("job-progress.md").await;
}

#[tokio::test]
async fn the_conversations_about_directory_scans_happen() {
    run("directory-scan.md").await;
}

#[tokio::test]
async fn the_conversations_about_the_progress_channel_happen() {
    run("progress-channel.md").await;
}

#[test]
fn a_message_matches_when_it_has_what_is_shown() {
    let shown = json!({"a": 1, "b": ["..."], "c": {"d": "x"}});
    assert!(matches(
        &shown,
        &json!({"a": 1, "b": [7], "c": {"d": "x", "e": 1}, "f": 2})
    ));
    for said in [
        json!({"a": 2, "b": [7], "c": {"d": "x"}}),
        json!({"a": 1, "b": [], "c": {"d": "x"}}),
        json!({"a": 1, "b": [7], "c": {}}),
    ] {
        assert!(!matches(&shown, &said), "{said}");
    }
}
