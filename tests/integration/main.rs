//! The whole of the crate, against the real thing.

mod layers;
