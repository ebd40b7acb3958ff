//! Directory scan: `GET /ws/scan/{scan_id}`, as the Semantik application speaks it.
//!
//! Everybody with the same id follows the topic `scan:{id}` and sees the same scan; only a refusal
//! goes to the one who asked. The list of files comes beside the topic: whole, or in pages to a
//! client that asked for a `page_size`.

use std::sync::{Arc, Weak};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::face::ws::dialect::{Close, Dialect, Input, Now, Outputs};
use crate::face::ws::payload;
use crate::face::ws::{Answer, Ask, Opening};
use crate::hub::From;
use crate::producer::scan::{Order, Report, View};
use crate::topic::{Event, Kind, TopicName};

/// Most files of a page.
const PAGE_SIZE_MAX: usize = 10_000;

/// The ticket of a look at the scan.
const VIEW: u64 = 0;

/// The ticket of a scan that is to begin.
const START: u64 = 1;

/// The ticket of a scan that is to stop.
const CANCEL: u64 = 2;

/// One client of a scan.
pub(super) struct DirectoryScan {
    id: String,
    topic: Option<TopicName>,
    page_size: Option<usize>,
    /// The report that is being sent, and the next page.
    paging: Option<(Arc<Report>, usize)>,
    /// The report that was told last: a look at the scan and its end may both bring it.
    told: Weak<Report>,
    /// Whether the topic said that there is a report.
    is_awaited: bool,
}

/// What a client says.
#[derive(Debug, Deserialize)]
struct Said {
    #[serde(default)]
    action: Value,
    #[serde(default)]
    path: Value,
    #[serde(default)]
    recursive: Value,
    #[serde(default)]
    page_size: Value,
}

/// A conversation of this dialect.
pub(super) fn begin(opening: Opening) -> Box<dyn Dialect> {
    Box::new(DirectoryScan {
        id: opening.id,
        topic: None,
        page_size: opening.page_size.as_deref().and_then(page_size),
        paging: None,
        told: Weak::new(),
        is_awaited: false,
    })
}

/// A number that a page can have.
fn page_size(text: &str) -> Option<usize> {
    let wanted: usize = text.parse().ok()?;
    (wanted > 0).then(|| wanted.min(PAGE_SIZE_MAX))
}

impl Dialect for DirectoryScan {
    fn take(&mut self, input: Input<'_>, now: Now, out: &mut Outputs) {
        match input {
            Input::Connected => match TopicName::new(Kind::Scan, &self.id) {
                Ok(topic) => {
                    out.follow(topic.clone(), From::Head);
                    out.ask(VIEW, Ask::ScanView(topic.clone()));
                    self.topic = Some(topic);
                }
                Err(why) => {
                    error(out, &why.to_string());
                    out.close(Close::Policy, why.to_string());
                }
            },
            Input::Text(text) => self.said(text, out),
            Input::Binary(_) => error(out, "Binary messages are not supported"),
            Input::Event { event, is_live } => self.event(event, is_live, out),
            Input::Gap { topic, .. } => out.ask(VIEW, Ask::ScanView(topic.clone())),
            Input::NotFollowed { why, .. } => {
                error(out, &why);
                out.close(Close::Overloaded, why);
            }
            Input::Answer { answer, .. } => self.answered(answer, now, out),
            Input::Tick => self.next_page(now, out),
            Input::Drain => {}
        }
    }
}

impl DirectoryScan {
    fn said(&mut self, text: &str, out: &mut Outputs) {
        let Ok(value) = serde_json::from_str::<Value>(text) else {
            return error(out, "Invalid JSON format");
        };
        let Ok(said) = serde_json::from_value::<Said>(value) else {
            return error(out, "Send an object with an `action`: `scan` or `cancel`");
        };
        let Some(topic) = self.topic.clone() else {
            return;
        };
        match said.action.as_str() {
            Some("scan") => match self.order(&said) {
                Ok(order) => out.ask(START, Ask::ScanStart(topic, order)),
                Err(why) => error(out, why),
            },
            Some("cancel") => out.ask(CANCEL, Ask::ScanCancel(topic)),
            Some(other) => {
                let other: String = other.chars().take(64).collect();
                error(out, &format!("Unknown action: {other}"));
            }
            None => error(out, "`action` must be `scan` or `cancel`"),
        }
    }

