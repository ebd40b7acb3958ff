//! Where workers are told, and what that may take.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::auth::Secret;
use crate::upstream::webhook::Reach;

/// Where workers are told, and what that may take.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where all of it is posted that has no address of its own.
    #[serde(default)]
    pub url: Option<String>,
    /// The hosts that the `webhook` of a job may be at; `*` is any.
    pub hosts: Vec<String>,
    /// What calls are signed with.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// Which addresses may be called.
    pub reach: ReachSetting,
    /// How long one call may take.
    #[serde(with = "crate::quantity::duration")]
    pub timeout: Duration,
    /// How often a call that failed is repeated.
    pub retries_max: u32,
    /// The pause before the first repetition; it doubles.
    #[serde(with = "crate::quantity::duration")]
    pub retry_pause: Duration,
    /// The longest pause.
    #[serde(with = "crate::quantity::duration")]
    pub retry_pause_max: Duration,
    /// Most calls at a time.
    pub concurrency_max: usize,
    /// Most messages that are being told or wait for it.
    pub queue_max: usize,
}

/// Which addresses may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReachSetting {
    /// Public ones, over https.
    Public,
    /// Also those of private networks and of this machine, and over plain http.
    Private,
}

impl From<ReachSetting> for Reach {
    fn from(setting: ReachSetting) -> Self {
        match setting {
            ReachSetting::Public => Self::Public,
            ReachSetting::Private => Self::Private,
        }
    }
}

impl Config {
    /// Whether anybody may be told.
    pub const fn is_on(&self) -> bool {
        self.url.is_some() || !self.hosts.is_empty()
    }
}
