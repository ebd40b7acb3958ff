//! The log: to standard error, as text for people and as JSON for machines.

mod line;

use std::io::{IsTerminal as _, stderr};

use anyhow::anyhow;
use tracing_subscriber::fmt;

use self::line::OneLine;
use crate::app::config::{Format, Log};

/// Starts logging. Once in a process.
pub(super) fn start(config: &Log) -> anyhow::Result<()> {
    let filter = config
        .directives()
        .map_err(|what| anyhow!("log.filter: {what}"))?;
    let is_terminal = stderr().is_terminal();
    let is_text = match config.format {
        Format::Auto => is_terminal,
        Format::Text => true,
        Format::Json => false,
    };
    let log = fmt().with_env_filter(filter);
    let started = if is_text {
        let log = log.with_ansi(is_terminal);
        log.with_writer(move || OneLine::new(stderr(), is_terminal))
            .try_init()
    } else {
        // JSON escapes what it holds.
        let log = log.with_writer(stderr);
        log.json().flatten_event(true).try_init()
    };
    started.map_err(|error| anyhow!("cannot start the log: {error}"))
}
