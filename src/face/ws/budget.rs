//! The budget of a client: how often it may speak.

use std::time::Duration;

use tokio::time::Instant;

/// The span of `face.ws.messages_per_minute_max`.
const MINUTE: Duration = Duration::from_mins(1);

/// How many messages a client may still send in this minute. It fills evenly, up to one minute's.
pub(super) struct Budget {
    max: u32,
    left: f64,
    at: Instant,
}

impl Budget {
    pub(super) fn new(max: u32, now: Instant) -> Self {
        Self {
            max,
            left: f64::from(max),
            at: now,
        }
    }

    /// Whether one more message is within the budget.
    pub(super) fn takes(&mut self, now: Instant) -> bool {
        let max = f64::from(self.max);
        let passed = (now - self.at).as_secs_f64() / MINUTE.as_secs_f64();
        self.left = (self.left + passed * max).min(max);
        self.at = now;
        self.left -= 1.0;
        self.left >= 0.0
    }
}
