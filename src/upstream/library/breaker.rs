//! The circuit breaker: a service that fails again and again is left alone for a while, then tried
//! with one call.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Error, Metrics};

/// What the breaker does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Lets it through.
    Closed,
    /// Lets one through, to see.
    HalfOpen,
    /// Refuses it.
    Open,
}

/// The breaker of one service.
#[derive(Debug)]
pub(super) struct Breaker {
    failures_max: u32,
    rest: Duration,
    metrics: Metrics,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: State,
    failures: u32,
    rests_until: Instant,
    is_trying: bool,
}

/// A call that was let through. Dropped without an outcome it counts for nothing.
pub(super) struct Attempt<'a> {
    breaker: &'a Breaker,
    is_trial: bool,
}

impl Breaker {
    pub(super) fn new(failures_max: u32, rest: Duration, metrics: Metrics) -> Self {
        Self {
            failures_max: failures_max.max(1),
            rest,
            metrics,
            inner: Mutex::new(Inner {
                state: State::Closed,
                failures: 0,
                rests_until: Instant::now(),
                is_trying: false,
            }),
        }
    }

    pub(super) fn state(&self) -> State {
        self.lock().state
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a call through, or says for how long the service is left alone.
    pub(super) fn enter(&self) -> Result<Attempt<'_>, Error> {
        let mut inner = self.lock();
        let now = Instant::now();
        if inner.state == State::Open && now >= inner.rests_until {
            inner.state = State::HalfOpen;
            self.metrics.breaker_is(State::HalfOpen);
        }
        let is_trial = match inner.state {
            State::Closed => false,
            State::HalfOpen if !inner.is_trying => true,
            State::HalfOpen | State::Open => {
                return Err(Error::Resting {
                    failures: inner.failures,
                    left: inner.rests_until.saturating_duration_since(now),
                });
            }
        };
        inner.is_trying |= is_trial;
        Ok(Attempt {
            breaker: self,
            is_trial,
        })
    }
}

impl Attempt<'_> {
    /// Tells what came of the call.
    pub(super) fn ended(self, is_well: bool) {
        let breaker = self.breaker;
        let mut inner = breaker.lock();
        if is_well {
            inner.failures = 0;
            if self.is_trial {
                inner.state = State::Closed;
                breaker.metrics.breaker_is(State::Closed);
                tracing::info!("the library service answers again");
            }
        } else {
            inner.failures = inner.failures.saturating_add(1);
            let is_too_many = inner.failures >= breaker.failures_max;
            if self.is_trial || (inner.state == State::Closed && is_too_many) {
                inner.state = State::Open;
                inner.rests_until = Instant::now() + breaker.rest;
                breaker.metrics.breaker_is(State::Open);
                tracing::warn!(
                    failures = inner.failures,
                    "the library service is left alone"
                );
            }
        }
        drop(inner);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.is_trial {
            self.breaker.lock().is_trying = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn it_opens_after_failures_tries_once_and_closes() {
        let breaker = Breaker::new(2, REST, Metrics::default());
        breaker.enter().unwrap().ended(false);
        breaker.enter().unwrap().ended(true);
        for _ in 0..2 {
            breaker.enter().unwrap().ended(false);
        }
        assert_eq!(breaker.state(), State::Open);
        let refused = breaker.enter().err().unwrap().to_string();
        assert!(refused.contains("breaker is open"), "{refused}");

        tokio::time::advance(REST).await;
        let trial = breaker.enter().unwrap();
        assert!(breaker.enter().is_err(), "one at a time");
        drop(trial);
        breaker.enter().unwrap().ended(false);
        assert_eq!(breaker.state(), State::Open);

        tokio::time::advance(REST).await;
        breaker.enter().unwrap().ended(true);
        assert_eq!(breaker.state(), State::Closed);
        breaker.enter().unwrap().ended(false);
        assert_eq!(breaker.state(), State::Closed, "the count began anew");
    }
}
