//! Beginnings: the epochs of topics that nobody has published to.
//!
//! A topic that holds no event is forgotten when its last subscriber leaves, and a subscriber that
//! comes back with place 0 of it has missed nothing: so a topic that is made again has the epoch it
//! had, unless events were published in that. Epochs are kept for groups of topics, so that this
//! takes no memory for topics that are not there. An epoch in which a topic held events that are
//! gone is never given to that topic again: whoever renews a topic gives its group another one.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Mutex;

use crate::store::new_epoch;
use crate::topic::{Epoch, TopicName};

/// How many groups there are. A topic that is forgotten after it held events takes the epoch of its
/// group with it: the more groups, the longer the others keep theirs.
const GROUPS: usize = 4096;

/// The epoch with which topics of each group begin.
pub(crate) struct Beginnings {
    hasher: RandomState,
    groups: Box<[Mutex<Option<Epoch>>]>,
}

impl Beginnings {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            groups: (0..GROUPS).map(|_| Mutex::default()).collect(),
        }
    }

    /// The epoch with which a topic begins.
    pub(crate) fn of(&self, topic: &TopicName) -> Epoch {
        let mut epoch = self.group(topic).lock().expect("no holder panics");
        epoch.get_or_insert_with(new_epoch).clone()
    }

    /// A topic that held events before is forgotten, empty again in this epoch, which is its alone.
    pub(crate) fn renewed(&self, topic: &TopicName, epoch: Epoch) {
        *self.group(topic).lock().expect("no holder panics") = Some(epoch);
    }

    fn group(&self, topic: &TopicName) -> &Mutex<Option<Epoch>> {
        let hash = usize::try_from(self.hasher.hash_one(topic) % GROUPS as u64);
        &self.groups[hash.expect("a number below 4096 fits")]
    }
}
