//! The place of a stream of many topics, as the client returns it.
//!
//! A time up to which everything of every topic was sent, and a cursor for each of the few topics
//! that had events after it. So the text stays short, however many libraries there are.

use std::collections::HashMap;

use crate::hub::Topic;
use crate::topic::{Cursor, Event, Kind, Seq, TopicName};

/// How long an event may take from getting its time to being visible.
const SETTLING_MS: i64 = 5000;

/// Most cursors in the text; of a topic that has none some events may come twice.
const CURSORS_MAX: usize = 32;

/// Longest text that is looked at, in bytes.
const TEXT_BYTES_MAX: usize = 8 * 1024;

/// Most events that are looked at at once.
const PAGE: usize = 256;

/// Where a stream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// What is not newer was sent, of every topic.
    after_ms: i64,
    /// What was sent last of the topics that had newer events, and when that was.
    recent: HashMap<TopicName, (Cursor, i64)>,
}

impl Place {
    /// Where a stream begins that sends what comes from now on.
    pub(super) fn now(now_ms: i64) -> Self {
        Self {
            after_ms: now_ms - SETTLING_MS,
            recent: HashMap::new(),
        }
    }

    /// The place in a text; nothing if the text is none.
    pub(super) fn parse(text: &str, now_ms: i64) -> Option<Self> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let mut parts = text.split(',');
        let after_ms = parts.next()?.parse().ok()?;
        let mut recent = HashMap::new();
        for part in parts {
            let (id, cursor) = part.split_once('=')?;
            let topic = TopicName::new(Kind::Library, id).ok()?;
            recent.insert(topic, (cursor.parse().ok()?, now_ms));
        }
        Some(Self { after_ms, recent })
    }

    pub(super) fn text(&self) -> String {
        let mut recent: Vec<_> = self.recent.iter().collect();
        recent.sort_unstable_by_key(|(topic, _)| topic.as_str());
        recent
            .iter()
            .fold(self.after_ms.to_string(), |text, (topic, (cursor, _))| {
                format!("{text},{}={cursor}", topic.id())
            })
    }

    /// An event was sent.
    pub(super) fn sent(&mut self, event: &Event) {
        let place = (event.cursor(), event.timestamp_ms);
        self.recent.insert(event.topic.clone(), place);
        if self.recent.len() > CURSORS_MAX {
            let oldest = self.recent.iter().min_by_key(|(_, (_, at))| *at);
            if let Some(oldest) = oldest.map(|(topic, _)| topic.clone()) {
                self.recent.remove(&oldest);
            }
        }
    }

    /// Everything that is visible was sent.
    pub(super) fn settle(&mut self, now_ms: i64) {
        self.after_ms = self.after_ms.max(now_ms - SETTLING_MS);
        let after_ms = self.after_ms;
        self.recent.retain(|_, (_, at)| *at > after_ms);
    }

    /// The topics that it names.
    pub(super) fn named(&self) -> impl Iterator<Item = &TopicName> {
        self.recent.keys()
    }

    /// From where on a topic is read.
    pub(super) fn of(&self, topic: &Topic) -> Cursor {
        if let Some((cursor, _)) = self.recent.get(topic.name()) {
            return cursor.clone();
        }
        let epoch = topic.head().epoch;
        let mut before = None;
        loop {
            let Ok(page) = topic.history_reverse(before.as_ref(), PAGE) else {
                break;
            };
            let sent = |event: &&std::sync::Arc<Event>| event.timestamp_ms <= self.after_ms;
            if let Some(event) = page.events.iter().find(sent) {
                return event.cursor();
            }
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        // All that the log holds is newer; if something is gone before it, that is a gap.
        Cursor {
            epoch,
            seq: Seq::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::{Arrival, Class, Epoch, Payload};

    fn event(library: u64) -> Event {
        Event {
            topic: format!("library:l{library}").parse().unwrap(),
            seq: Seq(library + 1),
            epoch: Epoch::new("e").unwrap(),
            id: uuid::Uuid::nil(),
            name: "document.added".parse().unwrap(),
            timestamp_ms: i64::try_from(library).unwrap() + 10_000,
            class: Class::Fact,
            key: None,
            attempt: None,
            owner: None,
            payload: Payload::Object("{}".into()),
            arrival: Arrival::default(),
        }
    }

    #[test]
    fn the_text_has_the_newest_topics_and_is_read_again() {
        let first = event(0).timestamp_ms;
        let mut place = Place::now(first);
        for library in 0..40 {
            place.sent(&event(library));
        }
        let again = Place::parse(&place.text(), first).unwrap();
        assert_eq!(again.text(), place.text());
        assert_eq!(again.named().count(), CURSORS_MAX);
        assert!(place.text().contains(",l39=e:40"), "{}", place.text());
        assert!(!place.text().contains("l0="), "the oldest made room");
        place.settle(first + 60_000);
        assert_eq!(place.text(), (first + 60_000 - SETTLING_MS).to_string());
        place.settle(0);
        assert_eq!(place.text(), (first + 60_000 - SETTLING_MS).to_string());
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in [
            "",
            "x",
            "1,",
            "1,a",
            "1,../x=e:1",
            "1,a=e",
            &"1".repeat(9000),
        ] {
            assert_eq!(Place::parse(text, 0), None, "{text}");
        }
        assert!(Place::parse("1,a=e:5", 0).is_some());
    }
}
