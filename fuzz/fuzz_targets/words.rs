//! Words of the wire and of the configuration: names, cursors, quantities, payloads, streams.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidings::quantity::{ByteSize, duration};
use tidings::topic::{Cursor, Draft, EventName, TopicName};
use tidings::upstream::gateway::Parser;

fuzz_target!(|bytes: &[u8]| {
    let _ = Parser::default().push(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(cursor) = text.parse::<Cursor>() {
        assert_eq!(cursor.to_string().parse::<Cursor>(), Ok(cursor));
    }
    if let Ok(topic) = text.parse::<TopicName>() {
        assert_eq!(topic.as_str(), text);
    }
    if let Ok(topic) = TopicName::of_session(text) {
        assert!(!topic.id().is_empty());
    }
    if let Ok(name) = text.parse::<EventName>() {
        assert!(name.as_str().is_ascii());
    }
    if let Ok(size) = text.parse::<ByteSize>() {
        assert_eq!(size.to_string().parse::<ByteSize>(), Ok(size));
    }
    if let Ok(time) = duration::parse(text) {
        assert_eq!(duration::parse(&duration::format(time)), Ok(time));
    }
    for name in ["progress", "clarification"] {
        let topic: TopicName = "session:a".parse().expect("a topic");
        let name: EventName = name.parse().expect("a name");
        let _ = Draft::json(topic, name, text);
    }
});
