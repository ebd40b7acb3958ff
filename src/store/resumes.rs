//! Resumes: records by which somebody is known again after the process was killed.
//!
//! A face keeps a record under an id, and finds it after a restart. The hub and the store do not
//! look into it. In Redis all nodes find it. In memory nothing is kept, since nothing outlives the process. In a file the rows
//! have the order in which they were written; beyond `store.resumes_max` the oldest make room.

use tokio::sync::oneshot;

use crate::store::sqlite::{Job, KeptResume};
use crate::store::{Error, Store};

/// A handle to the records. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Resumes(Store);

impl Resumes {
    pub(crate) const fn new(store: Store) -> Self {
        Self(store)
    }

    /// Whether records are kept at all: in memory nothing is.
    pub fn are_kept(&self) -> bool {
        self.0.sqlite().is_some() || self.are_shared()
    }

    /// Whether other processes may have kept a newer record under the same id.
    pub fn are_shared(&self) -> bool {
        self.0.redis().is_some()
    }

    /// Keeps a record under an id, in place of the one before. When this returns it is as durable
    /// as a publish; it shares its commit. Calls that were begun one after the other keep their
    /// order.
    ///
    /// # Errors
    /// When it could not be written; the one before is still there then.
    pub async fn keep(&self, id: &str, record: Vec<u8>) -> Result<(), Error> {
        if let Some(redis) = self.0.redis() {
            return redis.keep_resume(id, &record).await;
        }
        let (told, kept) = oneshot::channel();
        let Some(room) = self.0.room(record.len()).await? else {
            return Ok(());
        };
        room.send(Job::KeepResume(Box::new(KeptResume {
            id: id.into(),
            record,
            done: Box::new(|result| drop(told.send(result))),
        })));
        answered(kept).await.map(drop)
    }

    /// The record of an id. One that is damaged counts as none. What was asked of
    /// [`Resumes::forget`] a moment ago may still be there.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn find(&self, id: &str) -> Result<Option<Vec<u8>>, Error> {
        if let Some(redis) = self.0.redis() {
            return redis.resume(id).await;
        }
        let Some(sqlite) = self.0.sqlite().cloned() else {
            return Ok(None);
        };
        let id = id.to_owned();
        let read = tokio::task::spawn_blocking(move || sqlite.resume(&id));
        read.await
            .unwrap_or_else(|error| Err(Error::Unavailable(error.to_string().into())))
    }

    /// Forgets the record of an id, soon. Returns as soon as that is certain to happen while the
    /// process runs; a record that is back after a restart is forgotten by
    /// [`Resumes::forget_earlier`].
    pub async fn forget(&self, id: &str) {
        if let Some(redis) = self.0.redis() {
            return redis.forget_resume(id).await;
        }
        if let Ok(Some(room)) = self.0.room(0).await {
            room.send(Job::ForgetResume(id.into()));
        }
    }

    /// Forgets the records that were kept before this process began and have not been kept again
    /// by it. Returns how many that were. Done some at a time, so that publishes go on.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn forget_earlier(&self) -> Result<u64, Error> {
        let mut forgotten = 0;
        loop {
            let (told, done) = oneshot::channel();
            let Some(room) = self.0.room(0).await? else {
                return Ok(forgotten);
            };
            room.send(Job::ForgetEarlierResumes(Box::new(|result| {
                drop(told.send(result));
            })));
            match answered(done).await? {
                0 => return Ok(forgotten),
                some => forgotten += some.unsigned_abs(),
            }
        }
    }
}

async fn answered(answer: oneshot::Receiver<Result<i64, Error>>) -> Result<i64, Error> {
    answer
        .await
        .unwrap_or_else(|_| Err(Error::Unavailable("the store has been closed".into())))
}
