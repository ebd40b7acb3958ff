//! The gateway, whole or by faces, as its clients see it.

mod http;
