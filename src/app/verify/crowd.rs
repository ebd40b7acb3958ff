//! All clients and producers of a run.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use tokio::net::lookup_host;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep, sleep_until};

use super::client::{Client, Manner, Setup};
use super::dice::Dice;
use super::ledger::Wrong;
use super::plan::Plan;
use super::producer::Producer;
use super::proxy::Proxy;
use super::scene::{Phase, Scene};
use crate::app::cli::Fault;
use crate::app::engine::Door;
use crate::upstream::gateway::{Gateway, Recovery};

/// Clients that begin at once: those behind them wait for their turn.
const WAVE: usize = 250;

/// How often it is looked whether a wave is there.
const LOOK: Duration = Duration::from_millis(20);

/// One of so many clients is behind a network of ours, and has a small receive buffer.
const NETWORKED: usize = 3;

/// One of so many clients does not read, if any do.
const STUCK: usize = 10;

/// The receive buffer of a client that stalls, so that the gateway feels it soon.
const RECEIVE_BYTES: u32 = 8 * 1024;

/// Players that are no clients roll dice of their own.
const PRODUCER: u64 = 1 << 32;

/// All clients of a run. They end with it.
pub(super) struct Crowd {
    clients: JoinSet<Wrong>,
}

impl Crowd {
    /// Connects all clients. Returns when all are subscribed.
    pub(super) async fn gather(scene: &Arc<Scene>, url: &str) -> anyhow::Result<Self> {
        let town = Town::new(&scene.plan, url).await?;
        // The tasks belong to this set and end with it.
        let mut clients = JoinSet::new();
        let deadline = Instant::now() + scene.plan.patience;
        for number in 0..scene.plan.clients {
            let client = town.client(scene, number).await?;
            clients.spawn(client.live());
            if clients.len().is_multiple_of(WAVE) || clients.len() == scene.plan.clients {
                while scene.tally.present.get() < clients.len() as u64 {
                    if scene.tally.never_back.get() > 0 || Instant::now() > deadline {
                        let complaints = scene.tally.notes().complaints.join("; ");
                        bail!("the clients did not all connect in time: {complaints}");
                    }
                    sleep(LOOK).await;
                }
            }
        }
        Ok(Self { clients })
    }

    /// Starts the producers.
    pub(super) async fn producers(scene: &Arc<Scene>, url: &str) -> anyhow::Result<JoinSet<()>> {
        let town = Town::new(&scene.plan, url).await?;
        let mut producers = JoinSet::new();
        for number in 0..scene.plan.producers {
            let (gateway, proxy) = if scene.plan.has(Fault::Retry) {
                let proxy = Proxy::start(town.target).await?;
                (scene.plan.gateway(&proxy.url())?, Some(proxy))
            } else {
                (scene.plan.gateway(url)?, None)
            };
            let producer = Producer {
                scene: Arc::clone(scene),
                number,
                gateway,
                proxy,
                dice: Dice::new(scene.plan.seed, PRODUCER + number as u64),
            };
            producers.spawn(producer.work());
        }
        Ok(producers)
    }

    /// Waits until every client has everything, or patience ends, and adds up what was wrong.
    pub(super) async fn verdict(mut self, scene: &Scene) -> anyhow::Result<Wrong> {
        let mut sum = Wrong::default();
        let deadline = Instant::now() + scene.plan.patience;
        loop {
            tokio::select! {
                wrong = self.clients.join_next() => match wrong {
                    Some(wrong) => sum.add(&wrong?),
                    None => return Ok(sum),
                },
                () = sleep_until(deadline), if scene.phase() != Phase::Over => {
                    scene.phase.send_replace(Phase::Over);
                }
            }
        }
    }
}

/// The ways to a gateway.
struct Town {
    target: SocketAddr,
    /// One for each address of this machine that clients come from.
    gateways: Vec<(Option<IpAddr>, Gateway)>,
}

impl Town {
    async fn new(plan: &Plan, url: &str) -> anyhow::Result<Self> {
        let gateway = plan.gateway(url)?;
        let target = lookup_host(gateway.authority())
            .await
            .ok()
            .and_then(|mut found| found.next())
            .with_context(|| format!("`{url}` has no address: give one with a port"))?;
        let is_near = target.is_ipv4() && target.ip().is_loopback() && cfg!(target_os = "linux");
        let sources: Vec<Option<IpAddr>> = if is_near {
            (0..SOURCES)
                .map(|number| Some(IpAddr::from([127, 0, 0, number + 2])))
                .collect()
        } else {
            vec![None]
        };
        let gateways = sources
            .into_iter()
            .map(|source| Ok((source, plan.gateway_from(url, source)?)));
        Ok(Self {
            target,
            gateways: gateways.collect::<anyhow::Result<_>>()?,
        })
    }

    async fn client(&self, scene: &Arc<Scene>, number: usize) -> anyhow::Result<Client> {
        let mut dice = Dice::new(scene.plan.seed, number as u64);
        let topics = scene.plan.topics_of(number, &mut dice);
        // Two of three leave recovery to the gateway.
        let recovery = if dice.below(3) == 0 {
            Recovery::Off
        } else {
            Recovery::Stock
        };
        let is_stuck = scene.plan.has(Fault::Stuck) && number % STUCK == STUCK - 1;
        let manner = match dice.below(5) {
            _ if is_stuck => Manner::Websocket,
            0 => Manner::Polling,
            1 => Manner::Upgrade,
            _ => Manner::Websocket,
        };
        let (mut source, mut gateway) = self.gateways[number % self.gateways.len()].clone();
        let mut proxy = None;
        if scene.plan.needs_network() && number.is_multiple_of(NETWORKED) {
            let ours = Proxy::start(self.target).await?;
            gateway = scene.plan.gateway(&ours.url())?;
            source = None;
            proxy = Some(ours);
        }
        let is_small = scene.plan.has(Fault::Stall) && number % NETWORKED == 1 || is_stuck;
        let door = Door {
            gateway,
            recovery,
            source,
            receive_bytes: is_small.then_some(RECEIVE_BYTES),
        };
        let setup = Setup {
            manner,
            door,
            proxy,
            topics,
            is_stuck,
            dice,
        };
        Ok(Client::new(Arc::clone(scene), setup))
    }
}

/// Addresses of this machine that clients come from: one alone has not enough ports for a crowd.
const SOURCES: u8 = 20;
