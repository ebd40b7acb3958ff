//! What a configuration is made from, besides the embedded defaults.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// The user's wishes, before anybody has looked at them.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The user's file. None is fine; a named one must exist.
    pub file: Option<PathBuf>,
    /// The variables of the environment.
    pub environment: Vec<(OsString, OsString)>,
    /// `--listen`.
    pub listen: Option<String>,
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--insecure`.
    pub insecure: bool,
    /// `--set key=value`, in order.
    pub set: Vec<String>,
}

impl Sources {
    /// Sources that hold the environment of this process, and the file that it names.
    pub fn of_process() -> Self {
        let mut sources = Self {
            environment: std::env::vars_os().collect(),
            ..Self::default()
        };
        sources.file = sources.variable("TIDINGS_CONFIG").map(PathBuf::from);
        sources
    }

    /// The gateway that client commands talk to, if the environment names one.
    pub fn url(&self) -> Option<String> {
        self.variable("TIDINGS_URL")
            .map(|url| url.to_string_lossy().into_owned())
    }

    /// What client commands show, if the environment has it.
    pub fn token(&self) -> Option<String> {
        self.variable("TIDINGS_TOKEN")
            .map(|token| token.to_string_lossy().into_owned())
    }

    fn variable(&self, name: &str) -> Option<&OsStr> {
        let found = self.environment.iter().find(|(key, _)| key == name);
        found
            .map(|(_, value)| value.as_os_str())
            .filter(|value| !value.is_empty())
    }
}
