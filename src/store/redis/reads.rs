//! Reads in Redis: how far somebody has read of a topic, for all nodes; and which node brings them
//! what waited, one at a time.

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::store::Error;
use crate::store::reads::{Claimed, Read};
use crate::store::redis::{Answer, Redis, argument, text};
use crate::topic::{Cursor, Epoch, Seq, TopicName};

impl Redis {
    /// Keeps how far somebody has read, unless another node knows of more.
    ///
    /// # Errors
    /// While Redis is away.
    pub(crate) async fn keep_read(&self, read: &Read, age: Duration) -> Result<(), Error> {
        self.generation()?;
        let keys = vec![self.key(&read.topic, ":read")];
        let args = vec![
            argument(&read.cursor.epoch),
            argument(read.cursor.seq),
            argument(age.as_millis()),
        ];
        self.run(&self.0.scripts.keep_read, keys, args).await?;
        Ok(())
    }

    /// Claims the bringing of what waits, if nobody has; the claim ends by itself after `age`.
    ///
    /// # Errors
    /// While Redis is away.
    pub(crate) async fn claim_read(
        &self,
        topic: &TopicName,
        (holder, age): (Uuid, Duration),
    ) -> Result<Claimed, Error> {
        self.generation()?;
        let keys = vec![self.key(topic, ":reader"), self.key(topic, ":read")];
        let args = vec![
            Bytes::copy_from_slice(holder.as_bytes()),
            argument(age.as_millis()),
        ];
        match self.run(&self.0.scripts.claim_read, keys, args).await? {
            Answer::Told(word, mut values) if word == "mine" => {
                let epoch = values
                    .next()
                    .map(text)
                    .and_then(|text| Epoch::new(&text).ok());
                let seq = values.next().map(text).and_then(|text| text.parse().ok());
                let cursor = epoch.zip(seq).map(|(epoch, seq)| Cursor {
                    epoch,
                    seq: Seq(seq),
                });
                Ok(Claimed::Mine(cursor))
            }
            Answer::Told(..) | Answer::Stale => Ok(Claimed::Held),
        }
    }

    /// Gives a claim back, if it still holds.
    pub(crate) async fn release_read(&self, topic: &TopicName, holder: Uuid) {
        let keys = vec![self.key(topic, ":reader")];
        let args = vec![Bytes::copy_from_slice(holder.as_bytes())];
        if let Err(error) = self.run(&self.0.scripts.forget, keys, args).await {
            // It ends by itself.
            tracing::debug!(%error, "a claim was not given back");
        }
    }
}
