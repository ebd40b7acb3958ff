//! Jobs: the lifecycle is guarded, a lease runs out, a worker hears that it is to stop.
//!
//! Every event of a job is judged under the topic's lock, against what is on its way as well
//! (`State::stage`), before it gets a number. So of two events that exclude each other one is
//! refused, and the end of a lease is told exactly once: it is an append like any other.
//! A lease is measured by this node's own clock, from the last event or heartbeat; after a restart
//! it begins anew, since nobody could be heard meanwhile.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::hub::settle::{Submitted, Work};
use crate::hub::topic::State;
use crate::hub::{AppendError, Hub, Topic, TopicFilter};
use crate::store::{self, Sign};
use crate::topic::{
    CancelRequest, Class, Cursor, Draft, Event, Forbidden, Job, JobStatus, Kind, Stage, Step,
    TopicName,
};

/// When a lease that could not be ended is tried again.
const EXPIRE_AGAIN: Duration = Duration::from_secs(1);

/// How many topics are looked at before others get a turn, when jobs are listed.
const LIST_CHUNK: usize = 256;

/// Why nothing can be done with a job.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JobError {
    /// Nobody knows it.
    #[error("there is no such job")]
    Unknown,
    /// It has ended, or is at another attempt.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The store cannot be asked.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// A page of jobs.
#[derive(Debug)]
pub struct JobPage {
    /// The jobs, in the order of their ids.
    pub jobs: Vec<Job>,
    /// The topic after which the next page begins, if there is one.
    pub next: Option<TopicName>,
}

/// The end of a lease.
pub(crate) enum Lease {
    /// There is none, or the job has ended.
    None,
    /// It runs until then.
    Until(Instant),
}

impl Hub {
    /// A job, and the place up to which its events are told in it.
    ///
    /// # Errors
    /// While the store is away.
    pub async fn job(&self, name: &TopicName) -> Result<Option<(Job, Cursor)>, store::Error> {
        let topic = self.open(name).await?;
        Ok(topic.and_then(|topic| topic.job()))
    }

    /// A page of up to `limit` jobs after a topic, all or of one status, of those that `is_shown`
    /// says may be seen, by name and owner.
    ///
    /// # Errors
    /// While the store is away.
    pub async fn jobs(
        &self,
        status: Option<JobStatus>,
        after: Option<String>,
        limit: usize,
        is_shown: impl Fn(&TopicName, Option<&str>) -> bool,
    ) -> Result<JobPage, store::Error> {
        let mut filter = TopicFilter {
            kind: Some(Kind::Job),
            prefix: None,
            after,
        };
        let mut jobs = Vec::new();
        loop {
            let page = self.topics(&filter, LIST_CHUNK, &is_shown).await?;
            for line in &page.topics {
                let Some((job, _)) = self.job(&line.topic).await? else {
                    continue;
                };
                if status.is_some_and(|status| status != job.status()) {
                    continue;
                }
                if jobs.len() == limit {
                    let next = jobs.last().map(|job: &Job| job.topic().clone());
                    return Ok(JobPage { jobs, next });
                }
                jobs.push(job);
            }
            match page.topics.last() {
                Some(last) if page.more => filter.after = Some(last.topic.as_str().to_owned()),
                _ => return Ok(JobPage { jobs, next: None }),
            }
            tokio::task::yield_now().await;
        }
    }

    /// Renews the lease of a job, without an event.
    ///
    /// # Errors
    /// [`JobError`].
    pub async fn heartbeat(
        &self,
        name: &TopicName,
        attempt: Option<std::num::NonZeroU32>,
    ) -> Result<Job, JobError> {
        let topic = self.open(name).await?.ok_or(JobError::Unknown)?;
        if let Some(redis) = self.0.store.redis() {
            // Whoever watches the lease asks for it there.
            redis.heard(name, Sign::Given).await?;
        }
        let mut state = topic.lock();
        let job = state.fold.job().cloned().ok_or(JobError::Unknown)?;
        state.stage.still(attempt)?;
        state.heard_at = Instant::now();
        Ok(job)
    }

    /// Waits until somebody wants the job to be given up, at most `wait` (bounded by
    /// `hub.answer_wait_max`). Nothing if nobody did until then.
    ///
    /// # Errors
    /// [`JobError`] when there is nothing to give up.
    pub async fn wait_for_cancel(
        &self,
        name: &TopicName,
        attempt: Option<std::num::NonZeroU32>,
        wait: Duration,
    ) -> Result<Option<CancelRequest>, JobError> {
        self.open(name).await?.ok_or(JobError::Unknown)?;
        let wanted = [(name.clone(), None)];
        let prepared = self.prepare(&wanted).await;
        let _followed = prepared.map_err(|_| store::Error::Busy)?;
        let topic = self.topic(name).ok_or(JobError::Unknown)?;
        let wait = wait.min(self.0.config.answer_wait_max);
        let deadline = Instant::now() + wait;
        loop {
            let told = topic.clarified.notified();
            tokio::pin!(told);
            told.as_mut().enable();
            {
                let state = topic.lock();
                let job = state.fold.job().ok_or(JobError::Unknown)?;
                job.stage().still(attempt)?;
                if let Some(request) = job.cancelling() {
                    return Ok(Some(request.clone()));
                }
            }
            tokio::select! {
                () = told => {}
                () = tokio::time::sleep_until(deadline) => return Ok(None),
                () = self.0.drain.begun() => return Ok(None),
            }
        }
    }

