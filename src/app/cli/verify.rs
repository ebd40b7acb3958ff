//! Arguments of `verify`.

use std::fmt;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::quantity;

/// Arguments of `verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// A gateway that runs already; without it one is started, and may be killed
    #[arg(long)]
    pub url: Option<String>,
    /// Token or API key to show it [env: `TIDINGS_TOKEN`]; better not on a command line
    #[arg(long, value_name = "TOKEN", requires = "url")]
    pub token: Option<String>,
    /// How many clients
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub clients: u32,
    /// How many topics they are spread over
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub topics: u32,
    /// Publishes a second, all producers together
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub rate: u32,
    /// How long events are published and faults are made
    #[arg(long = "for", value_name = "DURATION", default_value = "30s", value_parser = quantity::duration::parse)]
    pub duration: Duration,
    /// What the run is drawn from; printed, to draw it again
    #[arg(long)]
    pub seed: Option<u64>,
    /// Faults to make [default: all that the gateway allows]
    #[arg(long, value_delimiter = ',')]
    pub faults: Option<Vec<Fault>>,
    /// Bytes that each event is longer by
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=60_000))]
    pub size: u32,
    /// Mean time between two faults of one client
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = quantity::duration::parse)]
    pub every: Duration,
    /// Mean time that a client stays away after a cut
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = quantity::duration::parse)]
    pub away: Duration,
    /// How long a client may take to come back, and all of them to have everything at the end
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = quantity::duration::parse)]
    pub patience: Duration,
    /// Set one key of the gateway that is started; may be repeated
    #[arg(long, value_name = "KEY=VALUE", conflicts_with = "url")]
    pub set: Vec<String>,
    /// Print the figures as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// What goes wrong during a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum Fault {
    /// A client's connection is cut, at times again while it comes back
    Kick,
    /// A client ends its sending direction only
    HalfClose,
    /// The network between client and gateway takes nothing more, then is gone
    Blackhole,
    /// The network between client and gateway is slow for a while
    Delay,
    /// A client stops reading for a while
    Stall,
    /// One client of ten reads nothing, or a trickle, for so long that the gateway has to close it
    Stuck,
    /// Replies to producers are cut off, and they publish again with the same key
    Retry,
    /// All connections are cut at once
    Herd,
    /// The gateway is ended by SIGKILL and started again
    Kill,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("no fault is hidden");
        f.write_str(value.get_name())
    }
}
