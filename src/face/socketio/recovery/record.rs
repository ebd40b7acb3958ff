//! What is remembered of a session, so that its client can come back to it.

use serde::{Deserialize, Serialize};

use crate::connection::ConnectionId;
use crate::face::socketio::recovery::offset::{self, Offset};
use crate::hub::From;
use crate::topic::{Cursor, EventName, Seq, TopicName};

/// What is remembered of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The public id.
    pub(crate) id: ConnectionId,
    /// Whose it is, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) principal: Option<String>,
    pub(crate) kept: Vec<Kept>,
    /// The number of the next subscription; numbers are never given twice.
    next: u32,
}

/// A subscription of the session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// Its number in offsets.
    pub(crate) number: u32,
    /// The id as the client gave it.
    pub(crate) session: String,
    pub(crate) topic: TopicName,
    /// The only event names that are wanted, if not all are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) events: Option<Box<[EventName]>>,
    pub(crate) base: Base,
}

/// What a client has of a topic as long as no offset of its tells more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Base {
    /// Everything up to here.
    At(Cursor),
    /// Nothing: the snapshot was on its way, of this place.
    Snapshot(Cursor),
    /// It may have been told of a gap that leads here, or not.
    Gap(Cursor),
}

impl Base {
    const fn cursor(&self) -> &Cursor {
        let (Self::At(cursor) | Self::Snapshot(cursor) | Self::Gap(cursor)) = self;
        cursor
    }
}

impl Record {
    pub(crate) const fn new(id: ConnectionId, principal: Option<String>) -> Self {
        Self {
            id,
            principal,
            kept: Vec::new(),
            next: 0,
        }
    }

    /// Adds a subscription; its number is given out here.
    pub(crate) fn keep(
        &mut self,
        session: String,
        topic: TopicName,
        events: Option<Box<[EventName]>>,
        base: Base,
    ) -> u32 {
        let number = self.next;
        self.next += 1;
        self.kept.push(Kept {
            number,
            session,
            topic,
            events,
            base,
        });
        number
    }

    /// The subscription went on behind a gap: offsets from before it do not count any more.
    pub(crate) fn renumber(&mut self, number: u32, to: Cursor) -> u32 {
        if let Some(kept) = self.kept.iter_mut().find(|kept| kept.number == number) {
            kept.number = self.next;
            kept.base = Base::Gap(to);
            self.next += 1;
            return kept.number;
        }
        number
    }

    /// Forgets a subscription. Returns its number, if there was one.
    pub(crate) fn drop_topic(&mut self, topic: &TopicName) -> Option<u32> {
        let at = self.kept.iter().position(|kept| kept.topic == *topic)?;
        Some(self.kept.remove(at).number)
    }

