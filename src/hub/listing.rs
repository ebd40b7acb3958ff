//! The list of topics when the log is in Redis.

use crate::hub::{Hub, TopicFilter, TopicLine, TopicPage};
use crate::store::{self, Redis};
use crate::topic::{Cursor, Kind, Status, TopicName, iso8601};

impl Hub {
    /// A page of the topics that the log holds.
    pub(crate) async fn topics_in(
        &self,
        redis: &Redis,
        filter: &TopicFilter,
        limit: usize,
        is_shown: impl Fn(&TopicName, Option<&str>) -> bool,
    ) -> Result<TopicPage, store::Error> {
        let wanted = filter.prefix.clone().unwrap_or_default();
        let of_kind = filter
            .kind
            .map_or_else(String::new, |kind: Kind| format!("{kind}:"));
        // One of the two begins with the other, or nothing can be meant.
        let prefix = if wanted.starts_with(&of_kind) {
            wanted
        } else if of_kind.starts_with(&wanted) {
            of_kind
        } else {
            return Ok(TopicPage::default());
        };
        let (mut listed, mut after) = (Vec::new(), filter.after.clone());
        while listed.len() <= limit {
            let wanted = limit.saturating_add(1) - listed.len();
            let page = redis.list(&prefix, after.as_deref(), wanted).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.topic.as_str().to_owned());
            let shown = page
                .into_iter()
                .filter(|line| is_shown(&line.topic, line.owner.as_deref()));
            listed.extend(shown);
        }
        let more = listed.len() > limit;
        let line = |listed: store::Listed| TopicLine {
            subscribers: self
                .topic(&listed.topic)
                .map_or(0, |topic| topic.subscribers())
                + listed.elsewhere,
            status: match listed.status.as_deref() {
                Some("completed") => Status::Completed,
                Some("failed") => Status::Failed,
                _ => Status::Active,
            },
            cursor: Cursor {
                epoch: listed.epoch,
                seq: listed.head,
            },
            updated_at: iso8601(listed.updated_ms),
            topic: listed.topic,
        };
        let topics = listed.into_iter().take(limit).map(line).collect();
        Ok(TopicPage { topics, more })
    }
}
