//! What is said of all files together.

use std::fmt::Write as _;

use serde::Serialize;

use super::analysis::Analysis;

/// How many files are named.
const RANKED_MAX: usize = 5;

/// The figure that files are ranked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Figure {
    /// Lines of text.
    Lines,
    /// Words of text.
    Words,
    /// Length.
    Bytes,
}

impl Figure {
    /// All of them, the default first.
    pub(super) const ALL: [Self; 3] = [Self::Lines, Self::Words, Self::Bytes];

    /// Its name.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Lines => "lines",
            Self::Words => "words",
            Self::Bytes => "bytes",
        }
    }

    /// The one with this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|figure| figure.as_str() == name)
    }

    const fn of(self, analysis: &Analysis) -> u64 {
        match self {
            Self::Lines => analysis.lines,
            Self::Words => analysis.words,
            Self::Bytes => analysis.bytes,
        }
    }
}

/// What is said of all files together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    /// How many were read.
    pub(super) files: usize,
    /// How many could not be read.
    pub(super) failed: usize,
    /// How many were left alone.
    pub(super) skipped: usize,
    /// All lines.
    pub(super) lines: u64,
    /// All words.
    pub(super) words: u64,
    /// All bytes.
    pub(super) bytes: u64,
    /// The figure of the ranking.
    pub(super) ranked_by: Figure,
    /// Who chose it.
    pub(super) chosen_by: String,
    /// The files with the most of it.
    pub(super) largest: Vec<Ranked>,
}

/// A file in the ranking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Ranked {
    /// Its path in the folder.
    pub(super) file: String,
    /// How much of the figure it has.
    pub(super) value: u64,
}

impl Summary {
    /// Adds the files up and ranks them.
    pub(super) fn of(analyses: &[(String, Analysis)], figure: Figure, chosen_by: String) -> Self {
        let sum = |figure: Figure| {
            analyses
                .iter()
                .map(|(_, analysis)| figure.of(analysis))
                .sum()
        };
        let mut largest: Vec<Ranked> = analyses
            .iter()
            .map(|(file, analysis)| Ranked {
                file: file.clone(),
                value: figure.of(analysis),
            })
            .collect();
        largest.sort_by(|a, b| b.value.cmp(&a.value).then_with(|| a.file.cmp(&b.file)));
        largest.truncate(RANKED_MAX);
        Self {
            files: analyses.len(),
            failed: 0,
            skipped: 0,
            lines: sum(Figure::Lines),
            words: sum(Figure::Words),
            bytes: sum(Figure::Bytes),
            ranked_by: figure,
            chosen_by,
            largest,
        }
    }

    /// In a sentence.
    pub(super) fn told(&self) -> String {
        let Self {
            files,
            failed,
            lines,
            words,
            bytes,
            ..
        } = self;
        let figure = self.ranked_by.as_str();
        let mut told = format!("{files} files, {lines} lines, {words} words, {bytes} bytes");
        if *failed > 0 {
            write!(told, ", {failed} unreadable").expect("a String takes all");
        }
        if let Some(Ranked { file, value }) = self.largest.first() {
            write!(told, "; most {figure}: {file} ({value})").expect("a String takes all");
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn analysis(lines: u64, words: u64, bytes: u64) -> Analysis {
        let sha256 = String::new();
        Analysis {
            bytes,
            lines,
            words,
            sha256,
            binary: false,
            top_words: Vec::new(),
        }
    }

    #[test]
    fn the_figure_decides_the_ranking() {
        let files = [
            ("a".to_owned(), analysis(3, 1, 2)),
            ("b".to_owned(), analysis(1, 3, 2)),
            ("c".to_owned(), analysis(2, 2, 9)),
        ];
        for (figure, first) in [
            (Figure::Lines, "a"),
            (Figure::Words, "b"),
            (Figure::Bytes, "c"),
        ] {
            let summary = Summary::of(&files, figure, "default".to_owned());
            assert_eq!(summary.largest[0].file, first);
            assert_eq!((summary.lines, summary.words, summary.bytes), (6, 6, 13));
        }
    }

    #[test]
    fn nothing_can_be_summed_up_too() {
        let summary = Summary::of(&[], Figure::Lines, "default".to_owned());
        assert_eq!(summary.told(), "0 files, 0 lines, 0 words, 0 bytes");
    }

    #[test]
    fn figures_have_names() {
        for figure in Figure::ALL {
            assert_eq!(Figure::named(figure.as_str()), Some(figure));
        }
        assert_eq!(Figure::named("colour"), None);
    }
}
