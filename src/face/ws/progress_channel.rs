//! The progress channel: `GET /progress/ws/{job_id}`, as `ProgressRouter` speaks it.
//!
//! The client is told where the job stands, then every change of it; it may subscribe to more
//! jobs, and ping. A job is read together with the place up to which its events are told in it, and
//! followed from there: so nothing is told twice, and nothing is missed.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::face::ws::dialect::{Close, Dialect, Input, Now, Outputs};
use crate::face::ws::{Answer, Ask, Opening};
use crate::hub::From;
use crate::topic::{Cursor, Event, Job, JobStatus, Kind, TopicName, iso8601};

/// The ticket of the job that the path names; those of others count on from it.
const FIRST: u64 = 0;

/// One client that watches jobs.
pub(super) struct ProgressChannel {
    id: String,
    heartbeat_interval: Duration,
    heard: Duration,
    jobs: HashMap<TopicName, Watched>,
    /// Jobs that were asked for and not answered yet.
    asked: HashMap<u64, TopicName>,
    next_ticket: u64,
}

/// A job that is watched.
struct Watched {
    job: Job,
    /// Up to where its events are told.
    told: Cursor,
}

/// What a client says.
#[derive(Debug, Deserialize)]
struct Said {
    #[serde(rename = "type", default)]
    kind: Value,
    #[serde(default)]
    job_id: Value,
}

/// Where a job stands.
#[derive(Debug, Serialize)]
struct Standing<'a> {
    job_id: &'a str,
    status: JobStatus,
    progress: f64,
    message: Option<String>,
    timestamp: String,
    metadata: Map<String, Value>,
    attempt: u32,
    #[serde(rename = "_seq")]
    seq: u64,
    #[serde(rename = "_epoch")]
    epoch: &'a str,
    #[serde(rename = "_replayed", skip_serializing_if = "std::ops::Not::not")]
    is_replayed: bool,
}

/// A conversation of this dialect.
pub(super) fn begin(opening: Opening) -> Box<dyn Dialect> {
    Box::new(ProgressChannel {
        id: opening.id,
        heartbeat_interval: opening.heartbeat_interval,
        heard: Duration::ZERO,
        jobs: HashMap::new(),
        asked: HashMap::new(),
        next_ticket: FIRST,
    })
}

impl Dialect for ProgressChannel {
    fn take(&mut self, input: Input<'_>, now: Now, out: &mut Outputs) {
        match input {
            Input::Connected => {
                out.wake_at = Some(self.heartbeat_interval);
                let id = self.id.clone();
                self.watch(&id, out);
            }
            Input::Text(text) => {
                self.heard = now.since;
                self.said(text, now, out);
            }
            Input::Binary(_) => {
                self.heard = now.since;
                error(out, "Binary messages are not supported");
            }
            Input::Event { event, is_live } => self.event(event, is_live, out),
            // What is gone is told by where the job stands now.
            Input::Gap { topic, .. } => self.read_again(topic, out),
            Input::Answer { ticket, answer } => self.answered(ticket, answer, out),
            Input::NotFollowed { topic, why } => {
                self.jobs.remove(topic);
                error(out, &why);
                if topic.id() == self.id {
                    out.close(Close::Overloaded, why);
                }
            }
            Input::Tick => self.tick(now, out),
            Input::Drain => {}
        }
    }
}

impl ProgressChannel {
    fn said(&mut self, text: &str, now: Now, out: &mut Outputs) {
        let Ok(value) = serde_json::from_str::<Value>(text) else {
            error(out, "Invalid JSON format");
            return;
        };
        let Ok(Said { kind, job_id }) = serde_json::from_value::<Said>(value) else {
            error(out, "Invalid message format: send an object with a `type`");
            return;
        };
        match (kind.as_str(), job_id.as_str()) {
            (Some("ping"), _) => {
                out.say(&json!({ "type": "pong", "timestamp": now.iso8601() }));
            }
            (Some("subscribe"), Some(id)) => self.watch(id, out),
            (Some("subscribe"), None) => error(out, "job_id is required"),
            (Some(other), _) => {
                let other: String = other.chars().take(64).collect();
                error(out, &format!("Unknown message type: {other}"));
            }
            (None, _) => error(out, "Invalid message format: `type` must be a string"),
        }
    }

    /// Watches a job, or says again where it stands.
    fn watch(&mut self, id: &str, out: &mut Outputs) {
        let Ok(topic) = TopicName::new(Kind::Job, id) else {
            self.unknown(id, out);
            return;
        };
        if let Some(watched) = self.jobs.get(&topic) {
            watched.say(None, out);
        } else if !self.asked.values().any(|asked| *asked == topic) {
            self.ask(topic, out);
        }
    }

