//! Append: a draft is checked, gets a place in the queue of the store, and becomes an event.

use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::hub::clarification::{self, Named};
use crate::hub::settle::{Keyed, Submitted, Work};
use crate::hub::{Hub, TooManyTopics, Topic};
use crate::origin::{self, SpanKind, Step};
use crate::store::{self, Claim, Fingerprint, Given, Room};
use crate::topic::{Class, Cursor, Draft, Epoch, Event, Forbidden, Kind, Seq, TopicName, iso8601};

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
    /// The payload is nested too deeply.
    #[error("the payload is nested deeper than {0} levels (`hub.payload_depth_max`)")]
    TooDeep(usize),
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
    /// The lifecycle of the job forbids it now.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
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
    /// [`AppendError`]; nothing was appended then. Dropping the future before it returns leaves it
    /// open whether the event was appended: an idempotency key tells.
    pub async fn append(
        &self,
        draft: Draft,
        idempotency: Option<Idempotency<'_>>,
    ) -> Result<Receipt, AppendError> {
        let from = origin::current();
        let step = from.trace.as_ref().and_then(Step::below);
        let receipt = self.append_known(draft, idempotency).await?;
        self.0.metrics.published(from.face);
        if let Some(step) = step {
            let facts = vec![
                ("messaging.destination.name", receipt.topic.to_string()),
                ("messaging.message.id", receipt.id.to_string()),
            ];
            step.end("publish", SpanKind::Producer, facts);
        }
        Ok(receipt)
    }

    async fn append_known(
        &self,
        draft: Draft,
        idempotency: Option<Idempotency<'_>>,
    ) -> Result<Receipt, AppendError> {
        let bytes = draft.payload_bytes();
        let max = self.0.config.payload_bytes_max.bytes();
        if bytes > max {
            return Err(AppendError::TooBig { bytes, max });
        }
        let depth_max = self.0.config.payload_depth_max;
        if draft.depth > depth_max {
            return Err(AppendError::TooDeep(depth_max));
        }
        if let Some(redis) = self.0.store.redis() {
            return self.append_to(redis, draft, idempotency).await;
        }
        let keyed = match idempotency {
            None => None,
            Some(Idempotency(key)) => {
                let fingerprint = fingerprint(&draft);
                match self.0.store.claim(draft.topic(), key, fingerprint) {
                    Claim::Done(given) => return Ok(self.replayed(given)),
                    Claim::InFlight => return Err(AppendError::KeyInFlight),
                    Claim::Reused => return Err(AppendError::KeyReused),
                    Claim::New(reservation) => Some(Keyed {
                        key: key.into(),
                        fingerprint,
                        reservation,
                    }),
                }
            }
        };
        let names = clarification::check(&draft).map_err(AppendError::BadQuestion)?;
        let (event, topic) = self.append_checked(draft, names, keyed).await?;
        Ok(receipt(&event, &topic))
    }

    pub(crate) fn replayed(&self, given: Given) -> Receipt {
        self.0.metrics.receipts_replayed.inc();
        let subscribers = self
            .topic(&given.topic)
            .map_or(0, |topic| topic.subscribers());
        Receipt {
            subscribers,
            ..Receipt::from(given)
        }
    }

    async fn append_checked(
        &self,
        draft: Draft,
        names: Option<Named>,
        keyed: Option<Keyed>,
    ) -> Result<(Arc<Event>, Arc<Topic>), AppendError> {
        let name = draft.topic().clone();
        let bytes = draft.payload_bytes();
        let (claim, asks) = names.map_or((None, false), |named| (Some(named.id), named.asks));
        let mut work = Work {
            draft,
            claim,
            keyed,
        };
        loop {
            let room = self.0.store.room(bytes).await?;
            let topic = self.topic_or_new(&name)?;
            let clarified = topic.clarified.notified();
            tokio::pin!(clarified);
            if work.claim.is_some() {
                clarified.as_mut().enable();
            }
            match self.try_append(&topic, room, (work, asks))? {
                Tried::Submitted(submitted) => {
                    let appended = submitted.wait().await;
                    if appended.is_err() {
                        self.forget_if_unused(&topic);
                    }
                    return Ok((appended?, Arc::clone(&topic)));
                }
                Tried::Retired(back) => work = back,
                Tried::Claimed(back) => {
                    work = back;
                    clarified.await;
                }
            }
        }
    }

    fn try_append(
        &self,
        topic: &Arc<Topic>,
        room: Option<Room>,
        (mut work, asks): (Work, bool),
    ) -> Result<Tried, AppendError> {
        let state = topic.lock();
        if state.is_retired {
            return Ok(Tried::Retired(work));
        }
        if topic.name().kind() == Kind::Job {
            self.permit(&state, &mut work.draft)?;
        }
        if let Some(id) = &work.claim {
            if state.claims.contains(id) {
                return Ok(Tried::Claimed(work));
            }
            if asks && state.fold.clarification(id).is_some() {
                return Err(AppendError::AskedAlready(id.clone()));
            }
        }
        Ok(Tried::Submitted(self.submit(topic, state, work, room)))
    }
}

/// What came of trying to append.
enum Tried {
    Submitted(Submitted),
    /// The topic left the map meanwhile.
    Retired(Work),
    /// Another event about the same question is on its way.
    Claimed(Work),
}

impl From<Given> for Receipt {
    fn from(given: Given) -> Self {
        Self {
            topic: given.topic,
            seq: given.seq,
            epoch: given.epoch,
            id: given.id,
            timestamp: iso8601(given.timestamp_ms),
            subscribers: 0,
        }
    }
}

impl Receipt {
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
        ..Receipt::from(Given::of(event))
    }
}

pub(crate) fn fingerprint(draft: &Draft) -> Fingerprint {
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
