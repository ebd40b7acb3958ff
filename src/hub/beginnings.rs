//! Beginnings: the epochs of topics that nobody has published to.
//!
//! A topic that holds no event is forgotten when its last subscriber leaves, and a subscriber that
//! comes back with place 0 of it has missed nothing: so a topic that is made again has the epoch it
//! had, unless events were published in that. Nothing is kept for topics that are not there: the
//! epoch of a beginning is drawn from the topic's name and from a salt of its group. An epoch in
//! which a topic held events that are gone is never given to that topic again: whoever renews a
//! topic gives its group another salt.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Mutex;

use crate::topic::{Epoch, TopicName};

/// How many groups there are. A topic that is forgotten after it held events changes the epochs of its
/// group: the more groups, the longer the others keep theirs.
const GROUPS: usize = 4096;

/// The epochs with which topics begin.
pub(crate) struct Beginnings {
    hasher: RandomState,
    groups: Box<[Mutex<Group>]>,
}

/// What the epochs of a group are drawn with.
#[derive(Default)]
struct Group {
    salt: u64,
    /// The topic that was forgotten last after it held events, by its hash, and its last epoch.
    last: Option<(u64, Epoch)>,
}

impl Beginnings {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            groups: (0..GROUPS).map(|_| Mutex::default()).collect(),
        }
    }

    /// The epoch with which a topic begins: of no other topic, but by a chance of one in 10^12.
    pub(crate) fn of(&self, topic: &TopicName) -> Epoch {
        let hash = self.hasher.hash_one(topic);
        let group = self.group(hash).lock().expect("no holder panics");
        match &group.last {
            Some((last, epoch)) if *last == hash => epoch.clone(),
            _ => drawn(self.hasher.hash_one((group.salt, topic))),
        }
    }

    /// A topic that held events before is forgotten, empty again in this epoch, which is its alone.
    pub(crate) fn renewed(&self, topic: &TopicName, epoch: Epoch) {
        let hash = self.hasher.hash_one(topic);
        let mut group = self.group(hash).lock().expect("no holder panics");
        group.salt += 1;
        group.last = Some((hash, epoch));
    }

    fn group(&self, hash: u64) -> &Mutex<Group> {
        let number = usize::try_from(hash % GROUPS as u64);
        &self.groups[number.expect("a number below 4096 fits")]
    }
}

/// An epoch as others are: eight digits and lower-case letters.
fn drawn(mut number: u64) -> Epoch {
    let mut text = String::with_capacity(8);
    for _ in 0..8 {
        let digit = u32::try_from(number % 36).expect("a number below 36 fits");
        text.push(char::from_digit(digit, 36).expect("it is a digit"));
        number /= 36;
    }
    Epoch::new(&text).expect("digits and letters are an epoch")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::store::new_epoch;

    #[test]
    fn no_two_topics_begin_with_one_epoch_and_each_begins_again_with_its_own() {
        let beginnings = Beginnings::new();
        let names = || (0..5000).map(|n| format!("room:{n}").parse::<TopicName>().unwrap());
        let epochs: Vec<Epoch> = names().map(|name| beginnings.of(&name)).collect();
        let different: HashSet<&str> = epochs.iter().map(Epoch::as_str).collect();
        assert_eq!(different.len(), epochs.len());
        assert!(
            names()
                .zip(&epochs)
                .all(|(name, epoch)| beginnings.of(&name) == *epoch)
        );
    }

    #[test]
    fn a_topic_that_was_renewed_begins_with_its_last_epoch() {
        let beginnings = Beginnings::new();
        let name: TopicName = "room:a".parse().unwrap();
        let first = beginnings.of(&name);
        beginnings.renewed(&name, new_epoch());
        let last = beginnings.of(&name);
        assert_ne!(first, last);
        assert_eq!(beginnings.of(&name), last);
    }
}
