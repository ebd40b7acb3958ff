//! Telling: every change becomes an event, also when the store of events was away or the process
//! ended in between.
//!
//! Whoever makes a change tells it at once. Changes that were told are forgotten in the document
//! store together, now and then; those that were not stay noted there and are told by
//! [`Librarian::tell_until_drain`], unless the newest events of their topic show that they were.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Librarian, topic};
use crate::store::documents::{Change, Documents};
use crate::topic::{Draft, Seq};

/// Told changes that are forgotten at the latest when there are so many.
const TOLD_MAX: usize = 256;

/// How often what was told is forgotten, and what was not is tried again.
const INTERVAL: Duration = Duration::from_secs(1);

/// A change that is younger may still be on its way.
const AGE_MIN: Duration = Duration::from_secs(5);

/// How exactly the age of a change is known.
const CLOCK_STEP: Duration = Duration::from_millis(2);

/// How many changes are told again at a time.
const PAGE: usize = 256;

/// How many of the newest events of a topic are looked through for a change.
const EVENTS: usize = 1000;

/// What was told and what was not.
#[derive(Debug, Default)]
pub(super) struct Teller {
    told: Mutex<Vec<Change>>,
    owes: AtomicBool,
    is_full: Notify,
}

impl Teller {
    fn take(&self) -> Vec<Change> {
        std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn has_told(&self, change: Change) {
        if !change.is_noted() {
            return;
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.push(change);
        if told.len() >= TOLD_MAX {
            self.is_full.notify_one();
        }
    }
}

impl Librarian {
    /// Appends the event of a change. Returns its number, or nothing if it is told later.
    pub(super) async fn tell(&self, change: Change) -> Option<Seq> {
        let name = change.name.parse().expect("the names of changes are names");
        let draft = Draft::json(topic(change.library), name, &change.data);
        let draft = draft.expect("the payloads of changes are objects");
        match self.0.hub.append(draft, None).await {
            Ok(receipt) => {
                self.0.teller.has_told(change);
                Some(receipt.seq)
            }
            Err(error) if change.is_noted() => {
                tracing::warn!(%error, library = %change.library, "a change is told later");
                self.0.teller.owes.store(true, Ordering::Release);
                None
            }
            Err(error) => {
                tracing::error!(
                    %error, library = %change.library, name = change.name,
                    "the event of a change at the library service is lost"
                );
                None
            }
        }
    }

    /// Forgets what was told and tells what was not, until the drain.
    /// `began` is from before the first change of this process.
    pub(super) async fn tell_until_drain(self, documents: Documents, began: Instant) {
        // What the last process left: whoever made a change in this one is telling it.
        let is_left = |change: &Change| change.age() > began.elapsed() + CLOCK_STEP;
        self.tell_owed(&documents, is_left).await;
        let mut is_draining = false;
        while !is_draining {
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = self.0.teller.is_full.notified() => {}
                () = self.0.drain.begun() => is_draining = true,
            }
            self.forget_told(&documents).await;
            if self.0.teller.owes.swap(false, Ordering::AcqRel) {
                self.tell_owed(&documents, |change| change.age() >= AGE_MIN)
                    .await;
            }
        }
    }

    async fn forget_told(&self, documents: &Documents) {
        let told = self.0.teller.take();
        if !told.is_empty()
            && let Err(error) = documents.forget(&told).await
        {
            tracing::warn!(%error, "told changes could not be forgotten");
        }
    }

    async fn tell_owed(&self, documents: &Documents, is_due: impl Fn(&Change) -> bool) {
        let changes = match documents.changes(PAGE).await {
            Ok(changes) => changes,
            Err(error) => return tracing::warn!(%error, "owed changes could not be read"),
        };
        let is_full = changes.len() == PAGE;
        for change in changes {
            if !is_due(&change) {
                self.0.teller.owes.store(true, Ordering::Release);
            } else if self.is_known(&change) {
                self.0.teller.has_told(change);
            } else {
                self.tell(change).await;
            }
        }
        self.forget_told(documents).await;
        if is_full {
            self.0.teller.owes.store(true, Ordering::Release);
        }
    }

    /// Whether the event of a change is in its topic's log: a document is added and deleted once.
    fn is_known(&self, change: &Change) -> bool {
        let Some(topic) = self.0.hub.topic(&topic(change.library)) else {
            return false;
        };
        let said = |text: &str| {
            let value: Value = serde_json::from_str(text).unwrap_or_default();
            value["document_id"].clone()
        };
        let wanted = said(&change.data);
        let Ok(newest) = topic.history_reverse(None, EVENTS) else {
            return false;
        };
        newest.events.iter().any(|event| {
            event.name.as_str() == change.name
                && event.payload.json().map(said) == Some(wanted.clone())
        })
    }
}
