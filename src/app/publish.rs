//! `tidings publish`: one event, or one for each line of standard input.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::{Instant, timeout_at};

use crate::app::cli::PublishArgs;
use crate::app::exit::FAILED;
use crate::app::screen::say;
use crate::upstream::gateway::{Gateway, Publish};

/// Most lines in one batch.
const BATCH_LINES_MAX: usize = 500;

/// A batch with this many bytes is sent.
const BATCH_BYTES: usize = 512 * 1024;

/// How long a batch waits for more lines.
const BATCH_WAIT: Duration = Duration::from_millis(50);

/// One line of a batch.
#[derive(Serialize)]
struct Entry<'a> {
    topic: &'a str,
    name: &'a str,
    data: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    terminal: bool,
}

/// Publishes, and prints the receipt, or one receipt or problem a line.
pub(super) async fn run(gateway: &Gateway, args: &PublishArgs) -> anyhow::Result<u8> {
    if args.data == "-" {
        return many(gateway, args).await;
    }
    let event = Publish {
        name: args.name.clone(),
        data: payload(&args.data)?,
        class: args.class.clone(),
        key: args.key.clone(),
        terminal: args.terminal,
        idempotency_key: args.idempotency_key.clone(),
    };
    let receipt = gateway.publish(&args.topic, &event).await?;
    say(&serde_json::to_string(&receipt)?)
}

/// The payload that an argument means.
fn payload(argument: &str) -> anyhow::Result<Value> {
    let text = match argument.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(Path::new(path))
            .with_context(|| format!("cannot read the payload from `{path}`"))?,
        None => argument.to_owned(),
    };
    serde_json::from_str(&text).with_context(|| {
        format!(
            "the payload is no JSON (a bare text needs its quotes: '\"{}\"')",
            brief(&text)
        )
    })
}

fn brief(text: &str) -> String {
    text.trim().chars().take(40).collect()
}

async fn many(gateway: &Gateway, args: &PublishArgs) -> anyhow::Result<u8> {
    if args.idempotency_key.is_some() {
        bail!("--idempotency-key is for one event: leave it out with `-`");
    }
    let mut lines = lines_of_input();
    let mut number = 0;
    let mut code = 0;
    loop {
        let batch = batch(&mut lines).await?;
        if batch.is_empty() {
            return Ok(code);
        }
        let mut body = String::new();
        for line in &batch {
            number += 1;
            if line.trim().is_empty() {
                continue;
            }
            body.push_str(&entry(line, args).with_context(|| format!("line {number}"))?);
            body.push('\n');
        }
        if body.is_empty() {
            continue;
        }
        for outcome in gateway.publish_batch(body).await? {
            if outcome.get("seq").is_none() {
                code = FAILED;
            }
            say(&outcome.to_string())?;
        }
    }
}

/// Standard input, read on a thread of its own: reading it blocks, and cannot be called off.
fn lines_of_input() -> Receiver<std::io::Result<String>> {
    let (sender, receiver) = channel(BATCH_LINES_MAX);
    tokio::task::spawn_blocking(move || {
        for line in std::io::stdin().lines() {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// The lines that are there, at least one unless the input has ended.
async fn batch(lines: &mut Receiver<std::io::Result<String>>) -> anyhow::Result<Vec<String>> {
    let mut batch = Vec::new();
    let Some(first) = lines.recv().await.transpose()? else {
        return Ok(batch);
    };
    let mut bytes = first.len();
    batch.push(first);
    let deadline = Instant::now() + BATCH_WAIT;
    while batch.len() < BATCH_LINES_MAX && bytes < BATCH_BYTES {
        let Ok(line) = timeout_at(deadline, lines.recv()).await else {
            break;
        };
        let Some(line) = line.transpose()? else { break };
        bytes += line.len();
        batch.push(line);
    }
    Ok(batch)
}

fn entry(line: &str, args: &PublishArgs) -> anyhow::Result<String> {
    let data: &RawValue = serde_json::from_str(line.trim())
        .with_context(|| format!("`{}` is no JSON: write one payload a line", brief(line)))?;
    Ok(serde_json::to_string(&Entry {
        topic: &args.topic,
        name: &args.name,
        data,
        class: args.class.as_deref(),
        key: args.key.as_deref(),
        terminal: args.terminal,
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::cli::GatewayArgs;

    fn args() -> PublishArgs {
        PublishArgs {
            topic: "session:a".to_owned(),
            name: "progress".to_owned(),
            data: "-".to_owned(),
            key: Some("k".to_owned()),
            idempotency_key: None,
            class: None,
            terminal: false,
            gateway: GatewayArgs::default(),
        }
    }

    #[test]
    fn a_line_becomes_an_entry_with_its_payload_untouched() {
        let entry = entry(r#" {"a": 1.0} "#, &args()).unwrap();
        assert_eq!(
            entry,
            r#"{"topic":"session:a","name":"progress","data":{"a": 1.0},"key":"k"}"#
        );
    }

    #[test]
    fn what_is_no_json_is_refused_with_what_to_write() {
        let error = payload("hello").unwrap_err().to_string();
        assert!(error.contains(r#"'"hello"'"#), "{error}");
        let error = payload("@/nowhere").unwrap_err().to_string();
        assert!(error.contains("`/nowhere`"), "{error}");
        assert!(
            entry("{", &args())
                .unwrap_err()
                .to_string()
                .contains("one payload a line")
        );
    }
}
