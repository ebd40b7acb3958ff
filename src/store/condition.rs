//! Whether the store can be written, as operators ask it.

use std::sync::{Arc, Mutex};

use crate::store::Error;

/// Whether the store can be written.
#[derive(Debug, Clone, Default)]
pub enum Condition {
    /// As far as is known.
    #[default]
    Writable,
    /// The last write found no room; the next one may find some.
    Full,
    /// Nothing can be written, and the writer is trying to change that.
    Away(Arc<str>),
}

impl Condition {
    /// In one word.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Writable => "ok",
            Self::Full => "full",
            Self::Away(_) => "away",
        }
    }

    /// What a publisher is told without being made to wait, if it is to be told anything.
    pub(crate) fn refusal(&self) -> Option<Error> {
        match self {
            Self::Away(why) => Some(Error::Unavailable(Arc::clone(why))),
            Self::Writable | Self::Full => None,
        }
    }
}

/// The condition as it is now. Set by the writer alone.
#[derive(Debug, Default)]
pub(crate) struct Now(Mutex<Condition>);

impl Now {
    pub(crate) fn get(&self) -> Condition {
        self.0.lock().expect("no holder of it panics").clone()
    }

    pub(crate) fn set(&self, condition: Condition) {
        *self.0.lock().expect("no holder of it panics") = condition;
    }
}
