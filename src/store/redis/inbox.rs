//! The inbox: a stream to which anybody adds entries, and which one node at a time empties.
//!
//! A consumer group remembers what was read and not settled, so that nothing is lost with a node.
//! All nodes are one reader of the group: who holds the lease first gets what the one before left,
//! so that entries are taken in their order whoever takes them. A settled entry leaves the stream.

use bytes::Bytes;
use fred::types::Value;

use crate::store::Error;
use crate::store::redis::{Answer, Redis, argument, number, text};

/// The group, and its only reader.
const GROUP: &str = "tidings";

/// How much of a field of a refused entry is kept.
const REFUSED_FIELD_BYTES: usize = 4096;

/// How much of the inbox is read at once, and what is kept of what was refused.
#[derive(Debug, Clone, Copy)]
pub struct InboxBounds {
    /// Most entries.
    pub entries_max: usize,
    /// Most bytes of all of them.
    pub bytes_max: usize,
    /// Most bytes of one.
    pub entry_bytes_max: usize,
    /// Most refused entries that are kept.
    pub refused_max: usize,
}

/// The inbox of the house. Cheap to clone.
#[derive(Clone)]
pub struct Inbox {
    redis: Redis,
    bounds: InboxBounds,
}

/// What is next in the inbox.
#[derive(Debug)]
pub struct Arrivals {
    /// The entries, in order.
    pub entries: Vec<Arrival>,
    /// How many there are in the inbox, these included.
    pub waiting: u64,
}

/// An entry.
#[derive(Debug)]
pub struct Arrival {
    /// Its id in the stream.
    pub id: String,
    /// What is known of it.
    pub content: Content,
}

/// What an entry holds.
#[derive(Debug)]
pub enum Content {
    /// Fields and their values.
    Fields(Vec<(Bytes, Bytes)>),
    /// So many bytes, which is too much.
    TooBig(u64),
    /// It was deleted by somebody else.
    Gone,
}

impl Redis {
    /// The inbox.
    pub(crate) fn inbox(&self, bounds: InboxBounds) -> Inbox {
        Inbox {
            redis: self.clone(),
            bounds,
        }
    }
}

impl Inbox {
    /// Where workers add entries.
    pub fn key(&self) -> String {
        format!("{}{{inbox}}", self.redis.0.config.redis.prefix)
    }

    /// What is next: what was read and not settled, else what is new. Does not wait.
    ///
    /// # Errors
    /// While Redis is away, or when the key is of another type.
    pub async fn next(&self) -> Result<Arrivals, Error> {
        self.redis.generation()?;
        let args = vec![
            argument(GROUP),
            argument(GROUP),
            argument(self.bounds.entries_max.max(1)),
            argument(self.bounds.bytes_max),
            argument(self.bounds.entry_bytes_max),
        ];
        let script = &self.redis.0.scripts.take;
        let answer = self.redis.run(script, vec![self.key()], args).await?;
        let Answer::Told(word, mut told) = answer else {
            return Err(Error::Away);
        };
        if word != "here" {
            let why = told.next().map(text).unwrap_or_default();
            return Err(Error::Unavailable(why.into()));
        }
        let waiting = number(told.next());
        let entries = told.next().map(Value::into_array).unwrap_or_default();
        let entries = entries.into_iter().filter_map(arrival).collect();
        Ok(Arrivals { entries, waiting })
    }

    /// Settles entries: those that were refused with the reason.
    ///
    /// # Errors
    /// While Redis is away: then they are read again.
    pub async fn settle(&self, settled: &[(String, Option<String>)]) -> Result<(), Error> {
        let mut args = vec![
            argument(GROUP),
            argument(self.bounds.refused_max.max(1)),
            argument(REFUSED_FIELD_BYTES),
        ];
        for (id, why) in settled {
            args.push(argument(id));
            args.push(argument(why.as_deref().unwrap_or("")));
        }
        let keys = vec![self.key(), format!("{}:refused", self.key())];
        let script = &self.redis.0.scripts.settle;
        self.redis.run(script, keys, args).await.map(drop)
    }
}

fn arrival(value: Value) -> Option<Arrival> {
    let mut parts = value.into_array().into_iter();
    let id = parts.next()?.into_string()?;
    let content = match parts.next().map(text)?.as_str() {
        "here" => {
            let mut fields = Vec::new();
            let mut values = parts.next()?.into_array().into_iter();
            while let (Some(field), Some(value)) = (values.next(), values.next()) {
                fields.push((field.into_bytes()?, value.into_bytes()?));
            }
            Content::Fields(fields)
        }
        "big" => Content::TooBig(number(parts.next())),
        _ => Content::Gone,
    };
    Some(Arrival { id, content })
}
