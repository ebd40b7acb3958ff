//! The lifecycle of a job: its statuses, the steps between them, and which event is which step.
//!
//! Pure: the hub asks [`Stage::after`] under the topic's append lock before it numbers an event of
//! `job:{id}`, so a forbidden event never enters the log. A job nobody knows takes any step that
//! moves it forward: the gateway may have come, or come back, in the middle of the story.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::topic::{Class, EventName};

/// How far a job has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// Created; nobody has taken it.
    Pending,
    /// Waiting for a worker.
    Queued,
    /// A worker is at it.
    InProgress,
    /// It ended well.
    Completed,
    /// It ended badly.
    Failed,
    /// It was given up.
    Cancelled,
}

impl JobStatus {
    /// Every status, in the order of the story.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Queued,
        Self::InProgress,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Queued => "queued",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the story ends with it.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Pending | Self::Queued | Self::InProgress => false,
            Self::Completed | Self::Failed | Self::Cancelled => true,
        }
    }
}

impl fmt::Display for JobStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for JobStatus {
    type Err = JobStatusError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|status| status.as_str() == text);
        known.ok_or(JobStatusError)
    }
}

/// A text is no status of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a status is `pending`, `queued`, `in_progress`, `completed`, `failed` or `cancelled`")]
pub struct JobStatusError;

/// What an event does to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It exists from now on.
    Create,
    /// After it failed or was cancelled, it begins anew as its next attempt.
    Retry,
    /// It waits for a worker.
    Queue,
    /// A worker begins.
    Start,
    /// The worker goes on.
    Advance,
    /// It ends well.
    Complete,
    /// It ends badly.
    Fail,
    /// It is given up.
    Cancel,
    /// Somebody wants it to be given up; its status stays.
    AskCancel,
}

impl Step {
    /// The step that an event is, if it is one. A plain `error` is none (it may be about one file of
    /// many); a terminal event of another name completes the job.
    pub fn of(name: &EventName, class: Class) -> Option<Self> {
        let is_terminal = class == Class::Terminal;
        match name.as_str() {
            "job_created" => Some(Self::Create),
            "job_retried" => Some(Self::Retry),
            "queued" | "job_queued" => Some(Self::Queue),
            "started" | "job_started" => Some(Self::Start),
            "progress" | "file_processing" | "file_completed" => Some(Self::Advance),
            "completed" | "job_completed" => Some(Self::Complete),
            "failed" | "job_failed" => Some(Self::Fail),
            "error" => is_terminal.then_some(Self::Fail),
            "cancelled" | "job_cancelled" => Some(Self::Cancel),
            "cancel_requested" => Some(Self::AskCancel),
            _ => is_terminal.then_some(Self::Complete),
        }
    }
}

/// Where a job stands: what decides which step may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// Its status; none while nobody knows the job.
    pub status: Option<JobStatus>,
    /// Which attempt it is, from 1.
    pub attempt: NonZeroU32,
}

impl Default for Stage {
    fn default() -> Self {
        Self {
            status: None,
            attempt: NonZeroU32::MIN,
        }
    }
}

/// Why an event is not allowed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// The step does not lead on from the status.
    #[error("{}", told_state(*.state, *.step))]
    State {
        /// The status of the job; none if nobody knows it.
        state: Option<JobStatus>,
        /// The step that was wanted.
        step: Step,
    },
    /// The event is of another attempt: its worker was given up, and another may be at it.
    #[error(
        "the job is at attempt {attempt}, and this is of attempt {said}: stop working on it \
         (status `{}`)", named(*.state)
    )]
    Attempt {
        /// The status of the job; none if nobody knows it.
        state: Option<JobStatus>,
        /// The attempt the job is at.
        attempt: NonZeroU32,
        /// The attempt that the event is of.
        said: NonZeroU32,
    },
}

impl Forbidden {
    /// The status of the job, `unknown` if nobody knows it.
    pub const fn state(self) -> &'static str {
        match self {
            Self::State { state, .. } | Self::Attempt { state, .. } => named(state),
        }
    }
}

const fn named(state: Option<JobStatus>) -> &'static str {
    match state {
        Some(status) => status.as_str(),
        None => "unknown",
    }
}

fn told_state(state: Option<JobStatus>, step: Step) -> String {
    let state = named(state);
    match step {
        Step::Create => format!("the job exists already; it is `{state}`"),
        Step::Retry => format!(
            "the job is `{state}`: only one that is `failed` or `cancelled` can be tried again"
        ),
        Step::Queue => format!("the job is `{state}`: only a `pending` one can be queued"),
        Step::Start => {
            format!("the job is `{state}`: only a `pending` or `queued` one can be started")
        }
        Step::Advance => {
            format!("the job is `{state}`: only a `queued` or `in_progress` one makes progress")
        }
        Step::Complete => {
            format!("the job is `{state}`: only one that is `in_progress` can be completed")
        }
        Step::Fail | Step::Cancel | Step::AskCancel => {
            format!("the job is `{state}`: it has ended already")
        }
    }
}

