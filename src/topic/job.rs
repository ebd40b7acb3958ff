//! A job, folded from the events of `job:{id}`.
//!
//! What the fold says depends on few events: the first, the last step, and the newest that set each
//! field. Those are pinned, so that a log that drops its oldest events can keep them and a fold of
//! what is left says the same (`Job::pins`).

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::topic::event::iso8601;
use crate::topic::{Event, JobStatus, Stage, Step, TopicName};

/// Longest message of a job that is kept, in bytes.
const MESSAGE_BYTES_MAX: usize = 4096;

/// Shortest lease.
pub const LEASE_MIN: Duration = Duration::from_millis(100);

/// Longest lease.
pub const LEASE_MAX: Duration = Duration::from_hours(24 * 30);

/// A job as its events tell it.
#[derive(Debug, Clone)]
pub struct Job {
    stage: Stage,
    name: Option<String>,
    kind: Option<String>,
    progress: f64,
    message: Option<String>,
    /// What it was created with.
    base: Map<String, Value>,
    /// What the newest event with metadata said.
    overlay: Map<String, Value>,
    cancelling: Option<CancelRequest>,
    lease: Option<Duration>,
    webhook: Option<String>,
    created_ms: i64,
    updated_ms: i64,
    pins: Pins,
}

/// Somebody wants a job to be given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CancelRequest {
    /// When, ISO 8601.
    pub requested_at: String,
    /// Why, if it was said.
    pub reason: Option<String>,
}

/// A job on the wire.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobRecord {
    /// The id of its topic.
    pub id: String,
    /// What it is called.
    pub name: Option<String>,
    /// What sort of job it is.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// How far it has come.
    pub status: JobStatus,
    /// In percent.
    pub progress: f64,
    /// What was last said of it.
    pub message: Option<String>,
    /// What it was created with, under what its newest event said; `cancelling: true` while it is
    /// wanted to be given up.
    pub metadata: Map<String, Value>,
    /// Which attempt it is, from 1.
    pub attempt: NonZeroU32,
    /// When its first event came, ISO 8601.
    pub created_at: String,
    /// When its newest event came, ISO 8601.
    pub updated_at: String,
}

/// The events that the fold depends on.
#[derive(Debug, Clone)]
struct Pins {
    first: Arc<Event>,
    attempt: Option<Arc<Event>>,
    step: Arc<Event>,
    /// The last that changed the status: a message is forgotten at it.
    moved: Arc<Event>,
    progress: Option<Arc<Event>>,
    message: Option<Arc<Event>>,
    metadata: Option<Arc<Event>>,
    lease: Option<Arc<Event>>,
    webhook: Option<Arc<Event>>,
    cancel: Option<Arc<Event>>,
}

/// The fields of a payload that concern a job. Types are checked one by one: payloads are the
/// producer's own, and a field of another type is not for us.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Fields {
    name: Value,
    #[serde(rename = "type")]
    kind: Value,
    progress: Value,
    processed_files: Value,
    total_files: Value,
    current_file: Value,
    status: Value,
    message: Value,
    error: Value,
    reason: Value,
    metadata: Value,
    lease_ms: Value,
    webhook: Value,
}

impl Job {
    /// The job after its first event; nothing if that is no step.
    pub fn begin(event: &Arc<Event>) -> Option<Self> {
        Step::of(&event.name, event.class)?;
        let mut job = Self {
            stage: Stage::default(),
            name: None,
            kind: None,
            progress: 0.0,
            message: None,
            base: Map::new(),
            overlay: Map::new(),
            cancelling: None,
            lease: None,
            webhook: None,
            created_ms: event.timestamp_ms,
            updated_ms: event.timestamp_ms,
            pins: Pins {
                first: Arc::clone(event),
                attempt: None,
                step: Arc::clone(event),
                moved: Arc::clone(event),
                progress: None,
                message: None,
                metadata: None,
                lease: None,
                webhook: None,
                cancel: None,
            },
        };
        job.apply(event);
        Some(job)
    }

    /// Takes in the next event. Returns whether it says something of the job.
    pub fn apply(&mut self, event: &Arc<Event>) -> bool {
        let step = Step::of(&event.name, event.class);
        if step.is_none() && event.name.as_str() != "error" {
            return false;
        }
        let next = self.stage.moved(step, event.attempt);
        let fields: Fields = event
            .payload
            .json()
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        self.updated_ms = event.timestamp_ms;
        let has_moved = next.status != self.stage.status || step == Some(Step::Retry);
        if next.attempt != self.stage.attempt {
            self.pins.attempt = Some(Arc::clone(event));
        }
        if has_moved {
            self.pins.moved = Arc::clone(event);
        }
        self.stage = next;
        match step {
            Some(Step::AskCancel) => {
                self.cancelling = Some(CancelRequest {
                    requested_at: event.timestamp(),
                    reason: text(&fields.reason),
                });
                self.pins.cancel = Some(Arc::clone(event));
                return true;
            }
            Some(Step::Create) => {
                self.name = text(&fields.name);
                self.kind = text(&fields.kind);
            }
            Some(Step::Retry) => self.begin_anew(event),
            _ => {}
        }
        if step.is_some() {
            self.pins.step = Arc::clone(event);
        }
        self.take_progress(step, &fields, event);
        self.take_message(has_moved, &fields, event);
        self.take_metadata(step, fields.metadata, event);
        if let Some(lease_ms) = fields.lease_ms.as_u64() {
            self.lease = Some(Duration::from_millis(lease_ms).clamp(LEASE_MIN, LEASE_MAX));
            self.pins.lease = Some(Arc::clone(event));
        }
        if let Some(webhook) = text(&fields.webhook) {
            self.webhook = Some(webhook);
            self.pins.webhook = Some(Arc::clone(event));
        }
        true
    }

