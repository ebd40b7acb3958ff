//! What is in a file.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::files::FILE_BYTES_MAX;

/// How many of the most frequent words are kept.
const TOP_WORDS: usize = 5;

/// Words with fewer letters say little.
const WORD_LETTERS_MIN: usize = 4;

/// A file is binary if there is a zero byte this early, as version control systems judge it.
const SNIFFED_BYTES: usize = 8000;

/// What is in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Analysis {
    /// Its length.
    pub(super) bytes: u64,
    /// Its lines; none if it is binary.
    pub(super) lines: u64,
    /// Its words; none if it is binary.
    pub(super) words: u64,
    /// SHA-256 in hexadecimal.
    pub(super) sha256: String,
    /// Whether it is no text.
    pub(super) binary: bool,
    /// The most frequent words of at least four letters, in lower case, most frequent first.
    pub(super) top_words: Vec<String>,
}

impl Analysis {
    /// Reads a file. One that has grown beyond the bound meanwhile is an error.
    pub(super) fn of_file(path: &Path) -> std::io::Result<Self> {
        let mut content = Vec::new();
        File::open(path)?
            .take(FILE_BYTES_MAX + 1)
            .read_to_end(&mut content)?;
        if content.len() as u64 > FILE_BYTES_MAX {
            return Err(std::io::Error::other("it has grown beyond 8 MiB"));
        }
        Ok(Self::of(&content))
    }

    fn of(content: &[u8]) -> Self {
        let sha256 = hex(&Sha256::digest(content));
        let bytes = content.len() as u64;
        let head = &content[..content.len().min(SNIFFED_BYTES)];
        let text = if head.contains(&0) {
            None
        } else {
            std::str::from_utf8(content).ok()
        };
        let Some(text) = text else {
            return Self {
                bytes,
                lines: 0,
                words: 0,
                sha256,
                binary: true,
                top_words: Vec::new(),
            };
        };
        Self {
            bytes,
            lines: text.lines().count() as u64,
            words: text.split_whitespace().count() as u64,
            sha256,
            binary: false,
            top_words: top_words(text),
        }
    }

    /// In a short sentence.
    pub(super) fn told(&self) -> String {
        if self.binary {
            return format!("binary, {} bytes", self.bytes);
        }
        let mut told = format!("{} lines, {} words", self.lines, self.words);
        if !self.top_words.is_empty() {
            told.push_str("; mostly ");
            told.push_str(&self.top_words.join(", "));
        }
        told
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes all");
        text
    })
}

/// The most frequent words; of equally frequent ones the first in the alphabet.
fn top_words(text: &str) -> Vec<String> {
    let mut counts: HashMap<String, u64> = HashMap::new();
    for word in text.split(|c: char| !c.is_alphabetic()) {
        if word.chars().count() >= WORD_LETTERS_MIN {
            *counts.entry(word.to_lowercase()).or_default() += 1;
        }
    }
    let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
    counts.sort_by(|(a, more), (b, less)| less.cmp(more).then_with(|| a.cmp(b)));
    counts
        .into_iter()
        .take(TOP_WORDS)
        .map(|(word, _)| word)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_counted() {
        let analysis = Analysis::of(b"Gateway gateway topic\nthe the the cat, topic! gateway\n");
        assert_eq!((analysis.bytes, analysis.lines, analysis.words), (54, 2, 9));
        assert_eq!(analysis.top_words, ["gateway", "topic"]);
        assert!(!analysis.binary);
        assert_eq!(analysis.told(), "2 lines, 9 words; mostly gateway, topic");
    }

    #[test]
    fn the_hash_is_the_one_of_the_standard() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Analysis::of(b"abc").sha256, expected);
    }

    #[test]
    fn at_most_five_words_are_kept_in_a_fixed_order() {
        let analysis = Analysis::of("gamma beta delta alpha zeta epsilon".as_bytes());
        assert_eq!(
            analysis.top_words,
            ["alpha", "beta", "delta", "epsilon", "gamma"]
        );
    }

    #[test]
    fn what_is_no_text_is_binary() {
        for content in [&b"\x00\x01"[..], b"\xff\xfe\xfd"] {
            let analysis = Analysis::of(content);
            assert!(analysis.binary);
            assert_eq!((analysis.lines, analysis.words), (0, 0));
            assert!(analysis.told().starts_with("binary"));
        }
        assert_eq!(Analysis::of(b"").told(), "0 lines, 0 words");
    }

    #[test]
    fn a_file_that_is_gone_is_an_error() {
        assert!(Analysis::of_file(Path::new("/nowhere/at/all")).is_err());
    }
}