    /// Where each subscription is to go on; nothing if that cannot be said for all.
    pub(crate) fn resume(&self, pid: &str, offset: Option<&Offset>) -> Option<Vec<(Kept, From)>> {
        let others = offset.and_then(|offset| offset.others.as_ref());
        // The numbers of another session mean nothing here.
        let marks = others
            .filter(|(tag, _)| **tag == *offset::tag(pid))
            .map_or(&[][..], |(_, marks)| marks);
        if marks.iter().any(|mark| mark.number >= self.next) {
            return None;
        }
        let resume = |kept: &Kept| {
            let base = kept.base.cursor();
            let mark = marks.iter().find(|mark| mark.number == kept.number);
            let told = match offset {
                Some(offset) if offset.topic == kept.topic => Some(offset.cursor.clone()),
                _ => mark.map(|mark| Cursor {
                    seq: mark.seq,
                    ..base.clone()
                }),
            };
            let from = match (told, &kept.base) {
                // Of an empty topic the epoch was none to rely on: it gets one with its first event.
                (Some(told), Base::At(base)) if base.seq == Seq::ZERO => From::Since(told),
                // An offset from before the session, or from before a gap, tells nothing.
                (Some(told), Base::At(base)) if told.epoch == base.epoch => {
                    From::Since(if told.seq > base.seq {
                        told
                    } else {
                        base.clone()
                    })
                }
                (Some(told), Base::Snapshot(base) | Base::Gap(base))
                    if told.epoch == base.epoch =>
                {
                    From::Since(told)
                }
                (_, Base::At(base)) => From::Since(base.clone()),
                (_, Base::Snapshot(_)) => From::Snapshot,
                (_, Base::Gap(_)) => return None,
            };
            // There was nothing to have: an empty topic is forgotten with its last subscriber, and
            // gets another epoch with its first event.
            let from = match from {
                From::Since(cursor) if cursor.seq == Seq::ZERO => From::Oldest,
                from => from,
            };
            Some((kept.clone(), from))
        };
        self.kept.iter().map(resume).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PID: &str = "abcdefgh";

    fn cursor(text: &str) -> Cursor {
        text.parse().unwrap()
    }

    /// A record with a topic a for each base.
    fn record(bases: &[Base]) -> Record {
        let mut record = Record::new(ConnectionId::of("x"), None);
        for (n, base) in bases.iter().enumerate() {
            let topic = format!("session:{n}").parse().unwrap();
            record.keep(n.to_string(), topic, None, base.clone());
        }
        record
    }

    fn resumed(record: &Record, offset: &str) -> Option<Vec<From>> {
        let offset = Offset::parse(offset);
        let resumed = record.resume(PID, offset.as_ref())?;
        Some(resumed.into_iter().map(|(_, from)| from).collect())
    }

    #[test]
    fn without_an_offset_the_base_counts() {
        let record = record(&[Base::At(cursor("e:5")), Base::Snapshot(cursor("e:9"))]);
        let expected = vec![From::Since(cursor("e:5")), From::Snapshot];
        assert_eq!(resumed(&record, ""), Some(expected));
    }

    #[test]
    fn one_offset_tells_of_all_topics() {
        let record = record(&[
            Base::At(cursor("e:5")),
            Base::Snapshot(cursor("f:9")),
            Base::At(cursor("g:1")),
        ]);
        let from = resumed(&record, "session:0:e:7;abcdef;1.a").unwrap();
        let expected = ["e:7", "f:10", "g:1"].map(|text| From::Since(cursor(text)));
        assert_eq!(from, expected);
    }

    #[test]
    fn an_offset_of_the_session_before_is_not_mistaken() {
        let record = record(&[Base::At(cursor("e:5")), Base::At(cursor("e:6"))]);
        let base = vec![From::Since(cursor("e:5")), From::Since(cursor("e:6"))];
        for offset in [
            "session:0:e:3",
            "session:0:old:900",
            "session:9:e:7;others;0.9;1.9",
        ] {
            assert_eq!(resumed(&record, offset), Some(base.clone()), "{offset}");
        }
    }

    #[test]
    fn what_was_never_kept_cannot_be_resumed() {
        let record = record(&[Base::At(cursor("e:5"))]);
        assert_eq!(resumed(&record, "session:0:e:7;abcdef;1.a"), None);
    }

    #[test]
    fn what_was_given_up_is_ignored() {
        let mut record = record(&[Base::At(cursor("e:5")), Base::At(cursor("e:6"))]);
        assert_eq!(record.drop_topic(&"session:1".parse().unwrap()), Some(1));
        let expected = Some(vec![From::Since(cursor("e:7"))]);
        assert_eq!(resumed(&record, "session:0:e:7;abcdef;1.a"), expected);
    }

    #[test]
    fn behind_a_gap_only_an_offset_from_behind_it_counts() {
        let mut record = record(&[Base::At(cursor("e:5"))]);
        assert_eq!(record.renumber(0, cursor("f:2")), 1);
        assert_eq!(resumed(&record, ""), None);
        assert_eq!(resumed(&record, "session:0:e:7"), None);
        assert_eq!(resumed(&record, "session:7:e:7;abcdef;0.9"), None);
        let expected = Some(vec![From::Since(cursor("f:1"))]);
        assert_eq!(resumed(&record, "session:0:f:1"), expected);
        assert_eq!(resumed(&record, "session:7:e:7;abcdef;1.1"), expected);
    }

    #[test]
    fn of_an_empty_topic_all_is_news() {
        let record = record(&[Base::At(cursor("e:0"))]);
        assert_eq!(resumed(&record, ""), Some(vec![From::Oldest]));
        let told = Some(vec![From::Since(cursor("f:3"))]);
        assert_eq!(resumed(&record, "session:0:f:3"), told);
        let offset = "session:7:e:7;abcdef;0.0";
        assert_eq!(resumed(&record, offset), Some(vec![From::Oldest]));
    }

    #[test]
    fn a_record_survives_being_written() {
        let record = record(&[Base::At(cursor("e:5")), Base::Gap(cursor("e:6"))]);
        let written = serde_json::to_vec(&record).unwrap();
        assert_eq!(serde_json::from_slice::<Record>(&written).unwrap(), record);
    }
}
