//! `tidings bench`: how fast a gateway delivers, and whether all of it.
//!
//! Clients speak the stock wire format (Engine.IO v4 over websocket or polling), the publisher
//! uses the HTTP API. Only a gateway on this machine is loaded. Counts and time are bounded.

mod client;
mod compare;
mod load;
mod plain;
mod report;
mod score;

use anyhow::{bail, ensure};

use self::load::Load;
use self::report::Report;
use crate::app::cli::{BenchArgs, BenchCommon, BenchKind};
use crate::app::client::{reachable, token};
use crate::app::config::Config;
use crate::app::engine::Transport;
use crate::app::exit::FAILED;
use crate::app::gateway::Gateway;
use crate::app::screen::say;
use crate::auth::Mode;
use crate::upstream::gateway;

/// Most deliveries of a run.
const DELIVERIES_MAX: u64 = 50_000_000;

/// Measures, prints the figures. Fails when something was lost, doubled or out of order.
pub(super) async fn run(config: &Config, args: &BenchArgs) -> anyhow::Result<u8> {
    let (kind, common) = match &args.kind {
        BenchKind::Fanout(common) => (Kind::Fanout, common),
        BenchKind::Sessions(common) => (Kind::Sessions, common),
        BenchKind::Polling(common) => (Kind::Polling, common),
        BenchKind::Idle(common) => (Kind::Idle, common),
        BenchKind::Plain => {
            plain::serve().await?;
            return Ok(0);
        }
    };
    ensure!(
        kind.deliveries(common) <= DELIVERIES_MAX,
        "this would be more than {DELIVERIES_MAX} deliveries: take fewer clients or events"
    );
    if common.compare {
        return compare::run(kind, common).await;
    }
    let (own, url) = match &common.url {
        Some(url) => (None, url.clone()),
        None => {
            let gateway = start(config).await?;
            let url = reachable(gateway.local_addr());
            (Some(gateway), url)
        }
    };
    // One of our own asks nobody who they are.
    let token = common
        .url
        .as_ref()
        .and_then(|_| token(common.token.as_ref()));
    let gateway = gateway::Gateway::new(&url)?.with_token(token);
    if !gateway.is_loopback() {
        bail!("`{url}` is not on this machine: bench loads loopback addresses only");
    }
    let report = Load::new(gateway, kind, common).run().await;
    if let Some(own) = own {
        own.drain().await;
    }
    let report = report?;
    print(&report, common)?;
    Ok(if report.is_clean() { 0 } else { FAILED })
}

/// A gateway of our own, at a free port.
async fn start(config: &Config) -> anyhow::Result<Gateway> {
    let mut config = config.clone();
    config.wire.listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    config.auth.mode = Mode::None;
    Gateway::start(&config).await
}

fn print(report: &Report, common: &BenchCommon) -> anyhow::Result<()> {
    if common.json {
        say(&serde_json::to_string(report)?)?;
    } else {
        say(&report.told())?;
    }
    Ok(())
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Fanout,
    Sessions,
    Polling,
    Idle,
}

impl Kind {
    const fn transport(self) -> Transport {
        match self {
            Self::Fanout | Self::Sessions | Self::Idle => Transport::Websocket,
            Self::Polling => Transport::Polling,
        }
    }

    /// How many sessions the clients are spread over.
    const fn sessions(self, common: &BenchCommon) -> u32 {
        match self {
            Self::Fanout | Self::Polling | Self::Idle => 1,
            Self::Sessions => common.clients,
        }
    }

    fn deliveries(self, common: &BenchCommon) -> u64 {
        match self {
            Self::Fanout | Self::Polling => u64::from(common.clients) * u64::from(common.events),
            Self::Sessions => u64::from(common.events),
            Self::Idle => 0,
        }
    }
}
