//! A session: what outlives the connections of a client.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::time::Instant;

use crate::connection::ConnectionId;
use crate::face::socketio::link::WeakLink;
use crate::face::socketio::recovery::record::Record;

/// When a session is forgotten; unique.
pub(super) type Departure = (Instant, u64);

/// What outlives a connection.
pub(crate) struct Session {
    pub(super) pid: Arc<str>,
    state: Mutex<SessionState>,
    /// One write to the store at a time, so that the newest is the last.
    pub(super) writing: tokio::sync::Mutex<()>,
}

pub(super) struct SessionState {
    pub(super) record: Record,
    /// The connection that has it now.
    pub(super) owner: Option<Owner>,
    pub(super) departure: Option<Departure>,
    /// The store holds a record of it.
    pub(super) is_kept: bool,
}

/// The connection that has a session.
pub(super) struct Owner {
    pub(super) tenure: u64,
    pub(super) link: WeakLink,
    pub(super) generation: u64,
}

impl Session {
    pub(super) fn new(pid: Arc<str>, record: Record, is_kept: bool) -> Arc<Self> {
        Arc::new(Self {
            pid,
            state: Mutex::new(SessionState {
                record,
                owner: None,
                departure: None,
                is_kept,
            }),
            writing: tokio::sync::Mutex::default(),
        })
    }

    pub(crate) fn pid(&self) -> &str {
        &self.pid
    }

    /// The public id.
    pub(crate) fn id(&self) -> ConnectionId {
        self.lock().record.id.clone()
    }

    /// Reads or changes the record.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Record) -> T) -> T {
        act(&mut self.lock().record)
    }

    /// Whether a connection of this node has it.
    pub(super) fn is_owned(&self) -> bool {
        self.lock().owner.is_some()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, SessionState> {
        self.state.lock().expect("no holder of a session panics")
    }
}
