//! Append: one script a publish, acknowledged as `store.redis.ack` says.

use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use uuid::Uuid;

use crate::store::redis::{Answer, Redis, argument, text};
use crate::store::{Error, Fingerprint, Given, record};
use crate::topic::{Class, Cursor, Epoch, Event, Payload, Seq, Status};

/// How often an append is tried again when another node knew of a newer generation.
const TRIES: usize = 3;

/// An event to be appended. Its number and epoch are still to be given.
pub(crate) struct Write<'a> {
    /// The event, at number zero of an epoch `0`.
    pub(crate) event: &'a Event,
    /// Its field in the snapshot that is kept when the log is trimmed.
    pub(crate) field: Option<String>,
    pub(crate) guard: Option<Guard>,
    pub(crate) receipt: Option<(&'a str, Fingerprint)>,
    /// The epoch, if the topic is new.
    pub(crate) fresh: Epoch,
    /// How long the topic is kept without another event.
    pub(crate) age_max: Duration,
    /// Most fields of the snapshot.
    pub(crate) fields_max: usize,
}

/// What must hold for the event to be appended; decided in the same step.
#[derive(Debug, Clone)]
pub(crate) enum Guard {
    /// The snapshot has no such field.
    Absent(String),
    /// The snapshot has no such field, and the epoch is this one.
    AbsentIn(Epoch, String),
    /// This is the newest event.
    Head(Cursor),
    /// The topic holds no event.
    Empty,
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Appended {
    /// It is in the log.
    Done(Given),
    /// Its receipt was found: it had been appended before.
    Again(Given),
    /// The key of its receipt was used for another event.
    Reused,
    /// The guard does not hold.
    Refused,
}

impl Redis {
    /// Appends an event.
    ///
    /// # Errors
    /// [`Error::Away`] while Redis is away, or when it did not answer in time: then it is open
    /// whether the event was appended, and a retry with the same key tells.
    pub(crate) async fn append(&self, write: &Write<'_>) -> Result<Appended, Error> {
        let begun = Instant::now();
        let appended = self.append_now(write).await;
        self.0.metrics.append.observe(begun.elapsed());
        appended
    }

    async fn append_now(&self, write: &Write<'_>) -> Result<Appended, Error> {
        for _ in 0..TRIES {
            let (keys, args) = self.appending(write)?;
            let script = &self.0.scripts.append;
            let Answer::Told(word, mut told) = self.run(script, keys, args).await? else {
                continue;
            };
            let mut next = || told.next().map(text).unwrap_or_default();
            let appended = match word.as_str() {
                "done" => {
                    let (epoch, seq, is_new) = (next(), next(), next() == "1");
                    let given = given(write.event, &epoch, &seq).ok_or_else(unreadable)?;
                    if is_new {
                        self.enlist(&write.event.topic).await;
                    }
                    Appended::Done(given)
                }
                "again" => again(write, &next()).ok_or_else(unreadable)?,
                "held" | "moved" => return Ok(Appended::Refused),
                "late" => {
                    // Redis was slow, or its clock was set: then the next try tells.
                    Box::pin(self.look()).await;
                    continue;
                }
                _ => return Err(unreadable()),
            };
            self.wait_for_replicas(&write.event.topic).await?;
            return Ok(appended);
        }
        Err(Error::Away)
    }

    fn appending(&self, write: &Write<'_>) -> Result<(Vec<String>, Vec<Bytes>), Error> {
        let generation = self.generation()?;
        let event = write.event;
        let (record, is_object) = unplaced(event);
        let mut keys = self.keys(&event.topic);
        let (print, receipt_key) = match &write.receipt {
            None => (String::new(), keys[0].clone()),
            Some((key, print)) => (hex(print), self.receipt_key(event, key)),
        };
        keys.push(receipt_key);
        let (absent, epoch, head) = match &write.guard {
            None => ("", "", None),
            Some(Guard::Absent(field)) => (field.as_str(), "", None),
            Some(Guard::AbsentIn(epoch, field)) => (field.as_str(), epoch.as_str(), None),
            Some(Guard::Head(head)) => ("", head.epoch.as_str(), Some(head.seq)),
            Some(Guard::Empty) => ("", "", Some(Seq::ZERO)),
        };
        let status = match event.class {
            Class::Terminal => Status::after(&event.name).as_str(),
            Class::State | Class::Fact => "",
        };
        let config = &self.0.config;
        let bounds = config.bounds(event.topic.kind());
        let mut args = vec![
            argument(self.channel(&event.topic)),
            argument(generation),
            argument(&write.fresh),
            record,
            argument(if is_object { "o" } else { "" }),
            argument(write.field.as_deref().unwrap_or("")),
            argument(status),
            argument(absent),
            argument(epoch),
            argument(head.map_or(String::new(), |head| head.to_string())),
            argument(print),
            argument(config.receipt_age_max.as_millis()),
            argument(bounds.events_max),
            argument(bounds.bytes_max),
            argument(write.age_max.as_millis()),
            argument(event.timestamp_ms),
            argument(write.fields_max),
            argument(event.id),
            argument(self.deadline_us()),
            argument(event.owner.as_deref().unwrap_or("")),
            argument(
                bounds
                    .age_seconds()
                    .map_or(String::new(), |age| age.to_string()),
            ),
        ];
        args.extend(event.arrival.trace.as_deref().map(argument));
        Ok((keys, args))
    }

    fn receipt_key(&self, event: &Event, key: &str) -> String {
        let digest: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        self.key(&event.topic, &format!(":receipt:{}", hex(&digest[..16])))
    }
}

/// The record of an event up to its place, and whether the place is to be written into it.
fn unplaced(event: &Event) -> (Bytes, bool) {
    const PLACE: &[u8] = br#""_seq":0,"_epoch":"0"}"#;
    let mut record = record::encode(event);
    let is_object = matches!(event.payload, Payload::Object(_));
    if is_object {
        debug_assert!(record.ends_with(PLACE), "a draft is sealed at number zero");
        record.truncate(record.len() - PLACE.len());
    }
    (record.into(), is_object)
}

fn given(event: &Event, epoch: &str, seq: &str) -> Option<Given> {
    Some(Given {
        topic: event.topic.clone(),
        seq: Seq(seq.parse().ok()?),
        epoch: Epoch::new(epoch).ok()?,
        id: event.id,
        timestamp_ms: event.timestamp_ms,
    })
}

/// What a receipt says: `fingerprint:epoch:number:id:time`.
fn again(write: &Write<'_>, receipt: &str) -> Option<Appended> {
    let mut parts = receipt.split(':');
    let print = parts.next()?;
    if write
        .receipt
        .as_ref()
        .is_some_and(|(_, own)| hex(own) != print)
    {
        return Some(Appended::Reused);
    }
    Some(Appended::Again(Given {
        topic: write.event.topic.clone(),
        epoch: Epoch::new(parts.next()?).ok()?,
        seq: Seq(parts.next()?.parse().ok()?),
        id: Uuid::parse_str(parts.next()?).ok()?,
        timestamp_ms: parts.next()?.parse().ok()?,
    }))
}

fn unreadable() -> Error {
    Error::Unavailable("redis answered what this version does not understand".into())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes all");
        text
    })
}
