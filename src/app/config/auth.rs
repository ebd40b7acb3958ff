//! Who may enter.

use serde::{Deserialize, Serialize};

/// Whether connections and producers must show who they are.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// How somebody shows who they are: only `none` today, which is meant for loopback.
    pub mode: Mode,
    /// Whether to listen beyond loopback although nobody has to show who they are.
    pub insecure: bool,
}

/// How somebody shows who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Not at all.
    None,
}
