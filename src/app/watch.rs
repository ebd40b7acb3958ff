//! `tidings watch`: a topic in the terminal, until its story ends.

mod told;

use serde_json::{Value, json};

use self::told::Told;
use crate::app::cli::WatchArgs;
use crate::app::exit::{FAILED, INTERRUPTED};
use crate::app::screen::{Screen, say};
use crate::upstream::gateway::{Error, Follow, Followed, Gateway};

/// How the topic's story ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Completed,
    Failed,
}

/// Follows the topic. The exit code is the session's outcome.
pub(super) async fn run(gateway: &Gateway, args: &WatchArgs) -> anyhow::Result<u8> {
    let mut follow = gateway.follow(&args.topic, args.since.clone());
    let mut screen = Screen::new();
    let outcome = tokio::select! {
        outcome = until_end(gateway, args, &mut follow, &mut screen) => outcome,
        _ = tokio::signal::ctrl_c() => {
            screen.end();
            return Ok(INTERRUPTED);
        }
    };
    screen.end();
    match outcome? {
        Outcome::Completed => Ok(0),
        Outcome::Failed => Ok(FAILED),
    }
}

async fn until_end(
    gateway: &Gateway,
    args: &WatchArgs,
    follow: &mut Follow,
    screen: &mut Screen,
) -> anyhow::Result<Outcome> {
    loop {
        let followed = follow.next().await?;
        if args.json {
            say(&as_json(&followed).to_string())?;
        } else {
            show(&followed, screen)?;
        }
        if let Followed::Event { name, .. } = &followed
            && let Some(outcome) = outcome(gateway, &args.topic, name).await?
        {
            return Ok(outcome);
        }
    }
}

/// What an event means for the story. `error` may be about one file of many; the gateway knows.
async fn outcome(gateway: &Gateway, topic: &str, name: &str) -> Result<Option<Outcome>, Error> {
    match name {
        "completed" | "job_completed" => Ok(Some(Outcome::Completed)),
        "error" | "failed" | "cancelled" => {
            let snapshot = gateway.snapshot(topic).await?.unwrap_or_default();
            let is_over = snapshot
                .get("terminal")
                .is_some_and(|terminal| !terminal.is_null());
            Ok(is_over.then_some(Outcome::Failed))
        }
        _ => Ok(None),
    }
}

fn as_json(followed: &Followed) -> Value {
    match followed {
        Followed::Event { cursor, name, data } => {
            json!({"cursor": cursor, "name": name, "data": data})
        }
        Followed::Gap(data) => json!({"name": "gap", "data": data}),
        Followed::Lost(why) => json!({"lost": why}),
    }
}

fn show(followed: &Followed, screen: &mut Screen) -> anyhow::Result<()> {
    match followed {
        Followed::Event { name, data, .. } => match told::tell(name, data) {
            Told::Progress { percent, message } => screen.progress(percent, &message),
            Told::Line(line) => screen.line(&line),
        },
        Followed::Gap(_) => screen.line("(some events are gone; what is left follows)"),
        Followed::Lost(why) => screen.line(&format!("({why}; connecting again)")),
    }
}
