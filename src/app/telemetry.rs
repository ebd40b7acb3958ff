//! The log: to standard error, as text for people and as JSON for machines.

use std::io::{IsTerminal as _, stderr};

use anyhow::anyhow;
use tracing_subscriber::fmt;

use crate::app::config::{Format, Log};

/// Starts logging. Once in a process.
pub(super) fn start(config: &Log) -> anyhow::Result<()> {
    let filter = config
        .directives()
        .map_err(|what| anyhow!("log.filter: {what}"))?;
    let text = match config.format {
        Format::Auto => stderr().is_terminal(),
        Format::Text => true,
        Format::Json => false,
    };
    let log = fmt().with_env_filter(filter).with_writer(stderr);
    let started = if text {
        log.with_ansi(stderr().is_terminal()).try_init()
    } else {
        log.json().flatten_event(true).try_init()
    };
    started.map_err(|error| anyhow!("cannot start the log: {error}"))
}