    fn ask(&mut self, topic: TopicName, out: &mut Outputs) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        out.ask(ticket, Ask::Job(topic.clone()));
        self.asked.insert(ticket, topic);
    }

    fn answered(&mut self, ticket: u64, answer: Answer, out: &mut Outputs) {
        let (Some(topic), Answer::Job(found)) = (self.asked.remove(&ticket), answer) else {
            return;
        };
        let Some(found) = found else {
            self.unknown(topic.id(), out);
            return;
        };
        let (job, told) = *found;
        let watched = Watched { job, told };
        watched.say(None, out);
        out.follow(topic.clone(), From::Since(watched.told.clone()));
        self.jobs.insert(topic, watched);
    }

    fn read_again(&mut self, topic: &TopicName, out: &mut Outputs) {
        if self.jobs.remove(topic).is_some() {
            out.leave(topic.clone());
            self.ask(topic.clone(), out);
        }
    }

    fn unknown(&self, id: &str, out: &mut Outputs) {
        let shown: String = id.chars().take(128).collect();
        let why = format!("Job {shown} not found");
        error(out, &why);
        if id == self.id {
            out.close(Close::Done, why);
        }
    }

    fn event(&mut self, event: &std::sync::Arc<Event>, is_live: bool, out: &mut Outputs) {
        let Some(watched) = self.jobs.get_mut(&event.topic) else {
            return;
        };
        let is_news = event.epoch == watched.told.epoch && event.seq > watched.told.seq;
        if !is_news {
            return;
        }
        // A client that is behind gets only the newest states: what was left out may have said more.
        if event.seq != watched.told.seq.next() {
            self.read_again(&event.topic, out);
            return;
        }
        watched.told = event.cursor();
        if watched.job.apply(event) {
            watched.say(Some((event, is_live)), out);
        }
    }

    fn tick(&mut self, now: Now, out: &mut Outputs) {
        let due = self.heard + self.heartbeat_interval;
        if now.since >= due {
            out.say(&json!({ "type": "heartbeat", "timestamp": now.iso8601() }));
            self.heard = now.since;
        }
        out.wake_at = Some(self.heard + self.heartbeat_interval);
    }
}

impl Watched {
    /// Says where the job stands: after an event, or as it was found.
    fn say(&self, event: Option<(&Event, bool)>, out: &mut Outputs) {
        let record = self.job.record();
        out.say(&Standing {
            job_id: &record.id,
            status: record.status,
            progress: record.progress,
            message: record.message,
            timestamp: event.map_or(record.updated_at, |(event, _)| iso8601(event.timestamp_ms)),
            metadata: record.metadata,
            attempt: record.attempt.get(),
            seq: self.told.seq.0,
            epoch: self.told.epoch.as_str(),
            is_replayed: event.is_none_or(|(_, is_live)| !is_live),
        });
    }
}

