//! `tidings serve`: a gateway until somebody ends it.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use crate::app::client::reachable;
use crate::app::config::{Config, Sources};
use crate::app::exit::{FAILED, INTERRUPTED, TERMINATED};
use crate::app::gateway::Gateway;
use crate::app::reload::Reload;
use crate::app::screen::say;
use crate::app::telemetry::Filter;

/// Serves until SIGTERM or SIGINT, then drains. A second signal ends it at once. At SIGHUP the
/// configuration is read again from its sources.
pub(super) async fn run(
    config: Config,
    (sources, filter): (Sources, Filter),
) -> anyhow::Result<u8> {
    let mut signals = Signals::new()?;
    let mut hangup = signal(SignalKind::hangup())?;
    let gateway = Gateway::start(&config).await?;
    let mut reload = Reload::new(config, sources, (filter, gateway.limits().clone()));
    let url = reachable(gateway.local_addr());
    say(&format!(
        "tidings listening on {url} (store: {})",
        gateway.store_promise()
    ))?;
    loop {
        tokio::select! {
            _ = signals.next() => break,
            _ = hangup.recv() => reload.run(),
        }
    }
    info!("draining; a second signal ends at once");
    drain(gateway, &mut signals).await
}

/// Drains, unless another signal comes.
pub(super) async fn drain(gateway: Gateway, signals: &mut Signals) -> anyhow::Result<u8> {
    tokio::select! {
        left = gateway.drain() => {
            if left == 0 {
                info!("drained");
                return Ok(0);
            }
            warn!(tasks = left, "the drain took too long");
            Ok(FAILED)
        }
        code = signals.next() => Ok(code),
    }
}

/// SIGINT and SIGTERM.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes both over from the default, which is to die.
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for one; returns the exit code of a process that it ends.
    pub(super) async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => INTERRUPTED,
            _ = self.terminate.recv() => TERMINATED,
        }
    }
}
