//! Calls that the process makes to others over HTTP. The only user of `reqwest`.

pub mod gateway;
pub mod library;
