//! Clarifications: a question to the user, one answer, and the worker that waits for it.
//!
//! A question is an event; so is its answer. Whether an answer is the first is decided under the
//! topic's lock: the question is claimed there until the store has taken the answer or refused it,
//! and whoever comes meanwhile waits for that. At its expiry the default becomes the answer.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use crate::hub::settle::{Submitted, Work};
use crate::hub::{Hub, Topic};
use crate::store::{self, Room};
use crate::topic::{Clarification, ClarificationStatus, Draft, Event, Fold, TopicName, iso8601};

/// Longest id of a question, in bytes.
const ID_BYTES_MAX: usize = 128;

/// When a question that could not be ended is tried again.
const EXPIRE_AGAIN: Duration = Duration::from_secs(1);

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The question's id.
    pub clarification_id: String,
    /// The answer.
    pub response: Value,
    /// When it was given, ISO 8601.
    pub answered_at: String,
    /// Who gave it; `default` when nobody did in time.
    pub answered_by: String,
}

/// Why an answer was not taken.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// There is no such question.
    #[error("there is no such clarification")]
    Unknown,
    /// Somebody was first.
    #[error("the clarification was answered at {answered_at}")]
    Answered {
        /// When.
        answered_at: String,
    },
    /// Its time ran out.
    #[error("the clarification has expired")]
    Expired,
    /// The answer is not what the question's schema asks for.
    #[error("the answer does not match the schema: {0}")]
    Schema(String),
    /// The answer is too big.
    #[error("the answer has {bytes} bytes: at most {max} are allowed (`hub.payload_bytes_max`)")]
    TooBig {
        /// Its size, with the question that it ends.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// The answer cannot be a payload.
    #[error("the answer is refused: {0}")]
    Payload(#[from] crate::topic::DraftError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Why there will be no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WaitError {
    /// There is no such question.
    #[error("there is no such clarification")]
    Unknown,
    /// Its time ran out, and it had no default.
    #[error("the clarification has expired without an answer")]
    Expired,
    /// The store cannot be asked.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// The question that a draft names.
pub(crate) struct Named {
    pub(crate) id: String,
    /// Whether the draft asks it; else it ends it.
    pub(crate) asks: bool,
}

/// The question that a draft asks or ends, if it names an id.
///
/// # Errors
/// What is wrong with the question.
pub(crate) fn check(draft: &Draft) -> Result<Option<Named>, String> {
    if !draft.is_clarification() {
        return Ok(None);
    }
    let value: Value = serde_json::from_str(draft.json_text().unwrap_or("{}"))
        .map_err(|e| format!("the clarification is not JSON: {e}"))?;
    if let Some(question) = value.get("question")
        && !question.is_string()
    {
        return Err("`question` must be a string".to_owned());
    }
    if let Some(at) = value.get("expiresAt").filter(|at| !at.is_null()) {
        let parsed = at.as_str().map(str::parse::<jiff::Timestamp>);
        if !matches!(parsed, Some(Ok(_))) {
            return Err("`expiresAt` must be an ISO 8601 time with zone".to_owned());
        }
    }
    if let Some(schema) = value.get("schema").filter(|schema| !schema.is_null()) {
        let validator = jsonschema::validator_for(schema)
            .map_err(|e| format!("`schema` is no JSON Schema: {e}"))?;
        if let Some(default) = value.get("default").filter(|default| !default.is_null()) {
            validator
                .validate(default)
                .map_err(|e| format!("`default` does not match `schema`: {e}"))?;
        }
    }
    let ends = matches!(value["status"].as_str(), Some("answered" | "expired"));
    match value.get("clarificationId") {
        None => Ok(None),
        Some(Value::String(id)) if (1..=ID_BYTES_MAX).contains(&id.len()) => Ok(Some(Named {
            id: id.clone(),
            asks: !ends,
        })),
        Some(_) => Err("`clarificationId` must be a string of 1 to 128 bytes".to_owned()),
    }
}

impl Hub {
    /// Answers a question. The first valid answer wins.
    ///
    /// # Errors
    /// [`AnswerError`].
    pub async fn answer(
        &self,
        name: &TopicName,
        id: &str,
        response: Value,
        by: &str,
    ) -> Result<Answer, AnswerError> {
        if let Some(redis) = self.0.store.redis() {
            return self.answer_in(redis, (name, id), (response, by)).await;
        }
        let topic = self.topic(name).ok_or(AnswerError::Unknown)?;
        let bytes = response.to_string().len();
        loop {
            let room = self.0.store.room(bytes).await?;
            let clarified = topic.clarified.notified();
            tokio::pin!(clarified);
            clarified.as_mut().enable();
            let given = Answer {
                clarification_id: id.to_owned(),
                response: response.clone(),
                answered_at: iso8601(jiff::Timestamp::now().as_millisecond()),
                answered_by: by.to_owned(),
            };
            if let Some(submitted) = self.try_answer(&topic, &given, room)? {
                submitted.wait().await?;
                return Ok(given);
            }
            clarified.await;
        }
    }

    /// Hands an answer to the store, unless another event about the question is on its way.
    fn try_answer(
        &self,
        topic: &Arc<Topic>,
        given: &Answer,
        room: Option<Room>,
    ) -> Result<Option<Submitted>, AnswerError> {
        let id = given.clarification_id.as_str();
        let state = topic.lock();
        if state.claims.contains(id) {
            return Ok(None);
        }
        let question = state.fold.clarification(id).ok_or(AnswerError::Unknown)?;
        let draft = self.answering(question, given)?;
        let work = Work {
            draft,
            claim: Some(id.to_owned()),
            keyed: None,
        };
        Ok(Some(self.submit(topic, state, work, room)))
    }

    /// The event that answers a question, if it may be answered so.
    pub(crate) fn answering(
        &self,
        question: &Clarification,
        given: &Answer,
    ) -> Result<Draft, AnswerError> {
        check_open(question, jiff::Timestamp::now().as_millisecond())?;
        check_schema(question, &given.response)?;
        let draft = ending(question, "answered", Some(given))?;
        let max = self.0.config.payload_bytes_max.bytes();
        match draft.payload_bytes() {
            bytes if bytes > max => Err(AnswerError::TooBig { bytes, max }),
            _ => Ok(draft),
        }
    }

    /// Waits for the answer to a question, at most `wait` (bounded by `hub.answer_wait_max`).
    /// Nothing if it is still open then. Dropping the future has no effect on the question.
    ///
    /// # Errors
    /// [`WaitError`].
    pub async fn wait_for_answer(
        &self,
        name: &TopicName,
        id: &str,
        wait: Duration,
    ) -> Result<Option<Answer>, WaitError> {
        if self.open(name).await?.is_none() {
            return Err(WaitError::Unknown);
        }
        let prepared = self.prepare(&[(name.clone(), None)]).await;
        let _followed = prepared.map_err(|_| store::Error::Busy)?;
        let topic = self.topic(name).ok_or(WaitError::Unknown)?;
        let wait = wait.min(self.0.config.answer_wait_max);
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            let clarified = topic.clarified.notified();
            tokio::pin!(clarified);
            clarified.as_mut().enable();
            let (is_known, status) = {
                let state = topic.lock();
                let question = state.fold.clarification(id);
                (state.is_known(), question.map(|c| c.status.clone()))
            };
            match status {
                None if !is_known => {}
                None => return Err(WaitError::Unknown),
                Some(ClarificationStatus::Expired) => return Err(WaitError::Expired),
                Some(ClarificationStatus::Answered { response, at, by }) => {
                    return Ok(Some(Answer {
                        clarification_id: id.to_owned(),
                        response,
                        answered_at: at,
                        answered_by: by,
                    }));
                }
                Some(ClarificationStatus::Pending) => {}
            }
            tokio::select! {
                () = clarified => {}
                () = topic.moved.notified(), if !is_known => {}
                () = tokio::time::sleep_until(deadline) => return Ok(None),
                () = self.0.drain.begun() => return Ok(None),
            }
        }
    }

    /// Ends a question at its expiry, if it has one.
    pub(crate) fn expire_in_time(&self, topic: &Arc<Topic>, asked: &Event) {
        let due = topic
            .lock()
            .fold
            .open_clarifications()
            .find_map(|question| {
                let expires_at_ms = question.expires_at_ms?;
                (question.asked.seq == asked.seq).then(|| (question.id.clone(), expires_at_ms))
            });
        let Some((id, expires_at_ms)) = due else {
            return;
        };
        let (hub, name, asked_id) = (self.clone(), asked.topic.clone(), asked.id);
        let left_ms = expires_at_ms - jiff::Timestamp::now().as_millisecond();
        let mut left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
        self.0.drain.spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(left) => {}
                    () = hub.0.drain.begun() => return,
                }
                match hub.expire(&name, &id, asked_id).await {
                    Ok(()) => return,
                    Err(error) => {
                        tracing::warn!(topic = %name, clarification = id, %error,
                            "a question could not be ended yet");
                    }
                }
                left = EXPIRE_AGAIN;
            }
        });
    }

    async fn expire(
        &self,
        name: &TopicName,
        id: &str,
        asked_id: uuid::Uuid,
    ) -> Result<(), AnswerError> {
        if let Some(redis) = self.0.store.redis() {
            return self.expire_in(redis, (name, id), asked_id).await;
        }
        let Some(topic) = self.topic(name) else {
            return Ok(());
        };
        loop {
            let room = self.0.store.room(0).await?;
            let clarified = topic.clarified.notified();
            tokio::pin!(clarified);
            clarified.as_mut().enable();
            match self.try_expire(&topic, id, asked_id, room)? {
                Expiring::Ended => return Ok(()),
                Expiring::Submitted(submitted) => {
                    submitted.wait().await?;
                    return Ok(());
                }
                Expiring::Claimed => clarified.await,
            }
        }
    }

    fn try_expire(
        &self,
        topic: &Arc<Topic>,
        id: &str,
        asked_id: uuid::Uuid,
        room: Option<Room>,
    ) -> Result<Expiring, AnswerError> {
        let state = topic.lock();
        if state.claims.contains(id) {
            return Ok(Expiring::Claimed);
        }
        let Some(question) = pending(&state.fold, id, asked_id) else {
            return Ok(Expiring::Ended);
        };
        let work = Work {
            draft: expiring(question)?,
            claim: Some(id.to_owned()),
            keyed: None,
        };
        Ok(Expiring::Submitted(self.submit(topic, state, work, room)))
    }
}

