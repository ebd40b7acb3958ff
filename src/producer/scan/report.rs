//! The report of a scan: what its clients are told at the end.
//!
//! The message is written while the scan goes on, into one buffer that all clients share in the
//! end; so a hundred thousand files are in memory once.

use std::ops::Range;

use bytes::Bytes;
use serde::Serialize;

use crate::topic::iso8601;

/// The buffer grows by so much at a time, and not to twice its size.
const GROWTH_BYTES: usize = 1 << 20;

/// How a report begins.
const OPENING: &[u8] = br#"{"type":"completed","files":["#;

/// A file that was found.
#[derive(Debug, Serialize)]
pub(super) struct Found<'a> {
    pub(super) path: &'a str,
    pub(super) size: u64,
    pub(super) modified: Option<String>,
    pub(super) extension: &'a str,
}

/// The most that a report holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) entries: usize,
    pub(super) bytes: usize,
    pub(super) warnings: usize,
}

/// A report that is being written.
#[derive(Debug)]
pub(super) struct Draft {
    bounds: Bounds,
    text: Vec<u8>,
    /// Where each entry ends, its comma included.
    ends: Vec<u32>,
    total_size: u64,
    left_out: u64,
    warnings: Vec<String>,
    warnings_left_out: u64,
}

/// What a scan found.
#[derive(Debug)]
pub struct Report {
    text: Bytes,
    ends: Vec<u32>,
    tail: Range<usize>,
    /// How many files are in the list.
    pub count: usize,
    /// The sizes of the listed files together.
    pub total_size: u64,
    /// What could not be read or listed.
    pub warnings: Vec<String>,
}

impl Draft {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            text: OPENING.to_vec(),
            ends: Vec::new(),
            total_size: 0,
            left_out: 0,
            warnings: Vec::new(),
            warnings_left_out: 0,
        }
    }

    /// Lists a file, or counts it if there is no room.
    pub(super) fn add(&mut self, found: &Found<'_>) {
        // Escapes and the other fields take more than the path: a generous guess before writing.
        let needed = found.path.len() * 2 + 256;
        if self.ends.len() >= self.bounds.entries || self.text.len() + needed > self.bounds.bytes {
            self.left_out += 1;
            return;
        }
        if self.text.capacity() - self.text.len() < needed {
            self.text.reserve_exact(GROWTH_BYTES.max(needed));
        }
        serde_json::to_writer(&mut self.text, found).expect("a file is JSON");
        self.text.push(b',');
        self.ends
            .push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
        self.total_size += found.size;
    }

    /// Notes what could not be read.
    pub(super) fn warn(&mut self, warning: String) {
        if self.warnings.len() < self.bounds.warnings {
            self.warnings.push(warning);
        } else {
            self.warnings_left_out += 1;
        }
    }

    /// The report.
    pub(super) fn finish(mut self) -> Report {
        if self.left_out > 0 {
            let (left_out, max) = (self.left_out, self.bounds.entries);
            self.warnings.push(format!(
                "{left_out} files were left out of the list: it has at most {max}"
            ));
        }
        if self.warnings_left_out > 0 {
            let left_out = self.warnings_left_out;
            self.warnings
                .push(format!("{left_out} more warnings were left out"));
        }
        if !self.ends.is_empty() {
            self.text.pop();
        }
        let start = self.text.len();
        let count = self.ends.len();
        let tail = serde_json::json!({
            "count": count,
            "total_size": self.total_size,
            "warnings": self.warnings,
        });
        let tail = tail.to_string();
        self.text.reserve_exact(tail.len() + 2);
        self.text.extend_from_slice(b"],");
        self.text.extend_from_slice(&tail.as_bytes()[1..]);
        Report {
            tail: start..self.text.len(),
            text: self.text.into(),
            ends: self.ends,
            count,
            total_size: self.total_size,
            warnings: self.warnings,
        }
    }
}

impl Report {
    /// The `completed` message with all files, shared by whoever sends it.
    pub fn whole(&self) -> Bytes {
        self.text.clone()
    }

