//! Producers that live in the process: they append to topics like any producer.

pub mod library;
pub mod monitor;
