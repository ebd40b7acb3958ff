//! The messages that the gateway itself sends to one connection.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use crate::connection::ConnectionId;
use crate::face::socketio::encode::{Dialect, message};
use crate::hub::Gap;
use crate::topic::{Cursor, TopicName, iso8601};

/// A refusal in the words of this face.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Problem {
    pub(crate) ok: bool,
    pub(crate) code: &'static str,
    pub(crate) error: String,
}

impl Problem {
    pub(crate) const fn new(code: &'static str, error: String) -> Self {
        Self {
            ok: false,
            code,
            error,
        }
    }
}

fn now() -> String {
    iso8601(jiff::Timestamp::now().as_millisecond())
}

/// `connected {socketId, timestamp}`.
pub(crate) fn connected(id: &ConnectionId, dialect: Dialect) -> Bytes {
    message(
        "connected",
        &json!({"socketId": id.as_str(), "timestamp": now()}),
        dialect,
    )
}

/// `subscribed {sessionId, topic, cursor, timestamp}`; `session` is the id as the client gave it.
/// After a recovery also `resumed: true`.
pub(crate) fn subscribed(
    session: &str,
    topic: &TopicName,
    cursor: &Cursor,
    is_resumed: bool,
    dialect: Dialect,
) -> Bytes {
    let mut data =
        json!({"sessionId": session, "topic": topic, "cursor": cursor, "timestamp": now()});
    if is_resumed {
        data["resumed"] = true.into();
    }
    message("subscribed", &data, dialect)
}

/// `unsubscribed {sessionId, topic, timestamp}`.
pub(crate) fn unsubscribed(session: &str, topic: &TopicName, dialect: Dialect) -> Bytes {
    let data = json!({"sessionId": session, "topic": topic, "timestamp": now()});
    message("unsubscribed", &data, dialect)
}

/// `gap {topic, from, to, timestamp}`.
pub(crate) fn gap(topic: &TopicName, gap: &Gap, dialect: Dialect) -> Bytes {
    let data = json!({"topic": topic, "from": gap.from, "to": gap.to, "timestamp": now()});
    message("gap", &data, dialect)
}

/// `error {sessionId, error, code, timestamp}`; `session` is what the client gave, if anything.
pub(crate) fn error(session: &Value, problem: &Problem, dialect: Dialect) -> Bytes {
    let data = json!({
        "sessionId": session,
        "error": problem.error,
        "code": problem.code,
        "timestamp": now(),
    });
    message("error", &data, dialect)
}
