//! `--compare`: the same load on a gateway and on a plain Socket.IO server, a process each, in turn.

use std::fmt::Write as _;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::Kind;
use super::load::Load;
use super::report::Report;
use crate::app::cli::BenchCommon;
use crate::app::exit::FAILED;
use crate::app::screen::say;
use crate::upstream::gateway::Gateway;

/// How often each is measured; the median counts.
const ROUNDS: usize = 3;

/// How long a server may take to listen.
const START_MAX: Duration = Duration::from_secs(30);

/// What is measured, and how it is started: by this very binary.
const SERVERS: [(&str, &[&str]); 2] = [
    ("tidings", &["serve", "--listen", "127.0.0.1:0"]),
    ("plain", &["bench", "plain"]),
];

/// The figures of both.
#[derive(Debug, Serialize)]
struct Comparison {
    kind: Kind,
    /// What the figure is: CPU time a delivery in microseconds, or memory a connection in KiB.
    unit: &'static str,
    tidings: f64,
    plain: f64,
    ratio: f64,
}

/// Measures both in turn and prints the ratio. Fails when the gateway lost, doubled or disordered
/// anything.
pub(super) async fn run(kind: Kind, common: &BenchCommon) -> anyhow::Result<u8> {
    let mut figures = [Vec::new(), Vec::new()];
    let mut is_clean = true;
    for _ in 0..ROUNDS {
        for (server, figures) in SERVERS.iter().zip(&mut figures) {
            let report = measure(server.1, kind, common).await?;
            is_clean &= report.is_clean() || server.0 != "tidings";
            figures.push(figure(&report).context("the server's process was not measured")?);
        }
    }
    let [tidings, plain] = figures.map(median);
    let comparison = Comparison {
        kind,
        unit: if kind == Kind::Idle { "KiB" } else { "us" },
        tidings,
        plain,
        ratio: tidings / plain,
    };
    if common.json {
        say(&serde_json::to_string(&comparison)?)?;
    } else {
        say(&comparison.told())?;
    }
    Ok(if is_clean { 0 } else { FAILED })
}

async fn measure(args: &[&str], kind: Kind, common: &BenchCommon) -> anyhow::Result<Report> {
    let (mut server, url) = start(args).await?;
    let common = BenchCommon {
        server_pid: server.id(),
        url: Some(url.clone()),
        ..common.clone()
    };
    let report = Load::new(Gateway::new(&url)?, kind, &common).run().await;
    server.kill().await?;
    report
}

/// A server of its own, and where it listens. It ends with what is returned.
async fn start(args: &[&str]) -> anyhow::Result<(Child, String)> {
    let mut server = Command::new(std::env::current_exe()?)
        .args(args)
        .env_clear()
        .env("RUST_LOG", "warn")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start a server to measure")?;
    let output = server.stdout.take().context("it has no standard output")?;
    let mut lines = BufReader::new(output).lines();
    let line = timeout(START_MAX, lines.next_line())
        .await
        .context("the server did not listen in time")??
        .unwrap_or_default();
    let url = line.split(' ').find(|word| word.starts_with("http://"));
    let url = url.context("the server did not say where it listens")?;
    Ok((server, url.to_owned()))
}

fn figure(report: &Report) -> Option<f64> {
    match (&report.delivery, &report.memory) {
        (Some(delivery), _) => delivery.server_cpu_us,
        (None, memory) => memory.as_ref().map(|memory| memory.kib_per_connection),
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

impl Comparison {
    fn told(&self) -> String {
        let what = match self.kind {
            Kind::Idle => "KiB of memory a connection",
            Kind::Fanout | Kind::Sessions | Kind::Polling => "us of CPU a delivery",
        };
        let mut text = String::new();
        write!(
            text,
            "median of {ROUNDS} rounds in turn, {what}:\n\
             tidings         {:.2}\n\
             plain server    {:.2}  (socketioxide and axum, without a log)\n\
             ratio           {:.2}",
            self.tidings, self.plain, self.ratio,
        )
        .expect("a String takes all");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_counts() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
    }
}
