//! The gateway, whole or by faces, as its clients see it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod http;
