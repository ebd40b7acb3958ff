//! What a scan may take.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::quantity::ByteSize;

/// Where scans may look, and their bounds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The directories that may be scanned, with all below them; none: nothing may be.
    pub roots: Vec<PathBuf>,
    /// Most scans that run at once on this node.
    pub scans_max: usize,
    /// Most files in the list of a scan; the others are counted.
    pub entries_max: usize,
    /// Most bytes of the list of a scan, as JSON.
    pub result_bytes_max: ByteSize,
    /// Most bytes of all lists of scans that have ended; the oldest make room.
    pub results_bytes_max: ByteSize,
    /// How long the list of a scan is kept after its end.
    #[serde(with = "crate::quantity::duration")]
    pub result_age_max: Duration,
    /// Most warnings of a scan; the others are counted.
    pub warnings_max: usize,
    /// Deepest directory, counted from where the scan begins.
    pub depth_max: usize,
    /// How often a scan tells its progress.
    #[serde(with = "crate::quantity::duration")]
    pub progress_interval: Duration,
    /// How long a scan goes on after its last client left.
    #[serde(with = "crate::quantity::duration")]
    pub grace: Duration,
}
