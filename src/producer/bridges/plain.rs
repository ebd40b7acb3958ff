//! Plain `PUBLISH session:<id>:<event>` with JSON, as the session application does it.

use serde_json::Value;

use crate::producer::bridges::action::Broken;
use crate::topic::{Draft, DraftError, EventName, Kind, TopicName};

/// The event of a message. A `sessionId` of another session is overwritten, as that application
/// does.
pub(crate) fn message(channel: &str, data: &[u8]) -> Result<Draft, Broken> {
    let rest = channel.strip_prefix("session:").ok_or(Broken)?;
    let (id, event) = rest.split_once(':').ok_or(Broken)?;
    let topic = TopicName::new(Kind::Session, id).map_err(|_| Broken)?;
    let event: EventName = event.parse().map_err(|_| Broken)?;
    let text = std::str::from_utf8(data).map_err(|_| Broken)?;
    match Draft::json(topic.clone(), event.clone(), text) {
        Err(DraftError::Contradiction { .. }) => {
            let mut value: Value = serde_json::from_str(text).map_err(|_| Broken)?;
            value["sessionId"] = topic.id().into();
            Draft::json(topic, event, &value.to_string()).map_err(|_| Broken)
        }
        draft => draft.map_err(|_| Broken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_channel_names_topic_and_event() {
        let draft = message("session:a:progress", br#"{"sessionId":"b","n":1}"#).unwrap();
        assert_eq!(draft.topic().as_str(), "session:a");
        assert_eq!(draft.json_text(), Some(r#"{"n":1,"sessionId":"a"}"#));
        for (channel, data) in [
            ("session:a", "{}"),
            ("session::progress", "{}"),
            ("session:a:connect", "{}"),
            ("session:a:progress", "{"),
        ] {
            assert!(message(channel, data.as_bytes()).is_err(), "{channel}");
        }
    }
}
