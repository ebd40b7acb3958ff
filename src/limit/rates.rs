//! Rates: so many for each account in a time. A burst of the whole number is let through.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota as Rule, RateLimiter};

/// What somebody may still do at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// How many in a window.
    pub max: u32,
    /// How long the window is.
    pub window_seconds: u32,
    /// How many are left.
    pub left: u32,
}

type Limiter<K> = RateLimiter<K, DashMapStateStore<K>, DefaultClock, StateInformationMiddleware>;

/// One rate for many accounts.
pub(super) struct Rate<K: Hash + Eq + Clone> {
    limiter: Limiter<K>,
    clock: DefaultClock,
    max: u32,
    window_seconds: u32,
    keys_max: usize,
}

impl<K: Hash + Eq + Clone> Rate<K> {
    pub(super) fn per_second(max: u32, keys_max: usize) -> Self {
        Self::new(Rule::per_second, max, 1, keys_max)
    }

    pub(super) fn per_minute(max: u32, keys_max: usize) -> Self {
        Self::new(Rule::per_minute, max, 60, keys_max)
    }

    fn new(rule: fn(NonZeroU32) -> Rule, max: u32, window_seconds: u32, keys_max: usize) -> Self {
        let rule = rule(NonZeroU32::new(max).unwrap_or(NonZeroU32::MIN));
        Self {
            limiter: RateLimiter::dashmap(rule).with_middleware(),
            clock: DefaultClock::default(),
            max,
            window_seconds,
            keys_max,
        }
    }

    /// Takes `count` from an account, or says how long to wait. More than fit in a window never
    /// pass.
    pub(super) fn take(&self, key: &K, count: usize) -> Result<Quota, Duration> {
        let window = Duration::from_secs(self.window_seconds.into());
        let Some(count) = u32::try_from(count).ok().and_then(NonZeroU32::new) else {
            return if count == 0 {
                Ok(self.quota(self.max))
            } else {
                Err(window)
            };
        };
        if self.limiter.len() >= self.keys_max {
            // Accounts that have rested long enough are as good as new.
            self.limiter.retain_recent();
            if self.limiter.len() >= self.keys_max {
                return Err(window);
            }
        }
        match self.limiter.check_key_n(key, count) {
            Ok(Ok(state)) => Ok(self.quota(state.remaining_burst_capacity())),
            Ok(Err(until)) => Err(until.wait_time_from(self.clock.now())),
            Err(_) => Err(window),
        }
    }

    const fn quota(&self, left: u32) -> Quota {
        Quota {
            max: self.max,
            window_seconds: self.window_seconds,
            left,
        }
    }
}
