//! The monitor: the state of the machine, and the news of all jobs and documents, as events.
//!
//! Each of its three accounts is kept only while somebody watches it ([`Monitor::watch`]):
//! `system:metrics` gets a sample now and then, `system:jobs` what happened to jobs since the last
//! time (`job_updates`), `room:all_document_updates` a copy of every event of `documents:{user}`.

mod config;
mod sample;

pub use self::config::Config;
pub use self::sample::host_name;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::sync::broadcast::error::RecvError;

use self::sample::Sampler;
use crate::drain::Drain;
use crate::hub::{Hub, News, Topic};
use crate::topic::{Class, Cursor, Draft, Event, Kind, Seq, TopicName};

/// Most updates of jobs in one event.
const UPDATES_MAX: usize = 200;

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Account {
    /// The machine, in `system:metrics`.
    Metrics,
    /// All jobs, in `system:jobs`.
    Jobs,
    /// The documents of all users, in `room:all_document_updates`.
    Documents,
}

impl Account {
    /// Where its events are.
    pub fn topic(self) -> TopicName {
        let (kind, id) = match self {
            Self::Metrics => (Kind::System, "metrics"),
            Self::Jobs => (Kind::System, "jobs"),
            Self::Documents => (Kind::Room, "all_document_updates"),
        };
        TopicName::new(kind, id).expect("the names of accounts are names")
    }
}

/// A handle to the monitor. Cheap to clone.
#[derive(Clone)]
pub struct Monitor(Arc<Shared>);

struct Shared {
    config: Config,
    hub: Hub,
    drain: Drain,
    sampler: Arc<Sampler>,
    kept: Mutex<HashMap<Account, Kept>>,
    left: Notify,
}

/// Who keeps an account, and for how many.
#[derive(Default)]
struct Kept {
    watchers: usize,
    is_kept: bool,
}

/// Somebody who watches; dropped, they watch no more.
pub struct Watch {
    monitor: Monitor,
    account: Account,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Watch").field(&self.account).finish()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut kept = self.monitor.lock();
        if let Some(kept) = kept.get_mut(&self.account) {
            kept.watchers -= 1;
        }
        self.monitor.0.left.notify_waiters();
    }
}

