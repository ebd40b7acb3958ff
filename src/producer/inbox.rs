//! The inbox: workers add entries to a stream of Redis, and each is appended to its topic once.
//!
//! One node at a time empties it, the one that holds a lease: so the entries of a topic are
//! appended in the order in which they were added. An entry leaves the stream when its event is in
//! the log. What a node had read when it was killed is read again by the next, and the id of an
//! entry is its idempotency key, so that none is appended twice. What cannot be appended ever is
//! counted and put aside with the reason; what cannot be appended now waits, and what comes behind
//! it waits in the stream.

mod entry;
mod metrics;

pub use self::metrics::Metrics;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};

use self::metrics::Fate;
use crate::drain::Drain;
use crate::hub::{AppendError, Hub, Idempotency};
use crate::quantity::ByteSize;
use crate::store::{self, Arrival, Content, Inbox as Stream, InboxBounds, Lease};
use crate::topic::{Draft, TopicName};

/// Topics whose entries are appended at the same time.
const TOPICS_AT_ONCE: usize = 64;

/// How long after a refusal of the store the next try is.
const AGAIN: Duration = Duration::from_millis(100);

/// How the inbox is emptied.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inbox {
    /// Whether it is.
    pub enabled: bool,
    /// How long the reader waits when there is nothing.
    #[serde(with = "crate::quantity::duration")]
    pub poll_interval: Duration,
    /// Most entries that are read at once.
    pub batch_entries_max: usize,
    /// Most bytes that are read at once.
    pub batch_bytes_max: ByteSize,
    /// Largest entry.
    pub entry_bytes_max: ByteSize,
    /// How often an entry is tried that the store refuses though it is there.
    pub tries_max: u32,
    /// Most refused entries that are kept; the oldest make room.
    pub refused_max: usize,
    /// How long the node that reads may be silent before another one does.
    #[serde(with = "crate::quantity::duration")]
    pub lease_age: Duration,
}

/// Empties the inbox until the drain, if Redis is underneath.
pub fn start(config: &Inbox, (hub, drain): (&Hub, &Drain), metrics: &Metrics) {
    if !config.enabled {
        return;
    }
    let bounds = InboxBounds {
        entries_max: config.batch_entries_max,
        bytes_max: config.batch_bytes_max.bytes(),
        entry_bytes_max: config.entry_bytes_max.bytes(),
        refused_max: config.refused_max,
    };
    let Some((stream, lease)) = hub.store().inbox(bounds, (config.lease_age, drain)) else {
        return;
    };
    let reader = Reader {
        config: config.clone(),
        hub: hub.clone(),
        stream,
        lease,
        metrics: metrics.clone(),
    };
    let until = drain.clone();
    drain.spawn(async move {
        tokio::select! {
            () = reader.read() => {}
            () = until.doors_closed() => {}
        }
    });
}

struct Reader {
    config: Inbox,
    hub: Hub,
    stream: Stream,
    lease: Lease,
    metrics: Metrics,
}

/// What became of an entry.
enum Outcome {
    /// Its event is in the log, or never will be: why.
    Settled(Option<String>),
    /// The lease has ended: the next reader sees to it.
    Left,
}

impl Reader {
    /// Whether no other node reads, also when what is sent now takes as long as it may.
    fn is_reader(&self) -> bool {
        self.lease.is_held_for(self.config.lease_age / 2)
    }

    async fn read(&self) {
        loop {
            if self.is_reader() && self.read_batch().await {
                continue;
            }
            tokio::time::sleep(self.config.poll_interval).await;
        }
    }