impl Stage {
    /// Where the job stands after an event, whose step and attempt these are.
    ///
    /// # Errors
    /// [`Forbidden`].
    pub fn after(self, step: Option<Step>, said: Option<NonZeroU32>) -> Result<Self, Forbidden> {
        use JobStatus::{Cancelled, Completed, Failed, InProgress, Pending, Queued};

        let Self { status, attempt } = self;
        let attempt = match (status, step) {
            (None, _) => said.unwrap_or(attempt),
            (_, Some(Step::Retry)) => attempt.saturating_add(1),
            _ => attempt,
        };
        if let Some(said) = said.filter(|said| *said != attempt) {
            return Err(Forbidden::Attempt {
                state: status,
                attempt: self.attempt,
                said,
            });
        }
        let Some(step) = step else {
            return Ok(self);
        };
        let next = match (step, status) {
            (Step::Create, None) | (Step::Retry, Some(Failed | Cancelled)) => Pending,
            (Step::Queue, None | Some(Pending)) => Queued,
            (Step::Start, None | Some(Pending | Queued))
            | (Step::Advance, None | Some(Queued | InProgress)) => InProgress,
            (Step::Complete, None | Some(InProgress)) => Completed,
            (Step::Fail, None | Some(Pending | Queued | InProgress)) => Failed,
            (Step::Cancel, None | Some(Pending | Queued | InProgress)) => Cancelled,
            (Step::AskCancel, Some(status)) if !status.is_final() => status,
            _ => {
                return Err(Forbidden::State {
                    state: status,
                    step,
                });
            }
        };
        Ok(Self {
            status: Some(next),
            attempt,
        })
    }
}

impl Stage {
    /// Whether a worker of this attempt may go on.
    ///
    /// # Errors
    /// When the job has ended, or is at another attempt.
    pub fn still(self, said: Option<NonZeroU32>) -> Result<(), Forbidden> {
        self.after(Some(Step::AskCancel), said).map(drop)
    }

    /// Where a job stands after an event that is in the log, whatever was before: a log that has
    /// dropped its oldest events need not hold every step.
    #[must_use]
    pub fn moved(self, step: Option<Step>, said: Option<NonZeroU32>) -> Self {
        let Some(step) = step else {
            return self;
        };
        let status = match step {
            Step::Create | Step::Retry => JobStatus::Pending,
            Step::Queue => JobStatus::Queued,
            Step::Start | Step::Advance => JobStatus::InProgress,
            Step::Complete => JobStatus::Completed,
            Step::Fail => JobStatus::Failed,
            Step::Cancel => JobStatus::Cancelled,
            Step::AskCancel => self.status.unwrap_or(JobStatus::Pending),
        };
        let attempt = match (self.status, step) {
            (None, _) => said.unwrap_or(self.attempt),
            (_, Step::Retry) => said.unwrap_or_else(|| self.attempt.saturating_add(1)),
            _ => self.attempt,
        };
        Self {
            status: Some(status),
            attempt,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [Step; 9] = [
        Step::Create,
        Step::Retry,
        Step::Queue,
        Step::Start,
        Step::Advance,
        Step::Complete,
        Step::Fail,
        Step::Cancel,
        Step::AskCancel,
    ];

    /// The contract's table, written down once more: a row a step, a column a status in the order
    /// of the story, the unknown job last; `x` is refused, else the first letter of the outcome.
    const TABLE: [(&str, &str); 9] = [
        ("Create", "xxxxxxp"),
        ("Retry", "xxxxppx"),
        ("Queue", "qxxxxxq"),
        ("Start", "iixxxxi"),
        ("Advance", "xiixxxi"),
        ("Complete", "xxcxxxc"),
        ("Fail", "fffxxxf"),
        ("Cancel", "CCCxxxC"),
        ("AskCancel", "pqixxxx"),
    ];

    fn letter(status: JobStatus) -> char {
        match status {
            JobStatus::Cancelled => 'C',
            other => other.as_str().chars().next().unwrap(),
        }
    }

    #[test]
    fn every_step_from_every_status_is_as_the_table_says() {
        for (step, (name, row)) in STEPS.into_iter().zip(TABLE) {
            assert_eq!(format!("{step:?}"), name);
            let statuses = JobStatus::ALL.map(Some).into_iter().chain([None]);
            for (status, want) in statuses.zip(row.chars()) {
                let stage = Stage {
                    status,
                    ..Stage::default()
                };
                let got = stage
                    .after(Some(step), None)
                    .map_or('x', |stage| letter(stage.status.unwrap()));
                assert_eq!(got, want, "{name} from {status:?}");
                if let Ok(after) = stage.after(Some(step), None) {
                    assert_eq!(stage.moved(Some(step), None), after);
                }
            }
        }
    }

    #[test]
    fn a_worker_of_an_earlier_attempt_is_fenced() {
        let one = NonZeroU32::MIN;
        let two = NonZeroU32::new(2).unwrap();
        let mut stage = Stage::default()
            .after(Some(Step::Start), Some(one))
            .unwrap();
        stage = stage.after(Some(Step::Fail), None).unwrap();
        stage = stage.after(Some(Step::Retry), Some(two)).unwrap();
        stage = stage.after(Some(Step::Start), Some(two)).unwrap();
        for step in [Some(Step::Advance), Some(Step::Complete), None] {
            let refused = stage.after(step, Some(one)).unwrap_err();
            assert_eq!(refused.state(), "in_progress");
            assert!(refused.to_string().contains("attempt 2"), "{refused}");
        }
        assert!(stage.after(Some(Step::Advance), Some(two)).is_ok());
        assert_eq!(stage.attempt, two);
    }

    #[test]
    fn only_a_terminal_error_is_a_step() {
        let error = "error".parse().unwrap();
        assert_eq!(Step::of(&error, Class::Fact), None);
        assert_eq!(Step::of(&error, Class::Terminal), Some(Step::Fail));
        let other = "summary".parse().unwrap();
        assert_eq!(Step::of(&other, Class::Fact), None);
        assert_eq!(Step::of(&other, Class::Terminal), Some(Step::Complete));
        let ended = Stage {
            status: Some(JobStatus::Completed),
            ..Stage::default()
        };
        assert_eq!(ended.after(None, None), Ok(ended));
    }
}