impl Monitor {
    /// A monitor that does nothing yet.
    pub fn new(config: Config, hub: Hub, drain: Drain) -> Self {
        Self(Arc::new(Shared {
            config,
            hub,
            drain,
            sampler: Arc::default(),
            kept: Mutex::default(),
            left: Notify::new(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Account, Kept>> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an account as long as what is returned lives.
    pub fn watch(&self, account: Account) -> Watch {
        let watch = Watch {
            monitor: self.clone(),
            account,
        };
        let mut all = self.lock();
        let kept = all.entry(account).or_default();
        kept.watchers += 1;
        if std::mem::replace(&mut kept.is_kept, true) {
            return watch;
        }
        drop(all);
        let monitor = self.clone();
        // Listening begins here, so that what happens from now on is in the account.
        let news = self.0.hub.news();
        self.0.drain.spawn(async move {
            match account {
                Account::Metrics => monitor.keep_metrics().await,
                Account::Jobs => monitor.keep_jobs(news).await,
                Account::Documents => monitor.keep_documents(news).await,
            }
        });
        watch
    }

    /// How many watch an account.
    pub fn watchers(&self, account: Account) -> usize {
        self.lock().get(&account).map_or(0, |kept| kept.watchers)
    }

    /// The state of the machine now.
    pub async fn sample(&self) -> Value {
        let sampler = Arc::clone(&self.0.sampler);
        let sampled = tokio::task::spawn_blocking(move || sampler.sample()).await;
        sampled.unwrap_or_else(|_| json!({}))
    }

    /// Whether the account is to be kept on; says that it is not kept if not.
    fn is_wanted(&self, account: Account) -> bool {
        let mut all = self.lock();
        let Some(kept) = all.get_mut(&account) else {
            return false;
        };
        kept.is_kept = kept.watchers > 0 && !self.0.drain.is_draining();
        kept.is_kept
    }

    /// Waits until something was left or the drain began.
    async fn something_ends(&self) {
        tokio::select! {
            () = self.0.left.notified() => {}
            () = self.0.drain.begun() => {}
        }
    }

    async fn keep_metrics(self) {
        while self.is_wanted(Account::Metrics) {
            tokio::select! {
                () = tokio::time::sleep(self.0.config.interval) => {
                    let sample = self.sample().await;
                    self.append(Account::Metrics, "system_metrics", &sample).await;
                }
                () = self.something_ends() => {}
            }
        }
    }

    async fn keep_jobs(self, mut news: tokio::sync::broadcast::Receiver<News>) {
        let mut updates: Vec<News> = Vec::new();
        while self.is_wanted(Account::Jobs) {
            tokio::select! {
                came = news.recv() => match came {
                    Ok(one) if one.topic.kind() == Kind::Job => updates.push(one),
                    // What was missed shows in the job's next update.
                    Ok(_) | Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => return,
                },
                () = self.something_ends() => continue,
            }
            tokio::time::sleep(self.0.config.updates_interval).await;
            while updates.len() < UPDATES_MAX
                && let Ok(one) = news.try_recv()
            {
                if one.topic.kind() == Kind::Job {
                    updates.push(one);
                }
            }
            let mut told = Vec::with_capacity(updates.len());
            for news in updates.drain(..) {
                told.push(self.update(&news).await);
            }
            self.append(Account::Jobs, "job_updates", &json!({ "updates": told }))
                .await;
        }
    }

    /// What happened to a job, with how it stands now.
    async fn update(&self, news: &News) -> Value {
        let job = self.0.hub.job(&news.topic).await.ok().flatten();
        let (status, progress) = job.map_or((Value::Null, Value::Null), |(job, _)| {
            let record = job.record();
            (json!(record.status), json!(record.progress))
        });
        json!({
            "job_id": news.topic.id(),
            "event": news.name,
            "status": status,
            "progress": progress,
        })
    }

    async fn keep_documents(self, mut news: tokio::sync::broadcast::Receiver<News>) {
        while self.is_wanted(Account::Documents) {
            let one = tokio::select! {
                came = news.recv() => match came {
                    Ok(one) if one.topic.kind() == Kind::Documents => one,
                    Ok(_) => continue,
                    Err(RecvError::Lagged(missed)) => {
                        tracing::warn!(missed, "too much news of documents at once");
                        continue;
                    }
                    Err(RecvError::Closed) => return,
                },
                () = self.something_ends() => continue,
            };
            let Some(event) = self.event(&one) else {
                continue;
            };
            let Some(text) = event.payload.json() else {
                continue;
            };
            let mut data: Value = serde_json::from_str(text).unwrap_or_default();
            if let Some(members) = data.as_object_mut() {
                members.remove("_seq");
                members.remove("_epoch");
                members.insert("user_id".to_owned(), json!(one.topic.id()));
            }
            self.append(Account::Documents, one.name.as_str(), &data)
                .await;
        }
    }

    fn event(&self, news: &News) -> Option<Arc<Event>> {
        let topic: Arc<Topic> = self.0.hub.topic(&news.topic)?;
        let before = Cursor {
            epoch: news.cursor.epoch.clone(),
            seq: Seq(news.cursor.seq.0 - 1),
        };
        let history = topic.history(Some(&before), 1).ok()?;
        history.events.into_iter().next()
    }

    async fn append(&self, account: Account, name: &str, data: &Value) {
        let name = name.parse().expect("the name is one of an event");
        let class = match account {
            Account::Metrics => Class::State,
            Account::Jobs | Account::Documents => Class::Fact,
        };
        match Draft::json(account.topic(), name, &data.to_string()) {
            Ok(draft) => {
                let appended = self.0.hub.append(draft.with_class(Some(class)), None).await;
                if let Err(error) = appended {
                    tracing::warn!(%error, ?account, "what was watched is not told");
                }
            }
            Err(error) => tracing::warn!(%error, ?account, "what was watched is not told"),
        }
    }
}