fn error(out: &mut Outputs, error: &str) {
    out.say(&json!({ "type": "error", "error": error }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::ws::transcript::{Transcript, event};
    use crate::topic::Class;

    fn created() -> Answer {
        let data = r#"{"name":"n","metadata":{"owner":"o"}}"#;
        let event = event("job:abc", 1, "job_created", Class::Fact, data);
        Answer::Job(Job::begin(&event).map(|job| Box::new((job, event.cursor()))))
    }

    const PENDING: &str = r#"{"job_id":"abc","status":"pending","progress":0.0,"message":null,"timestamp":"2026-01-15T10:00:01.000Z","metadata":{"owner":"o"},"attempt":1,"_seq":1,"_epoch":"e","_replayed":true}"#;

    fn joined() -> Transcript {
        let mut client = Transcript::begin(begin, "abc");
        client.answer(0, created());
        let said = client.said();
        assert_eq!(
            said[0],
            r#"ask 0: Job(TopicName { text: "job:abc", kind: Job })"#
        );
        assert_eq!(
            (said[1].as_str(), said[2].as_str()),
            ("wake at 30s", PENDING)
        );
        assert!(said[3].starts_with("follow job:abc from Since"), "{said:?}");
        client
    }

    #[test]
    fn the_current_status_comes_first_then_every_change() {
        let mut client = joined();
        let before = event("job:abc", 1, "job_created", Class::Fact, "{}");
        client.event(&before, false);
        assert_eq!(
            client.said(),
            Vec::<String>::new(),
            "what was told is not told again"
        );
        client.event(&event("job:abc", 2, "job_started", Class::Fact, "{}"), true);
        client.event(&event("job:abc", 3, "note", Class::Fact, "{}"), true);
        let data =
            r#"{"progress":75,"message":"Processing stage 3","metadata":{"stage":"stage_3"}}"#;
        client.event(&event("job:abc", 4, "progress", Class::State, data), true);
        let want = [
            r#"{"job_id":"abc","status":"in_progress","progress":0.0,"message":null,"timestamp":"2026-01-15T10:00:02.000Z","metadata":{"owner":"o"},"attempt":1,"_seq":2,"_epoch":"e"}"#,
            r#"{"job_id":"abc","status":"in_progress","progress":75.0,"message":"Processing stage 3","timestamp":"2026-01-15T10:00:04.000Z","metadata":{"owner":"o","stage":"stage_3"},"attempt":1,"_seq":4,"_epoch":"e"}"#,
        ];
        assert_eq!(client.said(), want);
    }

    #[test]
    fn an_unknown_job_is_told_and_the_end() {
        let want = [
            r#"{"error":"Job abc not found","type":"error"}"#,
            "close 1000: Job abc not found",
        ];
        let mut client = Transcript::begin(begin, "abc");
        client.said();
        assert_eq!(client.answer(0, Answer::Job(None)).said(), want);
        for id in ["../../etc/passwd", "a\0", "ä", "connect", ""] {
            let said = Transcript::begin(begin, id).said();
            assert_eq!(
                said.last().unwrap(),
                &format!("close 1000: Job {id} not found")
            );
        }
    }

    #[test]
    fn more_jobs_are_subscribed_and_an_unknown_one_leaves_the_connection() {
        let mut client = joined();
        client.text(r#"{"type":"subscribe","job_id":"abc"}"#);
        assert_eq!(client.said(), [PENDING]);
        client.text(r#"{"type":"subscribe","job_id":"other"}"#);
        client.text(r#"{"type":"subscribe","job_id":"other"}"#);
        client.answer(1, Answer::Job(None));
        client.text(r#"{"type":"subscribe","job_id":"../x"}"#);
        let want = [
            r#"ask 1: Job(TopicName { text: "job:other", kind: Job })"#,
            r#"{"error":"Job other not found","type":"error"}"#,
            r#"{"error":"Job ../x not found","type":"error"}"#,
        ];
        assert_eq!(client.said(), want);
    }

    #[test]
    fn silence_is_answered_by_heartbeats_and_a_ping_by_a_pong() {
        let mut client = joined();
        client.pass(20).text(r#"{"type":"ping"}"#);
        client.pass(10).input(Input::Tick);
        client.pass(20).input(Input::Tick);
        let want = [
            r#"{"timestamp":"2026-01-15T10:00:20.000Z","type":"pong"}"#,
            "wake at 50s",
            r#"{"timestamp":"2026-01-15T10:00:50.000Z","type":"heartbeat"}"#,
            "wake at 80s",
        ];
        assert_eq!(client.said(), want);
    }

    #[test]
    fn bad_messages_get_an_error_each_and_the_connection_stays() {
        let mut client = joined();
        let bad = [
            "{",
            "7",
            "{}",
            r#"{"type":7}"#,
            r#"{"type":"dance"}"#,
            r#"{"type":"subscribe"}"#,
        ];
        for text in bad {
            client.text(text);
        }
        client.binary(b"x");
        let said = client.said();
        assert_eq!(said.len(), 7, "{said:?}");
        assert_eq!(said[0], r#"{"error":"Invalid JSON format","type":"error"}"#);
        assert_eq!(
            said[4],
            r#"{"error":"Unknown message type: dance","type":"error"}"#
        );
        assert!(
            said.iter().all(|line| line.contains(r#""type":"error""#)),
            "{said:?}"
        );
    }

    #[test]
    fn where_states_were_left_out_the_job_is_read_again() {
        let mut client = joined();
        client.event(&event("job:abc", 5, "progress", Class::State, "{}"), true);
        let want = [
            "leave job:abc",
            r#"ask 1: Job(TopicName { text: "job:abc", kind: Job })"#,
        ];
        assert_eq!(client.said(), want);
    }

    #[test]
    fn after_a_gap_the_job_is_read_again() {
        let mut client = joined();
        client.gap("job:abc", ("e:1", "f:9"));
        client.answer(1, Answer::Job(None));
        let want = [
            "leave job:abc",
            r#"ask 1: Job(TopicName { text: "job:abc", kind: Job })"#,
            r#"{"error":"Job abc not found","type":"error"}"#,
            "close 1000: Job abc not found",
        ];
        assert_eq!(client.said(), want);
    }
}
