//! Asking the other nodes who subscribes to a topic: over the topic's own news, which exactly the
//! nodes hear on which somebody watches it. Each puts its answer into a list that soon expires.

use std::time::Duration;

use bytes::Bytes;
use fred::types::Value;
use tokio::time::Instant;
use uuid::Uuid;

use crate::store::Error;
use crate::store::redis::{Answer, Redis, argument, number};
use crate::topic::TopicName;

/// How often the list of answers is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// How long answers are kept for whoever asked.
const ANSWER_AGE: Duration = Duration::from_secs(10);

impl Redis {
    /// What all nodes that watch a topic answer, this one included if it does: as many answers as
    /// come within the time that a command may take.
    ///
    /// # Errors
    /// While Redis is away.
    pub(crate) async fn ask(&self, topic: &TopicName) -> Result<Vec<Bytes>, Error> {
        self.generation()?;
        let until = Instant::now() + self.0.config.redis.command_timeout;
        let question = Uuid::new_v4().simple().to_string();
        let keys = vec![self.answers_key(topic, &question)];
        let script = &self.0.scripts.ask;
        let ask = async |question: &str| {
            let args = vec![argument(self.channel(topic)), argument(question)];
            match self.run(script, keys.clone(), args).await? {
                Answer::Told(_, mut told) => Ok(told.next()),
                Answer::Stale => Err(Error::Away),
            }
        };
        let asked = usize::try_from(number(ask(&question).await?)).unwrap_or(usize::MAX);
        loop {
            let told = ask("").await?.map(Value::into_array).unwrap_or_default();
            if told.len() >= asked || Instant::now() >= until {
                return Ok(told.into_iter().filter_map(Value::into_bytes).collect());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Answers a question about a topic.
    pub(crate) async fn answer(&self, topic: &TopicName, question: &str, answer: Bytes) {
        let keys = vec![self.answers_key(topic, question)];
        let args = vec![answer, argument(ANSWER_AGE.as_millis())];
        if let Err(error) = self.run(&self.0.scripts.answer, keys, args).await {
            tracing::debug!(%topic, %error, "a question was not answered");
        }
    }

    fn answers_key(&self, topic: &TopicName, question: &str) -> String {
        self.key(topic, &format!(":answers:{question}"))
    }
}
