//! Sockets: the accept loop, the WebSocket upgrade, and the stream with its outbox.
//!
//! This floor knows HTTP/1.1 connections and WebSocket frames, and nothing of Socket.IO. The app
//! serves a listener with [`serve`]; a face upgrades a request with [`Upgrade`], wraps the raw
//! socket as a [`Stream`] and writes prebuilt frames into its [`Outbox`].

mod accept;
mod body;
mod config;
pub mod frame;
mod gate;
mod guard;
mod memory;
mod outbox;
mod stall;
mod stream;
mod upgrade;

pub use self::accept::{Metrics, Peer, Permit, serve};
pub use self::body::{Deadline, DeadlineError};
pub use self::config::Config;
pub use self::gate::{Bound, Gate, Place};
pub use self::guard::Lifeline;
pub(crate) use self::memory::set_aside_little;
pub use self::outbox::{Outbox, Outboxes, Sent};
pub use self::stream::{Filter, Stream, Verdict};
pub use self::upgrade::{Raw, Upgrade, UpgradeError, is_upgrade};
