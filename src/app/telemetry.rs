//! The log: to standard error, as text for people and as JSON for machines.

mod json;
mod line;
#[cfg(feature = "otlp")]
pub(super) mod otlp;
mod words;

use std::io::{IsTerminal as _, stderr};

use anyhow::anyhow;
use tracing_subscriber::fmt::format::DefaultFields;
use tracing_subscriber::{EnvFilter, fmt, reload};

use self::json::JsonLine;
use self::line::OneLine;
use self::words::Words;
use crate::app::config::{Format, Log};

/// Changes what is logged while the process runs.
pub(super) struct Filter(Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>);

impl Filter {
    /// From now on this is logged.
    ///
    /// # Errors
    /// What is wrong with the filter; then nothing has changed.
    pub(super) fn change(&self, config: &Log) -> Result<(), String> {
        let directives = config.directives()?;
        (self.0)(directives).map_err(|error| error.to_string())
    }
}

/// Starts logging. Once in a process.
pub(super) fn start(config: &Log) -> anyhow::Result<Filter> {
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
    let (started, filter) = if is_text {
        let log = log
            .with_writer(move || OneLine::new(stderr(), is_terminal))
            .fmt_fields(Words(DefaultFields::new()));
        let log = log.with_filter_reloading();
        let handle = log.reload_handle();
        let filter = Filter(Box::new(move |to| handle.reload(to)));
        (log.with_ansi(is_terminal).try_init(), filter)
    } else {
        let log = log.with_writer(stderr).event_format(JsonLine);
        let log = log.with_filter_reloading();
        let handle = log.reload_handle();
        let filter = Filter(Box::new(move |to| handle.reload(to)));
        (log.try_init(), filter)
    };
    started.map_err(|error| anyhow!("cannot start the log: {error}"))?;
    Ok(filter)
}
