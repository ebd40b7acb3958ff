//! The command line.

mod clients;
mod load;
mod token;
mod verify;

pub use self::clients::{GatewayArgs, PublishArgs, WatchArgs};
pub use self::load::{BenchArgs, BenchCommon, BenchKind};
pub use self::token::{KeyToken, TokenArgs, TokenKind, UserToken};
pub use self::verify::{Fault, VerifyArgs};

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::app::config::Sources;
use crate::quantity;

/// A Socket.IO-compatible realtime gateway for the progress of jobs and sessions.
///
/// Without a subcommand it serves.
#[derive(Debug, Parser)]
#[command(name = "tidings", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Settings for serving.
    #[command(flatten)]
    pub settings: Settings,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve until SIGTERM or SIGINT (the default)
    Serve(Settings),
    /// Publish an event, or many from standard input
    Publish(PublishArgs),
    /// Follow a topic; exits with the session's outcome
    Watch(WatchArgs),
    /// Serve on loopback and work through the files of a folder, live on a page
    Demo(DemoArgs),
    /// Measure a gateway with stock clients' wire format
    Bench(BenchArgs),
    /// Show that nothing is lost, doubled or reordered while connections and gateway fail
    Verify(VerifyArgs),
    /// Make a token of a user, or an API key of a producer
    Token(TokenArgs),
    /// Check the configuration
    CheckConfig(Settings),
    /// Print the effective configuration, and where it came from
    PrintConfig(Settings),
    /// Exit with 0 if the gateway is alive, for a container's health check
    Healthcheck(GatewayArgs),
    /// Print a completion script
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write those of all subcommands into a directory
    Man {
        /// Where to write them.
        #[arg(value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Print the version
    Version {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Where the configuration comes from.
#[derive(Debug, Clone, Default, Args)]
pub struct Settings {
    /// Configuration file [env: `TIDINGS_CONFIG`]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1:3000; `PORT` changes the port]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Directory of the durable store; without it data is in memory and lost on exit
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Listen beyond loopback although nobody has to show who they are
    #[arg(long)]
    pub insecure: bool,
    /// Set one key, such as `hub.ring_events_max=2048`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl Settings {
    /// Together with the environment.
    pub fn sources(&self) -> Sources {
        let mut sources = Sources::of_process();
        sources.file = self.config.clone().or(sources.file);
        sources.listen.clone_from(&self.listen);
        sources.data_dir.clone_from(&self.data_dir);
        sources.insecure = self.insecure;
        sources.set.clone_from(&self.set);
        sources
    }
}

/// Arguments of `demo`.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// The folder whose files are worked through
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// Least time for a file, so that a person can watch
    #[arg(long, default_value = "60ms", value_parser = quantity::duration::parse)]
    pub pace: Duration,
    /// Exit when the work is done instead of serving on
    #[arg(long)]
    pub exit: bool,
    /// Settings for serving.
    #[command(flatten)]
    pub settings: Settings,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_subcommand_serves_with_the_same_settings() {
        let cli = Cli::try_parse_from(["tidings", "--listen", "127.0.0.1:0"]).unwrap();
        assert!(cli.command.is_none());
        assert_eq!(cli.settings.listen.as_deref(), Some("127.0.0.1:0"));
        let cli = Cli::try_parse_from(["tidings", "serve", "--set", "a=1", "--set", "b=2"]);
        let Some(Command::Serve(settings)) = cli.unwrap().command else {
            panic!("serve")
        };
        assert_eq!(settings.set, ["a=1", "b=2"]);
    }

    #[test]
    fn what_is_no_subcommand_is_refused() {
        for line in [
            vec!["tidings", "sing"],
            vec!["tidings", "publish", "session:a"],
            vec!["tidings", "demo", "--pace", "5"],
            vec!["tidings", "completions", "basic"],
        ] {
            let error = Cli::try_parse_from(&line).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line:?}");
        }
    }
}
