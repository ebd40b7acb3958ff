//! What happens to a client's connection.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::{Client, Left, Manner};
use crate::app::cli::Fault;
use crate::app::engine::Line;
use crate::app::verify::dice::Dice;
use crate::app::verify::proxy::Weather;

/// How long bad weather and stalls last.
const LEAST: Duration = Duration::from_millis(200);
const MOST: Duration = Duration::from_secs(3);

/// How late slow weather is.
const LATE_MIN: Duration = Duration::from_millis(5);
const LATE_MAX: Duration = Duration::from_millis(120);

/// How long a half-closed connection may take to be closed by the gateway.
const HALF_CLOSED_MAX: Duration = Duration::from_secs(10);

/// How long a client does not read, or takes a packet each so often; and how long it then waits for
/// the end.
const STUCK: Duration = Duration::from_secs(16);
const TRICKLE: Duration = Duration::from_secs(2);
const STUCK_LEFT: Duration = Duration::from_secs(2);

/// When something happens next, and what the weather will be then.
pub(super) struct Disturbance {
    at: Instant,
    then: Option<Weather>,
}

impl Disturbance {
    /// The next fault, some time from now.
    pub(super) fn new(dice: &mut Dice, every: Duration) -> Self {
        Self {
            at: Instant::now() + dice.about(every),
            then: None,
        }
    }

    /// The faults of a plan that can happen to this client.
    pub(super) fn possible(faults: &[Fault], manner: Manner, has_network: bool) -> Vec<Fault> {
        let is_possible = |fault: &Fault| match fault {
            Fault::Kick | Fault::Stall => true,
            Fault::HalfClose => manner != Manner::Polling,
            Fault::Blackhole | Fault::Delay => has_network,
            // These happen to a few, to producers, to all at once, or to the gateway.
            Fault::Stuck | Fault::Retry | Fault::Herd | Fault::Kill => false,
        };
        faults.iter().copied().filter(is_possible).collect()
    }

    /// Resolves when it is time.
    pub(super) async fn due(&self) {
        sleep_until(self.at).await;
    }

    /// Whether the weather is bad and has to change.
    pub(super) const fn is_stormy(&self) -> bool {
        self.then.is_some()
    }

    fn until(time: Duration, then: Weather) -> Self {
        Self {
            at: Instant::now() + time,
            then: Some(then),
        }
    }
}

impl Client {
    /// Does what is due. Returns how the client left, if it did.
    pub(super) async fn disturb(
        &mut self,
        line: &mut Line,
        disturbance: &mut Disturbance,
    ) -> Option<Left> {
        let every = self.scene.plan.every;
        if let Some(then) = disturbance.then {
            self.weather(then);
            *disturbance = Disturbance::new(&mut self.dice, every);
            self.application.is_undisturbed(self.scene.now());
            return None;
        }
        *disturbance = Disturbance::new(&mut self.dice, every);
        if self.faults.is_empty() {
            return None;
        }
        let fault = self.faults[self.dice.below(self.faults.len())];
        self.scene.tally.made(fault);
        let time = self.dice.between(LEAST, MOST);
        match fault {
            Fault::Kick => return Some(self.away()),
            Fault::HalfClose => return Some(self.half_close(line).await),
            Fault::Stuck => return Some(self.stick(line).await),
            Fault::Stall => {
                sleep(time).await;
                self.application.is_undisturbed(self.scene.now());
            }
            Fault::Blackhole => {
                self.weather(Weather::Black);
                let ends = [Weather::Fair, Weather::Cut, Weather::Vanished];
                *disturbance = Disturbance::until(time, ends[self.dice.below(ends.len())]);
            }
            Fault::Delay => {
                let late = self.dice.between(LATE_MIN, LATE_MAX);
                self.weather(Weather::Slow(late));
                *disturbance = Disturbance::until(time, Weather::Fair);
            }
            Fault::Retry | Fault::Herd | Fault::Kill => {}
        }
        None
    }

    fn weather(&mut self, weather: Weather) {
        // What passes meanwhile is late by the network, not by the gateway.
        self.application.is_undisturbed(u64::MAX);
        if let Some(proxy) = &self.proxy {
            proxy.set(weather);
        }
    }

    /// Reads nothing, or a trickle, for longer than the gateway may wait; then what is there still.
    async fn stick(&mut self, line: &mut Line) -> Left {
        self.application.is_undisturbed(u64::MAX);
        let end = Instant::now() + STUCK;
        if self.dice.percent(50) {
            sleep_until(end).await;
        }
        while Instant::now() < end {
            sleep(TRICKLE).await;
            // When nothing is published any more, nothing comes.
            match timeout_at(end, line.next()).await {
                Ok(Ok(packet)) if self.hear(&packet).is_ok() => {}
                _ => break,
            }
        }
        let reading = async {
            while let Ok(packet) = line.next().await {
                if self.hear(&packet).is_err() {
                    break;
                }
            }
        };
        if timeout(STUCK_LEFT, reading).await.is_ok() {
            self.scene.tally.stuck_closed.up();
        } else {
            self.scene.tally.stuck_open.up();
        }
        self.away()
    }

    /// Ends the sending direction and reads on until the gateway has closed the other.
    async fn half_close(&mut self, line: &mut Line) -> Left {
        if line.half_close().await {
            let reading = async {
                while let Ok(packet) = line.next().await {
                    if self.hear(&packet).is_err() {
                        break;
                    }
                }
            };
            if timeout(HALF_CLOSED_MAX, reading).await.is_err() {
                self.scene
                    .tally
                    .complain("the gateway left a half-closed connection open".to_owned());
            }
        }
        self.away()
    }
}
