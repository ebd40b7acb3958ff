//! What a client of Assist says.

use serde_json::{Map, Value};

/// Longest part of a client's own words that is repeated to it, in characters.
const REPEATED_CHARS_MAX: usize = 100;

/// A message.
pub(super) struct Message {
    pub(super) kind: String,
    pub(super) data: Map<String, Value>,
    pub(super) token: Option<String>,
}

/// The token of a first message.
pub(super) fn token(text: &str) -> Option<String> {
    parse(text)
        .ok()
        .filter(|message| message.kind == "auth")
        .and_then(|message| message.token)
}

/// A text frame as a message.
///
/// # Errors
/// Why it is none, in the words of the application.
pub(super) fn parse(text: &str) -> Result<Message, String> {
    let value = serde_json::from_str(text);
    let Ok(Value::Object(mut members)) = value else {
        return Err("Invalid JSON format".to_owned());
    };
    let Some(Value::String(kind)) = members.remove("type") else {
        return Err("Unknown message type: a `type` is missing".to_owned());
    };
    let token = members
        .get("token")
        .and_then(Value::as_str)
        .map(str::to_owned);
    let data = match members.remove("data") {
        Some(Value::Object(data)) => data,
        // What stands beside the type is taken where there is no `data`.
        _ => members,
    };
    Ok(Message { kind, data, token })
}

/// The refusal of a type that nobody knows.
pub(super) fn unknown(kind: &str) -> String {
    let kind: String = kind.chars().take(REPEATED_CHARS_MAX).collect();
    format!("Unknown message type: {kind}")
}
