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
        if let Followed::Event { name, cursor, .. } = &followed
            && let Some(outcome) = outcome(gateway, &args.topic, (name, cursor.as_deref())).await?
        {
            return Ok(outcome);
        }
    }
}

/// What an event means for the story. `error` may be about one file of many; the gateway knows
/// which event ended it.
async fn outcome(
    gateway: &Gateway,
    topic: &str,
    (name, cursor): (&str, Option<&str>),
) -> Result<Option<Outcome>, Error> {
    match Outcome::named(name) {
        None => Ok(None),
        Some(Outcome::Completed) => Ok(Some(Outcome::Completed)),
        Some(Outcome::Failed) => {
            let snapshot = gateway.snapshot(topic).await?.unwrap_or_default();
            let terminal = snapshot.get("terminal").unwrap_or(&Value::Null);
            Ok(Outcome::after(cursor.and_then(number), terminal))
        }
    }
}

/// The number in a cursor.
fn number(cursor: &str) -> Option<u64> {
    cursor.rsplit_once(':')?.1.parse().ok()
}

impl Outcome {
    /// How a story ends with an event of this name, if it ends.
    fn named(name: &str) -> Option<Self> {
        match name {
            "completed" | "job_completed" => Some(Self::Completed),
            "error" | "failed" | "job_failed" | "cancelled" | "job_cancelled" => Some(Self::Failed),
            _ => None,
        }
    }

    /// How the story has ended for whoever has read up to a number, given the event that ended it:
    /// nothing while that is still to be read.
    fn after(read: Option<u64>, terminal: &Value) -> Option<Self> {
        let (seq, name) = (terminal["seq"].as_u64()?, terminal["name"].as_str()?);
        if read.is_some_and(|read| read < seq) {
            return None;
        }
        Some(Self::named(name).unwrap_or(Self::Completed))
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
        Followed::Lost(why) => screen.line(&format!("({why}; trying again)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_is_not_the_end_leaves_the_end_to_the_event_that_is() {
        let completed = json!({"seq": 5, "name": "completed"});
        for (read, terminal, outcome) in [
            // About one file of many, and the story goes on.
            (Some(3), json!(null), None),
            // It ended well while this one was read: its end comes next.
            (Some(3), completed.clone(), None),
            // It had ended before this one was published.
            (Some(7), completed, Some(Outcome::Completed)),
            (
                Some(3),
                json!({"seq": 3, "name": "error"}),
                Some(Outcome::Failed),
            ),
            (
                None,
                json!({"seq": 3, "name": "cancelled"}),
                Some(Outcome::Failed),
            ),
            (
                Some(4),
                json!({"seq": 4, "name": "own_end"}),
                Some(Outcome::Completed),
            ),
        ] {
            assert_eq!(
                Outcome::after(read, &terminal),
                outcome,
                "{read:?} {terminal}"
            );
        }
        assert_eq!(number("0abc:12"), Some(12));
        assert_eq!(Outcome::named("job_failed"), Some(Outcome::Failed));
        assert_eq!(Outcome::named("note"), None);
    }
}