/// What came of trying to end a question at its expiry.
enum Expiring {
    /// It has ended already.
    Ended,
    Submitted(Submitted),
    /// Another event about it is on its way.
    Claimed,
}

/// The question of an event, if nobody has ended it.
pub(crate) fn pending<'a>(
    fold: &'a Fold,
    id: &str,
    asked_id: uuid::Uuid,
) -> Option<&'a Clarification> {
    fold.clarification(id).filter(|question| {
        question.asked.id == asked_id && question.status == ClarificationStatus::Pending
    })
}

/// The event that ends a question at its expiry: with its default, if it has one.
pub(crate) fn expiring(question: &Clarification) -> Result<Draft, crate::topic::DraftError> {
    let answer = question.default.clone().map(|response| Answer {
        clarification_id: question.id.clone(),
        response,
        answered_at: iso8601(jiff::Timestamp::now().as_millisecond()),
        answered_by: "default".to_owned(),
    });
    let status = if answer.is_some() {
        "answered"
    } else {
        "expired"
    };
    ending(question, status, answer.as_ref())
}

fn check_open(question: &Clarification, now_ms: i64) -> Result<(), AnswerError> {
    match &question.status {
        ClarificationStatus::Answered { at, .. } => Err(AnswerError::Answered {
            answered_at: at.clone(),
        }),
        ClarificationStatus::Expired => Err(AnswerError::Expired),
        ClarificationStatus::Pending if question.expires_at_ms.is_some_and(|at| at <= now_ms) => {
            Err(AnswerError::Expired)
        }
        ClarificationStatus::Pending => Ok(()),
    }
}

fn check_schema(question: &Clarification, response: &Value) -> Result<(), AnswerError> {
    let Some(schema) = &question.schema else {
        return Ok(());
    };
    let validator = jsonschema::validator_for(schema)
        .map_err(|e| AnswerError::Schema(format!("the schema itself is invalid: {e}")))?;
    validator
        .validate(response)
        .map_err(|e| AnswerError::Schema(e.to_string()))
}

/// The event that ends a question: the question again, with its new status.
fn ending(
    question: &Clarification,
    status: &str,
    answer: Option<&Answer>,
) -> Result<Draft, crate::topic::DraftError> {
    let mut data = json!({
        "clarificationId": question.id,
        "question": question.question,
        "status": status,
    });
    if let Some(answer) = answer {
        data["response"] = answer.response.clone();
        data["answeredAt"] = json!(answer.answered_at);
        data["answeredBy"] = json!(answer.answered_by);
    }
    let asked = &question.asked;
    Draft::json(asked.topic.clone(), asked.name.clone(), &data.to_string())
}
