//! Reload: the configuration is read again, and what may change while the process runs changes.
//!
//! All or nothing: a configuration with a problem changes nothing, and the log says what is wrong.

use tracing::{error, info, warn};

use crate::app::config::{self, Config, Sources};
use crate::app::telemetry::Filter;
use crate::limit::Limits;

/// What changes at once: keys, and sections with all that is in them. Everything else holds from the
/// next start on.
pub const LIVE: [&str; 2] = ["log.filter", "limit"];

/// A running gateway's configuration, and what can be changed of it.
pub(super) struct Reload {
    /// What holds now.
    config: Config,
    sources: Sources,
    filter: Filter,
    limits: Limits,
}

impl Reload {
    pub(super) fn new(
        config: Config,
        sources: Sources,
        (filter, limits): (Filter, Limits),
    ) -> Self {
        Self {
            config,
            sources,
            filter,
            limits,
        }
    }

    /// Reads the sources again, and changes what can be changed.
    pub(super) fn run(&mut self) {
        match self.read() {
            Ok((changed, later)) => {
                let changed = changed.join(", ");
                info!(changed, "the configuration was reloaded");
                if !later.is_empty() {
                    let keys = later.join(", ");
                    warn!(keys, "these settings hold from the next start on");
                }
            }
            Err(why) => error!(
                why,
                "the configuration was not reloaded: the old one still holds"
            ),
        }
    }

    /// What has changed, and what will only change with the next start.
    fn read(&mut self) -> Result<(Vec<String>, Vec<String>), String> {
        let new = config::load(&self.sources);
        let new = new.map_err(|problems| problems.to_string())?.config;
        let keys = self.config.differences(&new);
        self.filter.change(&new.log)?;
        let changed = self.limits.change(new.limit.clone());
        changed.map_err(|error| error.to_string())?;
        self.config.log.filter = new.log.filter;
        self.config.limit = new.limit;
        Ok(keys.into_iter().partition(|key| is_live(key)))
    }
}

fn is_live(key: &str) -> bool {
    LIVE.iter().any(|live| {
        let rest = key.strip_prefix(live);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}
