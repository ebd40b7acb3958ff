//! Webhooks: a worker that neither waits nor is connected is told that its job is to be given up,
//! and how a question was answered.
//!
//! The node that appended the event calls. What fails is repeated with growing pauses, as often as
//! the config says, and no longer than it is wanted; so a message may come more than once, always
//! with the same `webhook-id`. A node that starts calls again for every job that is to be given up:
//! whoever was to be told may not have been. Nothing waits for a webhook, and what it does not take
//! can be had by the long poll.

mod config;
mod message;
mod metrics;

pub use self::config::{Config, ReachSetting};
pub use self::metrics::Metrics;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::metrics::Outcome;
use crate::drain::Drain;
use crate::hub::{Hub, News};
use crate::topic::{Cursor, Event, Job, Kind, Seq, TopicName};
use crate::upstream::webhook::{Client, ConfigError, Message};

/// Most jobs that are looked at before others get a turn, at the start.
const LIST_CHUNK: usize = 256;

/// The event by which somebody wants a job to be given up.
const CANCEL: &str = "cancel_requested";

/// The event of a question and of its answer.
const CLARIFICATION: &str = "clarification";

/// Why nobody can be told.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// There is no secret.
    #[error("webhooks are signed: set `producer.webhook.secret`, better by a file")]
    NoSecret,
    /// The client could not be made.
    #[error(transparent)]
    Client(#[from] ConfigError),
    /// The address of the config may not be called.
    #[error("`producer.webhook.url`: {0}")]
    Address(#[from] crate::upstream::webhook::AddressError),
}

/// A handle to the webhooks; they may be off. Cheap to clone.
#[derive(Clone)]
pub struct Webhooks(Option<Arc<Shared>>);

struct Shared {
    config: Config,
    client: Client,
    hub: Hub,
    drain: Drain,
    metrics: Metrics,
    queue: Arc<Semaphore>,
    at_once: Semaphore,
    /// The ids of messages that are being told.
    telling: Mutex<HashSet<String>>,
}

/// A message that is being told. Dropped, it is not any more.
struct Telling {
    shared: Arc<Shared>,
    id: String,
    _place: OwnedSemaphorePermit,
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.shared.telling().remove(&self.id);
    }
}

/// Whether a message is still to be told.
#[derive(Debug, Clone)]
enum Until {
    /// As long as the job is to be given up.
    JobEnds(TopicName),
    /// Always.
    Told,
}

impl Webhooks {
    /// Begins to tell what this node appends from now on, and jobs that are to be given up already.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn start(
        config: Config,
        hub: &Hub,
        drain: &Drain,
        metrics: Metrics,
    ) -> Result<Self, SetupError> {
        if !config.is_on() {
            return Ok(Self(None));
        }
        let secret = config.secret.as_ref().ok_or(SetupError::NoSecret)?;
        let client = Client::new(secret.reveal(), config.reach.into(), config.timeout)?;
        if let Some(url) = &config.url {
            client.address(url)?;
        }
        let shared = Arc::new(Shared {
            client,
            hub: hub.clone(),
            drain: drain.clone(),
            metrics,
            queue: Arc::new(Semaphore::new(config.queue_max.max(1))),
            at_once: Semaphore::new(config.concurrency_max.max(1)),
            telling: Mutex::default(),
            config,
        });
        let (listening, news) = (Arc::clone(&shared), hub.news());
        drain.spawn(async move { listening.listen(news).await });
        Ok(Self(Some(shared)))
    }

    /// None, that tell nobody.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Whether a job may be told at an address.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub fn check(&self, address: &str) -> Result<(), String> {
        let Some(shared) = &self.0 else {
            return Err(refused_everywhere());
        };
        shared.check(address)
    }
}

fn refused_everywhere() -> String {
    "no host may be called for a job here: list it in `producer.webhook.hosts`".to_owned()
}

