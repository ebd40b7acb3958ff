//! Producers that live in the process: they append to topics like any other.

pub mod bridges;
pub mod inbox;
pub mod library;
pub mod monitor;
pub mod scan;
pub mod webhook;
