//! Bridges: what other people's emitters publish on channels of Redis, so that those work
//! unmodified.
//!
//! Every node hears every message. What goes to one topic and can be recorded is appended to its
//! log by the one node that holds a lease; whatever else is meant for sockets (several rooms, one
//! socket, everybody, joins, leaves, disconnects) is done by each node for its own sockets. Events
//! are told exactly as they were emitted. A message that cannot be understood is counted and
//! skipped.

mod action;
mod bridge;
mod emitter;
mod pickle;
mod plain;
mod python;

pub use self::action::{Action, Aim, Argument, Arguments};
pub use self::bridge::Metrics;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::drain::Drain;
use crate::hub::Hub;
use crate::quantity::ByteSize;

/// Other people's emitters.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bridges {
    /// Which are read.
    pub read: Vec<Bridge>,
    /// The `key` of the emitters of Socket.IO.
    pub emitter_key: String,
    /// The `channel` of python-socketio's managers.
    pub manager_channel: String,
    /// Largest message that is read.
    pub message_bytes_max: ByteSize,
    /// Most messages that wait to be appended, for each of a few queues; then reading waits.
    pub queue_max: usize,
    /// How long the node that appends may be silent before another one does.
    #[serde(with = "crate::quantity::duration")]
    pub lease_age: Duration,
}

/// A kind of emitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bridge {
    /// `@socket.io/redis-emitter`.
    Emitter,
    /// python-socketio's write-only managers.
    Manager,
    /// `PUBLISH session:<id>:<event>` with JSON.
    Plain,
}

/// Starts the bridges, if Redis is underneath; what is meant for sockets goes into `actions`.
pub fn start(
    config: &Bridges,
    (hub, drain): (&Hub, &Drain),
    metrics: &Metrics,
    actions: mpsc::Sender<Action>,
) {
    bridge::start(config, (hub, drain), metrics, actions);
}
