//! Job progress: `GET /ws/{job_id}`, as the Semantik application speaks it.
//!
//! The client only listens. Events of `job:{id}` with one of five names become messages whose
//! `type` is the name; other events are not of this dialect. A late joiner gets the snapshot
//! first; a job nobody knows yet is waited for; after the end the socket stays open.

use serde_json::json;

use crate::face::ws::Opening;
use crate::face::ws::dialect::{Close, Dialect, Input, Now, Outputs};
use crate::face::ws::payload;
use crate::hub::From;
use crate::topic::{Cursor, Kind, TopicName};

/// The events that are messages here.
const NAMES: [&str; 5] = [
    "job_started",
    "file_processing",
    "file_completed",
    "job_completed",
    "error",
];

/// One client that watches a job.
pub(super) struct JobProgress {
    id: String,
    since: Option<String>,
}

/// A conversation of this dialect.
pub(super) fn begin(opening: Opening) -> Box<dyn Dialect> {
    Box::new(JobProgress {
        id: opening.id,
        since: opening.since,
    })
}

impl Dialect for JobProgress {
    fn take(&mut self, input: Input<'_>, _: Now, out: &mut Outputs) {
        match input {
            Input::Connected => self.connected(out),
            Input::Event { event, is_live } => {
                let name = event.name.as_str();
                if NAMES.contains(&name) {
                    out.say_text(payload::typed(event, name, is_live));
                }
            }
            Input::Gap { topic, gap } => {
                let (from, to) = (&gap.from, &gap.to);
                out.say(&json!({ "type": "gap", "topic": topic, "from": from, "to": to }));
            }
            Input::NotFollowed { why, .. } => {
                error(out, &why);
                out.close(Close::Overloaded, why);
            }
            Input::Text(text) => {
                if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() {
                    error(out, "Invalid JSON format");
                } else {
                    error(out, "This connection only listens: it takes no messages");
                }
            }
            Input::Binary(_) => error(out, "This connection only listens: it takes no messages"),
            Input::Answer { .. } | Input::Tick | Input::Drain => {}
        }
    }
}

impl JobProgress {
    fn connected(&self, out: &mut Outputs) {
        let topic = TopicName::new(Kind::Job, &self.id).map_err(|e| e.to_string());
        let since = self.since.as_deref().map(str::parse::<Cursor>).transpose();
        match (topic, since.map_err(|e| e.to_string())) {
            (Ok(topic), Ok(since)) => out.follow(topic, since.map_or(From::Snapshot, From::Since)),
            (Err(why), _) | (_, Err(why)) => {
                error(out, &why);
                out.close(Close::Policy, why);
            }
        }
    }
}

fn error(out: &mut Outputs, message: &str) {
    out.say(&json!({ "type": "error", "message": message }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::ws::transcript::{Transcript, event};
    use crate::topic::Class;

    #[test]
    fn events_of_the_job_become_messages_with_their_type_first() {
        let mut client = Transcript::begin(begin, "abc");
        assert_eq!(client.said(), ["follow job:abc from Snapshot"]);
        let data = r#"{"total_files":42,"timestamp":1}"#;
        client.event(
            &event("job:abc", 1, "job_started", Class::Fact, data),
            false,
        );
        let data = r#"{"type":"x","message":"denied","timestamp":1}"#;
        client.event(&event("job:abc", 2, "error", Class::Fact, data), true);
        client.event(&event("job:abc", 3, "progress", Class::State, "{}"), true);
        client.event(
            &event("job:abc", 4, "job_completed", Class::Terminal, "7"),
            true,
        );
        let want = [
            r#"{"type":"job_started","total_files":42,"timestamp":1,"job_id":"abc","_seq":1,"_epoch":"e","_replayed":true}"#,
            r#"{"_epoch":"e","_seq":2,"job_id":"abc","message":"denied","timestamp":1,"type":"error"}"#,
            r#"{"type":"job_completed","data":7,"_seq":4,"_epoch":"e"}"#,
        ];
        assert_eq!(client.said(), want);
    }

    #[test]
    fn a_gap_is_told_and_a_cursor_is_taken_up() {
        let mut client = Transcript::since(begin, "abc", Some("e:7"));
        let said = client.said().join("\n");
        assert!(said.starts_with("follow job:abc from Since"), "{said}");
        client.gap("job:abc", ("e:7", "f:2"));
        let want = r#"{"from":"e:7","to":"f:2","topic":"job:abc","type":"gap"}"#;
        assert_eq!(client.said(), [want]);
    }

    #[test]
    fn ids_and_cursors_that_are_none_are_refused_in_words() {
        for (id, since) in [
            ("../etc", None),
            ("a\0b", None),
            ("ä", None),
            ("connect", None),
        ] {
            let said = Transcript::since(begin, id, since).said();
            assert!(said[0].starts_with(r#"{"message":"#), "{said:?}");
            assert!(said[1].starts_with("close 1008: "), "{said:?}");
        }
        let said = Transcript::since(begin, "abc", Some("7")).said();
        assert!(said[1].starts_with("close 1008: "), "{said:?}");
    }

    #[test]
    fn whatever_a_client_says_is_an_error_and_the_connection_stays() {
        let mut client = Transcript::begin(begin, "abc");
        client.said();
        client.text("{").text("{}").binary(b"x");
        let said = client.said();
        assert_eq!(
            said[0],
            r#"{"message":"Invalid JSON format","type":"error"}"#
        );
        assert_eq!(said.len(), 3, "{said:?}");
        assert!(
            said[1..].iter().all(|line| line.contains("only listens")),
            "{said:?}"
        );
    }
}
