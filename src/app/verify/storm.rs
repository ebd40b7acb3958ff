//! The time in which things go wrong: progress is told, the gateway is killed, crowds are cut.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Told;
use super::dice::Dice;
use super::scene::Scene;
use super::target::Target;
use crate::app::cli::Fault;

/// Mean time between two faults of the whole.
const APART: Duration = Duration::from_secs(10);

/// How long a killed gateway stays away.
const GONE_MIN: Duration = Duration::from_millis(100);
const GONE_MAX: Duration = Duration::from_secs(1);

/// How often progress is told.
const TOLD: Duration = Duration::from_secs(5);

/// The player that decides about the whole.
const FATE: u64 = 1 << 48;

/// Lets the storm rage for its time.
pub(super) async fn rage(
    scene: &Arc<Scene>,
    target: &mut Target,
    told: Told,
) -> anyhow::Result<()> {
    let mut dice = Dice::new(scene.plan.seed, FATE);
    let begun = Instant::now();
    let end = begun + scene.plan.duration;
    let faults: Vec<Fault> = [Fault::Herd, Fault::Kill]
        .into_iter()
        .filter(|fault| scene.plan.has(*fault))
        .collect();
    // In a short run each happens once at least.
    let apart = APART.min(scene.plan.duration / 3);
    let mut turn = dice.below(2);
    let mut next = begun + dice.between(apart / 2, apart);
    let mut tell = begun + TOLD;
    loop {
        let now = Instant::now();
        if now >= end {
            return Ok(());
        }
        if now >= tell {
            tell += TOLD;
            told.line(&progress(scene, begun.elapsed()))?;
        }
        if now >= next && !faults.is_empty() {
            let fault = faults[turn % faults.len()];
            turn += 1;
            scene.tally.made(fault);
            if fault == Fault::Kill {
                target.kill(dice.between(GONE_MIN, GONE_MAX)).await?;
            } else {
                scene.herd.send_modify(|count| *count += 1);
            }
            next = Instant::now() + dice.between(apart / 2, apart * 3 / 2);
        }
        let wake = if faults.is_empty() {
            tell
        } else {
            tell.min(next)
        };
        sleep_until(wake.min(end)).await;
    }
}

fn progress(scene: &Scene, time: Duration) -> String {
    let tally = &scene.tally;
    format!(
        "{:>4} s: {} of {} clients there, {} published, {} delivered, {} times back",
        time.as_secs(),
        tally.present.get(),
        scene.plan.clients,
        scene.published.len(),
        tally.delivered.get(),
        tally.recovered.get() + tally.resumed.get(),
    )
}
