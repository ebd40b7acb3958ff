//! Refusals: how the HTTP face says no.
//!
//! Every domain error becomes a [`Refusal`] here, in one total `match` each. A refusal travels as
//! an extension of an empty response; the outermost layer of the face ([`exchange`]) writes it
//! down, since only there the request id and the form are known: RFC 9457 `application/problem+json`
//! everywhere, but `{"error": "..."}` under `/api/wizard`, as the application there has it.
//!
//! [`exchange`]: crate::face::http::exchange

mod code;
mod library;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

pub(crate) use self::code::Code;

use crate::hub::{AnswerError, AppendError, AttachError, JobError, TooManyTopics, WaitError};
use crate::limit::{Limit, Reached};
use crate::store;
use crate::topic::{CursorError, DraftError, EventNameError, Forbidden, TopicNameError};

/// A request that is refused, and why.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    code: Code,
    detail: String,
    members: Option<Box<Map<String, Value>>>,
    /// The limit that was reached, with when it is worth another try, if that is counted already.
    reached: Option<Reached>,
    /// The limit that was reached, to be counted.
    limit: Option<Limit>,
}

impl Refusal {
    /// A refusal with what is to be said of this very case.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            members: None,
            reached: None,
            limit: None,
        }
        .at(code.limit())
    }

    /// Names the limit that was reached, and has it counted.
    #[must_use]
    pub(crate) fn at(self, limit: Option<Limit>) -> Self {
        match limit {
            Some(reached) => Self {
                limit,
                ..self.with("limit", reached.as_str())
            },
            None => self,
        }
    }

    /// The limit that was reached and is not counted yet.
    pub(crate) const fn limit(&self) -> Option<Limit> {
        self.limit
    }

    /// The rate that was reached, if that is what it was.
    pub(crate) const fn reached(&self) -> Option<Reached> {
        self.reached
    }

    /// Adds a member that programs can read.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members
            .get_or_insert_default()
            .insert(name.to_owned(), value.into());
        self
    }

    /// What sort of no it is.
    pub(crate) const fn code(&self) -> Code {
        self.code
    }

    /// The status of the response.
    pub(crate) const fn status(&self) -> StatusCode {
        self.code.status()
    }

    /// After how many seconds it is worth another try, if it is.
    pub(crate) fn retry_after_seconds(&self) -> Option<u32> {
        self.reached
            .map(|reached| reached.retry_after_seconds())
            .or_else(|| self.code.retry_after_seconds())
    }

    /// As a problem (RFC 9457).
    pub(crate) fn problem<'a>(&'a self, request_id: &'a str) -> Problem<'a> {
        let code = self.code.as_str();
        Problem {
            kind: format!("urn:tidings:problem:{code}"),
            title: self.code.title(),
            status: self.status().as_u16(),
            detail: &self.detail,
            code,
            request_id,
            members: self.members.as_deref(),
        }
    }

    /// As the wizard's application says no.
    pub(crate) fn wizard(&self) -> WizardError<'_> {
        WizardError {
            error: &self.detail,
            members: self.members.as_deref(),
        }
    }
}

/// A refusal as RFC 9457 writes it.
#[derive(Debug, Serialize)]
pub(crate) struct Problem<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    request_id: &'a str,
    #[serde(flatten)]
    members: Option<&'a Map<String, Value>>,
}

/// A refusal as the session application writes it.
#[derive(Debug, Serialize)]
pub(crate) struct WizardError<'a> {
    error: &'a str,
    #[serde(flatten)]
    members: Option<&'a Map<String, Value>>,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<TopicNameError> for Refusal {
    fn from(error: TopicNameError) -> Self {
        Self::new(Code::TopicInvalid, error.to_string())
    }
}

impl From<EventNameError> for Refusal {
    fn from(error: EventNameError) -> Self {
        Self::new(Code::EventNameInvalid, error.to_string())
    }
}

