//! The list of topics: a sorted set of their names, tidied when it is read.

use std::collections::HashMap;

use fred::error::Error as Fault;
use fred::interfaces::{ClientLike as _, HashesInterface as _, SortedSetsInterface as _};
use fred::types::{ClusterHash, CustomCommand, Value};
use futures_util::future::join_all;
use tokio::try_join;

use crate::store::Error;
use crate::store::redis::Redis;
use crate::topic::{Epoch, Seq, TopicName};

/// What the list says of a topic.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) topic: TopicName,
    pub(crate) epoch: Epoch,
    pub(crate) head: Seq,
    pub(crate) status: Option<String>,
    pub(crate) updated_ms: i64,
    pub(crate) owner: Option<String>,
    /// How many subscribers it has on other nodes.
    pub(crate) elsewhere: usize,
}

impl Redis {
    fn list_key(&self) -> String {
        format!("{}topics", self.0.config.redis.prefix)
    }

    /// Puts a topic on the list. The list is for people: a name that is missing costs nothing else.
    pub(super) async fn enlist(&self, topic: &TopicName) {
        let commands = self.0.commands.with_options(&self.0.options);
        let name = (0.0, topic.as_str());
        let added = commands.zadd(self.list_key(), None, None, false, false, name);
        let added: Result<(), Fault> = Box::pin(added).await;
        if let Err(error) = added {
            tracing::debug!(%topic, error = error.details(), "the topic is not on the list");
        }
    }

    /// Up to `max` topics whose names begin with `prefix` and come after `after`, in order.
    ///
    /// # Errors
    /// While Redis is away.
    pub(crate) async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        max: usize,
    ) -> Result<Vec<Listed>, Error> {
        let mut listed = Vec::new();
        let mut from = match after {
            Some(after) if after >= prefix => format!("({after}"),
            _ => format!("[{prefix}"),
        };
        while listed.len() < max {
            self.generation()?;
            let wanted = max - listed.len();
            let names = self.names(&from, prefix, wanted).await;
            let names = names.map_err(|error| self.failed(&error))?;
            let Some(last) = names.last() else { break };
            from = format!("({last}");
            let is_last = names.len() < wanted;
            let lines = join_all(names.iter().map(|name| self.line(name))).await;
            for (line, name) in lines.into_iter().zip(names) {
                match line.map_err(|error| self.failed(&error))? {
                    Some(line) => listed.push(line),
                    None => self.strike(&name).await,
                }
            }
            if is_last {
                break;
            }
        }
        Ok(listed)
    }

    async fn names(&self, from: &str, prefix: &str, max: usize) -> Result<Vec<String>, Fault> {
        let command = CustomCommand::new_static("ZRANGE", ClusterHash::FirstKey, false);
        let args = [
            self.list_key(),
            from.to_owned(),
            // Names are ASCII: whatever begins with the prefix comes before this.
            format!("({prefix}\u{80}"),
            "BYLEX".to_owned(),
            "LIMIT".to_owned(),
            "0".to_owned(),
            max.to_string(),
        ];
        let commands = self.0.commands.with_options(&self.0.options);
        Box::pin(commands.custom(command, args.to_vec())).await
    }

    /// Whose a topic is; nothing if it is nobody's or does not exist.
    ///
    /// # Errors
    /// While Redis is away.
    pub(crate) async fn owner(&self, topic: &TopicName) -> Result<Option<String>, Error> {
        self.generation()?;
        let commands = self.0.commands.with_options(&self.0.options);
        let asked = commands.hmget(self.meta_key(topic), vec!["owner".to_owned()]);
        let owner: Result<Vec<Option<String>>, Fault> = Box::pin(asked).await;
        let owner = owner.map(|fields| fields.into_iter().next().flatten());
        owner.map_err(|error| self.failed(&error))
    }

    /// A line of the list; nothing when the topic holds no event any more.
    async fn line(&self, name: &str) -> Result<Option<Listed>, Fault> {
        let Ok(topic) = name.parse::<TopicName>() else {
            return Ok(None);
        };
        let commands = self.0.commands.with_options(&self.0.options);
        let fields = ["epoch", "seq", "status", "at", "owner"]
            .map(str::to_owned)
            .to_vec();
        let (values, counts): (Vec<Value>, HashMap<String, usize>) = try_join!(
            Box::pin(commands.hmget(self.meta_key(&topic), fields)),
            Box::pin(commands.hgetall(self.key(&topic, ":here"))),
        )?;
        let mut texts = values.into_iter().map(Value::into_string);
        let mut next = || texts.next().flatten();
        let epoch = next().and_then(|text| Epoch::new(&text).ok());
        let head = next().and_then(|text| text.parse().ok()).unwrap_or(0);
        let (status, at, owner) = (next(), next(), next());
        Ok(epoch.filter(|_| head > 0).map(|epoch| Listed {
            topic,
            epoch,
            head: Seq(head),
            status,
            owner,
            elsewhere: self.sum_elsewhere(&counts),
            updated_ms: at.and_then(|text| text.parse().ok()).unwrap_or(0),
        }))
    }

    async fn strike(&self, name: &str) {
        let commands = self.0.commands.with_options(&self.0.options);
        let struck: Result<(), Fault> = Box::pin(commands.zrem(self.list_key(), name)).await;
        if let Err(error) = struck {
            tracing::debug!(name, error = error.details(), "the name stays on the list");
        }
    }
}
