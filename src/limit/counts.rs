//! Places that are held: so many for each key.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// How many places each key holds. A key that holds none takes no memory.
pub(super) struct Counts<K>(Arc<Mutex<HashMap<K, u32>>>);

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> Counts<K> {
    /// A place of a key, if it holds fewer than `max`.
    pub(super) fn take(&self, key: K, max: u32) -> Option<Held> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(&key).copied().unwrap_or(0);
        if count >= max {
            return None;
        }
        counts.insert(key.clone(), count + 1);
        drop(counts);
        let counts = Arc::clone(&self.0);
        Some(Held(Some(Box::new(move || give_back(&counts, &key)))))
    }
}

fn give_back<K: Hash + Eq>(counts: &Mutex<HashMap<K, u32>>, key: &K) {
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    match counts.get_mut(key) {
        Some(count) if *count > 1 => *count -= 1,
        Some(_) => {
            counts.remove(key);
            if counts.len() * 4 < counts.capacity() {
                counts.shrink_to_fit();
            }
        }
        None => {}
    }
}

/// A place; dropped, it is given back.
pub struct Held(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(give_back) = self.0.take() {
            give_back();
        }
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Held")
    }
}
