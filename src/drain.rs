//! The signal to finish, and the tracker of those who must.
//!
//! Every task of the process is spawned here, so that a drain knows when it is done.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A handle to the drain of the process. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Drain {
    begun: CancellationToken,
    doors: CancellationToken,
    tracker: TaskTracker,
}

impl Drain {
    /// A drain that has not begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs a future as a task of its own. A drain waits for it; long-lived ones end when
    /// [`Drain::begun`] resolves.
    pub fn spawn<F>(&self, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tracker.spawn(future);
    }

    /// Runs a function that blocks, off the worker threads. A drain waits for it.
    pub fn spawn_blocking<F>(&self, function: F)
    where
        F: FnOnce() + Send + 'static,
    {
        self.tracker.spawn_blocking(function);
    }

    /// Whether the process is to finish.
    pub fn is_draining(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Resolves when the process is to finish.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// Tells everybody to finish. Connections that are there may still ask; nobody new is let in.
    pub fn begin(&self) {
        self.begun.cancel();
        self.tracker.close();
    }

    /// Tells the listener to stop, and connections to end after what they are doing.
    pub fn close_doors(&self) {
        self.doors.cancel();
    }

    /// Resolves when the listener is to stop.
    pub async fn doors_closed(&self) {
        self.doors.cancelled().await;
    }

    /// Waits until all tasks have ended, at most `limit`. Returns how many had not.
    pub async fn finished(&self, limit: Duration) -> usize {
        let _ = tokio::time::timeout(limit, self.tracker.wait()).await;
        self.tracker.len()
    }
}

/// How a drain goes.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How long it may take.
    #[serde(with = "crate::quantity::duration")]
    pub limit: Duration,
    /// How long polling clients may take to fetch what is due to them.
    #[serde(with = "crate::quantity::duration")]
    pub polling_grace: Duration,
}
