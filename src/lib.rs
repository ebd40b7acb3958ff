//! tidings: a Socket.IO-compatible realtime gateway for the progress of jobs and sessions.

pub mod app;
pub mod auth;
pub mod cluster;
pub mod connection;
pub mod document;
pub mod drain;
pub mod face;
pub mod histogram;
pub mod hub;
pub mod limit;
pub mod origin;
pub mod producer;
pub mod quantity;
pub mod store;
pub mod topic;
pub mod upstream;
pub mod wire;
