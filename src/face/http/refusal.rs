//! Refusals: how the HTTP face says no.
//!
//! Every domain error becomes a [`Refusal`] here, in one total `match` each. A refusal travels as
//! an extension of an empty response; the outermost layer of the face ([`exchange`]) writes it
//! down, since only there the request id and the form are known: RFC 9457 `application/problem+json`
//! everywhere, but `{"error": "..."}` under `/api/wizard`, as the application there has it.
//!
//! [`exchange`]: crate::face::http::exchange

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::hub::{AnswerError, AppendError, AttachError, TooManyTopics, WaitError};
use crate::store;
use crate::topic::{CursorError, DraftError, EventNameError, TopicNameError};

/// What sort of no it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    NotJson,
    BodyUnreadable,
    PathUnknown,
    TopicUnknown,
    ClarificationUnknown,
    MethodNotAllowed,
    NotAcceptable,
    KeyInFlight,
    ClarificationKnown,
    ClarificationAnswered,
    ClarificationExpired,
    Gap,
    BodyTooLarge,
    PayloadTooLarge,
    BatchTooLong,
    MediaType,
    Shape,
    QueryInvalid,
    TopicInvalid,
    EventNameInvalid,
    PayloadInvalid,
    CursorInvalid,
    KeyInvalid,
    KeyReused,
    ClarificationInvalid,
    AnswerInvalid,
    CloudEventInvalid,
    Internal,
    Draining,
    TopicsFull,
    TopicFull,
    StoreFull,
}

impl Code {
    /// The code on the wire, the status and the title.
    const fn facts(self) -> (&'static str, StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::NotJson => ("not_json", S::BAD_REQUEST, "The body is not JSON"),
            Self::BodyUnreadable => {
                ("body_unreadable", S::BAD_REQUEST, "The body could not be read")
            }
            Self::PathUnknown => ("path_unknown", S::NOT_FOUND, "There is no such path"),
            Self::TopicUnknown => ("topic_unknown", S::NOT_FOUND, "There is no such topic"),
            Self::ClarificationUnknown => {
                ("clarification_unknown", S::NOT_FOUND, "There is no such clarification")
            }
            Self::MethodNotAllowed => {
                ("method_not_allowed", S::METHOD_NOT_ALLOWED, "The path has no such method")
            }
            Self::NotAcceptable => {
                ("not_acceptable", S::NOT_ACCEPTABLE, "There is no such representation")
            }
            Self::KeyInFlight => {
                ("idempotency_key_in_flight", S::CONFLICT, "The same event is being published")
            }
            Self::ClarificationKnown => {
                ("clarification_known", S::CONFLICT, "The clarification was asked already")
            }
            Self::ClarificationAnswered => {
                ("clarification_answered", S::CONFLICT, "The clarification was answered already")
            }
            Self::ClarificationExpired => {
                ("clarification_expired", S::GONE, "The clarification has expired")
            }
            Self::Gap => ("gap", S::GONE, "What follows the cursor is gone"),
            Self::BodyTooLarge => {
                ("body_too_large", S::PAYLOAD_TOO_LARGE, "The body is too large")
            }
            Self::PayloadTooLarge => {
                ("payload_too_large", S::PAYLOAD_TOO_LARGE, "The payload is too large")
            }
            Self::BatchTooLong => {
                ("batch_too_long", S::PAYLOAD_TOO_LARGE, "The batch has too many entries")
            }
            Self::MediaType => {
                ("media_type", S::UNSUPPORTED_MEDIA_TYPE, "The body is of an unknown type")
            }
            Self::Shape => ("shape", S::UNPROCESSABLE_ENTITY, "The body has the wrong shape"),
            Self::QueryInvalid => {
                ("query_invalid", S::UNPROCESSABLE_ENTITY, "The query is not understood")
            }
            Self::TopicInvalid => {
                ("topic_invalid", S::UNPROCESSABLE_ENTITY, "The name of the topic is not allowed")
            }
            Self::EventNameInvalid => (
                "event_name_invalid",
                S::UNPROCESSABLE_ENTITY,
                "The name of the event is not allowed",
            ),
            Self::PayloadInvalid => {
                ("payload_invalid", S::UNPROCESSABLE_ENTITY, "The payload is not allowed")
            }
            Self::CursorInvalid => {
                ("cursor_invalid", S::UNPROCESSABLE_ENTITY, "The cursor is not understood")
            }
            Self::KeyInvalid => (
                "idempotency_key_invalid",
                S::UNPROCESSABLE_ENTITY,
                "The idempotency key is not allowed",
            ),
            Self::KeyReused => (
                "idempotency_key_reused",
                S::UNPROCESSABLE_ENTITY,
                "The idempotency key was used for another event",
            ),
            Self::ClarificationInvalid => (
                "clarification_invalid",
                S::UNPROCESSABLE_ENTITY,
                "The clarification is malformed",
            ),
            Self::AnswerInvalid => {
                ("answer_invalid", S::UNPROCESSABLE_ENTITY, "The answer is not allowed")
            }
            Self::CloudEventInvalid => {
                ("cloud_event_invalid", S::UNPROCESSABLE_ENTITY, "This is no CloudEvent 1.0")
            }
            Self::Internal => {
                ("internal", S::INTERNAL_SERVER_ERROR, "Something went wrong in the gateway")
            }
            Self::Draining => ("draining", S::SERVICE_UNAVAILABLE, "The gateway is shutting down"),
            Self::TopicsFull => {
                ("topics_full", S::SERVICE_UNAVAILABLE, "There are too many topics")
            }
            Self::TopicFull => {
                ("topic_full", S::SERVICE_UNAVAILABLE, "The topic has too many subscribers")
            }
            Self::StoreFull => ("store_full", S::INSUFFICIENT_STORAGE, "The store is full"),
        }
    }

    /// The code on the wire.
    pub(crate) const fn as_str(self) -> &'static str {
        self.facts().0
    }

    /// After how many seconds it is worth another try, if it is.
    const fn retry_after_seconds(self) -> Option<u32> {
        match self {
            Self::KeyInFlight | Self::Draining => Some(1),
            Self::TopicFull => Some(5),
            Self::TopicsFull => Some(30),
            Self::StoreFull => Some(60),
            _ => None,
        }
    }
}

