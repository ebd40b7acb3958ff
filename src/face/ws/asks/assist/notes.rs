//! Notes: how far users have read of what is published to them, on the way to the store.
//!
//! A place is noted when its event is handed to the connection, and written down soon, many at a
//! time. A claim to bring what waited is given back after the place behind it is written.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::drain::Drain;
use crate::hub::Hub;
use crate::store::Claimed;
use crate::topic::{Cursor, TopicName};

/// How long somebody may take to bring what waited before another may begin.
const CLAIM_AGE: Duration = Duration::from_secs(5);

/// How soon a claim that another has is asked for again.
const CLAIM_AGAIN: Duration = Duration::from_millis(50);

/// Most places that are written at the same time.
const AT_ONCE: usize = 64;

/// A handle to the notes. Cheap to clone.
#[derive(Clone)]
pub(super) struct Notes(Arc<Shared>);

struct Shared {
    hub: Hub,
    /// How long a place matters.
    age: Duration,
    /// At most one for each topic that a connection reads, until it is written.
    noted: Mutex<HashMap<TopicName, Note>>,
    changed: Notify,
}

#[derive(Default)]
struct Note {
    read: Option<Cursor>,
    released: Vec<Uuid>,
}

/// Somebody who is brought what waited in a topic, and then reads on.
pub(super) struct Reading {
    notes: Notes,
    topic: TopicName,
    /// From where on.
    begin: Option<Cursor>,
    /// While what waited is brought: the claim, and where that ends.
    claim: Option<(Uuid, Option<Cursor>)>,
}

impl Notes {
    /// Notes that are written down until the drain.
    pub(super) fn new(hub: Hub, age: Duration, drain: &Drain) -> Self {
        let notes = Self(Arc::new(Shared {
            hub,
            age,
            noted: Mutex::default(),
            changed: Notify::new(),
        }));
        let (writing, until) = (notes.clone(), drain.clone());
        drain.spawn(async move {
            loop {
                tokio::select! {
                    () = writing.0.changed.notified() => writing.write().await,
                    () = until.doors_closed() => return writing.write().await,
                }
            }
        });
        notes
    }

    fn noted(&self) -> MutexGuard<'_, HashMap<TopicName, Note>> {
        self.0.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, topic: &TopicName, cursor: Option<Cursor>, released: Option<Uuid>) {
        let mut noted = self.noted();
        let note = noted.entry(topic.clone()).or_default();
        if let Some(cursor) = cursor {
            note.read = Some(further(note.read.take(), cursor));
        }
        note.released.extend(released);
        drop(noted);
        self.0.changed.notify_one();
    }

    /// Writes down what is noted.
    pub(super) async fn write(&self) {
        let noted = std::mem::take(&mut *self.noted());
        stream::iter(noted)
            .for_each_concurrent(AT_ONCE, async |(topic, note)| {
                self.write_one(&topic, note).await;
            })
            .await;
    }

    async fn write_one(&self, topic: &TopicName, note: Note) {
        let reads = self.0.hub.store().reads();
        if let Some(cursor) = note.read
            && let Err(error) = reads.keep(topic, cursor, self.0.age).await
        {
            tracing::warn!(%topic, %error, "how far a user has read is not kept: it comes again");
        }
        for holder in note.released {
            reads.release(topic, holder).await;
        }
    }

    /// Somebody comes to read a topic; waits while what waited is brought to another connection of
    /// theirs.
    pub(super) async fn read(&self, topic: TopicName) -> Reading {
        let holder = Uuid::now_v7();
        // Dropped on the way, the claim is given back.
        let mut reading = Reading {
            notes: self.clone(),
            topic,
            begin: None,
            claim: Some((holder, None)),
        };
        let reads = self.0.hub.store().reads();
        let known = loop {
            match reads.claim(&reading.topic, holder, CLAIM_AGE).await {
                Ok(Claimed::Mine(place)) => break place,
                Ok(Claimed::Held) => tokio::time::sleep(CLAIM_AGAIN).await,
                Err(error) => {
                    let topic = &reading.topic;
                    tracing::warn!(%topic, %error, "how far a user has read is not known");
                    break None;
                }
            }
        };
        let noted = self
            .noted()
            .get(&reading.topic)
            .and_then(|note| note.read.clone());
        reading.begin = match (known, noted) {
            (Some(known), Some(noted)) => Some(further(Some(known), noted)),
            (known, noted) => noted.or(known),
        };
        let opened = self.0.hub.open(&reading.topic).await.ok().flatten();
        let head = opened.map(|topic| topic.head());
        let is_level = match (&head, &reading.begin) {
            (None, _) => true,
            (Some(head), Some(begin)) => head.epoch == begin.epoch && begin.seq >= head.seq,
            (Some(_), None) => false,
        };
        if is_level {
            reading.release();
        } else if let Some((_, end)) = &mut reading.claim {
            *end = head;
        }
        reading
    }
}

/// The further of two places; the newer where they are of different incarnations.
fn further(known: Option<Cursor>, new: Cursor) -> Cursor {
    match known {
        Some(known) if known.epoch == new.epoch && known.seq > new.seq => known,
        _ => new,
    }
}

impl Reading {
    /// From where on the topic is read.
    pub(super) const fn begin(&self) -> Option<&Cursor> {
        self.begin.as_ref()
    }

    /// An event was handed to the connection.
    pub(super) fn told(&mut self, cursor: Cursor) {
        let is_level = match &self.claim {
            Some((_, Some(end))) => cursor.epoch != end.epoch || cursor.seq >= end.seq,
            Some((_, None)) | None => false,
        };
        self.notes.note(&self.topic, Some(cursor), None);
        if is_level {
            self.release();
        }
    }

    fn release(&mut self) {
        if let Some((holder, _)) = self.claim.take() {
            self.notes.note(&self.topic, None, Some(holder));
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.release();
    }
}
