//! The gateway under test: one that runs already, or a child process that may be killed.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use uuid::Uuid;

use crate::app::process;

/// How long a gateway may take to listen.
const START_MAX: Duration = Duration::from_mins(1);

/// How long it may take to drain at the end.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// Ports that the system does not give to connections by itself. Otherwise a client that tries to
/// reach the gateway while it is down could be given its port, and talk to itself.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Lines of its log that are shown when a run ends badly.
const LOG_LINES: usize = 20;

/// What the store of a gateway of ours promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Store {
    Memory,
    /// In a folder of the run, so that the gateway may be killed.
    Durable,
}

/// The gateway under test.
pub(super) enum Target {
    /// Started by somebody else.
    Elsewhere(String),
    /// A child process.
    Own(Box<Own>),
}

/// A gateway that this process started. It ends with this.
pub(super) struct Own {
    child: Child,
    port: u16,
    settings: Vec<String>,
    store: Store,
    scratch: Scratch,
}

impl Target {
    /// Starts a gateway.
    pub(super) async fn start(store: Store, set: &[String]) -> anyhow::Result<Self> {
        let scratch = Scratch::new()?;
        let port = free_port()?;
        let settings = set.to_vec();
        let child = spawn(port, &settings, store, &scratch).await?;
        Ok(Self::Own(Box::new(Own {
            child,
            port,
            settings,
            store,
            scratch,
        })))
    }

    /// Its address.
    pub(super) fn url(&self) -> String {
        match self {
            Self::Elsewhere(url) => url.clone(),
            Self::Own(own) => format!("http://127.0.0.1:{}", own.port),
        }
    }

    /// Its memory in KiB, if it is ours and alive.
    pub(super) fn rss_kib(&self) -> Option<u64> {
        match self {
            Self::Elsewhere(_) => None,
            Self::Own(own) => process::rss_kib(own.child.id()?).ok(),
        }
    }

    /// Kills it; it stays away for a while, then starts again at the same address.
    pub(super) async fn kill(&mut self, away: Duration) -> anyhow::Result<()> {
        let Self::Own(own) = self else {
            bail!("only a gateway that `verify` started is killed");
        };
        own.child.kill().await.context("cannot kill the gateway")?;
        tokio::time::sleep(away).await;
        own.child = spawn(own.port, &own.settings, own.store, &own.scratch).await?;
        Ok(())
    }

    /// Ends it; its last log lines, if it is ours.
    pub(super) async fn end(self) -> anyhow::Result<Vec<String>> {
        let Self::Own(mut own) = self else {
            return Ok(Vec::new());
        };
        let pid = own.child.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        }
        let status = timeout(DRAIN_MAX, own.child.wait())
            .await
            .context("the gateway did not end after SIGTERM")??;
        let log = own.scratch.log_tail();
        if !status.success() {
            bail!("the gateway ended with {status}:\n{}", log.join("\n"));
        }
        Ok(log)
    }
}

async fn spawn(
    port: u16,
    settings: &[String],
    store: Store,
    scratch: &Scratch,
) -> anyhow::Result<Child> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let mut command = Command::new(program);
    // Nothing of the caller's environment reaches it: a run means the same everywhere.
    command
        .env_clear()
        .env("RUST_LOG", "warn")
        .arg("serve")
        .arg("--listen")
        .arg(format!("127.0.0.1:{port}"));
    if store == Store::Durable {
        command.arg("--data-dir").arg(scratch.0.join("data"));
    }
    for setting in settings {
        command.arg("--set").arg(setting);
    }
    let log = File::options()
        .create(true)
        .append(true)
        .open(scratch.log())?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .context("cannot start a gateway")?;
    let output = child.stdout.take().context("the gateway has no output")?;
    let mut lines = BufReader::new(output).lines();
    let line = timeout(START_MAX, lines.next_line())
        .await
        .context("the gateway does not listen in time")??;
    if line.is_none_or(|line| !line.contains("listening on")) {
        bail!(
            "the gateway does not start:\n{}",
            scratch.log_tail().join("\n")
        );
    }
    Ok(child)
}

fn free_port() -> anyhow::Result<u16> {
    let first = Uuid::new_v4().as_u128() % u128::from(PORTS.end - PORTS.start);
    let first = PORTS.start + u16::try_from(first).expect("below the number of ports");
    let ports = (first..PORTS.end).chain(PORTS.start..first);
    ports
        .into_iter()
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .context("there is no free port from 20000 to 31999")
}

/// A folder that goes with the run.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> anyhow::Result<Self> {
        let name = format!("tidings-verify-{}", Uuid::now_v7().simple());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path)
            .with_context(|| format!("cannot make a folder at {}", path.display()))?;
        Ok(Self(path))
    }

    fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    fn log_tail(&self) -> Vec<String> {
        tail(&self.log())
    }
}

fn tail(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].to_vec()
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to the system, which cleans its temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
