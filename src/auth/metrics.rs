//! The counters of who came in and who did not.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::auth::Role;

/// The counters of admission.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    admitted: Family<RoleLabel, Counter>,
    refused: Family<ReasonLabel, Counter>,
    origins_refused: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RoleLabel {
    role: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

impl Metrics {
    /// The counters, under their names in the registry.
    pub fn register(registry: &mut Registry) -> Self {
        let m = Self::default();
        registry.register(
            "tidings_auth_admitted",
            "Credentials taken, by role",
            m.admitted.clone(),
        );
        registry.register(
            "tidings_auth_refused",
            "Credentials refused, by reason",
            m.refused.clone(),
        );
        registry.register(
            "tidings_auth_origins_refused",
            "Requests refused because of their Origin",
            m.origins_refused.clone(),
        );
        m
    }

    pub(super) fn admitted(&self, role: Role) {
        let role = role.as_str();
        self.admitted.get_or_create(&RoleLabel { role }).inc();
    }

    pub(super) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&ReasonLabel { reason }).inc();
    }

    pub(super) fn origin_refused(&self) {
        self.origins_refused.inc();
    }
}