    /// Reads and settles what is next. Returns whether there was anything.
    async fn read_batch(&self) -> bool {
        let arrivals = match self.stream.next().await {
            Ok(arrivals) => arrivals,
            Err(error) => {
                tracing::debug!(%error, "the inbox was not read");
                return false;
            }
        };
        self.metrics.waiting(arrivals.waiting);
        if arrivals.entries.is_empty() {
            return false;
        }
        let mut settled = Vec::new();
        let mut topics: BTreeMap<TopicName, Vec<(String, Parcel)>> = BTreeMap::new();
        for Arrival { id, content } in arrivals.entries {
            match self.open(content) {
                Ok(parcel) => {
                    let topic = parcel.draft.topic().clone();
                    topics.entry(topic).or_default().push((id, parcel));
                }
                Err((fate, why)) => {
                    self.metrics.count(fate);
                    settled.push((id, why));
                }
            }
        }
        let appended: Vec<_> = futures_util::stream::iter(topics.into_values())
            .map(|entries| self.append_all(entries))
            .buffer_unordered(TOPICS_AT_ONCE)
            .collect()
            .await;
        settled.extend(appended.into_iter().flatten());
        for (id, why) in &settled {
            if let Some(why) = why {
                tracing::warn!(id, why, "an entry of the inbox was refused");
            }
        }
        // What is not settled now is read again, and found in the log.
        if let Err(error) = self.stream.settle(&settled).await {
            tracing::debug!(%error, "entries of the inbox were not settled yet");
        }
        true
    }

    /// What an entry wants, or why it is settled as it is.
    fn open(&self, content: Content) -> Result<Parcel, (Fate, Option<String>)> {
        let fields = match content {
            Content::Fields(fields) => fields,
            Content::Gone => return Err((Fate::Gone, None)),
            Content::TooBig(bytes) => {
                let max = self.config.entry_bytes_max.bytes();
                let why = format!(
                    "the entry has {bytes} bytes: at most {max} are allowed \
                     (`producer.inbox.entry_bytes_max`)"
                );
                return Err((Fate::Refused, Some(why)));
            }
        };
        let parcel = entry::parcel(&fields, &self.hub.config().classes);
        parcel.map_err(|problem| (Fate::Refused, Some(problem.to_string())))
    }

    /// Appends the entries of a topic, one after the other. Returns those that are settled.
    async fn append_all(&self, entries: Vec<(String, Parcel)>) -> Vec<(String, Option<String>)> {
        let mut settled = Vec::with_capacity(entries.len());
        for (id, parcel) in entries {
            match self.append(&id, parcel).await {
                Outcome::Settled(why) => settled.push((id, why)),
                Outcome::Left => break,
            }
        }
        settled
    }

    async fn append(&self, id: &str, parcel: Parcel) -> Outcome {
        // No key of a producer has a space.
        let key = parcel.key.unwrap_or_else(|| format!("inbox {id}"));
        let mut tries = 0;
        loop {
            if !self.is_reader() {
                return Outcome::Left;
            }
            let append = self
                .hub
                .append(parcel.draft.clone(), Some(Idempotency(&key)));
            let Err(error) = append.await else {
                self.metrics.count(Fate::Appended);
                return Outcome::Settled(None);
            };
            match Hindrance::of(&error) {
                Hindrance::Passing => {}
                Hindrance::Doubtful if tries < self.config.tries_max => tries += 1,
                Hindrance::Doubtful | Hindrance::Lasting => {
                    self.metrics.count(Fate::Refused);
                    return Outcome::Settled(Some(error.to_string()));
                }
            }
            self.metrics.count(Fate::Delayed);
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// An event on its way, with the idempotency key that its producer gave it.
struct Parcel {
    draft: Draft,
    key: Option<String>,
}

/// Why an event was not appended.
enum Hindrance {
    /// Something else is in the way, and it passes.
    Passing,
    /// The store refuses, maybe only this one.
    Doubtful,
    /// It can never be appended.
    Lasting,
}

impl Hindrance {
    const fn of(error: &AppendError) -> Self {
        match error {
            AppendError::Store(store::Error::Away | store::Error::Busy)
            | AppendError::KeyInFlight => Self::Passing,
            AppendError::Store(
                store::Error::Full
                | store::Error::DiskFull
                | store::Error::Unavailable(_)
                | store::Error::Overtaken,
            )
            | AppendError::TooManyTopics(_) => Self::Doubtful,
            AppendError::TooBig { .. }
            | AppendError::TooDeep(_)
            | AppendError::KeyReused
            | AppendError::AskedAlready(_)
            | AppendError::Forbidden(_)
            | AppendError::BadQuestion(_) => Self::Lasting,
        }
    }
}
