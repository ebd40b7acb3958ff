//! The stall clock: how long a client has taken too little of what waits for it.
//!
//! A client that takes a byte now and then is as stuck as one that takes nothing. So while something
//! waits, the clock begins anew only when `wire.write_stall_bytes_min` have gone, or when all has.

use tokio::time::{Duration, Instant};

/// The clock of one connection. It stands still while nothing waits.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Stall(Option<Window>);

#[derive(Debug, Clone, Copy)]
struct Window {
    since: Instant,
    taken: usize,
}

impl Stall {
    /// Something waits.
    pub(crate) fn begin(&mut self) {
        self.0.get_or_insert_with(|| Window {
            since: Instant::now(),
            taken: 0,
        });
    }

    /// The client took something.
    pub(crate) fn took(&mut self, bytes: usize, bytes_min: usize) {
        if let Some(window) = &mut self.0 {
            window.taken += bytes;
            if window.taken >= bytes_min {
                *window = Window {
                    since: Instant::now(),
                    taken: 0,
                };
            }
        }
    }

    /// Nothing waits any more.
    pub(crate) const fn end(&mut self) {
        self.0 = None;
    }

    /// When the window began in which too little has gone, if something waits.
    pub(crate) fn since(&self) -> Option<Instant> {
        self.0.map(|window| window.since)
    }

    /// How long that is.
    pub(crate) fn elapsed(&self) -> Option<Duration> {
        self.since().map(|since| since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_trickle_does_not_set_it_back() {
        let second = Duration::from_secs(1);
        let mut stall = Stall::default();
        stall.took(1, 100);
        assert_eq!(stall.elapsed(), None, "nothing waits");
        stall.begin();
        for _ in 0..5 {
            tokio::time::advance(second).await;
            stall.took(1, 100);
            stall.begin();
        }
        assert_eq!(stall.elapsed(), Some(5 * second));
        stall.took(95, 100);
        assert_eq!(stall.elapsed(), Some(Duration::ZERO), "that is enough");
        stall.end();
        assert_eq!(stall.elapsed(), None);
    }
}
