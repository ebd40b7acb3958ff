//! Append: a draft becomes an event, in one atomic step.

use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::hub::topic::State;
use crate::hub::{Hub, TooManyTopics, Topic, clarification};
use crate::store::{self, Claim, Fingerprint};
use crate::topic::{Class, Cursor, Draft, Epoch, Event, Place, Seq, TopicName, iso8601};

/// What a producer gets for an event.
#[derive(Debug, Clone, Serialize)]
pub struct Receipt {
    /// The topic.
    pub topic: TopicName,
    /// The event's number in it.
    pub seq: Seq,
    /// The incarnation of the log.
    pub epoch: Epoch,
    /// The event's id.
    pub id: Uuid,
    /// When it was appended.
    pub timestamp: String,
    /// How many subscribers the topic has on this node now.
    pub subscribers: usize,
}

/// Why an event was not appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The payload is too big.
    #[error("the payload has {bytes} bytes: at most {max} are allowed (`hub.payload_bytes_max`)")]
    TooBig {
        /// Its size.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// There are too many topics.
    #[error(transparent)]
    TooManyTopics(#[from] TooManyTopics),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The idempotency key was used for another publish.
    #[error("the idempotency key was used for another event: use a new key for a new event")]
    KeyReused,
    /// The same publish is on its way.
    #[error("an event with this idempotency key is being published: retry in a moment")]
    KeyInFlight,
    /// A question with this id is known already.
    #[error("the clarification `{0}` was asked already: use a new id for a new question")]
    AskedAlready(String),
    /// A question is malformed.
    #[error("{0}")]
    BadQuestion(String),
}

/// A key by which retries of a publish are known, within its topic.
#[derive(Debug, Clone, Copy)]
pub struct Idempotency<'a>(pub &'a str);

impl Hub {
    /// Appends a draft to its topic. When this returns, the event is in the log, at the durability
    /// of the store, and its way to the subscribers has begun.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was appended then.
    pub async fn append(
        &self,
        draft: Draft,
        idempotency: Option<Idempotency<'_>>,
    ) -> Result<Receipt, AppendError> {
        let bytes = draft.payload_bytes();
        let max = self.0.config.payload_bytes_max.bytes();
        if bytes > max {
            return Err(AppendError::TooBig { bytes, max });
        }
        let Some(Idempotency(key)) = idempotency else {
            let (event, topic) = self.append_now(draft)?;
            return Ok(receipt(&event, &topic));
        };
        match self
            .0
            .store
            .receipts()
            .claim(draft.topic(), key, fingerprint(&draft))
        {
            Claim::Done(event) => {
                self.0.metrics.receipts_replayed.inc();
                let subscribers = self
                    .topic(&event.topic)
                    .map_or(0, |topic| topic.subscribers());
                Ok(Receipt {
                    subscribers,
                    ..Receipt::of(&event)
                })
            }
            Claim::InFlight => Err(AppendError::KeyInFlight),
            Claim::Reused => Err(AppendError::KeyReused),
            Claim::New(reservation) => {
                let (event, topic) = self.append_now(draft)?;
                reservation.complete(Arc::clone(&event));
                Ok(receipt(&event, &topic))
            }
        }
    }

    fn append_now(&self, draft: Draft) -> Result<(Arc<Event>, Arc<Topic>), AppendError> {
        let asks = clarification::check(&draft).map_err(AppendError::BadQuestion)?;
        let (event, topic) = loop {
            let topic = self.topic_or_new(draft.topic())?;
            let mut state = topic.lock();
            if state.is_retired {
                drop(state);
                continue;
            }
            if let Some(id) = asks.filter(|id| state.fold.clarification(id).is_some()) {
                return Err(AppendError::AskedAlready(id));
            }
            let appended = self.append_locked(&mut state, draft);
            drop(state);
            match appended {
                Ok(event) => break (event, topic),
                Err(error) => {
                    self.forget_if_unused(&topic);
                    return Err(error.into());
                }
            }
        };
        if event.name.as_str() == "clarification" {
            topic.clarified.notify_waiters();
            self.expire_in_time(&topic, &event);
        }
        self.fan_out(&topic);
        Ok((event, topic))
    }

    /// Numbers the draft, logs it and shows it to readers; the caller holds the topic's lock, and
    /// fans out when it has let go of it.
    pub(crate) fn append_locked(
        &self,
        state: &mut State,
        draft: Draft,
    ) -> Result<Arc<Event>, store::Error> {
        let class = draft
            .class
            .unwrap_or_else(|| self.0.config.classes.of(draft.name()));
        let timestamp_ms = jiff::Timestamp::now().as_millisecond();
        let place = Place {
            seq: state.ring.head().next(),
            epoch: state.epoch.clone(),
            id: Uuid::now_v7(),
            timestamp_ms,
        };
        let event = Arc::new(draft.seal(place, class));
        state.log.append(&event)?;
        state.fold.apply(&event);
        state.ring.push(Arc::clone(&event));
        state.touched_ms = timestamp_ms;
        self.0.metrics.appended(class);
        Ok(event)
    }
}

impl Receipt {
    fn of(event: &Event) -> Self {
        Self {
            topic: event.topic.clone(),
            seq: event.seq,
            epoch: event.epoch.clone(),
            id: event.id,
            timestamp: iso8601(event.timestamp_ms),
            subscribers: 0,
        }
    }

    /// The place just behind the event.
    pub fn cursor(&self) -> Cursor {
        Cursor {
            epoch: self.epoch.clone(),
            seq: self.seq,
        }
    }
}

fn receipt(event: &Event, topic: &Topic) -> Receipt {
    Receipt {
        subscribers: topic.subscribers(),
        ..Receipt::of(event)
    }
}

fn fingerprint(draft: &Draft) -> Fingerprint {
    let mut digest = Sha256::new();
    let class = draft.class.map_or("", Class::as_str);
    for part in [
        draft.name().as_str(),
        class,
        draft.key.as_deref().unwrap_or(""),
    ] {
        digest.update(part.as_bytes());
        digest.update([0]);
    }
    let attempt = draft.attempt.map_or(0, std::num::NonZeroU32::get);
    digest.update(attempt.to_le_bytes());
    digest.update(draft.raw_bytes());
    digest.finalize().into()
}
