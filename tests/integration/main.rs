//! The gateway, whole or by faces, as its clients see it; and the shape of its sources.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod admission;
mod attack;
mod command_line;
mod dependencies;
mod durable;
mod http;
mod layers;
mod malformed;
mod metrics;
#[cfg(feature = "otlp")]
mod otlp;
mod process;
mod redis;
mod reload;
mod resumes;
mod rooms;
mod slow;
mod sockets;
mod stores;
mod verify;
mod wire;
