//! Resumes in Redis: a client that comes back is known on every node.
//!
//! A record lives for `store.redis.resume_age_max` and is renewed by the node that kept it last, as
//! long as that node has not forgotten it: so the records of a node that was killed go by themselves.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use fred::error::Error as Fault;
use fred::interfaces::{ClientLike as _, KeysInterface as _};
use fred::types::Expiration;
use futures_util::StreamExt as _;
use tokio::time::Instant;
use uuid::Uuid;

use crate::drain::Drain;
use crate::store::Error;
use crate::store::redis::{Answer, Redis, argument};

/// Records that are renewed at the same time.
const AT_ONCE: usize = 64;

/// The records that this node kept last.
pub(super) struct Kept {
    /// Stands before each record: by it a node knows its own.
    node: Uuid,
    renewed: Mutex<HashMap<Box<str>, Instant>>,
}

impl Kept {
    pub(super) fn new() -> Self {
        Self {
            node: Uuid::new_v4(),
            renewed: Mutex::default(),
        }
    }

    /// This node, among those that share the prefix.
    pub(super) const fn node(&self) -> Uuid {
        self.node
    }

    fn renewed(&self) -> MutexGuard<'_, HashMap<Box<str>, Instant>> {
        self.renewed.lock().expect("no holder of the list panics")
    }
}

impl Redis {
    fn resume_key(&self, id: &str) -> String {
        format!("{}resume:{id}", self.0.config.redis.prefix)
    }

    fn resume_age(&self) -> Duration {
        self.0.config.redis.resume_age_max
    }

    /// Keeps a record under an id.
    ///
    /// # Errors
    /// While Redis is away, or when there are too many records.
    pub(crate) async fn keep_resume(&self, id: &str, record: &[u8]) -> Result<(), Error> {
        self.generation()?;
        {
            let mut renewed = self.0.kept.renewed();
            if renewed.len() >= self.0.config.resumes_max && !renewed.contains_key(id) {
                return Err(Error::Busy);
            }
            renewed.insert(id.into(), Instant::now());
        }
        let value = [self.0.kept.node.as_bytes(), record].concat();
        let age_ms = i64::try_from(self.resume_age().as_millis()).unwrap_or(i64::MAX);
        let commands = self.0.commands.with_options(&self.0.options);
        let set = commands.set(
            self.resume_key(id),
            Bytes::from(value),
            Some(Expiration::PX(age_ms)),
            None,
            false,
        );
        let set: Result<(), Fault> = Box::pin(set).await;
        set.map_err(|error| self.failed(&error))
    }

    /// The record of an id.
    ///
    /// # Errors
    /// While Redis is away.
    pub(crate) async fn resume(&self, id: &str) -> Result<Option<Vec<u8>>, Error> {
        self.generation()?;
        let commands = self.0.commands.with_options(&self.0.options);
        let found: Result<Option<Bytes>, Fault> = Box::pin(commands.get(self.resume_key(id))).await;
        let found = found.map_err(|error| self.failed(&error))?;
        Ok(found.and_then(|value| value.get(16..).map(<[u8]>::to_vec)))
    }

    /// Forgets the record of an id, unless another node has kept it since.
    pub(crate) async fn forget_resume(&self, id: &str) {
        self.0.kept.renewed().remove(id);
        let keys = vec![self.resume_key(id)];
        let args = vec![Bytes::copy_from_slice(self.0.kept.node.as_bytes())];
        if let Err(error) = self.run(&self.0.scripts.forget, keys, args).await {
            // It goes by its age.
            tracing::debug!(%error, "a record was not forgotten yet");
        }
    }

    async fn renew_until(&self, drain: &Drain) {
        let age = self.resume_age();
        let mut tick = tokio::time::interval(age / 8);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = drain.doors_closed() => return,
            }
            let now = Instant::now();
            let due: Vec<Box<str>> = {
                let renewed = self.0.kept.renewed();
                let old = renewed.iter().filter(|(_, at)| now - **at >= age / 4);
                old.map(|(id, _)| id.clone()).collect()
            };
            futures_util::stream::iter(due)
                .for_each_concurrent(AT_ONCE, async |id| self.renew(&id).await)
                .await;
        }
    }

    async fn renew(&self, id: &str) {
        let keys = vec![self.resume_key(id)];
        let args = vec![
            Bytes::copy_from_slice(self.0.kept.node.as_bytes()),
            argument(self.resume_age().as_millis()),
        ];
        match self.run(&self.0.scripts.renew, keys, args).await {
            Ok(Answer::Told(word, _)) if word == "gone" => {
                // Another node has the client now.
                self.0.kept.renewed().remove(id);
            }
            Ok(_) => {
                if let Some(at) = self.0.kept.renewed().get_mut(id) {
                    *at = Instant::now();
                }
            }
            Err(error) => tracing::debug!(%error, "a record was not renewed yet"),
        }
    }
}

pub(super) fn start(redis: &Redis, drain: &Drain) {
    let (redis, until) = (redis.clone(), drain.clone());
    drain.spawn(async move { redis.renew_until(&until).await });
}