impl From<CursorError> for Refusal {
    fn from(error: CursorError) -> Self {
        Self::new(Code::CursorInvalid, error.to_string())
    }
}

impl From<DraftError> for Refusal {
    fn from(error: DraftError) -> Self {
        let code = match error {
            DraftError::Payload(_) | DraftError::Contradiction { .. } => Code::PayloadInvalid,
            DraftError::Key(_) | DraftError::Owner => Code::Shape,
            DraftError::Question => Code::ClarificationInvalid,
        };
        Self::new(code, error.to_string())
    }
}

impl From<Reached> for Refusal {
    fn from(reached: Reached) -> Self {
        let refusal = Self::new(Code::LimitReached, reached.to_string());
        Self {
            reached: Some(reached),
            ..refusal.with("limit", reached.limit.as_str())
        }
    }
}

impl From<TooManyTopics> for Refusal {
    fn from(error: TooManyTopics) -> Self {
        Self::new(Code::TopicsFull, error.to_string())
    }
}

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Self {
        let code = match error {
            store::Error::Full | store::Error::DiskFull => Code::StoreFull,
            store::Error::Unavailable(_)
            | store::Error::Away
            | store::Error::Busy
            | store::Error::Overtaken => Code::StoreAway,
        };
        Self::new(code, error.to_string())
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        let code = match error {
            AppendError::TooBig { .. } => Code::PayloadTooLarge,
            AppendError::TooDeep(_) => {
                let refusal = Self::new(Code::PayloadInvalid, error.to_string());
                return refusal.at(Some(Limit::PayloadDepth));
            }
            AppendError::TooManyTopics(error) => return error.into(),
            AppendError::Store(error) => return error.into(),
            AppendError::KeyReused => Code::KeyReused,
            AppendError::KeyInFlight => Code::KeyInFlight,
            AppendError::AskedAlready(_) => Code::ClarificationKnown,
            AppendError::BadQuestion(_) => Code::ClarificationInvalid,
            AppendError::Forbidden(forbidden) => return forbidden.into(),
        };
        Self::new(code, error.to_string())
    }
}

impl From<Forbidden> for Refusal {
    fn from(forbidden: Forbidden) -> Self {
        Self::new(Code::JobState, forbidden.to_string()).with("state", forbidden.state())
    }
}

impl From<JobError> for Refusal {
    fn from(error: JobError) -> Self {
        match error {
            JobError::Unknown => Self::new(Code::JobUnknown, error.to_string()),
            JobError::Forbidden(forbidden) => forbidden.into(),
            JobError::Store(error) => error.into(),
        }
    }
}

impl From<AttachError> for Refusal {
    fn from(error: AttachError) -> Self {
        match error {
            AttachError::TooManyTopics(error) => error.into(),
            AttachError::TooManySubscribers => Self::new(Code::TopicFull, error.to_string()),
        }
    }
}

impl From<WaitError> for Refusal {
    fn from(error: WaitError) -> Self {
        let code = match error {
            WaitError::Unknown => Code::ClarificationUnknown,
            WaitError::Expired => Code::ClarificationExpired,
            WaitError::Store(error) => return error.into(),
        };
        Self::new(code, error.to_string())
    }
}

impl From<AnswerError> for Refusal {
    fn from(error: AnswerError) -> Self {
        let detail = error.to_string();
        match error {
            AnswerError::Unknown => {
                Self::new(Code::ClarificationUnknown, "Clarification not found")
            }
            AnswerError::Answered { answered_at } => {
                Self::new(Code::ClarificationAnswered, detail).with("answeredAt", answered_at)
            }
            AnswerError::Expired => Self::new(Code::ClarificationExpired, detail),
            AnswerError::TooBig { .. } => Self::new(Code::PayloadTooLarge, detail),
            AnswerError::Schema(_) | AnswerError::Payload(_) => {
                Self::new(Code::AnswerInvalid, detail)
            }
            AnswerError::Store(error) => error.into(),
        }
    }
}
