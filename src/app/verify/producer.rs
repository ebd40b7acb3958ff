//! One producer: it publishes with keys and repeats until it is acknowledged.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::dice::Dice;
use super::event::{self, Lane, Stream};
use super::ledger::Place;
use super::proxy::Proxy;
use super::scene::{Phase, Scene};
use crate::app::cli::Fault;
use crate::upstream::gateway::{Error, Gateway, Publish, Receipt};

/// How long an attempt may take.
const ATTEMPT_MAX: Duration = Duration::from_secs(10);

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// Of a hundred publishes, how many lose a reply, and how many are repeated although they were
/// acknowledged.
const CUT_PERCENT: u64 = 30;
const REPEAT_PERCENT: u64 = 5;

/// Most replies to one publish that are cut.
const CUTS_MAX: usize = 4;

/// Of a hundred events, how many are states.
const STATE_PERCENT: u64 = 15;

/// One producer.
pub(super) struct Producer {
    pub(super) scene: Arc<Scene>,
    pub(super) number: usize,
    pub(super) gateway: Gateway,
    pub(super) proxy: Option<Proxy>,
    pub(super) dice: Dice,
}

impl Producer {
    /// Publishes at its share of the rate until the storm is over; what was begun is finished.
    pub(super) async fn work(mut self) {
        let topics: Vec<usize> = (0..self.scene.plan.topics.len())
            .filter(|topic| {
                self.scene.plan.topics[*topic]
                    .producers
                    .contains(&self.number)
            })
            .collect();
        let rate = f64::from(self.scene.plan.rate) / self.scene.plan.producers as f64;
        let mut ticks = interval(Duration::from_secs_f64(1.0 / rate));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut numbers = vec![[0_u64; 2]; topics.len()];
        while self.scene.phase() == Phase::Storm {
            ticks.tick().await;
            let at = self.dice.below(topics.len());
            let lane = if self.dice.percent(STATE_PERCENT) {
                Lane::State
            } else {
                Lane::Fact
            };
            let n = &mut numbers[at][usize::from(lane == Lane::State)];
            *n += 1;
            let stream = Stream {
                producer: self.number,
                lane,
            };
            if let Err(why) = self.publish(topics[at], stream, *n).await {
                self.scene.tally.unacknowledged.up();
                self.scene
                    .tally
                    .complain(format!("a publish was not acknowledged: {why}"));
                return;
            }
        }
    }

    /// Publishes one event, and does not return before it is acknowledged.
    async fn publish(&mut self, topic: usize, stream: Stream, n: u64) -> Result<(), Error> {
        let scene = Arc::clone(&self.scene);
        let name = &scene.plan.topics[topic].name;
        let pad = "x".repeat(self.padding());
        let data = event::payload(name, stream, n, (scene.now(), &pad));
        let key = format!("{name}/{}/{:?}/{n}", stream.producer, stream.lane);
        let mut event = Publish::new(stream.lane.name(n), data).once(key);
        event.key = (stream.lane == Lane::State).then(|| format!("p{}", stream.producer));
        if let Some(proxy) = &self.proxy
            && self.dice.percent(CUT_PERCENT)
        {
            let cuts = 1 + self.dice.below(CUTS_MAX);
            proxy.cut_replies(u32::try_from(cuts).expect("at most a few"));
            scene.tally.made(Fault::Retry);
        }
        let receipt = self.until_acknowledged(name, &event).await?;
        let place = Place {
            epoch: receipt.epoch.clone(),
            seq: receipt.seq,
        };
        scene.published.topic(topic).acknowledged(stream, place);
        if self.proxy.is_some() && self.dice.percent(REPEAT_PERCENT) {
            scene.tally.repeats.up();
            let again = self.until_acknowledged(name, &event).await?;
            // The number of subscribers is that of now.
            let same = Receipt {
                subscribers: receipt.subscribers,
                ..again.clone()
            };
            if same != receipt {
                scene.tally.receipts_changed.up();
                scene
                    .tally
                    .complain(format!("{receipt:?} became {again:?}"));
            }
        }
        Ok(())
    }

    async fn until_acknowledged(&self, topic: &str, event: &Publish) -> Result<Receipt, Error> {
        let begun = Instant::now();
        loop {
            let attempt = timeout(ATTEMPT_MAX, self.gateway.publish_once(topic, event)).await;
            match attempt {
                Ok(Ok(receipt)) => return Ok(receipt),
                Ok(Err(error)) if !may_repeat(&error) => return Err(error),
                Ok(Err(error)) if begun.elapsed() > self.scene.plan.patience => return Err(error),
                Ok(Err(_)) | Err(_) => {}
            }
            self.scene.tally.repeats.up();
            sleep(PAUSE).await;
        }
    }

    /// Mostly short, at times some packets long; beyond what the plan asks for.
    fn padding(&mut self) -> usize {
        let drawn = match self.dice.below(100) {
            0 => self.dice.below(60_000),
            1..10 => self.dice.below(4_000),
            _ => self.dice.below(200),
        };
        drawn + self.scene.plan.size
    }
}

/// Whether the same publish may succeed later; 409 says that an earlier attempt is still going on.
fn may_repeat(error: &Error) -> bool {
    error.is_transient() || matches!(error, Error::Refused { status: 409, .. })
}
