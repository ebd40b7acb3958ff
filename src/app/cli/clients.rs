//! Arguments of the subcommands that talk to a running gateway.

use clap::Args;

/// Which gateway.
#[derive(Debug, Clone, Default, Args)]
pub struct GatewayArgs {
    /// Address of the gateway [env: `TIDINGS_URL`] [default: where `serve` would listen]
    #[arg(long)]
    pub url: Option<String>,
    /// Token or API key to show [env: `TIDINGS_TOKEN`]; better not on a command line
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
}

/// Arguments of `publish`.
#[derive(Debug, Clone, Args)]
pub struct PublishArgs {
    /// The topic, such as `session:abc`
    pub topic: String,
    /// The name of the event, such as `progress`
    pub name: String,
    /// The payload: JSON, `@FILE`, or `-` for one payload a line from standard input
    #[arg(default_value = "{}")]
    pub data: String,
    /// What distinguishes states of the same name
    #[arg(long)]
    pub key: Option<String>,
    /// Makes the publish safe to repeat
    #[arg(long)]
    pub idempotency_key: Option<String>,
    /// What may happen to the event for a subscriber that is behind
    #[arg(long, value_parser = ["state", "fact", "terminal"])]
    pub class: Option<String>,
    /// The event ends the topic's story
    #[arg(long, conflicts_with = "class")]
    pub terminal: bool,
    /// Which gateway.
    #[command(flatten)]
    pub gateway: GatewayArgs,
}

/// Arguments of `watch`.
#[derive(Debug, Clone, Args)]
pub struct WatchArgs {
    /// The topic, such as `session:abc`
    pub topic: String,
    /// Begin after this cursor instead of with the snapshot
    #[arg(long, value_name = "CURSOR")]
    pub since: Option<String>,
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Which gateway.
    #[command(flatten)]
    pub gateway: GatewayArgs,
}
