//! The worker: reads files and publishes what it finds.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::analysis::Analysis;
use super::files::Files;
use super::summary::{Figure, Summary};
use crate::app::screen::Screen;
use crate::upstream::gateway::{Answer, Gateway, Publish};

/// How long the question waits for a person.
const QUESTION_AGE_MAX: Duration = Duration::from_secs(20);

/// How long one request waits for the answer.
const POLL_WAIT: Duration = Duration::from_secs(30);

/// The id of the question.
const QUESTION_ID: &str = "rank-by";

/// A producer of one session.
pub(super) struct Producer {
    gateway: Gateway,
    session: String,
    topic: String,
    pace: Duration,
    published: u64,
    screen: Screen,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    completed: usize,
    failed: usize,
    questions: usize,
}

impl Producer {
    /// A producer that has published nothing yet.
    pub(super) fn new(gateway: Gateway, session: String, pace: Duration) -> Self {
        let topic = format!("session:{session}");
        let (screen, counts) = (Screen::new(), Counts::default());
        Self {
            gateway,
            session,
            topic,
            pace,
            published: 0,
            screen,
            counts,
        }
    }

    /// Works through the files. Returns the exit code.
    pub(super) async fn run(mut self, root: &Path, files: Files) -> anyhow::Result<u8> {
        self.counts.total = files.paths.len();
        let half = files.paths.len() / 2;
        let mut analyses = Vec::new();
        let mut choice = None;
        self.progress("PROCESSING").await?;
        for (done, path) in files.paths.into_iter().enumerate() {
            if done == half {
                choice = Some(self.ask().await?);
            }
            let due = Instant::now() + self.pace;
            let file = path
                .strip_prefix(root)
                .unwrap_or(&path)
                .to_string_lossy()
                .into_owned();
            if let Some(analysis) = self.file(&file, path).await? {
                analyses.push((file, analysis));
            }
            self.progress("PROCESSING").await?;
            sleep_until(due).await;
        }
        let (figure, by) = choice.unwrap_or((Figure::Lines, "nobody".to_owned()));
        let mut summary = Summary::of(&analyses, figure, by);
        (summary.failed, summary.skipped) = (self.counts.failed, files.skipped);
        self.progress("COMPLETED").await?;
        self.publish("completed", json!({"result": summary}))
            .await?;
        self.screen.end();
        self.screen
            .line(&format!("completed: {}", summary.told()))?;
        Ok(0)
    }

    /// Analyses a file and publishes the result.
    async fn file(&mut self, file: &str, path: PathBuf) -> anyhow::Result<Option<Analysis>> {
        let begun = Instant::now();
        let read = tokio::task::spawn_blocking(move || Analysis::of_file(&path)).await?;
        let duration = (begun.elapsed().as_secs_f64() * 1e6).round() / 1e3;
        let mut result = json!({
            "modelName": "file-analysis",
            "provider": "tidings",
            "file": file,
            "duration": duration,
        });
        match &read {
            Ok(analysis) => {
                self.counts.completed += 1;
                merge(&mut result, serde_json::to_value(analysis)?);
                merge(
                    &mut result,
                    json!({"status": "completed", "result": analysis.told()}),
                );
            }
            Err(error) => {
                self.counts.failed += 1;
                merge(
                    &mut result,
                    json!({"status": "failed", "error": error.to_string()}),
                );
            }
        }
        self.publish("model_result", result).await?;
        Ok(read.ok())
    }

    /// Asks which figure the summary is ranked by, and waits for the answer or the default.
    async fn ask(&mut self) -> anyhow::Result<(Figure, String)> {
        let expires = Timestamp::now() + QUESTION_AGE_MAX;
        let names = Figure::ALL.map(Figure::as_str);
        let question = "Which figure should the summary rank the files by?";
        let data = json!({
            "clarificationId": QUESTION_ID,
            "question": question,
            "schema": {"type": "string", "enum": names},
            "default": names[0],
            "expiresAt": format!("{expires:.3}"),
            "context": "half of the files are read",
        });
        self.publish("clarification", data).await?;
        self.counts.questions = 1;
        self.progress("PROCESSING").await?;
        let base = self.gateway.base();
        self.screen
            .line(&format!("question: {question} {}", names.join(", ")))?;
        self.screen.line(&format!(
            "answer it on the page within {} s (else: {}), or with:",
            QUESTION_AGE_MAX.as_secs(),
            names[0]
        ))?;
        self.screen.line(&format!(
            "  curl -s {base}/api/wizard/clarifications/respond -H 'Content-Type: application/json' \
             -d '{{\"sessionId\":\"{}\",\"clarificationId\":\"{QUESTION_ID}\",\"response\":\"bytes\"}}'",
            self.session
        ))?;
        let (figure, by) = self.answer().await?;
        self.counts.questions = 0;
        self.screen
            .line(&format!("answer: {} (by {by})", figure.as_str()))?;
        Ok((figure, by))
    }

    async fn answer(&self) -> anyhow::Result<(Figure, String)> {
        loop {
            match self
                .gateway
                .wait_for_answer(&self.topic, QUESTION_ID, POLL_WAIT)
                .await?
            {
                Answer::Given { response, by } => {
                    let figure = response.as_str().and_then(Figure::named);
                    return Ok((figure.unwrap_or(Figure::Lines), by));
                }
                Answer::Open => {}
                Answer::Expired => return Ok((Figure::Lines, "nobody".to_owned())),
            }
        }
    }

    async fn progress(&mut self, status: &str) -> anyhow::Result<()> {
        let Counts {
            total,
            completed,
            failed,
            questions,
        } = self.counts;
        let done = completed + failed;
        let percent = (done * 100).checked_div(total).unwrap_or(100);
        let processing = usize::from(done < total);
        self.screen
            .progress(percent as f64, &format!("{done} of {total} files"))?;
        let data = json!({
            "status": status,
            "progress": percent,
            "prompts": {
                "total": total,
                "completed": completed,
                "processing": processing,
                "pending": total - done - processing,
                "failed": failed,
            },
            "hasClarifications": questions > 0,
            "clarificationCount": questions,
        });
        self.publish("progress", data).await
    }

    async fn publish(&mut self, name: &str, data: Value) -> anyhow::Result<()> {
        self.published += 1;
        let event = Publish::new(name, data).once(format!("{}-{}", self.session, self.published));
        self.gateway.publish(&self.topic, &event).await?;
        Ok(())
    }
}

/// Puts the members of one object into another.
fn merge(object: &mut Value, more: Value) {
    if let (Value::Object(object), Value::Object(more)) = (object, more) {
        object.extend(more);
    }
}
