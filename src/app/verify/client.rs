//! One client through a run: it joins, listens, is disturbed, and comes back.

mod faults;
mod joining;

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep_until};

use self::faults::Disturbance;
use super::application::Application;
use super::dice::Dice;
use super::ledger::Wrong;
use super::proxy::Proxy;
use super::scene::{Phase, Scene};
use super::session::{Session, Told};
use crate::app::cli::Fault;
use crate::app::engine::{Door, Line};

/// How long a client that has everything waits for what should not come.
const LINGER: Duration = Duration::from_millis(500);

/// How a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    Websocket,
    Polling,
    /// Polling first, then a websocket, as browsers do.
    Upgrade,
}

/// One client.
pub(super) struct Client {
    scene: Arc<Scene>,
    manner: Manner,
    door: Door,
    proxy: Option<Proxy>,
    faults: Vec<Fault>,
    session: Session,
    application: Application,
    dice: Dice,
    /// So many packets more, and the connection is cut again.
    fuse: Option<usize>,
    /// Why it could not come back, as far as is known.
    why: String,
}

/// Why a client is no longer connected.
enum Left {
    /// It has everything, or time is up.
    Done,
    /// Its connection ended; it stays away for a while.
    Away(Duration),
}

/// What makes one client different from another.
pub(super) struct Setup {
    pub(super) manner: Manner,
    pub(super) door: Door,
    pub(super) proxy: Option<Proxy>,
    pub(super) topics: Vec<usize>,
    /// It is one of those that do not read.
    pub(super) is_stuck: bool,
    pub(super) dice: Dice,
}

impl Client {
    /// A client that has not connected yet.
    pub(super) fn new(scene: Arc<Scene>, setup: Setup) -> Self {
        let Setup {
            manner,
            door,
            proxy,
            topics,
            is_stuck,
            dice,
        } = setup;
        let faults = if is_stuck {
            vec![Fault::Stuck]
        } else {
            Disturbance::possible(&scene.plan.faults, manner, proxy.is_some())
        };
        Self {
            application: Application::new(&scene, &topics),
            session: Session::default(),
            fuse: None,
            why: String::new(),
            scene,
            manner,
            door,
            proxy,
            faults,
            dice,
        }
    }

    /// Lives through the run. Returns what was wrong.
    pub(super) async fn live(mut self) -> Wrong {
        let mut away = Duration::ZERO;
        let mut is_first = true;
        while let Some(line) = self.come_back(away, is_first).await {
            is_first = false;
            self.scene.tally.present.up();
            let left = self.stay(line).await;
            self.scene.tally.present.down();
            match left {
                Left::Done => return self.application.verdict(&self.scene),
                Left::Away(time) => away = time,
            }
        }
        self.scene.tally.never_back.up();
        self.scene
            .tally
            .complain(format!("a client did not come back: {}", self.why));
        self.application.verdict(&self.scene)
    }

    /// Listens until the connection ends, by a fault or by itself, or the run is over.
    async fn stay(&mut self, mut line: Line) -> Left {
        let mut phase = self.scene.phase.subscribe();
        let mut herd = self.scene.herd.subscribe();
        herd.mark_unchanged();
        let mut disturbance = Disturbance::new(&mut self.dice, self.scene.plan.every);
        let mut end: Option<Instant> = None;
        loop {
            let now = *phase.borrow_and_update();
            if now == Phase::Over {
                return Left::Done;
            }
            if now == Phase::Calm && end.is_none() && self.application.is_whole(&self.scene) {
                end = Some(Instant::now() + LINGER);
            }
            tokio::select! {
                packet = line.next() => match packet {
                    Ok(packet) => if let Err(why) = self.hear(&packet) {
                        self.why = format!("{why:#}");
                        line.cut();
                        return Left::Away(Duration::ZERO);
                    },
                    Err(_) => return self.away(),
                },
                () = disturbance.due(), if now == Phase::Storm || disturbance.is_stormy() => {
                    if let Some(left) = self.disturb(&mut line, &mut disturbance).await {
                        line.cut();
                        return left;
                    }
                }
                changed = herd.changed(), if now == Phase::Storm => {
                    if changed.is_ok() {
                        line.cut();
                        return Left::Away(Duration::ZERO);
                    }
                }
                changed = phase.changed() => if changed.is_err() {
                    return Left::Done;
                },
                () = sleep_until(end.unwrap_or_else(Instant::now)), if end.is_some() => {
                    return Left::Done;
                }
            }
        }
    }

    /// Takes a packet.
    fn hear(&mut self, packet: &str) -> anyhow::Result<()> {
        if let Told::Event { name, data } = self.session.take(packet) {
            self.application.on(name, data, &self.scene)?;
        }
        self.burn()
    }

    /// Burns the fuse by one packet.
    fn burn(&mut self) -> anyhow::Result<()> {
        if let Some(left) = &mut self.fuse {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.fuse = None;
                bail!("the connection was cut once more");
            }
        }
        Ok(())
    }

    /// After a cut; it may be cut again while it comes back.
    fn away(&mut self) -> Left {
        if self.scene.phase() != Phase::Storm {
            return Left::Away(Duration::ZERO);
        }
        self.fuse = self.dice.percent(35).then(|| 1 + self.dice.below(12));
        Left::Away(self.dice.about(self.scene.plan.away))
    }
}
