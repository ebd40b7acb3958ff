//! Event classes: what may happen to an event on its way to a subscriber that is behind.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::topic::EventName;

/// The class of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// The newest of its (topic, name, key) is enough for a subscriber that is behind.
    State,
    /// Never dropped, never merged.
    Fact,
    /// Ends the topic's story; never dropped.
    Terminal,
}

impl Class {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Fact => "fact",
            Self::Terminal => "terminal",
        }
    }
}

/// Which event name has which class. Names that are not listed are facts.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Classes(HashMap<EventName, Class>);

impl Classes {
    /// The class of an event name.
    pub fn of(&self, name: &EventName) -> Class {
        self.0.get(name).copied().unwrap_or(Class::Fact)
    }
}
