//! Append and answer when the log is in Redis: what one node decides under a topic's lock, the log
//! decides here, in the same step as the append.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use uuid::Uuid;

use crate::hub::clarification::{self, AnswerError, Named};
use crate::hub::{Answer, AppendError, Hub, Idempotency, Receipt, TopicFilter, TopicPage};
use crate::hub::{TopicLine, append};
use crate::store::{self, Appended, Given, Guard, Redis, Write, new_epoch};
use crate::topic::{
    Class, Cursor, Draft, Epoch, Event, Kind, Place, Seq, Status, TopicName, iso8601,
};

/// How often a question is looked at again when somebody else was faster.
const TRIES: usize = 8;

/// Longest that a publisher waits for its own node to have seen the event.
const SEEN_WITHIN: Duration = Duration::from_millis(250);

impl Hub {
    pub(crate) async fn append_to(
        &self,
        redis: &Redis,
        draft: Draft,
        idempotency: Option<Idempotency<'_>>,
    ) -> Result<Receipt, AppendError> {
        let names = clarification::check(&draft).map_err(AppendError::BadQuestion)?;
        let receipt = idempotency.map(|Idempotency(key)| (key, append::fingerprint(&draft)));
        let event = self.unnumbered(draft);
        let guard = match &names {
            Some(Named { id, asks: true }) => Some(Guard::Absent(format!("q{id}"))),
            _ => None,
        };
        let write = Write {
            field: field(&event, names.as_ref()),
            guard,
            receipt,
            ..self.write(&event)
        };
        match redis.append(&write).await? {
            Appended::Done(given) => {
                self.0.metrics.appended(event.class);
                Ok(self.seen(given).await)
            }
            Appended::Again(given) => Ok(self.replayed(given)),
            Appended::Reused => Err(AppendError::KeyReused),
            Appended::Refused => Err(AppendError::AskedAlready(
                names.map_or_else(String::new, |named| named.id),
            )),
        }
    }

    /// The receipt, when this node has seen the event as well, if it watches the topic.
    async fn seen(&self, given: Given) -> Receipt {
        let subscribers = match self.topic(&given.topic) {
            None => 0,
            Some(topic) => {
                let place = Cursor {
                    epoch: given.epoch.clone(),
                    seq: given.seq,
                };
                topic.reached(&place, Instant::now() + SEEN_WITHIN).await;
                topic.subscribers()
            }
        };
        Receipt {
            subscribers,
            ..Receipt::from(given)
        }
    }

    /// Answers a question; the log decides who was first.
    pub(crate) async fn answer_in(
        &self,
        redis: &Redis,
        (name, id): (&TopicName, &str),
        (response, by): (Value, &str),
    ) -> Result<Answer, AnswerError> {
        for _ in 0..TRIES {
            let topic = self.load(redis, name).await?.ok_or(AnswerError::Unknown)?;
            let given = Answer {
                clarification_id: id.to_owned(),
                response: response.clone(),
                answered_at: iso8601(jiff::Timestamp::now().as_millisecond()),
                answered_by: by.to_owned(),
            };
            let (draft, epoch) = {
                let state = topic.lock();
                let question = state.fold.clarification(id).ok_or(AnswerError::Unknown)?;
                (self.answering(question, &given)?, state.epoch.clone())
            };
            if self.end_question(redis, draft, (&epoch, id)).await? {
                return Ok(given);
            }
        }
        Err(store::Error::Busy.into())
    }

    /// Ends a question at its expiry, unless it has ended.
    pub(crate) async fn expire_in(
        &self,
        redis: &Redis,
        (name, id): (&TopicName, &str),
        asked_id: Uuid,
    ) -> Result<(), AnswerError> {
        let Some(topic) = self.load(redis, name).await? else {
            return Ok(());
        };
        let (draft, epoch) = {
            let state = topic.lock();
            let Some(question) = clarification::pending(&state.fold, id, asked_id) else {
                return Ok(());
            };
            (clarification::expiring(question)?, state.epoch.clone())
        };
        // Whoever was faster has ended it.
        self.end_question(redis, draft, (&epoch, id)).await?;
        Ok(())
    }

