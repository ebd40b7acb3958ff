//! Calls that the process makes to others over HTTP. The only user of `reqwest`.

#[cfg(feature = "otlp")]
pub mod collector;
pub mod document;
pub mod gateway;
pub mod library;
pub mod webhook;
