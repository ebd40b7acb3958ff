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
            cancel,
        } = &self.pins;
        [first, step, moved].into_iter().chain(
            [attempt, progress, message, metadata, lease, cancel]
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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::topic::draft::{Draft, Place};
    use crate::topic::{Class, Epoch, Seq};

    fn event(seq: u64, name: &str, class: Class, data: &str) -> Arc<Event> {
        let place = Place {
            seq: Seq(seq),
            epoch: Epoch::new("e").unwrap(),
            id: uuid::Uuid::from_u128(u128::from(seq)),
            timestamp_ms: i64::try_from(seq).unwrap(),
        };
        let draft = Draft::json("job:a".parse().unwrap(), name.parse().unwrap(), data);
        Arc::new(draft.unwrap().seal(place, class))
    }

    fn folded<'a>(events: impl IntoIterator<Item = &'a Arc<Event>>) -> Option<Job> {
        let mut job: Option<Job> = None;
        for event in events {
            match &mut job {
                Some(job) => drop(job.apply(event)),
                None => job = Job::begin(event),
            }
        }
        job
    }

    #[test]
    fn a_job_is_what_its_events_say() {
        let created =
            r#"{"name":"n","type":"t","metadata":{"owner":"o","stage":0},"lease_ms":500}"#;
        let progress = r#"{"progress":75,"message":"m","metadata":{"stage":3}}"#;
        let events = [
            event(1, "job_created", Class::Fact, created),
            event(2, "job_started", Class::Fact, "{}"),
            event(3, "progress", Class::State, progress),
            event(4, "cancel_requested", Class::Fact, r#"{"reason":"r"}"#),
        ];
        let job = folded(&events).unwrap();
        let record = serde_json::to_value(job.record()).unwrap();
        let want = serde_json::json!({
            "id": "a", "name": "n", "type": "t", "status": "in_progress", "progress": 75.0,
            "message": "m", "metadata": {"owner": "o", "stage": 3, "cancelling": true},
            "attempt": 1, "created_at": "1970-01-01T00:00:00.001Z",
            "updated_at": "1970-01-01T00:00:00.004Z",
        });
        assert_eq!(record, want);
        assert_eq!(job.lease(), Some(Duration::from_millis(500)));
        assert_eq!(job.cancelling().unwrap().reason.as_deref(), Some("r"));
    }

    #[test]
    fn files_count_as_progress_and_a_file_that_failed_is_no_end() {
        let file =
            r#"{"current_file":"/a","processed_files":1,"total_files":4,"status":"Reading"}"#;
        let events = [
            event(1, "job_started", Class::Fact, r#"{"total_files":4}"#),
            event(2, "file_processing", Class::State, file),
        ];
        let mut job = folded(&events).unwrap();
        assert_eq!(job.record().message.as_deref(), Some("Reading /a"));
        assert!((job.record().progress - 25.0).abs() < f64::EPSILON);
        assert!(job.apply(&event(3, "error", Class::Fact, r#"{"message":"denied"}"#)));
        assert_eq!(job.status(), JobStatus::InProgress);
        assert_eq!(job.record().message.as_deref(), Some("denied"));
        assert!(!job.apply(&event(4, "note", Class::Fact, "{}")));
        assert!(job.apply(&event(5, "job_completed", Class::Terminal, "{}")));
        assert!((job.record().progress - 100.0).abs() < f64::EPSILON);
    }

    fn step() -> impl Strategy<Value = (usize, usize)> {
        (0_usize..10, 0_usize..6)
    }

    proptest! {
        /// A log that kept only the pinned events tells the same job.
        #[test]
        fn the_pinned_events_say_the_same(steps in proptest::collection::vec(step(), 1..60)) {
            const NAMES: [(&str, Class); 10] = [
                ("job_created", Class::Fact),
                ("queued", Class::Fact),
                ("job_started", Class::Fact),
                ("progress", Class::State),
                ("file_processing", Class::State),
                ("error", Class::Fact),
                ("error", Class::Terminal),
                ("cancel_requested", Class::Fact),
                ("job_completed", Class::Terminal),
                ("job_retried", Class::Fact),
            ];
            const DATA: [&str; 6] = [
                "{}",
                r#"{"message":"m"}"#,
                r#"{"progress":40}"#,
                r#"{"metadata":{"a":1}}"#,
                r#"{"metadata":{"b":1},"lease_ms":7,"name":"n"}"#,
                r#"{"processed_files":1,"total_files":2,"current_file":"f"}"#,
            ];
            let mut stage = Stage::default();
            let mut log = Vec::new();
            for (name, data) in steps {
                let (name, class) = NAMES[name];
                let event = event(log.len() as u64 + 1, name, class, DATA[data]);
                let Ok(next) = stage.after(Step::of(&event.name, class), None) else {
                    continue;
                };
                stage = next;
                log.push(Arc::new(Event {
                    attempt: (name == "job_retried").then_some(next.attempt),
                    ..Arc::into_inner(event).unwrap()
                }));
            }
            let Some(job) = folded(&log) else {
                return Ok(());
            };
            let mut kept: Vec<_> = job.pins().map(Arc::clone).collect();
            kept.extend(log.last().cloned());
            kept.sort_unstable_by_key(|event| event.seq);
            kept.dedup_by_key(|event| event.seq);
            let again = folded(&kept).unwrap();
            prop_assert_eq!(again.record(), job.record());
            prop_assert_eq!(again.stage(), job.stage());
            prop_assert_eq!(again.lease(), job.lease());
            prop_assert_eq!(again.cancelling(), job.cancelling());
        }
    }
}
