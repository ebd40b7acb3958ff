//! What clients see. Each face owns its wire types and translates; it keeps no events.

pub(crate) mod dashboard;
pub(crate) mod envelope;
pub mod http;
pub mod library;
pub mod socketio;
pub mod sse;
pub mod ws;
