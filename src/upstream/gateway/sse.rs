//! Server-sent events, read piece by piece (HTML standard, section 9.2.6).
//!
//! [`Parser::push`] takes bytes however the network cut them and returns the events that they
//! complete. Comments, `retry` and unknown fields are skipped; an event without data is none.

use super::error::Error;

/// Largest event that is kept while it is incomplete.
const EVENT_BYTES_MAX: usize = 16 << 20;

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SseEvent {
    /// The last `id:` of the stream so far.
    pub id: Option<String>,
    /// The `event:`, or `message`.
    pub name: String,
    /// The `data:` lines, joined.
    pub data: String,
}

/// What a stream said so far.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    after_cr: bool,
    begun: bool,
    id: Option<String>,
    name: String,
    data: String,
    has_data: bool,
}

impl Parser {
    /// Takes bytes, returns the events that they complete, in order.
    ///
    /// # Errors
    /// When an event grows beyond 16 MiB.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<SseEvent>, Error> {
        let mut events = Vec::new();
        for &byte in bytes {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => events.extend(self.end_line()),
                byte => self.line.push(byte),
            }
            if self.line.len() + self.data.len() > EVENT_BYTES_MAX {
                return Err(Error::TooLarge(EVENT_BYTES_MAX));
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Option<SseEvent> {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        let first = !std::mem::replace(&mut self.begun, true);
        let line = if first {
            line.trim_start_matches('\u{feff}')
        } else {
            line.as_ref()
        };
        if line.is_empty() {
            return self.end_event();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if self.has_data {
                    self.data.push('\n');
                }
                self.has_data = true;
                self.data.push_str(value);
            }
            "event" => value.clone_into(&mut self.name),
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            _ => {}
        }
        None
    }

    fn end_event(&mut self) -> Option<SseEvent> {
        let name = std::mem::take(&mut self.name);
        let data = std::mem::take(&mut self.data);
        if !std::mem::take(&mut self.has_data) {
            return None;
        }
        let name = if name.is_empty() {
            "message".to_owned()
        } else {
            name
        };
        Some(SseEvent {
            id: self.id.clone(),
            name,
            data,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&[u8]]) -> Vec<SseEvent> {
        let mut parser = Parser::default();
        pieces
            .iter()
            .flat_map(|piece| parser.push(piece).unwrap())
            .collect()
    }

    fn event(id: Option<&str>, name: &str, data: &str) -> SseEvent {
        SseEvent {
            id: id.map(str::to_owned),
            name: name.to_owned(),
            data: data.to_owned(),
        }
    }

    #[test]
    fn fields_comments_and_line_ends_are_understood() {
        let text = "\u{feff}: hello\nid: e:1\nevent: progress\ndata: {\"a\":1}\n\n\
                    data:x\r\ndata: y\r\n\r\nretry: 5\nnonsense\n\nid: e:2\rdata\r\r";
        let expected = vec![
            event(Some("e:1"), "progress", "{\"a\":1}"),
            event(Some("e:1"), "message", "x\ny"),
            event(Some("e:2"), "message", ""),
        ];
        assert_eq!(read(&[text.as_bytes()]), expected);
    }

    #[test]
    fn an_incomplete_event_is_withheld() {
        assert_eq!(read(&[b"data: x\n"]), vec![]);
        assert_eq!(
            read(&[b"event: x\n\ndata: y\n\n"]),
            vec![event(None, "message", "y")]
        );
    }

    #[test]
    fn an_event_without_end_is_given_up() {
        let mut parser = Parser::default();
        let piece = vec![b'x'; EVENT_BYTES_MAX + 1];
        assert!(matches!(parser.push(&piece), Err(Error::TooLarge(_))));
    }

    fn events() -> impl Strategy<Value = Vec<SseEvent>> {
        let line = "[ -~äöü€]{0,12}";
        let data = prop::collection::vec(line, 1..4).prop_map(|lines| lines.join("\n"));
        let one = ("[a-z0-9:]{1,8}", "[a-z_]{1,8}", data).prop_map(|(id, name, data)| SseEvent {
            id: Some(id),
            name,
            data,
        });
        prop::collection::vec(one, 0..6)
    }

    fn written(events: &[SseEvent], end: &str) -> String {
        let mut text = String::new();
        for SseEvent { id, name, data } in events {
            let id = id.as_deref().unwrap_or_default();
            write!(text, ": note{end}id: {id}{end}event: {name}{end}").unwrap();
            for line in data.split('\n') {
                write!(text, "data: {line}{end}").unwrap();
            }
            text.push_str(end);
        }
        text
    }

    proptest! {
        #[test]
        fn events_survive_any_cut(
            events in events(),
            end in prop::sample::select(vec!["\n", "\r", "\r\n"]),
            size in 1_usize..9,
        ) {
            let text = written(&events, end);
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            prop_assert_eq!(read(&pieces), events);
        }

        #[test]
        fn no_bytes_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let whole = read(&[&bytes]);
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(read(&single), whole);
        }
    }
}
