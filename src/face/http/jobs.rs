//! Jobs: created, moved from status to status, listed, and asked to stop.
//!
//! A job is its topic: each request here appends one event to `job:{id}`, which every other face
//! tells in its own words, and answers with the job as it is then. What the lifecycle forbids is
//! 409 with the status in `state`; the hub decides that, under the topic's lock.

mod fields;

use std::num::NonZeroU32;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::fields::Fields;
use crate::auth::Action;
use crate::face::http;
use crate::face::http::admission::{Caller, rate_headers};
use crate::face::http::exchange;
use crate::face::http::extract::{PathTexts, Query};
use crate::face::http::publish::header_key;
use crate::face::http::refusal::{Code, Refusal};
use crate::hub::{Idempotency, JobError};
use crate::topic::{Class, Draft, JobRecord, JobStatus, Kind, Step, TopicName};

/// Which jobs are asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    status: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

/// A page of jobs.
#[derive(Debug, Serialize)]
struct Page {
    jobs: Vec<JobRecord>,
    /// What to ask for `after` next, if more follows.
    next: Option<String>,
}

/// How a worker asks whether it is to stop.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stopping {
    #[serde(default, with = "crate::quantity::duration")]
    wait: Duration,
    attempt: Option<NonZeroU32>,
}

/// A request that moves a job, and the event that it becomes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Move {
    event: &'static str,
    /// What the event's `status` says.
    status: Option<JobStatus>,
    class: Option<Class>,
    step: Step,
}

const CREATE: Move = Move {
    event: "job_created",
    status: Some(JobStatus::Pending),
    class: None,
    step: Step::Create,
};

/// `POST /v1/jobs/{id}/queued`
pub(crate) const QUEUED: Move = Move {
    event: "queued",
    status: Some(JobStatus::Queued),
    class: None,
    step: Step::Queue,
};

/// `POST /v1/jobs/{id}/started`
pub(crate) const STARTED: Move = Move {
    event: "job_started",
    status: Some(JobStatus::InProgress),
    class: None,
    step: Step::Start,
};

/// `POST /v1/jobs/{id}/progress`
pub(crate) const PROGRESS: Move = Move {
    event: "progress",
    status: Some(JobStatus::InProgress),
    class: None,
    step: Step::Advance,
};

/// `POST /v1/jobs/{id}/completed`
pub(crate) const COMPLETED: Move = Move {
    event: "job_completed",
    status: Some(JobStatus::Completed),
    class: Some(Class::Terminal),
    step: Step::Complete,
};

/// `POST /v1/jobs/{id}/failed`
pub(crate) const FAILED: Move = Move {
    event: "error",
    status: Some(JobStatus::Failed),
    class: Some(Class::Terminal),
    step: Step::Fail,
};

/// `POST /v1/jobs/{id}/cancelled`
pub(crate) const CANCELLED: Move = Move {
    event: "cancelled",
    status: Some(JobStatus::Cancelled),
    class: Some(Class::Terminal),
    step: Step::Cancel,
};

/// `POST /v1/jobs/{id}/cancel`
pub(crate) const CANCEL: Move = Move {
    event: "cancel_requested",
    status: None,
    class: None,
    step: Step::AskCancel,
};

/// `POST /v1/jobs/{id}/retry`
pub(crate) const RETRY: Move = Move {
    event: "job_retried",
    status: Some(JobStatus::Pending),
    class: None,
    step: Step::Retry,
};

/// `POST /v1/jobs`
pub(crate) async fn create(
    State(state): State<http::State>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let mut fields = Fields::of(&state, &headers, body).await?;
    let id = match fields.take_id()? {
        Some(id) => id,
        None => uuid::Uuid::now_v7().simple().to_string(),
    };
    let topic = TopicName::new(Kind::Job, &id)?;
    caller.must_publish(&topic).await?;
    let (rate, job) = run((&state, &caller), topic, CREATE, (&headers, fields)).await?;
    Ok((StatusCode::CREATED, rate, exchange::to_json(&job)).into_response())
}

