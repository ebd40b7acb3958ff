//! Verifying: copies are compared with the log now and then, should news have been lost unnoticed,
//! and what is watched is kept from being forgotten.

use std::time::Duration;

use crate::hub::Hub;

impl Hub {
    pub(super) async fn verify_until_drain(self, every: Duration) {
        let mut tick = tokio::time::interval(every);
        loop {
            tokio::select! {
                _ = tick.tick() => self.verify().await,
                () = self.0.drain.begun() => return,
            }
        }
    }

    /// Compares the copies with the log, and keeps what is watched from being forgotten.
    async fn verify(&self) {
        let Some(redis) = self.0.store.redis() else {
            return;
        };
        for shard in &self.0.shards {
            let topics: Vec<_> = {
                let shard = shard.read().expect("no holder of a shard panics");
                shard.values().cloned().collect()
            };
            for topic in topics {
                let (here, age_max) = {
                    let state = topic.peek();
                    (
                        state.head(),
                        self.age_max(topic.name(), state.fold.status()),
                    )
                };
                let Ok(there) = redis.touch(topic.name(), age_max).await else {
                    return;
                };
                // What was appended since then is on its way.
                let is_level = there.is_some_and(|there| {
                    there.epoch == here.epoch && there.head <= topic.head().seq
                });
                if !is_level {
                    self.read_on(&topic);
                }
            }
        }
    }
}
