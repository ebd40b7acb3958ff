//! One event, one line: what a client sent cannot begin a line of its own, move a cursor or flood
//! the log.

use std::io::{self, Write};

/// Longest line, in bytes; the rest of a longer one is left out.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// What stands at the end of a line that was cut.
const CUT: &[u8] = b"... (cut)";

/// A writer that is given whole events, each ending in a line break.
pub(super) struct OneLine<W> {
    inner: W,
    /// Whether escape sequences are the log's own; those of values are escaped before.
    has_colours: bool,
}

impl<W: Write> OneLine<W> {
    pub(super) const fn new(inner: W, has_colours: bool) -> Self {
        Self { inner, has_colours }
    }
}

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = event.strip_suffix(b"\n").unwrap_or(event);
        let mut line: Vec<u8> = Vec::with_capacity(text.len() + 1);
        for byte in text {
            if line.len() >= LINE_BYTES_MAX {
                // Not in the middle of a character.
                if let Err(error) = std::str::from_utf8(&line) {
                    line.truncate(error.valid_up_to());
                }
                line.extend_from_slice(CUT);
                break;
            }
            match byte {
                b'\t' => line.push(b'\t'),
                0x1b if self.has_colours => line.push(*byte),
                b'\n' => line.extend_from_slice(b"\\n"),
                byte if byte.is_ascii_control() => write!(line, "\\x{byte:02x}")?,
                byte => line.push(*byte),
            }
        }
        line.push(b'\n');
        self.inner.write_all(&line)?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(event: &str, has_colours: bool) -> String {
        let mut line = Vec::new();
        let mut writer = OneLine::new(&mut line, has_colours);
        writer.write_all(event.as_bytes()).unwrap();
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn an_event_is_one_line_without_control_characters() {
        let event = "INFO a=x\nINFO forged\r\u{1b}[2J\u{0}\u{7f}\té\n";
        assert_eq!(
            written(event, false),
            "INFO a=x\\nINFO forged\\x0d\\x1b[2J\\x00\\x7f\té\n"
        );
        assert_eq!(
            written("\u{1b}[32mINFO\u{1b}[0m\n", true),
            "\u{1b}[32mINFO\u{1b}[0m\n"
        );
        assert_eq!(written("no end", false), "no end\n");
    }

    #[test]
    fn a_long_line_is_cut_at_a_whole_character() {
        let line = written(&format!("{}\n", "é".repeat(5000)), false);
        assert!(
            line.len() <= LINE_BYTES_MAX + CUT.len() + 1,
            "{}",
            line.len()
        );
        assert!(line.ends_with("... (cut)\n") && line.starts_with('é'));
    }
}
