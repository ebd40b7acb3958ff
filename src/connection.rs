//! One attached client, whatever it speaks: its public id, its admission, why it ended. And the
//! [`Door`], at which every face asks who somebody is and what they may do.

mod admission;
mod door;
mod revoking;
mod roster;

pub use self::admission::{Admission, Notice, RefreshError};
pub use self::door::{Door, Visitor, owner_of};
pub use self::revoking::RevokeError;
pub use self::roster::{Attendance, Attendee, Ended, Present, Roster, Standing};

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// The public id of a connection: shown to everybody, worth nothing as a credential.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConnectionId(Arc<str>);

impl ConnectionId {
    /// A new id: 20 characters of `A-Z a-z 0-9 _ -`.
    pub fn new() -> Self {
        let random = Uuid::new_v4();
        let id = URL_SAFE_NO_PAD.encode(&random.as_bytes()[..15]);
        Self(id.into())
    }

    /// The id of a client that names itself.
    pub fn of(text: &str) -> Self {
        Self(text.into())
    }

    /// The text of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ConnectionId {
    fn default() -> Self {
        Self::new()
    }
}

impl Serialize for ConnectionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ConnectionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|id| Self(id.into()))
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The client left, or its link broke.
    Client,
    /// It did not answer pings.
    Heartbeat,
    /// It took nothing for too long.
    Stalled,
    /// It reached a bound.
    Overloaded,
    /// It broke the protocol.
    Protocol,
    /// Its client came back on another connection.
    Replaced,
    /// The node is draining.
    Drain,
    /// Its token has ended.
    Expired,
    /// Its credential was taken back.
    Revoked,
    /// It reached a limit of its user or address.
    Limited,
}

/// How a client fared that asked for its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It has it again, and what it missed.
    Recovered,
    /// The session is not known (any more).
    Unknown,
    /// Something of what it missed is gone.
    Gap,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::Unknown => "unknown",
            Self::Gap => "gap",
        }
    }
}

impl CloseReason {
    /// The name in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Heartbeat => "heartbeat",
            Self::Stalled => "stalled",
            Self::Overloaded => "overloaded",
            Self::Protocol => "protocol",
            Self::Replaced => "replaced",
            Self::Drain => "drain",
            Self::Expired => "auth_expired",
            Self::Revoked => "auth_revoked",
            Self::Limited => "limited",
        }
    }
}

/// The counters of connections of all faces.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    open: Family<FaceLabel, Gauge>,
    all: Gauge,
    closed: Family<ClosedLabel, Counter>,
    recoveries: Family<OutcomeLabel, Counter>,
    sessions_evicted: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FaceLabel {
    face: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClosedLabel {
    face: &'static str,
    reason: &'static str,
}

impl Metrics {
    /// The counters, under their names in the registry.
    pub fn register(registry: &mut Registry) -> Self {
        let m = Self::default();
        registry.register(
            "tidings_connections",
            "Connected clients, by face",
            m.open.clone(),
        );
        registry.register(
            "tidings_connections_closed",
            "Connections that ended, by face and close reason",
            m.closed.clone(),
        );
        registry.register(
            "tidings_recoveries",
            "Clients that came back and asked for their session, by outcome",
            m.recoveries.clone(),
        );
        registry.register(
            "tidings_sessions_evicted",
            "Sessions of absent clients that were forgotten early, for want of room",
            m.sessions_evicted.clone(),
        );
        m
    }

    /// How many clients are connected, on all faces.
    pub fn count(&self) -> usize {
        usize::try_from(self.all.get()).unwrap_or(0)
    }

    /// A client has connected.
    pub fn opened(&self, face: &'static str) {
        self.open.get_or_create(&FaceLabel { face }).inc();
        self.all.inc();
    }

    /// A client asked for its session.
    pub fn recovery(&self, outcome: Outcome) {
        let outcome = outcome.as_str();
        self.recoveries
            .get_or_create(&OutcomeLabel { outcome })
            .inc();
    }

    /// The session of an absent client was forgotten early.
    pub fn session_evicted(&self) {
        self.sessions_evicted.inc();
    }

    /// A client is gone.
    pub fn closed(&self, face: &'static str, reason: CloseReason) {
        self.open.get_or_create(&FaceLabel { face }).dec();
        self.all.dec();
        self.closed
            .get_or_create(&ClosedLabel {
                face,
                reason: reason.as_str(),
            })
            .inc();
    }
}