    /// How many pages of this size there are, at least one.
    pub fn pages(&self, page_size: usize) -> usize {
        self.count.div_ceil(page_size).max(1)
    }

    /// A page: a `files` message, or `completed` for the last one. Both say which page it is.
    pub fn page(&self, page_size: usize, number: usize) -> String {
        let pages = self.pages(page_size);
        let end_of = |entries: usize| match entries.checked_sub(1) {
            None => OPENING.len(),
            Some(last) => self.ends[last] as usize,
        };
        let first = number * page_size;
        let last = (first + page_size).min(self.count);
        let is_last = number + 1 >= pages;
        let end = if last == self.count {
            self.tail.start
        } else {
            end_of(last) - 1
        };
        let start = end_of(first).min(end);
        let text = |range: Range<usize>| String::from_utf8_lossy(&self.text[range]);
        let kind = if is_last { "completed" } else { "files" };
        let tail = if is_last {
            text(self.tail.clone())
        } else {
            "]}".into()
        };
        let number = number + 1;
        format!(
            r#"{{"type":"{kind}","page":{number},"pages":{pages},"files":[{}{tail}"#,
            text(start..end)
        )
    }

    /// What it takes in memory, in bytes, roughly.
    pub(super) fn footprint_bytes(&self) -> usize {
        self.text.len() + self.ends.len() * size_of::<u32>()
    }
}

/// A time as the clients know it; nothing if the file system has none.
pub(super) fn modified(time: std::io::Result<std::time::SystemTime>) -> Option<String> {
    let since = time.ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(iso8601(i64::try_from(since.as_millis()).ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const BOUNDS: Bounds = Bounds {
        entries: 10,
        bytes: 1 << 20,
        warnings: 2,
    };

    fn draft(files: usize) -> Draft {
        let mut draft = Draft::new(BOUNDS);
        for n in 0..files {
            draft.add(&Found {
                path: &format!("/d/\"{n}\".txt"),
                size: 2,
                modified: Some("m".into()),
                extension: ".txt",
            });
        }
        draft
    }

    #[test]
    fn the_whole_is_the_message_and_says_what_was_left_out() {
        let mut draft = draft(12);
        for n in 0..3 {
            draft.warn(format!("w{n}"));
        }
        let report = draft.finish();
        let value: Value = serde_json::from_slice(&report.whole()).unwrap();
        assert_eq!(
            (&value["count"], &value["total_size"]),
            (&json!(10), &json!(20))
        );
        let first =
            json!({"path": "/d/\"0\".txt", "size": 2, "modified": "m", "extension": ".txt"});
        assert_eq!(value["files"][0], first);
        let warnings = json!([
            "w0",
            "w1",
            "2 files were left out of the list: it has at most 10",
            "1 more warnings were left out"
        ]);
        assert_eq!(value["warnings"], warnings);
        let empty: Value = serde_json::from_slice(&draft_of_none()).unwrap();
        assert_eq!((&empty["files"], &empty["count"]), (&json!([]), &json!(0)));
    }

    fn draft_of_none() -> Bytes {
        Draft::new(BOUNDS).finish().whole()
    }

    proptest! {
        #[test]
        fn the_pages_together_are_the_whole(files in 0_usize..11, page_size in 1_usize..13) {
            let report = draft(files).finish();
            let whole: Value = serde_json::from_slice(&report.whole()).unwrap();
            let mut listed = Vec::new();
            let pages = report.pages(page_size);
            for number in 0..pages {
                let page: Value = serde_json::from_str(&report.page(page_size, number)).unwrap();
                let is_last = number + 1 == pages;
                prop_assert_eq!(&page["type"], if is_last { "completed" } else { "files" });
                prop_assert_eq!(page.get("count").is_some(), is_last);
                prop_assert!(page["files"].as_array().unwrap().len() <= page_size);
                listed.extend(page["files"].as_array().unwrap().iter().cloned());
            }
            prop_assert_eq!(Value::Array(listed), whole["files"].clone());
        }
    }
}