    fn order(&mut self, said: &Said) -> Result<Order, &'static str> {
        let path = match said.path.as_str() {
            Some(path) if !path.is_empty() => path.to_owned(),
            _ => return Err("Path required for scan action"),
        };
        let is_recursive = match &said.recursive {
            Value::Null => true,
            Value::Bool(is_recursive) => *is_recursive,
            _ => return Err("`recursive` must be true or false"),
        };
        self.page_size = match &said.page_size {
            Value::Null => self.page_size,
            wanted => match wanted.as_u64().map(|wanted| page_size(&wanted.to_string())) {
                Some(Some(page_size)) => Some(page_size),
                _ => return Err("`page_size` must be a whole number from 1"),
            },
        };
        Ok(Order { path, is_recursive })
    }

    fn event(&mut self, event: &Event, is_live: bool, out: &mut Outputs) {
        // After a gap the scan is looked at as a whole.
        if !is_live {
            return;
        }
        let name = event.name.as_str();
        match name {
            "completed"
                if event
                    .payload
                    .json()
                    .is_some_and(|text| !text.contains(r#""files""#)) =>
            {
                self.is_awaited = true;
                out.ask(VIEW, Ask::ScanView(event.topic.clone()));
            }
            "started" => {
                self.paging = None;
                out.say_text(payload::typed(event, name, is_live));
            }
            "progress" | "completed" | "cancelled" | "error" => {
                out.say_text(payload::typed(event, name, is_live));
            }
            _ => {}
        }
    }

    fn answered(&mut self, answer: Answer, now: Now, out: &mut Outputs) {
        match answer {
            Answer::Scan(View::Running { path, progress }) => {
                let mut message = progress.to_value();
                message["type"] = json!("progress");
                message["path"] = json!(path);
                message["_replayed"] = json!(true);
                out.say(&message);
            }
            Answer::Scan(View::Completed(report)) => self.completed(report, now, out),
            Answer::Scan(View::Unknown) if self.is_awaited => {
                self.is_awaited = false;
                error(out, "The list of files is gone: scan again");
            }
            Answer::Forbidden => error(out, "Insufficient permissions"),
            Answer::ScanStarted(Err(why)) => error(out, &why.to_string()),
            Answer::ScanCancelled { was_running: false } => {
                out.say(&json!({ "type": "cancelled" }));
            }
            // The topic tells the rest, and nothing else was asked for.
            _ => {}
        }
    }

    fn completed(&mut self, report: Arc<Report>, now: Now, out: &mut Outputs) {
        self.is_awaited = false;
        if std::ptr::eq(self.told.as_ptr(), Arc::as_ptr(&report)) {
            return;
        }
        self.told = Arc::downgrade(&report);
        if self.page_size.is_none() {
            return out.say_shared(report.whole());
        }
        self.paging = Some((report, 0));
        self.next_page(now, out);
    }

    /// One page at a time: the next is made when this one is written.
    fn next_page(&mut self, now: Now, out: &mut Outputs) {
        let (Some((report, number)), Some(page_size)) = (self.paging.take(), self.page_size) else {
            return;
        };
        out.say_text(report.page(page_size, number));
        if number + 1 < report.pages(page_size) {
            self.paging = Some((report, number + 1));
            out.wake_at = Some(now.since);
        }
    }
}

/// An error in the words of both clients of the document.
fn error(out: &mut Outputs, message: &str) {
    out.say(&json!({ "type": "error", "message": message, "error": message }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::ws::transcript::{Transcript, event};
    use crate::producer::scan::{PlaceError, Progress, ScanError};
    use crate::topic::Class;

    const VIEWED: &str = r#"ask 0: ScanView(TopicName { text: "scan:s", kind: Scan })"#;

    fn joined() -> Transcript {
        let mut client = Transcript::begin(begin, "s");
        assert_eq!(client.said(), ["follow scan:s from Head", VIEWED]);
        client.answer(VIEW, Answer::Scan(View::Unknown));
        client
    }

    #[test]
    fn a_scan_is_ordered_told_and_its_list_fetched() {
        let mut client = joined();
        client.text(r#"{"action":"scan","path":"/documents","recursive":true}"#);
        client.answer(START, Answer::ScanStarted(Ok(())));
        let data = r#"{"path":"/documents","timestamp":1}"#;
        client.event(&event("scan:s", 1, "started", Class::Fact, data), true);
        client.event(
            &event("scan:s", 2, "completed", Class::Terminal, r#"{"count":0}"#),
            true,
        );
        let want = [
            r#"ask 1: ScanStart(TopicName { text: "scan:s", kind: Scan }, Order { path: "/documents", is_recursive: true })"#,
            r#"{"type":"started","path":"/documents","timestamp":1,"_seq":1,"_epoch":"e"}"#,
            VIEWED,
        ];
        assert_eq!(client.said(), want);
    }

    #[test]
    fn a_client_that_joins_a_running_scan_gets_the_newest_progress() {
        let mut client = joined();
        let progress = Progress {
            scanned: 1,
            total: 4,
            current_path: "/d/a".into(),
        };
        let path = "/d".to_owned();
        client.answer(VIEW, Answer::Scan(View::Running { path, progress }));
        let want = r#"{"_replayed":true,"current_path":"/d/a","files_scanned":1,"path":"/d","percentage":25.0,"scanned":1,"total":4,"total_files":4,"type":"progress"}"#;
        assert_eq!(client.said(), [want]);
    }

    #[test]
    fn refusals_have_both_names_of_the_text() {
        let mut client = joined();
        for refused in [ScanError::Busy, PlaceError::NotFound.into()] {
            client.answer(START, Answer::ScanStarted(Err(refused)));
        }
        let want = [
            r#"{"error":"a scan with this id is running: wait for it, or cancel it","message":"a scan with this id is running: wait for it, or cancel it","type":"error"}"#,
            r#"{"error":"Failed to scan directory: Directory not found","message":"Failed to scan directory: Directory not found","type":"error"}"#,
        ];
        assert_eq!(client.said(), want);
    }

    #[test]
    fn cancel_without_a_scan_answers_cancelled() {
        let mut client = joined();
        client.text(r#"{"action":"cancel"}"#);
        client.answer(CANCEL, Answer::ScanCancelled { was_running: false });
        client.answer(CANCEL, Answer::ScanCancelled { was_running: true });
        let want = [
            r#"ask 2: ScanCancel(TopicName { text: "scan:s", kind: Scan })"#,
            r#"{"type":"cancelled"}"#,
        ];
        assert_eq!(client.said(), want);
    }

    #[test]
    fn bad_messages_get_an_error_each_and_the_connection_stays() {
        let mut client = joined();
        let bad = [
            "{",
            "[]",
            "{}",
            r#"{"action":7}"#,
            r#"{"action":"dance"}"#,
            r#"{"action":"scan"}"#,
            r#"{"action":"scan","path":7}"#,
            r#"{"action":"scan","path":""}"#,
            r#"{"action":"scan","path":"/d","recursive":1}"#,
            r#"{"action":"scan","path":"/d","page_size":0}"#,
        ];
        for text in bad {
            client.text(text);
        }
        let said = client.binary(b"x").said();
        assert_eq!(said.len(), bad.len() + 1, "{said:?}");
        assert!(
            said.iter().all(|line| line.contains(r#""type":"error""#)),
            "{said:?}"
        );
        assert!(said[4].contains("Unknown action: dance"), "{said:?}");
        let refused = Transcript::begin(begin, "../s").said();
        assert!(refused[1].starts_with("close 1008"), "{refused:?}");
    }
}
