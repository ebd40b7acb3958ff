//! The codes of refusals: a closed set, each with its status and title.

use axum::http::StatusCode;

use crate::limit::Limit;

/// What sort of no it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    NotJson,
    BodyUnreadable,
    BodyTooSlow,
    Unauthorized,
    Forbidden,
    OriginRefused,
    PathUnknown,
    TopicUnknown,
    ClarificationUnknown,
    LibraryUnknown,
    DocumentUnknown,
    MethodNotAllowed,
    NotAcceptable,
    UpgradeRequired,
    KeyInFlight,
    ClarificationKnown,
    ClarificationAnswered,
    ClarificationExpired,
    JobUnknown,
    JobState,
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
    IdInvalid,
    DocumentInvalid,
    LimitReached,
    RevocationsFull,
    Internal,
    UpstreamFailed,
    UpstreamResting,
    LibraryBusy,
    LibrariesFull,
    Draining,
    TopicsFull,
    TopicFull,
    StoreFull,
    StoreAway,
}

impl Code {
    /// The code on the wire.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::BodyUnreadable => "body_unreadable",
            Self::BodyTooSlow => "body_too_slow",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::OriginRefused => "origin_refused",
            Self::PathUnknown => "path_unknown",
            Self::TopicUnknown => "topic_unknown",
            Self::ClarificationUnknown => "clarification_unknown",
            Self::LibraryUnknown => "library_unknown",
            Self::DocumentUnknown => "document_unknown",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NotAcceptable => "not_acceptable",
            Self::UpgradeRequired => "upgrade_required",
            Self::KeyInFlight => "idempotency_key_in_flight",
            Self::ClarificationKnown => "clarification_known",
            Self::ClarificationAnswered => "clarification_answered",
            Self::ClarificationExpired => "clarification_expired",
            Self::JobUnknown => "job_unknown",
            Self::JobState => "job_state",
            Self::Gap => "gap",
            Self::BodyTooLarge => "body_too_large",
            Self::PayloadTooLarge => "payload_too_large",
            Self::BatchTooLong => "batch_too_long",
            Self::MediaType => "media_type",
            Self::Shape => "shape",
            Self::QueryInvalid => "query_invalid",
            Self::TopicInvalid => "topic_invalid",
            Self::EventNameInvalid => "event_name_invalid",
            Self::PayloadInvalid => "payload_invalid",
            Self::CursorInvalid => "cursor_invalid",
            Self::KeyInvalid => "idempotency_key_invalid",
            Self::KeyReused => "idempotency_key_reused",
            Self::ClarificationInvalid => "clarification_invalid",
            Self::AnswerInvalid => "answer_invalid",
            Self::CloudEventInvalid => "cloud_event_invalid",
            Self::IdInvalid => "id_invalid",
            Self::DocumentInvalid => "document_invalid",
            Self::LimitReached => "limit_reached",
            Self::RevocationsFull => "revocations_full",
            Self::Internal => "internal",
            Self::UpstreamFailed => "upstream_failed",
            Self::UpstreamResting => "upstream_resting",
            Self::LibraryBusy => "library_busy",
            Self::LibrariesFull => "libraries_full",
            Self::Draining => "draining",
            Self::TopicsFull => "topics_full",
            Self::TopicFull => "topic_full",
            Self::StoreFull => "store_full",
            Self::StoreAway => "store_away",
        }
    }

    /// What it means, whatever the case.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::NotJson => "The body is not JSON",
            Self::BodyUnreadable => "The body could not be read",
            Self::BodyTooSlow => "The body did not come in time",
            Self::Unauthorized => "A valid credential is needed",
            Self::Forbidden => "This is not allowed to you",
            Self::OriginRefused => "The page may not use the gateway",
            Self::PathUnknown => "There is no such path",
            Self::TopicUnknown => "There is no such topic",
            Self::ClarificationUnknown => "There is no such clarification",
            Self::LibraryUnknown => "There is no such library",
            Self::DocumentUnknown => "There is no such document",
            Self::MethodNotAllowed => "The path has no such method",
            Self::NotAcceptable => "There is no such representation",
            Self::UpgradeRequired => "The path speaks WebSocket only",
            Self::KeyInFlight => "The same event is being published",
            Self::ClarificationKnown => "The clarification was asked already",
            Self::ClarificationAnswered => "The clarification was answered already",
            Self::ClarificationExpired => "The clarification has expired",
            Self::JobUnknown => "There is no such job",
            Self::JobState => "The job is not in a state for this",
            Self::Gap => "What follows the cursor is gone",
            Self::BodyTooLarge => "The body is too large",
            Self::PayloadTooLarge => "The payload is too large",
            Self::BatchTooLong => "The batch has too many entries",
            Self::MediaType => "The body is of an unknown type",
            Self::Shape => "The body has the wrong shape",
            Self::QueryInvalid => "The query is not understood",
            Self::TopicInvalid => "The name of the topic is not allowed",
            Self::EventNameInvalid => "The name of the event is not allowed",
            Self::PayloadInvalid => "The payload is not allowed",
            Self::CursorInvalid => "The cursor is not understood",
            Self::KeyInvalid => "The idempotency key is not allowed",
            Self::KeyReused => "The idempotency key was used for another event",
            Self::ClarificationInvalid => "The clarification is malformed",
            Self::AnswerInvalid => "The answer is not allowed",
            Self::CloudEventInvalid => "This is no CloudEvent 1.0",
            Self::IdInvalid => "The id is not allowed",
            Self::DocumentInvalid => "This is no document, library or search",
            Self::LimitReached => "A limit is reached",
            Self::RevocationsFull => "There are too many revocations",
            Self::Internal => "Something went wrong in the gateway",
            Self::UpstreamFailed => "The service behind the gateway failed",
            Self::UpstreamResting => "The service behind the gateway is left alone for a while",
            Self::LibraryBusy => "The library has too much to do",
            Self::LibrariesFull => "There are too many libraries",
            Self::Draining => "The gateway is shutting down",
            Self::TopicsFull => "There are too many topics",
            Self::TopicFull => "The topic has too many subscribers",
            Self::StoreFull => "The store is full",
            Self::StoreAway => "The store cannot write",
        }
    }

    /// The status of the response.
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::NotJson | Self::BodyUnreadable => StatusCode::BAD_REQUEST,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::OriginRefused => StatusCode::FORBIDDEN,
            Self::LimitReached => StatusCode::TOO_MANY_REQUESTS,
            Self::PathUnknown
            | Self::TopicUnknown
            | Self::ClarificationUnknown
            | Self::LibraryUnknown
            | Self::DocumentUnknown
            | Self::JobUnknown => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
            Self::KeyInFlight
            | Self::ClarificationKnown
            | Self::ClarificationAnswered
            | Self::JobState => StatusCode::CONFLICT,
            Self::ClarificationExpired | Self::Gap => StatusCode::GONE,
            Self::BodyTooLarge | Self::PayloadTooLarge | Self::BatchTooLong => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Shape
            | Self::QueryInvalid
            | Self::TopicInvalid
            | Self::EventNameInvalid
            | Self::PayloadInvalid
            | Self::CursorInvalid
            | Self::KeyInvalid
            | Self::KeyReused
            | Self::ClarificationInvalid
            | Self::AnswerInvalid
            | Self::CloudEventInvalid
            | Self::IdInvalid
            | Self::DocumentInvalid => StatusCode::UNPROCESSABLE_ENTITY,
            Self::UpstreamFailed => StatusCode::BAD_GATEWAY,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Draining
            | Self::TopicsFull
            | Self::TopicFull
            | Self::StoreAway
            | Self::UpstreamResting
            | Self::LibraryBusy => StatusCode::SERVICE_UNAVAILABLE,
            Self::StoreFull | Self::RevocationsFull | Self::LibrariesFull => {
                StatusCode::INSUFFICIENT_STORAGE
            }
        }
    }

    /// The limit that it means, if it always means the same one.
    pub(crate) const fn limit(self) -> Option<Limit> {
        match self {
            Self::BodyTooSlow => Some(Limit::Body),
            Self::BodyTooLarge => Some(Limit::HttpBody),
            Self::PayloadTooLarge => Some(Limit::PayloadBytes),
            Self::BatchTooLong => Some(Limit::HttpBatch),
            Self::RevocationsFull => Some(Limit::Revocations),
            Self::LibrariesFull => Some(Limit::Libraries),
            Self::TopicsFull => Some(Limit::Topics),
            Self::TopicFull => Some(Limit::TopicSubscribers),
            _ => None,
        }
    }

    /// After how many seconds it is worth another try, if it is.
    pub(crate) const fn retry_after_seconds(self) -> Option<u32> {
        match self {
            Self::KeyInFlight | Self::Draining | Self::StoreAway | Self::LibraryBusy => Some(1),
            Self::TopicFull | Self::UpstreamFailed | Self::UpstreamResting => Some(5),
            Self::TopicsFull => Some(30),
            Self::StoreFull => Some(60),
            _ => None,
        }
    }
}
