//! Arguments of `bench`.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::quantity;

/// Arguments of `bench`.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// What is measured.
    #[command(subcommand)]
    pub kind: BenchKind,
}

/// What is measured.
#[derive(Debug, Clone, Subcommand)]
pub enum BenchKind {
    /// One session with many websocket clients
    Fanout(BenchCommon),
    /// Many sessions with one websocket client each
    Sessions(BenchCommon),
    /// One session with many polling clients
    Polling(BenchCommon),
    /// Websocket clients that wait: memory per connection
    Idle(BenchCommon),
    /// The server that `--compare` compares with
    #[command(hide = true)]
    Plain,
}

/// What all kinds take.
#[derive(Debug, Clone, Args)]
pub struct BenchCommon {
    /// Gateway on this machine; without it one is started in this process
    #[arg(long)]
    pub url: Option<String>,
    /// Token or API key to show [env: `TIDINGS_TOKEN`]; better not on a command line
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
    /// How many clients
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub clients: u32,
    /// How many events in all
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub events: u32,
    /// Length of the padding in each payload
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(0..=65_536))]
    pub payload: u32,
    /// How many publishes may be in flight
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub in_flight: u32,
    /// How long it may take at most
    #[arg(long, default_value = "60s", value_parser = quantity::duration::parse)]
    pub limit: Duration,
    /// Process of the gateway, to measure its CPU time and memory
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
    /// Measure a gateway and a plain Socket.IO server in turn, a process each, and print the ratio
    #[arg(long, conflicts_with_all = ["url", "server_pid"])]
    pub compare: bool,
    /// Print the figures as one JSON object
    #[arg(long)]
    pub json: bool,
}
