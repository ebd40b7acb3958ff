//! The signal to finish, and the tracker of those who must.
//!
//! Every task of the process is spawned here, so that a drain knows when it is done.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A handle to the drain of the process. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Drain {
    begun: CancellationToken,
    doors: CancellationToken,
    given_up: CancellationToken,
    turns: Arc<Mutex<Turns>>,
    tracker: TaskTracker,
}

/// Who is closed when.
#[derive(Debug, Default)]
struct Turns {
    gap: Duration,
    next: Option<Instant>,
}

/// A connection's turn to be closed in a drain.
#[derive(Debug, Default)]
pub struct Turn(Option<Instant>);

impl Turn {
    /// Resolves when the drain has come to this connection. Dropping the future loses no place.
    pub async fn comes(&mut self, drain: &Drain) {
        drain.begun().await;
        let at = *self.0.get_or_insert_with(|| drain.next_turn());
        tokio::time::sleep_until(at).await;
    }
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

    /// Tells everybody to finish, connections all at once.
    pub fn begin(&self) {
        self.begin_in_turn(Duration::ZERO);
    }

    /// Tells everybody to finish, connections one after the other, with a gap between two. Those
    /// that are there may still ask; nobody new is let in.
    pub fn begin_in_turn(&self, gap: Duration) {
        self.turns().gap = gap;
        self.begun.cancel();
        self.tracker.close();
    }

    fn next_turn(&self) -> Instant {
        let mut turns = self.turns();
        let now = Instant::now();
        let at = turns.next.map_or(now, |next| next.max(now));
        turns.next = Some(at + turns.gap);
        at
    }

    fn turns(&self) -> std::sync::MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the listener to stop, and connections to end after what they are doing.
    pub fn close_doors(&self) {
        self.doors.cancel();
    }

    /// Resolves when the listener is to stop.
    pub async fn doors_closed(&self) {
        self.doors.cancelled().await;
    }

    /// Whether the listener has been told to stop.
    pub fn are_doors_closed(&self) -> bool {
        self.doors.is_cancelled()
    }

    /// Tells those that wait for somebody else to wait no longer.
    pub fn give_up(&self) {
        self.given_up.cancel();
    }

    /// Resolves when nobody else is to be waited for any more.
    pub async fn gave_up(&self) {
        self.given_up.cancelled().await;
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
    /// Most clients that are closed in a second, so that they do not come back all at once.
    pub closes_per_second: u32,
    /// How long closing them one after the other may take; many are closed faster for it.
    #[serde(with = "crate::quantity::duration")]
    pub spread_max: Duration,
    /// How long clients may take to fetch what is due to them, and requests to be answered.
    #[serde(with = "crate::quantity::duration")]
    pub grace: Duration,
}

impl Config {
    /// The gap between the ends of two of so many clients.
    pub fn gap(&self, clients: usize) -> Duration {
        let clients = u32::try_from(clients).unwrap_or(u32::MAX).max(1);
        let gap = Duration::from_secs(1) / self.closes_per_second.max(1);
        gap.min(self.spread_max.min(self.limit / 2) / clients)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn turns_come_one_after_the_other_once_it_has_begun() {
        let drain = Drain::new();
        let (mut first, mut second) = (Turn::default(), Turn::default());
        let early = tokio::time::timeout(SECOND, first.comes(&drain)).await;
        assert!(early.is_err(), "nobody's turn comes before the drain");
        drain.begin_in_turn(SECOND);
        let begun = Instant::now();
        first.comes(&drain).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let early = tokio::time::timeout(SECOND / 2, second.comes(&drain)).await;
        assert!(early.is_err());
        second.comes(&drain).await;
        assert!(
            (SECOND..SECOND * 11 / 10).contains(&begun.elapsed()),
            "its place was kept"
        );
        first.comes(&drain).await;
        assert!(begun.elapsed() < SECOND * 11 / 10, "a turn that came stays");
    }

    #[test]
    fn many_are_closed_faster_than_few() {
        let config = Config {
            limit: 15 * SECOND,
            closes_per_second: 1000,
            spread_max: 8 * SECOND,
            grace: 2 * SECOND,
        };
        assert_eq!(config.gap(0), SECOND / 1000);
        assert_eq!(config.gap(7000), SECOND / 1000);
        assert_eq!(
            config.gap(75_000),
            SECOND / 10_000,
            "half of the limit is the end"
        );
    }
}
