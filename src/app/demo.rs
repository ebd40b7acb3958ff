//! `tidings demo`: a gateway on loopback and a producer that has something to tell.
//!
//! The producer works through the files of a folder and publishes over the public HTTP API alone,
//! as a worker in another process would. The page of the gateway shows it live.

mod analysis;
mod files;
mod producer;
mod summary;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use uuid::Uuid;

use self::files::Files;
use self::producer::Producer;
use crate::app::cli::DemoArgs;
use crate::app::client::reachable;
use crate::app::config::Config;
use crate::app::gateway::Gateway;
use crate::app::screen::say;
use crate::app::serve::{Signals, drain};
use crate::upstream::gateway;

/// Serves, works, and serves on until somebody ends it.
pub(super) async fn run(config: &Config, args: &DemoArgs) -> anyhow::Result<u8> {
    let dir = folder(&args.dir)?;
    let mut signals = Signals::new()?;
    let gateway = start(config).await?;
    let url = reachable(gateway.local_addr());
    let code = tokio::select! {
        result = work(&url, &dir, args) => result?,
        code = signals.next() => {
            drain(gateway, &mut signals).await?;
            return Ok(code);
        }
    };
    if !args.exit {
        say("serving on; Ctrl-C ends it")?;
        signals.next().await;
    }
    let drained = drain(gateway, &mut signals).await?;
    Ok(if code == 0 { drained } else { code })
}

fn folder(dir: &Path) -> anyhow::Result<PathBuf> {
    let metadata = std::fs::metadata(dir)
        .with_context(|| format!("cannot open the folder `{}`", dir.display()))?;
    anyhow::ensure!(
        metadata.is_dir(),
        "`{}` is no folder: name one",
        dir.display()
    );
    dir.canonicalize()
        .with_context(|| format!("cannot open the folder `{}`", dir.display()))
}

/// The gateway at the configured port, or at a free one. Always on loopback.
async fn start(config: &Config) -> anyhow::Result<Gateway> {
    let mut config = config.clone();
    if !config.wire.listen.ip().is_loopback() {
        config.wire.listen.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let wanted = config.wire.listen;
    let refused = match Gateway::start(&config).await {
        Ok(gateway) => return Ok(gateway),
        Err(error) => error,
    };
    if !is_taken(&refused) {
        return Err(refused);
    }
    say(&format!(
        "port {} is taken by another program; taking a free one",
        wanted.port()
    ))?;
    config.wire.listen = SocketAddr::new(wanted.ip(), 0);
    Gateway::start(&config).await
}

fn is_taken(error: &anyhow::Error) -> bool {
    let mut causes = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    causes.any(|cause| cause.kind() == std::io::ErrorKind::AddrInUse)
}

async fn work(url: &str, dir: &Path, args: &DemoArgs) -> anyhow::Result<u8> {
    let session = format!("demo-{}", &Uuid::now_v7().simple().to_string()[24..]);
    say(&format!(
        "tidings serves at {url} (store: memory; data is lost on exit)"
    ))?;
    say(&format!("watch it live: {url}/?topic=session:{session}"))?;
    let root = dir.to_owned();
    let files = tokio::task::spawn_blocking(move || Files::find(&root)).await?;
    say(&format!(
        "working through {} of {}",
        files.told(),
        dir.display()
    ))?;
    let gateway = gateway::Gateway::new(url)?;
    Producer::new(gateway, session, args.pace)
        .run(dir, files)
        .await
}