    /// Appends the end of a question. Returns whether this was the first.
    async fn end_question(
        &self,
        redis: &Redis,
        draft: Draft,
        (epoch, id): (&Epoch, &str),
    ) -> Result<bool, AnswerError> {
        let event = self.unnumbered(draft);
        let field = format!("a{id}");
        let write = Write {
            guard: Some(Guard::AbsentIn(epoch.clone(), field.clone())),
            field: Some(field),
            ..self.write(&event)
        };
        match redis.append(&write).await? {
            Appended::Done(given) => {
                self.0.metrics.appended(event.class);
                self.seen(given).await;
                Ok(true)
            }
            Appended::Again(_) | Appended::Reused | Appended::Refused => Ok(false),
        }
    }

    /// A page of the topics that the log holds.
    pub(crate) async fn topics_in(
        &self,
        redis: &Redis,
        filter: &TopicFilter,
        limit: usize,
    ) -> Result<TopicPage, store::Error> {
        let wanted = filter.prefix.clone().unwrap_or_default();
        let of_kind = filter
            .kind
            .map_or_else(String::new, |kind: Kind| format!("{kind}:"));
        // One of the two begins with the other, or nothing can be meant.
        let prefix = if wanted.starts_with(&of_kind) {
            wanted
        } else if of_kind.starts_with(&wanted) {
            of_kind
        } else {
            return Ok(TopicPage::default());
        };
        let listed = redis
            .list(&prefix, filter.after.as_deref(), limit.saturating_add(1))
            .await?;
        let more = listed.len() > limit;
        let line = |listed: store::Listed| TopicLine {
            subscribers: self
                .topic(&listed.topic)
                .map_or(0, |topic| topic.subscribers()),
            status: match listed.status.as_deref() {
                Some("completed") => Status::Completed,
                Some("failed") => Status::Failed,
                _ => Status::Active,
            },
            cursor: Cursor {
                epoch: listed.epoch,
                seq: listed.head,
            },
            updated_at: iso8601(listed.updated_ms),
            topic: listed.topic,
        };
        let topics = listed.into_iter().take(limit).map(line).collect();
        Ok(TopicPage { topics, more })
    }

    fn write<'a>(&self, event: &'a Event) -> Write<'a> {
        let config = &self.0.config;
        Write {
            event,
            field: None,
            guard: None,
            receipt: None,
            fresh: new_epoch(),
            age_max: self.age_max(event.class == Class::Terminal),
            fields_max: config.snapshot_states_max + 2 * config.clarifications_max,
        }
    }

    /// The event of a draft, at no place yet.
    fn unnumbered(&self, draft: Draft) -> Arc<Event> {
        let class = draft
            .class
            .unwrap_or_else(|| self.0.config.classes.of(draft.name()));
        let place = Place {
            seq: Seq::ZERO,
            epoch: Epoch::new("0").expect("a digit is allowed in an epoch"),
            id: Uuid::now_v7(),
            timestamp_ms: jiff::Timestamp::now().as_millisecond(),
        };
        Arc::new(draft.seal(place, class))
    }
}

/// Where an event stands in the snapshot that outlives the log: questions (`q`), their ends (`a`),
/// the newest of each state (`s`), the end of the story (`t`).
fn field(event: &Event, names: Option<&Named>) -> Option<String> {
    if event.topic.kind() == Kind::Session && event.name.as_str() == "clarification" {
        return Some(match names {
            Some(Named { id, asks: true }) => format!("q{id}"),
            Some(Named { id, asks: false }) => format!("a{id}"),
            None => format!("q{}", event.id),
        });
    }
    match event.class {
        Class::State => {
            let key = event
                .key
                .as_deref()
                .map_or_else(String::new, |key| format!("\0{key}"));
            Some(format!("s{}{key}", event.name))
        }
        Class::Fact => None,
        Class::Terminal => Some("t".to_owned()),
    }
}
