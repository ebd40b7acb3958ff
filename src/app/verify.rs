//! `tidings verify`: clients, producers and faults against a gateway, and a checker that sees only
//! what the applications of the clients see.
//!
//! Everything is real: sockets, processes, SIGKILL. A run is drawn from a seed, is bounded in time
//! and size, and ends by itself; what it started ends with it.

mod application;
mod audit;
mod client;
mod crowd;
mod dice;
mod event;
mod ledger;
mod limits;
mod plan;
mod producer;
mod proxy;
mod published;
mod report;
mod scene;
mod session;
mod storm;
mod target;

use std::sync::Arc;

use tokio::time::Instant;

use self::audit::Audit;
use self::crowd::Crowd;
use self::plan::Plan;
use self::report::{Memory, Report};
use self::scene::{Phase, Scene};
use self::target::{Store, Target};
use crate::app::cli::{Fault, VerifyArgs};
use crate::app::exit::FAILED;
use crate::app::screen::say;
use crate::app::serve::Signals;
use crate::upstream::gateway::Gateway;

/// Runs, prints the figures. Fails when a promise was broken.
pub(super) async fn run(args: &VerifyArgs) -> anyhow::Result<u8> {
    let mut signals = Signals::new()?;
    tokio::select! {
        code = verify(args) => code,
        // What was started ends with this future.
        code = signals.next() => Ok(code),
    }
}

async fn verify(args: &VerifyArgs) -> anyhow::Result<u8> {
    let plan = Plan::new(args)?;
    let told = Told { is_json: args.json };
    told.line(&format!(
        "seed {}: {} clients, {} topics, {} publishes/s for {} s; faults: {}",
        plan.seed,
        plan.clients,
        plan.topics.len(),
        plan.rate,
        plan.duration.as_secs_f64(),
        plan.faults
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", "),
    ))?;
    limits::raise(&plan)?;
    let mut target = match &args.url {
        Some(url) => Target::Elsewhere(Gateway::new(url)?.base().to_owned()),
        None => {
            let is_killed = plan.has(Fault::Kill);
            let store = if is_killed {
                Store::Durable
            } else {
                Store::Memory
            };
            Target::start(store, &args.set).await?
        }
    };
    let before = target.rss_kib();
    let scene = Arc::new(Scene::new(plan));
    let begun = Instant::now();
    let crowd = Crowd::gather(&scene, &target.url()).await?;
    let memory = Memory::of(before, target.rss_kib(), scene.plan.clients);
    told.line(&format!(
        "{} clients are there after {:.1} s",
        scene.plan.clients,
        begun.elapsed().as_secs_f64()
    ))?;
    scene.phase.send_replace(Phase::Storm);
    let producers = Crowd::producers(&scene, &target.url()).await?;
    storm::rage(&scene, &mut target, told).await?;
    scene.phase.send_replace(Phase::Lull);
    // Each finishes what it has begun, within its patience.
    producers.join_all().await;
    scene.phase.send_replace(Phase::Calm);
    let wrong = crowd.verdict(&scene).await?;
    let audit = Audit::of(&scene, &scene.plan.gateway(&target.url())?).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let report = Report::new(&scene, wrong, audit, memory, seconds);
    let log = target.end().await?;
    if args.json {
        say(&serde_json::to_string(&report)?)?;
    } else {
        say(&report.told(&log))?;
    }
    Ok(if report.is_clean() { 0 } else { FAILED })
}

/// Lines while it runs, for people only.
#[derive(Debug, Clone, Copy)]
struct Told {
    is_json: bool,
}

impl Told {
    fn line(self, text: &str) -> anyhow::Result<()> {
        if !self.is_json {
            say(text)?;
        }
        Ok(())
    }
}