    /// Whether the lifecycle lets a draft in. A job that begins anew is told which attempt it is.
    pub(crate) fn permit(&self, state: &State, draft: &mut Draft) -> Result<(), Forbidden> {
        let class = draft
            .class
            .unwrap_or_else(|| self.0.config.classes.of(draft.name()));
        let step = Step::of(draft.name(), class);
        let next = state.stage.after(step, draft.attempt)?;
        if step == Some(Step::Retry) {
            draft.attempt = Some(next.attempt);
        }
        Ok(())
    }

    /// After an event of a job became visible: whoever waits to hear that it is to stop is told, and
    /// a lease is watched.
    pub(crate) fn see_to_job(&self, topic: &Arc<Topic>, event: &Event) {
        let stops = matches!(
            Step::of(&event.name, event.class),
            Some(Step::AskCancel | Step::Complete | Step::Fail | Step::Cancel | Step::Retry)
        );
        if stops {
            topic.clarified.notify_waiters();
        }
        self.watch_lease(topic);
    }

    /// Sees to it that the end of the job's lease is waited for, if it has one.
    pub(crate) fn watch_lease(&self, topic: &Arc<Topic>) {
        {
            let mut state = topic.lock();
            if state.is_lease_watched || matches!(state.lease(), Lease::None) {
                return;
            }
            state.is_lease_watched = true;
        }
        let (hub, topic) = (self.clone(), Arc::clone(topic));
        // Somebody must watch it, so the topic stays here as long.
        let followed = self.pin(topic.name());
        self.0.drain.spawn(async move {
            hub.wait_for_lease(&topic).await;
            drop(followed);
        });
    }

    async fn wait_for_lease(&self, topic: &Arc<Topic>) {
        loop {
            let until = {
                let mut state = topic.lock();
                match state.lease() {
                    Lease::Until(until) if !state.is_retired => until,
                    Lease::Until(_) | Lease::None => {
                        state.is_lease_watched = false;
                        return;
                    }
                }
            };
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                () = self.0.drain.begun() => return,
            }
            if let Err(error) = self.end_lease(topic).await {
                let topic = topic.name();
                tracing::warn!(%topic, %error, "a job whose worker is lost could not be ended yet");
                tokio::time::sleep(EXPIRE_AGAIN).await;
            }
        }
    }

    /// Ends the job if its lease has run out.
    async fn end_lease(&self, topic: &Arc<Topic>) -> Result<(), AppendError> {
        if let Some(redis) = self.0.store.redis() {
            return self.end_lease_in(redis, topic).await;
        }
        let room = self.0.store.room(0).await?;
        let submitted = {
            let state = topic.lock();
            match state.lease() {
                Lease::Until(until) if until <= Instant::now() => {}
                Lease::Until(_) | Lease::None => return Ok(()),
            }
            let Some(draft) = lost(topic.name(), &state) else {
                return Ok(());
            };
            let work = Work {
                draft,
                claim: None,
                keyed: None,
            };
            self.submit(topic, state, work, room)
        };
        match submitted {
            Submitted::Settled(settled) => drop(settled?),
            sent @ Submitted::Sent(_) => drop(sent.wait().await?),
        }
        Ok(())
    }

    /// Watches the leases of jobs that were found when the store was opened.
    pub(crate) async fn watch_found_leases(self, topics: Vec<Arc<Topic>>) {
        for topic in topics {
            self.watch_lease(&topic);
            tokio::task::yield_now().await;
        }
    }
}

impl State {
    pub(crate) fn lease(&self) -> Lease {
        let lease = self.fold.job().and_then(Job::lease);
        match (lease, self.stage.status) {
            (Some(lease), Some(status)) if !status.is_final() => {
                Lease::Until(self.heard_at + lease)
            }
            _ => Lease::None,
        }
    }
}

/// The event that ends a job whose worker is lost.
pub(crate) fn lost(name: &TopicName, state: &State) -> Option<Draft> {
    let lease = state.fold.job().and_then(Job::lease)?;
    let Stage { attempt, .. } = state.stage;
    let data = json!({
        "message": format!("worker_lost: nothing was heard of the worker within its lease of {lease:?}"),
        "code": "worker_lost",
        "metadata": { "error": "worker_lost" },
    });
    let event = "error".parse().expect("a name of an event");
    let draft = Draft::json(name.clone(), event, &data.to_string()).expect("a payload of ours");
    let draft = draft.with_class(Some(Class::Terminal));
    Some(draft.with_attempt(Some(attempt)))
}
