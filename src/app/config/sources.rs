//! What a configuration is made from, besides the embedded defaults.

use std::ffi::OsString;
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
    /// `--insecure`.
    pub insecure: bool,
    /// `--set key=value`, in order.
    pub set: Vec<String>,
}

impl Sources {
    /// Sources that hold the environment of this process.
    pub fn of_process() -> Self {
        Self {
            environment: std::env::vars_os().collect(),
            ..Self::default()
        }
    }
}