/// A request that is refused, and why.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    code: Code,
    detail: String,
    members: Option<Box<Map<String, Value>>>,
}

impl Refusal {
    /// A refusal with what is to be said of this very case.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), members: None }
    }

    /// Adds a member that programs can read.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.get_or_insert_default().insert(name.to_owned(), value.into());
        self
    }

    /// What sort of no it is.
    pub(crate) const fn code(&self) -> Code {
        self.code
    }

    /// The status of the response.
    pub(crate) const fn status(&self) -> StatusCode {
        self.code.facts().1
    }

    /// After how many seconds it is worth another try, if it is.
    pub(crate) const fn retry_after_seconds(&self) -> Option<u32> {
        self.code.retry_after_seconds()
    }

    /// As a problem (RFC 9457).
    pub(crate) fn problem(&self, request_id: &str) -> Value {
        let (code, status, title) = self.code.facts();
        let mut problem = json!({
            "type": format!("urn:tidings:problem:{code}"),
            "title": title,
            "status": status.as_u16(),
            "detail": self.detail,
            "code": code,
            "request_id": request_id,
        });
        self.add_members(&mut problem);
        problem
    }

    /// As the wizard's application says no.
    pub(crate) fn wizard(&self) -> Value {
        let mut error = json!({ "error": self.detail });
        self.add_members(&mut error);
        error
    }

    fn add_members(&self, to: &mut Value) {
        for (name, value) in self.members.iter().flat_map(|members| members.iter()) {
            to[name] = value.clone();
        }
    }
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
            DraftError::Key(_) => Code::Shape,
            DraftError::Question => Code::ClarificationInvalid,
        };
        Self::new(code, error.to_string())
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
            store::Error::Full => Code::StoreFull,
        };
        Self::new(code, error.to_string())
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        let code = match error {
            AppendError::TooBig { .. } => Code::PayloadTooLarge,
            AppendError::TooManyTopics(error) => return error.into(),
            AppendError::Store(error) => return error.into(),
            AppendError::KeyReused => Code::KeyReused,
            AppendError::KeyInFlight => Code::KeyInFlight,
            AppendError::AskedAlready(_) => Code::ClarificationKnown,
            AppendError::BadQuestion(_) => Code::ClarificationInvalid,
        };
        Self::new(code, error.to_string())
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
        };
        Self::new(code, error.to_string())
    }
}

impl From<AnswerError> for Refusal {
    fn from(error: AnswerError) -> Self {
        let detail = error.to_string();
        match error {
            AnswerError::Unknown => Self::new(Code::ClarificationUnknown, "Clarification not found"),
            AnswerError::Answered { answered_at } => {
                Self::new(Code::ClarificationAnswered, detail).with("answeredAt", answered_at)
            }
            AnswerError::Expired => Self::new(Code::ClarificationExpired, detail),
            AnswerError::Schema(_) | AnswerError::Payload(_) => {
                Self::new(Code::AnswerInvalid, detail)
            }
            AnswerError::Store(error) => error.into(),
        }
    }
}
