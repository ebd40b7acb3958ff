//! How a client comes back: as stock ones do, again and again with a pause.

use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep, timeout};

use super::{Client, Manner};
use crate::app::engine::{Line, Transport};
use crate::app::verify::proxy::Weather;
use crate::app::verify::scene::{Phase, micros};
use crate::app::verify::session::Told;

/// How long an attempt may take.
const ATTEMPT_MAX: Duration = Duration::from_secs(20);

/// The pause between two attempts.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_millis(500);

impl Client {
    /// Connects and subscribes, until it works or patience ends.
    pub(super) async fn come_back(&mut self, away: Duration, is_first: bool) -> Option<Line> {
        sleep(away).await;
        if let Some(proxy) = &self.proxy {
            proxy.set(Weather::Fair);
        }
        let begun = Instant::now();
        while begun.elapsed() < self.scene.plan.patience {
            match self.scene.phase() {
                Phase::Gathering | Phase::Storm => {}
                Phase::Lull | Phase::Calm => self.fuse = None,
                Phase::Over => break,
            }
            match timeout(ATTEMPT_MAX, self.join()).await {
                Ok(Ok((line, is_recovered))) => {
                    self.count(begun, is_first, is_recovered);
                    return Some(line);
                }
                Ok(Err(why)) => self.why = format!("{why:#}"),
                Err(_) => {
                    let (manner, due) = (self.manner, self.application.due());
                    self.why = format!(
                        "{manner:?}: the gateway did not answer in time; due: {due}; {}",
                        self.session.hello()
                    );
                }
            }
            self.scene.tally.attempts_failed.up();
            sleep(self.dice.between(PAUSE_MIN, PAUSE_MAX)).await;
        }
        None
    }

    fn count(&mut self, begun: Instant, is_first: bool, is_recovered: bool) {
        self.application.is_undisturbed(self.scene.now());
        if is_first {
            return;
        }
        let tally = &self.scene.tally;
        if is_recovered {
            tally.recovered.up();
        } else {
            tally.resumed.up();
        }
        tally.notes().resumption.add(micros(begun.elapsed()));
    }

    /// One attempt: a connection with everything subscribed, and whether it was recovered.
    async fn join(&mut self) -> anyhow::Result<(Line, bool)> {
        let transport = match self.manner {
            Manner::Websocket => Transport::Websocket,
            Manner::Polling | Manner::Upgrade => Transport::Polling,
        };
        let mut line = Line::open(&self.door, transport).await?;
        line.send(self.session.hello()).await?;
        if self.manner == Manner::Upgrade {
            line.upgrade(&self.door).await?;
        }
        match self.subscribe(&mut line).await {
            Ok(is_recovered) => Ok((line, is_recovered)),
            Err(why) => {
                line.cut();
                Err(why)
            }
        }
    }

    async fn subscribe(&mut self, line: &mut Line) -> anyhow::Result<bool> {
        let mut joined = None;
        while joined.is_none() || !self.application.is_back() {
            let packet = line.next().await?;
            match self.session.take(&packet) {
                Told::Joined { is_recovered } => {
                    joined = Some(is_recovered);
                    for emit in self.application.joined(is_recovered) {
                        line.send(emit).await?;
                    }
                }
                Told::Event { name, data } => self.application.on(name, data, &self.scene)?,
                Told::Refused => bail!("the gateway refused: {packet}"),
                Told::Nothing => {}
            }
            self.burn()?;
        }
        Ok(joined == Some(true))
    }
}