    fn begin_anew(&mut self, event: &Arc<Event>) {
        self.progress = 0.0;
        self.overlay = Map::new();
        self.cancelling = None;
        self.pins.metadata = None;
        self.pins.cancel = None;
        self.pins.progress = Some(Arc::clone(event));
    }

    fn take_progress(&mut self, step: Option<Step>, fields: &Fields, event: &Arc<Event>) {
        let files = fields
            .processed_files
            .as_f64()
            .zip(fields.total_files.as_f64());
        let of_files = files
            .filter(|(_, total)| *total > 0.0)
            .map(|(processed, total)| processed / total * 100.0);
        let said = match step {
            Some(Step::Complete) => Some(100.0),
            _ => fields.progress.as_f64().or(of_files),
        };
        if let Some(said) = said.filter(|said| said.is_finite()) {
            self.progress = said.clamp(0.0, 100.0);
            self.pins.progress = Some(Arc::clone(event));
        }
    }

    fn take_message(&mut self, has_moved: bool, fields: &Fields, event: &Arc<Event>) {
        let file = text(&fields.current_file).map(|file| match text(&fields.status) {
            Some(status) => format!("{status} {file}"),
            None => file,
        });
        let said = text(&fields.message)
            .or_else(|| text(&fields.error))
            .or(file);
        if said.is_some() || has_moved {
            self.message = said.map(|mut said| {
                said.truncate(said.floor_char_boundary(MESSAGE_BYTES_MAX));
                said
            });
            self.pins.message = Some(Arc::clone(event));
        }
    }

    fn take_metadata(&mut self, step: Option<Step>, metadata: Value, event: &Arc<Event>) {
        let Value::Object(said) = metadata else {
            return;
        };
        if step == Some(Step::Create) {
            self.base = said;
        } else {
            self.overlay = said;
            self.pins.metadata = Some(Arc::clone(event));
        }
    }

    /// How far it is, in percent.
    pub const fn progress(&self) -> f64 {
        self.progress
    }

    /// The topic it is.
    pub fn topic(&self) -> &TopicName {
        &self.pins.first.topic
    }

    /// Where it stands.
    pub const fn stage(&self) -> Stage {
        self.stage
    }

    /// How far it has come.
    pub fn status(&self) -> JobStatus {
        self.stage.status.unwrap_or(JobStatus::Pending)
    }

    /// How long its worker may be silent, if there is a bound.
    pub const fn lease(&self) -> Option<Duration> {
        self.lease
    }

    /// Who wants it to be given up, while it has not ended.
    pub fn cancelling(&self) -> Option<&CancelRequest> {
        self.cancelling
            .as_ref()
            .filter(|_| !self.status().is_final())
    }

    /// The event by which somebody wants it to be given up, while it has not ended.
    pub fn cancel_event(&self) -> Option<&Arc<Event>> {
        let event = self.pins.cancel.as_ref();
        event.filter(|_| self.cancelling().is_some())
    }

    /// Where its worker wants to be told that it is to be given up, if it said so.
    pub fn webhook(&self) -> Option<&str> {
        self.webhook.as_deref()
    }

    /// The job on the wire.
    pub fn record(&self) -> JobRecord {
        let mut metadata = self.base.clone();
        metadata.extend(self.overlay.clone());
        if self.cancelling().is_some() {
            metadata.insert("cancelling".to_owned(), Value::Bool(true));
        }
        JobRecord {
            id: self.topic().id().to_owned(),
            name: self.name.clone(),
            kind: self.kind.clone(),
            status: self.status(),
            progress: self.progress,
            message: self.message.clone(),
            metadata,
            attempt: self.stage.attempt,
            created_at: iso8601(self.created_ms),
            updated_at: iso8601(self.updated_ms),
        }
    }

    /// The events that a fold needs to say the same, in any order, some perhaps twice.
    pub(crate) fn pins(&self) -> impl Iterator<Item = &Arc<Event>> {
        let Pins {
            first,
            attempt,
            step,
            moved,
            progress,
            message,
            metadata,
            lease,
            webhook,
            cancel,
        } = &self.pins;
        [first, step, moved].into_iter().chain(
            [attempt, progress, message, metadata, lease, webhook, cancel]
                .into_iter()
                .flatten(),
        )
    }
}

/// A text that says something.
fn text(value: &Value) -> Option<String> {
    value
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests;
