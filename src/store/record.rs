//! Events as bytes, and the checksums that tell damage.
//!
//! A record is what an event is beyond its place; the place (topic, epoch, number, the row before)
//! goes into the checksum, so that a record that is found in the wrong place is damage as well.

use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::topic::{Arrival, Class, Epoch, Event, Payload, Seq, TopicName};

/// Set in the byte of the payload's kind when the event says whose topic it is.
const OWNED: u8 = 0x80;

/// The place of an event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) topic: &'a TopicName,
    pub(crate) epoch: &'a Epoch,
    pub(crate) seq: u64,
    /// The offset of the topic's event before, zero for none.
    pub(crate) prev: i64,
}

impl Place<'_> {
    /// The checksum of a record at this place.
    pub(crate) fn sum(&self, record: &[u8]) -> i64 {
        let mut digest = Sha256::new();
        digest.update(self.topic.as_str());
        digest.update([0]);
        digest.update(self.epoch.as_str());
        digest.update([0]);
        digest.update(self.seq.to_le_bytes());
        digest.update(self.prev.to_le_bytes());
        digest.update(record);
        first_eight(digest)
    }
}

/// A checksum over several texts.
pub(crate) fn sum_of<const N: usize>(parts: [&[u8]; N]) -> i64 {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    first_eight(digest)
}

fn first_eight(digest: Sha256) -> i64 {
    let digest: [u8; 32] = digest.finalize().into();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_le_bytes(first)
}

/// An event as bytes.
pub(crate) fn encode(event: &Event) -> Vec<u8> {
    let (kind, payload) = match &event.payload {
        Payload::Object(data) => (0, data),
        Payload::Value(data) => (1, data),
        Payload::Binary(data) => (2, data),
    };
    let name = event.name.as_str();
    let mut out = Vec::with_capacity(40 + name.len() + payload.len());
    out.extend_from_slice(event.id.as_bytes());
    out.extend_from_slice(&event.timestamp_ms.to_le_bytes());
    out.push(class_number(event.class));
    out.push(kind | if event.owner.is_some() { OWNED } else { 0 });
    let attempt = event.attempt.map_or(0, NonZeroU32::get);
    out.extend_from_slice(&attempt.to_le_bytes());
    push_text(&mut out, name);
    out.push(u8::from(event.key.is_some()));
    push_text(&mut out, event.key.as_deref().unwrap_or_default());
    if let Some(owner) = &event.owner {
        push_text(&mut out, owner);
    }
    out.extend_from_slice(payload);
    out
}

/// The length, then the text; texts have at most 255 bytes.
fn push_text(out: &mut Vec<u8>, text: &str) {
    out.push(u8::try_from(text.len()).expect("names, keys and owners are short"));
    out.extend_from_slice(text.as_bytes());
}

/// The event at a place, or nothing when the bytes are no record.
pub(crate) fn decode(place: &Place<'_>, bytes: &[u8]) -> Option<Arc<Event>> {
    let mut rest = bytes;
    let id = Uuid::from_bytes(take(&mut rest)?);
    let timestamp_ms = i64::from_le_bytes(take(&mut rest)?);
    let [class, kind] = take(&mut rest)?;
    let class = match class {
        0 => Class::State,
        1 => Class::Fact,
        2 => Class::Terminal,
        _ => return None,
    };
    let attempt = NonZeroU32::new(u32::from_le_bytes(take(&mut rest)?));
    let name = take_text(&mut rest)?.parse().ok()?;
    let [has_key] = take(&mut rest)?;
    let key = take_text(&mut rest)?;
    let key = (has_key == 1).then(|| key.into());
    let owner = if kind & OWNED == 0 {
        None
    } else {
        Some(take_text(&mut rest)?.into())
    };
    let payload = Bytes::copy_from_slice(rest);
    let payload = match kind & !OWNED {
        0 => Payload::Object(payload),
        1 => Payload::Value(payload),
        2 => Payload::Binary(payload),
        _ => return None,
    };
    Some(Arc::new(Event {
        topic: place.topic.clone(),
        seq: Seq(place.seq),
        epoch: place.epoch.clone(),
        id,
        name,
        timestamp_ms,
        class,
        key,
        attempt,
        owner,
        payload,
        arrival: Arrival::default(),
    }))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let [length] = take(rest)?;
    let (text, tail) = rest.split_at_checked(usize::from(length))?;
    *rest = tail;
    std::str::from_utf8(text).ok()
}

const fn class_number(class: Class) -> u8 {
    match class {
        Class::State => 0,
        Class::Fact => 1,
        Class::Terminal => 2,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_event_survives_its_record(
            key in proptest::option::of("[a-zé]{0,60}"),
            data in proptest::collection::vec(any::<u8>(), 0..80),
            attempt in 0_u32..4,
            owner in proptest::option::of("[a-z|@]{1,255}"),
            timestamp_ms: i64,
        ) {
            let (topic, epoch) = ("session:a".parse().unwrap(), Epoch::new("e").unwrap());
            let place = Place { topic: &topic, epoch: &epoch, seq: 7, prev: 3 };
            let event = Event {
                topic: topic.clone(),
                seq: Seq(7),
                epoch: epoch.clone(),
                id: Uuid::from_u128(99),
                name: "progress".parse().unwrap(),
                timestamp_ms,
                class: Class::Terminal,
                key: key.map(Into::into),
                attempt: NonZeroU32::new(attempt),
                owner: owner.map(Into::into),
                payload: Payload::Binary(data.into()),
                arrival: Arrival::default(),
            };
            let record = encode(&event);
            let back = decode(&place, &record).unwrap();
            prop_assert_eq!(format!("{event:?}"), format!("{back:?}"));
            let elsewhere = Place { seq: 8, ..place };
            prop_assert_ne!(place.sum(&record), elsewhere.sum(&record));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let (topic, epoch) = ("session:a".parse().unwrap(), Epoch::new("e").unwrap());
            let _ = decode(&Place { topic: &topic, epoch: &epoch, seq: 1, prev: 0 }, &bytes);
        }
    }
}
