//! Arguments of `token`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::app::cli::Settings;
use crate::auth::Pattern;
use crate::quantity;

/// Arguments of `token`.
#[derive(Debug, Clone, Args)]
pub struct TokenArgs {
    /// What sort of credential.
    #[command(subcommand)]
    pub kind: TokenKind,
}

/// The sorts of credentials.
#[derive(Debug, Clone, Subcommand)]
pub enum TokenKind {
    /// Make a token of a user, signed with the secret of the configuration or a private key
    User(UserToken),
    /// Make an API key of a producer and keep its hash; the key itself is printed once
    Key(KeyToken),
}

/// What a user's token says.
#[derive(Debug, Clone, Args)]
pub struct UserToken {
    /// The user
    pub sub: String,
    /// What they are there for
    #[arg(long, default_value = "user", value_parser = ["user", "producer", "admin"])]
    pub role: String,
    /// Topics they may subscribe to, such as `session:abc` or `job:*`; without it, their own
    #[arg(long, value_name = "PATTERN")]
    pub sub_topic: Vec<Pattern>,
    /// Topics they may publish to
    #[arg(long, value_name = "PATTERN")]
    pub pub_topic: Vec<Pattern>,
    /// How long it is valid
    #[arg(long, default_value = "1h", value_parser = quantity::duration::parse)]
    pub valid: Duration,
    /// A private key in PEM to sign with, instead of `auth.jwt.secret`
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Where the secret comes from.
    #[command(flatten)]
    pub settings: Settings,
}

/// What an API key is for.
#[derive(Debug, Clone, Args)]
pub struct KeyToken {
    /// What people call it
    pub name: String,
    /// Topics it may publish to, such as `job:*`; all if nothing is said
    #[arg(long, value_name = "PATTERN")]
    pub pub_topic: Vec<Pattern>,
    /// Topics it may follow besides those
    #[arg(long, value_name = "PATTERN")]
    pub sub_topic: Vec<Pattern>,
    /// It administers the gateway
    #[arg(long)]
    pub admin: bool,
    /// Print the entry for `auth.keys` instead of writing it into the file of keys
    #[arg(long)]
    pub print: bool,
    /// Where the file of keys is.
    #[command(flatten)]
    pub settings: Settings,
}
