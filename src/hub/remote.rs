//! Append and answer when the log is in Redis: what one node decides under a topic's lock, the log
//! decides here, in the same step as the append.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use uuid::Uuid;

use crate::hub::clarification::{self, AnswerError, Named};
use crate::hub::jobs::{self, Lease};
use crate::hub::{Answer, AppendError, Hub, Idempotency, Receipt, Topic, append};
use crate::origin;
use crate::store::{self, Appended, Given, Guard, Redis, Sign, Write, new_epoch};
use crate::topic::{
    Class, Cursor, Draft, Epoch, Event, Forbidden, Kind, Place, Seq, Status, Step, TopicName,
    iso8601,
};

/// How often a question is looked at again when somebody else was faster.
const TRIES: usize = 8;

/// How often an event of a job is judged again when others were faster.
const JOB_TRIES: usize = 64;

/// Longest that a publisher waits for its own node to have seen the event.
const SEEN_WITHIN: Duration = Duration::from_millis(250);

impl Hub {
    pub(crate) async fn append_to(
        &self,
        redis: &Redis,
        draft: Draft,
        idempotency: Option<Idempotency<'_>>,
    ) -> Result<Receipt, AppendError> {
        if draft.topic().kind() == Kind::Job {
            return self.append_job(redis, draft, idempotency).await;
        }
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
                self.tell_news(&event.topic, &event.name, given.cursor());
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
                let place = given.cursor();
                topic.reached(&place, Instant::now() + SEEN_WITHIN).await;
                topic.subscribers()
            }
        };
        Receipt {
            subscribers,
            ..Receipt::from(given)
        }
    }

    /// Appends an event of a job, if its lifecycle lets it in: judged by what the log holds, and
    /// appended if nothing has come since.
    async fn append_job(
        &self,
        redis: &Redis,
        draft: Draft,
        idempotency: Option<Idempotency<'_>>,
    ) -> Result<Receipt, AppendError> {
        let receipt = idempotency.map(|Idempotency(key)| (key, append::fingerprint(&draft)));
        for attempt in 0..JOB_TRIES {
            let mut draft = draft.clone();
            let topic = match self.topic(draft.topic()).filter(|topic| topic.is_known()) {
                Some(topic) if attempt == 0 => Some(topic),
                _ => self.load(redis, draft.topic()).await?,
            };
            let judged = self.judge(topic.as_deref(), &mut draft);
            let guard = match judged {
                Ok(guard) => guard,
                // The copy may be behind, and a key may tell that it was done before.
                Err(_) if attempt == 0 => continue,
                Err(refused) if receipt.is_none() => return Err(refused.into()),
                Err(refused) => return self.given_before(redis, &draft, receipt, refused).await,
            };
            let event = self.unnumbered(draft);
            let write = Write {
                guard: Some(guard),
                field: field(&event, None),
                receipt,
                ..self.write(&event)
            };
            match redis.append(&write).await? {
                Appended::Done(given) => {
                    self.0.metrics.appended(event.class);
                    self.keep_watch(&event);
                    self.tell_news(&event.topic, &event.name, given.cursor());
                    return Ok(self.seen(given).await);
                }
                Appended::Again(given) => return Ok(self.replayed(given)),
                Appended::Reused => return Err(AppendError::KeyReused),
                Appended::Refused => {}
            }
        }
        Err(store::Error::Busy.into())
    }

    /// Whether a job's lifecycle lets a draft in, and what must still hold when it is appended.
    fn judge(&self, topic: Option<&Topic>, draft: &mut Draft) -> Result<Guard, Forbidden> {
        let Some(topic) = topic else {
            let nobody = self.copy_of(draft.topic());
            self.permit(&nobody.lock(), draft)?;
            return Ok(Guard::Empty);
        };
        let state = topic.lock();
        self.permit(&state, draft)?;
        Ok(Guard::Head(state.head()))
    }

    /// What an event was told that its job does not let in any more; else the refusal.
    async fn given_before(
        &self,
        redis: &Redis,
        draft: &Draft,
        receipt: Option<(&str, store::Fingerprint)>,
        refused: Forbidden,
    ) -> Result<Receipt, AppendError> {
        let event = self.unnumbered(draft.clone());
        // No epoch is empty, so that this is never appended.
        let nowhere = Epoch::new("none").expect("letters are allowed in an epoch");
        let guard = Guard::AbsentIn(nowhere, String::new());
        let write = Write {
            guard: Some(guard),
            receipt,
            ..self.write(&event)
        };
        match redis.append(&write).await? {
            Appended::Again(given) => Ok(self.replayed(given)),
            Appended::Reused => Err(AppendError::KeyReused),
            Appended::Done(_) | Appended::Refused => Err(refused.into()),
        }
    }

    /// Follows a job whose worker has a lease, until that has ended.
    fn keep_watch(&self, event: &Event) {
        let may_have_lease = matches!(
            Step::of(&event.name, event.class),
            Some(Step::Create | Step::Retry | Step::Start)
        );
        if !may_have_lease || self.topic(&event.topic).is_some() {
            return;
        }
        let (hub, name) = (self.clone(), event.topic.clone());
        self.0.drain.spawn(async move {
            // Once it is known, its lease is watched if it has one.
            drop(hub.prepare(&[(name, None)]).await);
        });
    }

    /// Ends a job if nobody has heard of its worker, on whatever node, for as long as its lease.
    pub(crate) async fn end_lease_in(
        &self,
        redis: &Redis,
        topic: &Arc<Topic>,
    ) -> Result<(), AppendError> {
        let heard = redis.heard(topic.name(), Sign::AskedFor).await?;
        let (draft, head) = {
            let mut state = topic.lock();
            let now = Instant::now();
            if let Some(heard_at) = heard.and_then(|ago| now.checked_sub(ago)) {
                state.heard_at = heard_at;
            }
            match state.lease() {
                Lease::Until(until) if until <= now => {}
                Lease::Until(_) | Lease::None => return Ok(()),
            }
            let Some(draft) = jobs::lost(topic.name(), &state) else {
                return Ok(());
            };
            (draft, state.head())
        };
        let event = self.unnumbered(draft);
        let write = Write {
            guard: Some(Guard::Head(head.clone())),
            field: field(&event, None),
            ..self.write(&event)
        };
        match redis.append(&write).await? {
            Appended::Done(given) => {
                self.0.metrics.appended(event.class);
                self.tell_news(&event.topic, &event.name, given.cursor());
                self.seen(given).await;
            }
            // Something came, of the worker or of another node: it is on its way here.
            Appended::Again(_) | Appended::Reused | Appended::Refused => {
                self.read_on(topic);
                let next = Cursor {
                    seq: head.seq.next(),
                    ..head
                };
                topic.reached(&next, Instant::now() + SEEN_WITHIN).await;
            }
        }
        Ok(())
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
                self.tell_news(&event.topic, &event.name, given.cursor());
                self.seen(given).await;
                Ok(true)
            }
            Appended::Again(_) | Appended::Reused | Appended::Refused => Ok(false),
        }
    }

    fn write<'a>(&self, event: &'a Event) -> Write<'a> {
        let config = &self.0.config;
        let status = match event.class {
            Class::Terminal => Status::after(&event.name),
            Class::State | Class::Fact => Status::Active,
        };
        Write {
            event,
            field: None,
            guard: None,
            receipt: None,
            fresh: new_epoch(),
            age_max: self.age_max(&event.topic, status),
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
        let mut event = draft.seal(place, class);
        event.arrival.trace = origin::recorded();
        Arc::new(event)
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
    if event.topic.kind() == Kind::Job && Step::of(&event.name, event.class).is_some() {
        let key = event.key.as_deref().unwrap_or("");
        return Some(format!("j{}\0{key}", event.name));
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