impl Shared {
    fn telling(&self) -> MutexGuard<'_, HashSet<String>> {
        self.telling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, address: &str) -> Result<(), String> {
        if self.config.hosts.is_empty() {
            return Err(refused_everywhere());
        }
        let url = self.client.address(address).map_err(|e| e.to_string())?;
        let host = url.host_str().unwrap_or_default();
        let is_listed = |listed: &String| listed == "*" || listed.eq_ignore_ascii_case(host);
        if self.config.hosts.iter().any(is_listed) {
            return Ok(());
        }
        Err(format!(
            "`{host}` may not be called for a job: list it in `producer.webhook.hosts`"
        ))
    }

    async fn listen(self: Arc<Self>, mut news: Receiver<News>) {
        self.catch_up().await;
        loop {
            let came = tokio::select! {
                came = news.recv() => came,
                () = self.drain.begun() => return,
            };
            match came {
                Ok(one) => self.hear(one).await,
                Err(RecvError::Lagged(missed)) => {
                    tracing::warn!(missed, "too much news at once: all jobs are looked at");
                    self.catch_up().await;
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    async fn hear(self: &Arc<Self>, news: News) {
        let News {
            topic,
            name,
            cursor,
        } = news;
        match (topic.kind(), name.as_str()) {
            (Kind::Job, CANCEL) => {
                // With other nodes the job may not be known here so far.
                let wanted = [(topic.clone(), Some(cursor))];
                let prepared = self.hub.prepare(&wanted).await;
                match self.hub.job(&topic).await {
                    Ok(Some((job, _))) => self.tell_of(&job),
                    Ok(None) => {}
                    Err(error) => {
                        tracing::warn!(%topic, %error, "a worker is not told by webhook");
                        self.metrics.ended(Outcome::Failed);
                    }
                }
                drop(prepared);
            }
            (_, CLARIFICATION) => {
                let event = self.event(&topic, &cursor).await;
                let message = event.as_deref().and_then(message::answer);
                if let (Some(message), Some(url)) = (message, self.config.url.clone()) {
                    self.tell(message, url, Until::Told);
                }
            }
            (_, _) => {}
        }
    }

    async fn event(&self, topic: &TopicName, cursor: &Cursor) -> Option<Arc<Event>> {
        let topic = self.hub.open(topic).await.ok().flatten()?;
        let before = Cursor {
            epoch: cursor.epoch.clone(),
            seq: Seq(cursor.seq.0.checked_sub(1)?),
        };
        let history = topic.history(Some(&before), 1).ok()?;
        history.events.into_iter().next()
    }

    /// Tells of every job that is to be given up.
    async fn catch_up(self: &Arc<Self>) {
        let mut after = None;
        loop {
            let page = match self.hub.jobs(None, after, LIST_CHUNK, |_, _| true).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!(%error, "jobs that are to be given up are not looked for");
                    return;
                }
            };
            for job in &page.jobs {
                self.tell_of(job);
            }
            match page.next {
                Some(last) if !self.drain.is_draining() => after = Some(last.to_string()),
                _ => return,
            }
        }
    }

    fn tell_of(self: &Arc<Self>, job: &Job) {
        let Some(message) = message::cancel(job) else {
            return;
        };
        let url = match job.webhook() {
            Some(own) => match self.check(own) {
                Ok(()) => own.to_owned(),
                Err(why) => {
                    let topic = job.topic();
                    tracing::warn!(%topic, why, "the webhook of a job is not called");
                    return self.metrics.ended(Outcome::Refused);
                }
            },
            None => match &self.config.url {
                Some(url) => url.clone(),
                None => return,
            },
        };
        self.tell(message, url, Until::JobEnds(job.topic().clone()));
    }

    fn tell(self: &Arc<Self>, message: Message, url: String, until: Until) {
        let Ok(place) = Arc::clone(&self.queue).try_acquire_owned() else {
            let id = &message.id;
            tracing::warn!(id, "too many webhooks wait (`producer.webhook.queue_max`)");
            return self.metrics.ended(Outcome::Dropped);
        };
        if !self.telling().insert(message.id.clone()) {
            return;
        }
        let telling = Telling {
            shared: Arc::clone(self),
            id: message.id.clone(),
            _place: place,
        };
        let shared = Arc::clone(self);
        self.drain.spawn(async move {
            if let Some(outcome) = shared.told(&message, &url, &until).await {
                shared.metrics.ended(outcome);
            }
            drop(telling);
        });
    }

    /// Tells a message until it is taken; nothing when the drain came first.
    async fn told(&self, message: &Message, url: &str, until: &Until) -> Option<Outcome> {
        let Ok(url) = self.client.address(url) else {
            return Some(Outcome::Refused);
        };
        let (id, mut pause) = (&message.id, self.config.retry_pause);
        let mut failed = None;
        for _ in 0..=self.config.retries_max {
            if failed.is_some() {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = self.drain.begun() => return None,
                }
                pause = (pause * 2).min(self.config.retry_pause_max);
            }
            if !self.is_wanted(message, until).await {
                return Some(Outcome::Moot);
            }
            let _turn = self.at_once.acquire().await.ok()?;
            self.metrics.called();
            match self.client.post(&url, message).await {
                Ok(()) => return Some(Outcome::Taken),
                Err(failure) if failure.is_transient() => {
                    tracing::debug!(id, %failure, "a webhook is tried again");
                    failed = Some(failure);
                }
                Err(failure) => {
                    tracing::warn!(id, %failure, "a worker refuses its webhook");
                    return Some(Outcome::Refused);
                }
            }
        }
        if let Some(failure) = failed {
            tracing::warn!(id, %failure, "a worker could not be told by webhook");
        }
        Some(Outcome::Failed)
    }

    async fn is_wanted(&self, message: &Message, until: &Until) -> bool {
        match until {
            Until::Told => true,
            // While the store is away nobody knows better.
            Until::JobEnds(topic) => match self.hub.job(topic).await {
                Ok(Some((job, _))) => {
                    message::cancel(&job).is_some_and(|wanted| wanted.id == message.id)
                }
                Ok(None) => false,
                Err(_) => true,
            },
        }
    }
}