/// `POST /v1/jobs/{id}/...`: every request that moves a job.
pub(crate) async fn advance(
    State(state): State<http::State>,
    (caller, path): (Caller, PathTexts),
    headers: HeaderMap,
    (body, to): (Body, Move),
) -> Result<Response, Refusal> {
    let topic = topic(&path)?;
    // Whoever follows a job may ask for its end, as it may answer a question.
    let action = if to.step == Step::AskCancel {
        Action::Answer
    } else {
        Action::Publish
    };
    caller.must(action, &topic, unknown).await?;
    let (job, _) = state.hub().job(&topic).await?.ok_or(JobError::Unknown)?;
    let fields = Fields::of(&state, &headers, body).await?;
    // Asking twice is harmless, and one event is enough.
    if to.step == Step::AskCancel && job.cancelling().is_some() {
        job.stage().still(fields.attempt)?;
        return Ok(exchange::to_json(&job.record()));
    }
    let (rate, job) = run((&state, &caller), topic, to, (&headers, fields)).await?;
    Ok((rate, exchange::to_json(&job)).into_response())
}

/// `POST /v1/jobs/{id}/heartbeat`
pub(crate) async fn heartbeat(
    State(state): State<http::State>,
    (caller, path): (Caller, PathTexts),
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let topic = topic(&path)?;
    caller.must(Action::Publish, &topic, unknown).await?;
    let fields = Fields::of(&state, &headers, body).await?;
    let job = state.hub().heartbeat(&topic, fields.attempt).await?;
    Ok(exchange::to_json(&job.record()))
}

/// `GET /v1/jobs/{id}/cancel`: 200 when the job is wanted to be given up, 204 when nobody wants it
/// until `wait` has passed (at most `hub.answer_wait_max`), or when the gateway drains.
pub(crate) async fn stopping(
    State(state): State<http::State>,
    caller: Caller,
    path: PathTexts,
    Query(Stopping { wait, attempt }): Query<Stopping>,
) -> Result<Response, Refusal> {
    let topic = topic(&path)?;
    caller.must(Action::Await, &topic, unknown).await?;
    let asked = state.hub().wait_for_cancel(&topic, attempt, wait).await?;
    Ok(match asked {
        Some(request) => exchange::to_json(&json!({
            "id": topic.id(),
            "cancelling": true,
            "reason": request.reason,
            "requested_at": request.requested_at,
        })),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// `GET /v1/jobs/{id}`
pub(crate) async fn one(
    State(state): State<http::State>,
    caller: Caller,
    path: PathTexts,
) -> Result<Response, Refusal> {
    let topic = topic(&path)?;
    caller.must(Action::Read, &topic, unknown).await?;
    let (job, _) = state.hub().job(&topic).await?.ok_or(JobError::Unknown)?;
    Ok(exchange::to_json(&job.record()))
}

/// `GET /v1/jobs`
pub(crate) async fn list(
    State(state): State<http::State>,
    caller: Caller,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refusal> {
    let limit = state.limit(wanted.limit)?;
    let status = wanted.status.as_deref().map(str::parse::<JobStatus>);
    let status = status
        .transpose()
        .map_err(|error| Refusal::new(Code::QueryInvalid, format!("`status`: {error}")))?;
    let after = wanted.after.map(|id| format!("{}:{id}", Kind::Job));
    let shown = |topic: &TopicName, owner: Option<&str>| caller.may_read(topic, owner);
    let page = state.hub().jobs(status, after, limit, shown).await?;
    Ok(exchange::to_json(&Page {
        jobs: page.jobs.iter().map(crate::topic::Job::record).collect(),
        next: page.next.map(|topic| topic.id().to_owned()),
    }))
}

fn unknown(_: &TopicName) -> Refusal {
    JobError::Unknown.into()
}

fn topic(path: &PathTexts) -> Result<TopicName, Refusal> {
    let id = path.0.first().map_or("", String::as_str);
    Ok(TopicName::new(Kind::Job, id)?)
}

/// Appends the event, and gives the job as it is then.
async fn run(
    (state, caller): (&http::State, &Caller),
    topic: TopicName,
    to: Move,
    (headers, fields): (&HeaderMap, Fields),
) -> Result<(HeaderMap, JobRecord), Refusal> {
    let attempt = fields.attempt;
    let data = fields.into_data(to.status);
    let name = to.event.parse()?;
    let draft = Draft::json(topic.clone(), name, &data)?
        .with_class(to.class)
        .with_attempt(attempt);
    let draft = caller.own(draft, None)?;
    let quota = caller.count_events(1)?;
    let key = header_key(headers)?.map(Idempotency);
    state.hub().append(draft, key).await?;
    let (job, _) = state.hub().job(&topic).await?.ok_or(JobError::Unknown)?;
    Ok((rate_headers(quota), job.record()))
}
