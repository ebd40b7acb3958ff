//! Splitting: a long text in pieces that search can rank and show.

/// What stands between two texts of one document.
pub(super) const BETWEEN: &str = "\n\n";

/// A piece of a document's text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// What stands between this piece and the one before.
    pub(super) glue: &'static str,
    pub(super) text: &'a str,
}

/// The pieces of a document's texts, each at most `bytes_max` long (but at least one character).
/// Put together with their glue they are the document's text.
pub(super) fn pieces(texts: &[String], bytes_max: usize) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    for text in texts {
        let mut rest = text.as_str();
        let mut glue = if pieces.is_empty() { "" } else { BETWEEN };
        loop {
            let (text, after) = rest.split_at(length(rest, bytes_max));
            pieces.push(Piece { glue, text });
            if after.is_empty() {
                break;
            }
            (rest, glue) = (after, "");
        }
    }
    pieces
}

/// How long the first piece of a text is: up to the last paragraph, else sentence, else word that
/// ends in the second half of what is allowed.
fn length(text: &str, bytes_max: usize) -> usize {
    if text.len() <= bytes_max {
        return text.len();
    }
    let window = &text[..text.floor_char_boundary(bytes_max)];
    let half = window.len() / 2;
    let ends = [
        window.rfind("\n\n").map(|at| at + 2),
        window
            .rfind(['.', '!', '?', '\n', '。'])
            .map(|at| at + window[at..].chars().next().map_or(1, char::len_utf8)),
        window
            .rfind(char::is_whitespace)
            .map(|at| at + window[at..].chars().next().map_or(1, char::len_utf8)),
    ];
    let found = ends.into_iter().flatten().find(|end| *end > half);
    found.unwrap_or(window.len()).max(first_char(text))
}

fn first_char(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(given: &[&str]) -> Vec<String> {
        given.iter().map(|&text| text.to_owned()).collect()
    }

    fn whole(pieces: &[Piece<'_>]) -> String {
        pieces.iter().fold(String::new(), |mut whole, piece| {
            whole.push_str(piece.glue);
            whole.push_str(piece.text);
            whole
        })
    }

    #[test]
    fn a_short_text_is_one_piece_and_texts_stay_apart() {
        let given = texts(&["one", "two"]);
        let pieces = pieces(&given, 100);
        assert_eq!(pieces.len(), 2);
        assert_eq!(whole(&pieces), "one\n\ntwo");
    }

    #[test]
    fn a_long_text_is_split_at_paragraphs_then_sentences_then_words() {
        let given = texts(&["First one here.\n\nSecond sentence. Third one is longer than that"]);
        let split = pieces(&given, 24);
        let split: Vec<_> = split.iter().map(|piece| piece.text).collect();
        assert_eq!(split[0], "First one here.\n\n");
        assert_eq!(split[1], "Second sentence.");
        assert!(split[2].ends_with(' '), "{split:?}");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_is_too_long(
            given in proptest::collection::vec(".{0,200}", 1..4),
            bytes_max in 4_usize..64,
        ) {
            let pieces = pieces(&given, bytes_max);
            prop_assert_eq!(whole(&pieces), given.join(BETWEEN));
            prop_assert!(pieces.iter().all(|piece| piece.text.len() <= bytes_max));
        }
    }
}
