//! Offsets: what a client returns to say how far it has read.
//!
//! A stock client keeps only the offset of the last event it was handed, whatever its topic. So an
//! offset says all: the place of its own event (`<topic>:<epoch>:<seq>`), then, for a connection
//! with several topics, how far each other one had been written when it left
//! (`;<tag>;<number>.<seq>;…`, in base 36). What the server remembers of a connection can be lost
//! with its process; what the client has seen is known from the offset alone.

use std::fmt::Write as _;

use crate::topic::{Cursor, Seq, TopicName};

/// Longest offset that is read, in bytes. One of ours with 256 topics is shorter.
const OFFSET_BYTES_MAX: usize = 8192;

/// How many characters of a session's private id are its tag.
const TAG_CHARS: usize = 6;

/// How far each topic of one connection has been written, as far as offsets tell it.
#[derive(Debug, Clone)]
pub(crate) struct Trail {
    tag: Box<str>,
    marks: Vec<Mark>,
}

/// How far the topic of this number has been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) number: u32,
    pub(crate) seq: Seq,
}

/// An offset that a client returned.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Offset {
    /// The last event that the client was handed.
    pub(crate) topic: TopicName,
    pub(crate) cursor: Cursor,
    /// How far the others were at that time, with the tag of the session whose numbers they bear.
    pub(crate) others: Option<(Box<str>, Vec<Mark>)>,
}

/// What stands at the end of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tail<'a> {
    /// Nothing: the client takes no offsets.
    None,
    /// The place of the event itself.
    Own,
    /// The place of the event itself, and this.
    Others(&'a str),
}

impl<'a> Tail<'a> {
    /// The tail on a connection whose trail has this suffix, if it has a trail; one that has none may
    /// want the place of each event all the same.
    pub(crate) fn of(suffix: Option<&'a str>, wants_cursors: bool) -> Self {
        match suffix {
            None if wants_cursors => Self::Own,
            None => Self::None,
            Some("") => Self::Own,
            Some(others) => Self::Others(others),
        }
    }
}

/// The tag of a session: enough to tell its numbers from those of the client's session before.
pub(crate) fn tag(pid: &str) -> &str {
    pid.get(..TAG_CHARS).unwrap_or(pid)
}

/// The offset of an event of this place, without others.
pub(crate) fn own(topic: &TopicName, cursor: &Cursor) -> String {
    format!("{topic}:{cursor}")
}

impl Trail {
    pub(crate) fn new(pid: &str) -> Self {
        Self {
            tag: tag(pid).into(),
            marks: Vec::new(),
        }
    }

    /// The topic of this number has been written up to here.
    pub(crate) fn mark(&mut self, number: u32, seq: Seq) {
        match self.marks.iter_mut().find(|mark| mark.number == number) {
            Some(mark) => mark.seq = seq,
            None => self.marks.push(Mark { number, seq }),
        }
    }

    /// The topic of this number is of no interest any more.
    pub(crate) fn forget(&mut self, number: u32) {
        self.marks.retain(|mark| mark.number != number);
    }

    /// What follows the own place in the offsets of this topic; empty if there are no others.
    pub(crate) fn suffix(&self, number: u32) -> String {
        let mut suffix = String::new();
        for mark in self.marks.iter().filter(|mark| mark.number != number) {
            if suffix.is_empty() {
                write!(suffix, ";{}", self.tag).expect("a String takes all");
            }
            suffix.push(';');
            put_base36(&mut suffix, u64::from(mark.number));
            suffix.push('.');
            put_base36(&mut suffix, mark.seq.0);
        }
        suffix
    }

    #[cfg(test)]
    fn marks(&self) -> &[Mark] {
        &self.marks
    }
}

impl Offset {
    /// Reads an offset. One that is none of ours is nothing.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() > OFFSET_BYTES_MAX {
            return None;
        }
        let mut parts = text.split(';');
        let place = parts.next()?;
        let epoch_at = place.rmatch_indices(':').nth(1)?.0;
        let topic = place[..epoch_at].parse().ok()?;
        let cursor = place[epoch_at + 1..].parse().ok()?;
        let others = match parts.next() {
            None => None,
            Some(tag) => Some((tag.into(), parts.map(mark).collect::<Option<_>>()?)),
        };
        Some(Self {
            topic,
            cursor,
            others,
        })
    }
}

fn mark(text: &str) -> Option<Mark> {
    let (number, seq) = text.split_once('.')?;
    Some(Mark {
        number: u32::from_str_radix(number, 36).ok()?,
        seq: Seq(u64::from_str_radix(seq, 36).ok()?),
    })
}

fn put_base36(out: &mut String, number: u64) {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let (mut digits, mut rest) = ([0_u8; 13], number);
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = DIGITS[(rest % 36) as usize];
        rest /= 36;
        if rest == 0 {
            break;
        }
    }
    out.extend(digits[at..].iter().map(|digit| char::from(*digit)));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_offset_says_what_the_trail_knew(
            seqs in proptest::collection::vec(any::<u64>(), 1..40),
            own_number in 0_usize..40,
        ) {
            let own_number = own_number % seqs.len();
            let mut trail = Trail::new("abcdefghij");
            for (number, seq) in seqs.iter().enumerate() {
                trail.mark(u32::try_from(number).unwrap(), Seq(*seq / 2));
                trail.mark(u32::try_from(number).unwrap(), Seq(*seq));
            }
            let topic: TopicName = "session:a.b~c".parse().unwrap();
            let cursor: Cursor = "e1:77".parse().unwrap();
            let own_number = u32::try_from(own_number).unwrap();
            let text = own(&topic, &cursor) + &trail.suffix(own_number);
            let offset = Offset::parse(&text).unwrap();
            prop_assert_eq!((&offset.topic, &offset.cursor), (&topic, &cursor));
            let expected: Vec<Mark> = trail.marks().iter().copied()
                .filter(|mark| mark.number != own_number).collect();
            match offset.others {
                None => prop_assert!(expected.is_empty()),
                Some((tag, marks)) => {
                    prop_assert_eq!(&*tag, "abcdef");
                    prop_assert_eq!(marks, expected);
                }
            }
        }

        #[test]
        fn no_text_panics(text in ".{0,60}", ours in "[a-z:;.0-9]{0,60}") {
            Offset::parse(&text);
            Offset::parse(&ours);
        }
    }

    #[test]
    fn what_is_none_of_ours_is_nothing() {
        for text in [
            "",
            "1732-0",
            "session:a",
            "session:a:1",
            "nothing:a:e:1",
            "session:a:e:x",
            "session:a:e:1;t;1",
            "session:a:e:1;t;1.?",
            "session:a:e:1;t;zzzzzzzz.1",
        ] {
            assert_eq!(Offset::parse(text), None, "{text}");
        }
        assert_eq!(
            Offset::parse(&format!("session:a:e:1;t{}", ";0.1".repeat(4000))),
            None
        );
    }
}
