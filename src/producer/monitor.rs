//! The monitor: the state of the machine, and the news of all jobs and documents, as events.
//!
//! Each of its three accounts is kept only while somebody watches it ([`Monitor::watch`]):
//! `system:metrics` gets a sample now and then, `system:jobs` what happened to jobs since the last
//! time (`job_updates`), `room:all_document_updates` a copy of every event of `documents:{user}`.
//! With several nodes each tells what it has appended itself, as long as somebody watches anywhere.

mod config;
mod sample;

pub use self::config::Config;
pub use self::sample::host_name;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use self::sample::Sampler;
use crate::drain::Drain;
use crate::hub::{Hub, News, Topic};
use crate::store;
use crate::topic::{Class, Cursor, Draft, Event, Kind, Seq, TopicName};

/// Most updates of jobs in one event.
const UPDATES_MAX: usize = 200;

/// How often nodes tell each other what is watched, and how long that holds.
const TOLD_EVERY: Duration = Duration::from_secs(1);
const TOLD_AGE: Duration = Duration::from_secs(5);

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
    is_watched_elsewhere: bool,
    is_running: bool,
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
        let monitor = Self(Arc::new(Shared {
            config,
            hub,
            drain,
            sampler: Arc::default(),
            kept: Mutex::default(),
            left: Notify::new(),
        }));
        if monitor.0.hub.store().is_shared() {
            let told = monitor.clone();
            monitor
                .0
                .drain
                .spawn(async move { told.tell_nodes().await });
        }
        monitor
    }

    /// Tells other nodes what is watched here, and keeps what is watched there.
    async fn tell_nodes(self) {
        let mut tick = tokio::time::interval(TOLD_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = self.0.drain.begun() => return,
            }
            for account in [Account::Jobs, Account::Documents] {
                if let Err(error) = self.tell_nodes_of(account).await {
                    tracing::debug!(%error, ?account, "nodes do not know what is watched");
                }
            }
        }
    }

    async fn tell_nodes_of(&self, account: Account) -> Result<(), store::Error> {
        let (store, topic) = (self.0.hub.store(), account.topic());
        if self.watchers(account) > 0 {
            return store.light(topic.as_str(), TOLD_AGE).await;
        }
        let is_watched = store.is_lit(topic.as_str()).await?;
        self.lock().entry(account).or_default().is_watched_elsewhere = is_watched;
        if is_watched {
            self.keep(account);
        } else {
            self.0.left.notify_waiters();
        }
        Ok(())
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
        self.lock().entry(account).or_default().watchers += 1;
        self.keep(account);
        watch
    }

    /// Keeps an account from now on, unless that is done already.
    fn keep(&self, account: Account) {
        let mut all = self.lock();
        if std::mem::replace(&mut all.entry(account).or_default().is_running, true) {
            return;
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
    }

    /// How many watch an account.
    pub fn watchers(&self, account: Account) -> usize {
        self.lock().get(&account).map_or(0, |kept| kept.watchers)
    }

    /// The state of the machine now, and of which node it is: the id that `/v1/admin/nodes` gives
    /// it, empty if it has no others.
    pub async fn sample(&self) -> Value {
        let sampler = Arc::clone(&self.0.sampler);
        let sampled = tokio::task::spawn_blocking(move || sampler.sample()).await;
        let mut sample = sampled.unwrap_or_else(|_| json!({}));
        let redis = self.0.hub.store().redis();
        sample["node"] = redis.map_or_else(|| json!(""), |redis| json!(redis.node_id()));
        sample
    }

    /// Whether the account is to be kept on; says that it is not kept if not.
    fn is_wanted(&self, account: Account) -> bool {
        let mut all = self.lock();
        let Some(kept) = all.get_mut(&account) else {
            return false;
        };
        let is_watched = kept.watchers > 0 || kept.is_watched_elsewhere;
        kept.is_running = is_watched && !self.0.drain.is_draining();
        kept.is_running
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
            let mut missed = 0;
            tokio::select! {
                came = news.recv() => match came {
                    Ok(one) if one.topic.kind() == Kind::Job => updates.push(one),
                    Ok(_) => continue,
                    Err(RecvError::Lagged(count)) => missed += count,
                    Err(RecvError::Closed) => return,
                },
                () = self.something_ends() => continue,
            }
            tokio::time::sleep(self.0.config.updates_interval).await;
            while updates.len() < UPDATES_MAX {
                match news.try_recv() {
                    Ok(one) if one.topic.kind() == Kind::Job => updates.push(one),
                    Ok(_) => {}
                    Err(TryRecvError::Lagged(count)) => missed += count,
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                }
            }
            let mut told = Vec::with_capacity(updates.len());
            for news in updates.drain(..) {
                told.push(self.update(&news).await);
            }
            let mut data = json!({ "updates": told });
            if missed > 0 {
                // Whoever watches asks for the jobs anew (`get_active_jobs`).
                tracing::warn!(missed, "too much news of jobs at once");
                data["missed"] = json!(missed);
            }
            self.append(Account::Jobs, "job_updates", &data).await;
        }
    }

    /// What happened to a job, at which place of its topic, and how the job stands now.
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
            "_seq": news.cursor.seq,
            "_epoch": news.cursor.epoch,
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
            let Some(event) = self.event(&one).await else {
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

    async fn event(&self, news: &News) -> Option<Arc<Event>> {
        let topic: Arc<Topic> = self.0.hub.open(&news.topic).await.ok().flatten()?;
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
