//! Descriptors: every client needs some.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::plan::Plan;

/// Descriptors beside those of clients.
const SPARE: u64 = 512;

/// Raises the limit of this process (and so of a gateway that it starts) as far as the run needs
/// and the system allows.
pub(super) fn raise(plan: &Plan) -> anyhow::Result<()> {
    // A client's own, and with a network of ours a listener and both ends of two connections.
    let each = if plan.needs_network() { 8 } else { 3 };
    let needed = plan.clients as u64 * each / 2 + plan.clients as u64 + SPARE;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let more = Rlimit {
        current: Some(needed),
        maximum: limit.maximum.map(|maximum| maximum.max(needed)),
    };
    let within = Rlimit {
        current: limit.maximum.map(|maximum| maximum.min(needed)),
        maximum: limit.maximum,
    };
    if setrlimit(Resource::Nofile, more).is_err() {
        setrlimit(Resource::Nofile, within)?;
        tracing::warn!(
            needed,
            "this user may not open so many files: connections may fail"
        );
    }
    Ok(())
}
