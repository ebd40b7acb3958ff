//! Reading: what a topic holds from a place on.

use std::sync::Arc;
use std::time::Duration;

use fred::types::Value;

use crate::store::redis::{Answer, Redis, argument, text};
use crate::store::{Error, record};
use crate::topic::{Cursor, Epoch, Event, Seq, TopicName};

/// How often a read is tried again when another node knew of a newer generation.
const TRIES: usize = 3;

/// What was read.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) epoch: Epoch,
    /// The newest number at the time.
    pub(crate) head: Seq,
    /// Whose topic it is.
    pub(crate) owner: Option<Arc<str>>,
    /// Whether the reader begins anew: its epoch is over, or it had none.
    pub(crate) is_whole: bool,
    /// What late joiners need though it may have left the log, in order; only with `is_whole`.
    pub(crate) kept: Vec<Arc<Event>>,
    /// Events of the log, in order.
    pub(crate) events: Vec<Arc<Event>>,
}

/// Where a topic stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) epoch: Epoch,
    pub(crate) head: Seq,
}

impl Redis {
    /// Reads a topic after a cursor, or all of it. With `make` a topic that is not there is made,
    /// with an epoch that clients may resume from, and is kept for that long.
    ///
    /// # Errors
    /// While Redis is away.
    pub(crate) async fn read(
        &self,
        topic: &TopicName,
        after: Option<&Cursor>,
        (fresh, make): (&Epoch, Option<Duration>),
    ) -> Result<Option<Page>, Error> {
        let _place = self.0.reads.acquire().await.map_err(|_| Error::Away)?;
        for _ in 0..TRIES {
            let args = vec![
                argument(self.channel(topic)),
                argument(self.generation()?),
                argument(fresh),
                argument(make.map_or(String::new(), |age| age.as_millis().to_string())),
                argument(after.map_or("", |cursor| cursor.epoch.as_str())),
                argument(after.map_or(0, |cursor| cursor.seq.0)),
                argument(self.0.config.redis.page_events.max(1)),
                argument(jiff::Timestamp::now().as_millisecond()),
            ];
            let script = &self.0.scripts.read;
            let Answer::Told(word, told) = self.run(script, self.keys(topic), args).await? else {
                continue;
            };
            if word != "here" {
                return Ok(None);
            }
            let page = page(topic, after, told);
            return page.map(Some).ok_or_else(|| {
                tracing::error!(%topic, "what redis holds of the topic cannot be read");
                Error::Unavailable("what redis holds of the topic cannot be read".into())
            });
        }
        Err(Error::Away)
    }

    /// Forgets the events of a topic, if it is of this epoch. Returns whether there were any.
    ///
    /// # Errors
    /// While Redis is away.
    pub(crate) async fn reset(&self, topic: &TopicName, fresh: &Epoch) -> Result<bool, Error> {
        let args = vec![
            argument(self.channel(topic)),
            argument(self.generation()?),
            argument(fresh),
            argument(jiff::Timestamp::now().as_millisecond()),
            argument(""),
        ];
        let script = &self.0.scripts.reset;
        match self.run(script, self.keys(topic), args).await? {
            Answer::Told(word, _) => Ok(word == "done"),
            Answer::Stale => Err(Error::Away),
        }
    }

    /// Where a topic stands. It is kept for `age_max` from now.
    ///
    /// # Errors
    /// While Redis is away.
    pub(crate) async fn touch(
        &self,
        topic: &TopicName,
        age_max: Duration,
    ) -> Result<Option<Standing>, Error> {
        self.generation()?;
        let args = vec![argument(age_max.as_millis())];
        let script = &self.0.scripts.touch;
        let Answer::Told(word, mut told) = self.run(script, self.keys(topic), args).await? else {
            return Err(Error::Away);
        };
        let mut next = || told.next().map(text).unwrap_or_default();
        let (epoch, head) = (Epoch::new(&next()), next().parse());
        Ok(match (word.as_str(), epoch, head) {
            ("here", Ok(epoch), Ok(head)) => Some(Standing {
                epoch,
                head: Seq(head),
            }),
            _ => None,
        })
    }
}

impl Redis {
    /// How long ago the last sign of life of a topic's worker was; with `is_now` this is one.
    ///
    /// # Errors
    /// While Redis is away.
    pub(crate) async fn heard(
        &self,
        topic: &TopicName,
        sign: Sign,
    ) -> Result<Option<Duration>, Error> {
        self.generation()?;
        let script = &self.0.scripts.hear;
        let args = vec![argument(match sign {
            Sign::Given => "1",
            Sign::AskedFor => "0",
        })];
        let keys = vec![self.meta_key(topic)];
        let Answer::Told(_, mut told) = self.run(script, keys, args).await? else {
            return Err(Error::Away);
        };
        let ago_ms = told.next().map(text).and_then(|text| text.parse().ok());
        Ok(ago_ms.map(Duration::from_millis))
    }
}

/// Whether a sign of life is given, or only asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    Given,
    AskedFor,
}

fn page(
    topic: &TopicName,
    after: Option<&Cursor>,
    mut told: std::vec::IntoIter<Value>,
) -> Option<Page> {
    let epoch = Epoch::new(&told.next()?.into_string()?).ok()?;
    let head = Seq(told.next()?.into_string()?.parse().ok()?);
    let is_whole = after.is_none_or(|cursor| cursor.epoch != epoch);
    let decode = |seq: u64, bytes: &[u8]| {
        let place = record::Place {
            topic,
            epoch: &epoch,
            seq,
            prev: 0,
        };
        record::decode(&place, bytes)
    };
    let owner = told.next()?.into_string().filter(|owner| !owner.is_empty());
    let mut kept = Vec::new();
    for value in told.next()?.into_array() {
        let bytes = value.into_bytes()?;
        let at = bytes.iter().position(|byte| *byte == b':')?;
        let seq = std::str::from_utf8(&bytes[..at]).ok()?.parse().ok()?;
        kept.push(decode(seq, &bytes[at + 1..])?);
    }
    kept.sort_unstable_by_key(|event| event.seq);
    let mut events = Vec::new();
    for entry in told.next()?.into_array() {
        let mut entry = entry.into_array().into_iter();
        let id = entry.next()?.into_string()?;
        let seq = id.split_once('-')?.0.parse().ok()?;
        let bytes = entry
            .next()?
            .into_array()
            .into_iter()
            .nth(1)?
            .into_bytes()?;
        events.push(decode(seq, &bytes)?);
    }
    Some(Page {
        epoch,
        head,
        owner: owner.map(Into::into),
        is_whole,
        kept,
        events,
    })
}
