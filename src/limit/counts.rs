//! Places that are held: so many for each key.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Who is told of every change: the key, and how many places it holds now.
pub(super) type OnChange<K> = Box<dyn Fn(&K, u32) + Send + Sync>;

/// How many places each key holds. A key that holds none takes no memory.
pub(super) struct Counts<K>(Arc<Shared<K>>);

struct Shared<K> {
    counts: Mutex<HashMap<K, u32>>,
    on_change: OnceLock<OnChange<K>>,
}

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(Arc::new(Shared {
            counts: Mutex::default(),
            on_change: OnceLock::new(),
        }))
    }
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> Counts<K> {
    /// A place of a key, if it holds fewer than `max`.
    pub(super) fn take(&self, key: K, max: u32) -> Option<Held> {
        let mut counts = self.0.counts();
        let count = counts.get(&key).copied().unwrap_or(0);
        if count >= max {
            return None;
        }
        counts.insert(key.clone(), count + 1);
        self.0.tell(&key, count + 1);
        drop(counts);
        let shared = Arc::clone(&self.0);
        Some(Held(Some(Box::new(move || shared.give_back(&key)))))
    }

    /// How many places a key holds.
    pub(super) fn held(&self, key: &K) -> u32 {
        self.0.counts().get(key).copied().unwrap_or(0)
    }

    /// Sets who is told of every change, under the lock; the first that is set stays.
    pub(super) fn on_change(&self, told: OnChange<K>) {
        let _ = self.0.on_change.set(told);
    }
}

impl<K: Hash + Eq> Shared<K> {
    fn counts(&self) -> MutexGuard<'_, HashMap<K, u32>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, key: &K, count: u32) {
        if let Some(told) = self.on_change.get() {
            told(key, count);
        }
    }

    fn give_back(&self, key: &K) {
        let mut counts = self.counts();
        let Some(count) = counts.get_mut(key) else {
            return;
        };
        *count -= 1;
        let left = *count;
        if left == 0 {
            counts.remove(key);
            if counts.len() * 4 < counts.capacity() {
                counts.shrink_to_fit();
            }
        }
        self.tell(key, left);
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
