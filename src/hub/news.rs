//! News: which jobs, documents and questions something happened to, for those who watch all of
//! them.
//!
//! Only names and places go this way, never payloads; a listener that is too slow misses some and
//! is told how many. What must not be missed is read by cursor from its topic.

use tokio::sync::broadcast;

use crate::hub::Hub;
use crate::topic::{Cursor, EventName, Kind, TopicName};

/// Most news that wait for a listener.
const NEWS_MAX: usize = 1024;

/// Something happened in a topic.
#[derive(Debug, Clone)]
pub struct News {
    /// The topic.
    pub topic: TopicName,
    /// The name of the event.
    pub name: EventName,
    /// The place just behind it.
    pub cursor: Cursor,
}

/// Tells news.
pub(crate) struct Teller(broadcast::Sender<News>);

impl Default for Teller {
    fn default() -> Self {
        Self(broadcast::Sender::new(NEWS_MAX))
    }
}

impl Hub {
    /// The news of all jobs, documents and questions that this node appends from now on.
    pub fn news(&self) -> broadcast::Receiver<News> {
        self.0.news.0.subscribe()
    }

    /// Tells of an event that this node has appended, if it is of a topic that is watched with all
    /// others of its kind.
    pub(crate) fn tell_news(&self, topic: &TopicName, name: &EventName, cursor: Cursor) {
        match topic.kind() {
            Kind::Job | Kind::Documents => {}
            Kind::Session if name.as_str() == "clarification" => {}
            Kind::Session | Kind::Scan | Kind::Library | Kind::Room | Kind::System => return,
        }
        if self.0.news.0.receiver_count() > 0 {
            let news = News {
                topic: topic.clone(),
                name: name.clone(),
                cursor,
            };
            // Nobody listening any more is no failure.
            let _ = self.0.news.0.send(news);
        }
    }
}
