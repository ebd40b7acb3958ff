//! Intake: what others publish on channels of Redis, and who of the nodes acts on it.
//!
//! Channels are not a log: what is published while nobody listens is lost, and so is what comes
//! faster than it is taken. Every node hears everything; the one that holds the lease acts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use fred::clients::Client;
use fred::interfaces::{ClientLike as _, EventInterface as _, PubsubInterface as _};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::drain::Drain;
use crate::store::redis::{Answer, Redis, argument};

/// How often a subscription or lease that failed is tried again.
const AGAIN: Duration = Duration::from_millis(250);

/// What was heard.
#[derive(Debug)]
pub enum Heard {
    /// A message of a channel.
    Message {
        /// The channel.
        channel: String,
        /// What was published.
        data: Bytes,
    },
    /// So many messages came too fast.
    Lost(u64),
}

/// Listens to channels on a connection of its own.
pub struct Intake {
    client: Client,
    patterns: Vec<String>,
}

impl Redis {
    /// An intake of the channels that match one of these patterns.
    pub(crate) fn intake(&self, patterns: Vec<String>) -> Intake {
        Intake {
            client: self.0.commands.clone_new(),
            patterns,
        }
    }

    /// A lease of this name, tried for until the drain.
    pub(crate) fn lease(&self, name: &str, age: Duration, drain: &Drain) -> Lease {
        let lease = Lease(Arc::new(Held {
            is_released: AtomicBool::new(false),
            until: Mutex::new(None),
        }));
        let key = format!("{}lease:{name}", self.0.config.redis.prefix);
        let (redis, held, until) = (self.clone(), lease.clone(), drain.clone());
        drain.spawn(async move {
            loop {
                held.set(redis.hold(&key, age).await);
                tokio::select! {
                    () = tokio::time::sleep(AGAIN.min(age / 4)) => {}
                    () = until.doors_closed() => break,
                }
            }
            held.set(None);
            if !held.0.is_released.swap(true, Ordering::Relaxed) {
                redis.hold(&key, Duration::ZERO).await;
            }
        });
        lease
    }

    /// Takes or renews a lease. Returns until when it surely holds.
    async fn hold(&self, key: &str, age: Duration) -> Option<Instant> {
        self.generation().ok()?;
        let begun = Instant::now();
        let args = vec![
            Bytes::copy_from_slice(self.0.kept.node().as_bytes()),
            argument(age.as_millis()),
        ];
        let script = &self.0.scripts.lease;
        match self.run(script, vec![key.to_owned()], args).await {
            Ok(Answer::Told(word, _)) if word == "mine" => Some(begun + age),
            Ok(_) | Err(_) => None,
        }
    }
}

/// Whether this node is the one that acts. Cheap to clone.
#[derive(Clone)]
pub struct Lease(Arc<Held>);

struct Held {
    is_released: AtomicBool,
    until: Mutex<Option<Instant>>,
}

impl Lease {
    /// Whether this node holds it now.
    pub fn is_held(&self) -> bool {
        let until = self.0.until.lock().expect("no holder of it panics");
        until.is_some_and(|until| Instant::now() < until)
    }

    /// Whether this node holds it for so much longer: nobody else does until then.
    pub fn is_held_for(&self, ahead: Duration) -> bool {
        let until = self.0.until.lock().expect("no holder of it panics");
        until.is_some_and(|until| Instant::now() + ahead < until)
    }

    fn set(&self, until: Option<Instant>) {
        *self.0.until.lock().expect("no holder of it panics") = until;
    }
}

impl Intake {
    /// Hands on what is heard, in its order, until the drain or until nobody takes it.
    pub async fn run(self, drain: Drain, taken: mpsc::Sender<Heard>) {
        let mut messages = self.client.message_rx();
        let mut made = self.client.reconnect_rx();
        let task = self.client.connect();
        let mut is_subscribed = false;
        let mut again = tokio::time::interval(AGAIN);
        loop {
            tokio::select! {
                biased;
                () = drain.doors_closed() => break,
                _ = made.recv() => is_subscribed = self.subscribe().await,
                message = messages.recv() => match message {
                    Ok(message) => {
                        let channel = message.channel.to_string();
                        if let Some(data) = message.value.into_bytes()
                            && taken.send(Heard::Message { channel, data }).await.is_err()
                        {
                            break;
                        }
                    }
                    Err(RecvError::Lagged(lost)) => drop(taken.send(Heard::Lost(lost)).await),
                    Err(RecvError::Closed) => break,
                },
                _ = again.tick(), if !is_subscribed && self.client.is_connected() => {
                    is_subscribed = self.subscribe().await;
                }
            }
        }
        task.abort();
    }

    async fn subscribe(&self) -> bool {
        for pattern in &self.patterns {
            if let Err(error) = self.client.psubscribe(pattern.clone()).await {
                tracing::debug!(pattern, error = error.details(), "not subscribed");
                return false;
            }
        }
        true
    }
}
