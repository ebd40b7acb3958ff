//! Events in a person's words.

use std::fmt::Write as _;

use serde_json::Value;

/// Most characters of a payload in a line.
const LINE_CHARS_MAX: usize = 160;

/// How an event is shown.
#[derive(Debug, PartialEq)]
pub(super) enum Told {
    /// It moves the bar.
    Progress {
        /// From 0 to 100.
        percent: f64,
        /// What stands beside the bar.
        message: String,
    },
    /// It is a line of its own.
    Line(String),
}

/// Puts an event into words.
pub(super) fn tell(name: &str, data: &Value) -> Told {
    match name {
        "progress" => progress(data),
        "model_result" if data.is_object() => Told::Line(model_result(data)),
        "clarification" if data.is_object() => Told::Line(clarification(data)),
        _ => Told::Line(format!("{name}: {}", brief(told(name, data)))),
    }
}

/// The part of a payload that matters most.
fn told<'a>(name: &str, data: &'a Value) -> &'a Value {
    match name {
        "completed" => data.get("result").unwrap_or(data),
        "error" => data.get("error").unwrap_or(data),
        _ => data,
    }
}

fn progress(data: &Value) -> Told {
    let percent = data["progress"].as_f64().unwrap_or(0.0);
    let mut message = text(&data["status"]);
    let prompts = &data["prompts"];
    if let (Some(done), Some(total)) = (prompts["completed"].as_u64(), prompts["total"].as_u64()) {
        write!(message, " {done} of {total}").expect("a String takes all");
    }
    if let Some(failed) = prompts["failed"].as_u64().filter(|failed| *failed > 0) {
        write!(message, ", {failed} failed").expect("a String takes all");
    }
    Told::Progress {
        percent,
        message: message.trim().to_owned(),
    }
}

fn model_result(data: &Value) -> String {
    let subject = [&data["file"], &data["modelName"]]
        .into_iter()
        .find(|value| value.is_string());
    let subject = subject.map_or_else(|| "model".to_owned(), text);
    let took = data["duration"]
        .as_f64()
        .map(|ms| format!(" in {ms} ms"))
        .unwrap_or_default();
    let outcome = if data["error"].is_null() {
        &data["result"]
    } else {
        &data["error"]
    };
    format!(
        "{subject}: {}{took}: {}",
        text(&data["status"]),
        brief(outcome)
    )
}

fn clarification(data: &Value) -> String {
    let id = text(&data["clarificationId"]);
    if data["status"] == "answered" {
        return format!("answered: {id}: {}", brief(&data["response"]));
    }
    let choices = &data["schema"]["enum"];
    let choices = if choices.is_null() {
        String::new()
    } else {
        format!(" {choices}")
    };
    format!("question {id}: {}{choices}", text(&data["question"]))
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn brief(value: &Value) -> String {
    let text = text(value);
    if text.chars().count() <= LINE_CHARS_MAX {
        return text;
    }
    text.chars()
        .take(LINE_CHARS_MAX)
        .chain("...".chars())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn progress_moves_the_bar() {
        let prompts = json!({"total": 9, "completed": 4, "failed": 1});
        let data = json!({"progress": 42.5, "status": "PROCESSING", "prompts": prompts});
        let message = "PROCESSING 4 of 9, 1 failed".to_owned();
        assert_eq!(
            tell("progress", &data),
            Told::Progress {
                percent: 42.5,
                message
            }
        );
        let message = String::new();
        assert_eq!(
            tell("progress", &json!([1])),
            Told::Progress {
                percent: 0.0,
                message
            }
        );
    }

    #[test]
    fn the_rest_is_told_in_lines() {
        for (name, data, line) in [
            (
                "model_result",
                json!({"modelName": "m", "status": "completed", "duration": 7, "result": "ok"}),
                "m: completed in 7 ms: ok",
            ),
            (
                "model_result",
                json!({"file": "a.txt", "status": "failed", "error": "gone"}),
                "a.txt: failed: gone",
            ),
            (
                "clarification",
                json!({"question": "Which?", "clarificationId": "c", "schema": {"enum": [1]}}),
                "question c: Which? [1]",
            ),
            (
                "clarification",
                json!({"clarificationId": "c", "status": "answered", "response": "x"}),
                "answered: c: x",
            ),
            (
                "completed",
                json!({"result": {"a": 1}}),
                r#"completed: {"a":1}"#,
            ),
            ("error", json!({"error": "disk full"}), "error: disk full"),
            ("anything", json!(5), "anything: 5"),
            ("model_result", json!(5), "model_result: 5"),
        ] {
            assert_eq!(tell(name, &data), Told::Line(line.to_owned()));
        }
    }

    #[test]
    fn long_payloads_are_cut() {
        let Told::Line(line) = tell("x", &json!("y".repeat(500))) else {
            panic!("a line")
        };
        assert_eq!(line.chars().count(), 3 + LINE_CHARS_MAX + 3);
    }
}
