//! The words of a query: whatever a client sends becomes plain words, never syntax.

/// Longest word that is looked for, in bytes; the rest of it is passed over.
const WORD_BYTES_MAX: usize = 64;

/// The different words of a query, in its order, at most `max` of them.
pub(super) fn words(query: &str, max: usize) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for word in query.split(|c: char| !c.is_alphanumeric()) {
        if found.len() == max {
            break;
        }
        let word = &word[..word.floor_char_boundary(WORD_BYTES_MAX)];
        let word = word.to_lowercase();
        if !word.is_empty() && !found.contains(&word) {
            found.push(word);
        }
    }
    found
}

/// Words as an expression of the index that matches what has any of them.
pub(super) fn any(words: &[&str]) -> String {
    joined(words, " OR ")
}

/// Words as an expression of the index that matches what has all of them.
pub(super) fn all(words: &[&str]) -> String {
    joined(words, " AND ")
}

/// A word has no quotes: it is letters and digits.
fn joined(words: &[&str], between: &str) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
    quoted.join(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syntax_is_no_more_than_words() {
        let hostile = "title: (\"AND\" OR near*) ^x -y\0 {a}'; DROP TABLE";
        let words = words(hostile, 32);
        assert_eq!(
            words,
            ["title", "and", "or", "near", "x", "y", "a", "drop", "table"]
        );
        assert_eq!(any(&["a", "b"]), r#""a" OR "b""#);
        assert_eq!(all(&["a"]), r#""a""#);
    }

    #[test]
    fn words_are_few_and_short() {
        let long = "ä".repeat(1000);
        assert!(words(&long, 4)[0].len() <= WORD_BYTES_MAX);
        assert_eq!(words(&"a b c d e f ".repeat(1000), 4).len(), 4);
        assert!(words("!?* \0", 4).is_empty());
    }
}
