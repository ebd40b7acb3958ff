//! Search: from words to the nearest documents.
//!
//! The index ranks by BM25, which costs microseconds for every row that has a word, so a word that
//! half of a large library has would cost a tenth of a second. So at most `ranked_max` rows are
//! ranked: the rare words of a query choose and rank them (in a library whose words are all rare,
//! that is plain BM25); what a common word adds to the best of them is its weight, without its
//! frequency. When a query has common words only, the newest rows that have the most of them are
//! ranked.

use std::collections::{HashMap, HashSet};

use rusqlite::{CachedStatement, Connection, OptionalExtension as _, params};

use super::read::{Placed, library_at};
use super::words;
use super::write::metadata;
use super::{Config, Error};
use crate::document::{DocumentId, Hit, LibraryId, Search};

/// How much more a word counts in a title than in a text.
const TITLE_WEIGHT: f64 = 2.0;

/// To how many of the best rows, at least, common words add their weight.
const WEIGHED: usize = 24;

/// How many of the common words do, the rarest of them.
const WEIGHED_WORDS: usize = 4;

/// How many tokens a snippet has.
const SNIPPET_TOKENS: u32 = 24;

/// A word of a query.
struct Word {
    text: String,
    /// In how many chunks it is: exact up to `ranked_max`, an estimate above.
    chunks: f64,
    is_common: bool,
}

impl Word {
    /// How much it tells: the inverse document frequency, never below 0.
    fn weight(&self, all: f64) -> f64 {
        (1.0 + ((all - self.chunks).max(0.0) + 0.5) / (self.chunks + 0.5)).ln()
    }
}

/// The index of one library.
struct Index<'a> {
    connection: &'a Connection,
    number: i64,
    chunks: u64,
    ranked_max: usize,
}

/// The documents of a library that are nearest to a query, nearest first.
pub(super) fn search(
    connection: &Connection,
    library: LibraryId,
    wanted: &Search,
    config: &Config,
) -> Result<Vec<Hit>, Error> {
    let Placed { number, library } = library_at(connection, library)?;
    let index = Index {
        connection,
        number,
        chunks: library.num_chunks,
        ranked_max: config.ranked_max.max(1),
    };
    let mut known = Vec::new();
    for word in words::words(&wanted.query, config.query_words_max) {
        known.extend(index.probe(word)?);
    }
    known.sort_by(|a, b| a.chunks.total_cmp(&b.chunks));
    let scores = index.scores(&known, wanted.k)?;
    index.hits(&known, &scores, wanted.k)
}

impl Index<'_> {
    fn statement(&self, sql: &str) -> Result<CachedStatement<'_>, Error> {
        let sql = sql.replace("words_N", &format!("words_{}", self.number));
        Ok(self.connection.prepare_cached(&sql)?)
    }

    /// Rows that match, newest first.
    fn newest(&self, expression: &str, limit: usize) -> Result<Vec<i64>, Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut statement = self.statement(
            "SELECT rowid FROM words_N WHERE words_N MATCH ? ORDER BY rowid DESC LIMIT ?",
        )?;
        let rows = statement.query_map(params![expression, limit], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// How common a word is; nothing if no chunk has it. Looks at no more than `ranked_max` rows
    /// and takes them for a sample if there are more.
    fn probe(&self, text: String) -> Result<Option<Word>, Error> {
        let rows = self.newest(&words::any(&[&text]), self.ranked_max + 1)?;
        let (Some(newest), Some(oldest)) = (rows.first(), rows.last()) else {
            return Ok(None);
        };
        let is_common = rows.len() > self.ranked_max;
        let all = self.chunks as f64;
        let chunks = if is_common {
            let (first, last): (i64, i64) = self
                .statement(
                    "SELECT (SELECT min(id) FROM words_N_docsize),
                            (SELECT max(id) FROM words_N_docsize)",
                )?
                .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let share = (newest - oldest).max(1) as f64 / (last - first).max(1) as f64;
            (rows.len() as f64 / share).clamp(rows.len() as f64, all)
        } else {
            rows.len() as f64
        };
        Ok(Some(Word {
            text,
            chunks,
            is_common,
        }))
    }

    /// Scores of the rows that may be nearest, nearest (the highest) first. `known` begins with the
    /// rarest.
    fn scores(&self, known: &[Word], k: usize) -> Result<Vec<(i64, f64)>, Error> {
        let mut budget = self.ranked_max as f64;
        let ranking: Vec<&str> = known
            .iter()
            .take_while(|word| {
                budget -= word.chunks;
                !word.is_common && budget >= 0.0
            })
            .map(|word| word.text.as_str())
            .collect();
        let others = &known[ranking.len()..];
        if known.is_empty() {
            return Ok(Vec::new());
        }
        if ranking.is_empty() {
            return Ok(sorted(self.scores_of_common(others)?));
        }
        let expression = words::any(&ranking);
        let mut statement = self.statement(
            "SELECT rowid, bm25(words_N, ?1, 1.0) FROM words_N WHERE words_N MATCH ?2",
        )?;
        let rows = statement.query_map(params![TITLE_WEIGHT, expression], |row| {
            Ok((row.get(0)?, -row.get::<_, f64>(1)?))
        })?;
        let mut scores = sorted(rows.collect::<rusqlite::Result<Vec<(i64, f64)>>>()?);
        let best = scores.len().min(WEIGHED.max(k.saturating_mul(2)));
        let all = self.chunks as f64;
        let mut has =
            self.statement("SELECT 1 FROM words_N WHERE words_N MATCH ?1 AND rowid = ?2")?;
        for word in others.iter().take(WEIGHED_WORDS) {
            let expression = words::any(&[&word.text]);
            for (row, score) in &mut scores[..best] {
                if has.exists(params![expression, *row])? {
                    *score += word.weight(all);
                }
            }
        }
        Ok(sorted(scores))
    }

    /// Scores when every word is common: what a row has of them.
    fn scores_of_common(&self, known: &[Word]) -> Result<Vec<(i64, f64)>, Error> {
        let texts: Vec<&str> = known.iter().map(|word| word.text.as_str()).collect();
        let mut rows: HashSet<i64> = self
            .newest(&words::all(&texts), self.ranked_max)?
            .into_iter()
            .collect();
        if rows.len() < self.ranked_max {
            rows.extend(self.newest(&words::any(&texts[..1]), self.ranked_max)?);
        }
        let oldest = rows.iter().min().copied().unwrap_or_default();
        let mut scores: HashMap<i64, f64> = rows.into_iter().map(|row| (row, 0.0)).collect();
        let mut statement = self.statement(
            "SELECT rowid FROM words_N WHERE words_N MATCH ?1 AND rowid >= ?2
             ORDER BY rowid DESC LIMIT ?3",
        )?;
        // Far more rows than are ranked need not be looked at for any word.
        let limit = i64::try_from(self.ranked_max * 4).unwrap_or(i64::MAX);
        for word in known {
            let weight = word.weight(self.chunks as f64);
            let expression = words::any(&[&word.text]);
            let mut found = statement.query(params![expression, oldest, limit])?;
            while let Some(row) = found.next()? {
                if let Some(score) = scores.get_mut(&row.get(0)?) {
                    *score += weight;
                }
            }
        }
        Ok(scores.into_iter().collect())
    }

    /// The best rows as hits, one for each document.
    fn hits(&self, known: &[Word], scores: &[(i64, f64)], k: usize) -> Result<Vec<Hit>, Error> {
        let texts: Vec<&str> = known.iter().map(|word| word.text.as_str()).collect();
        let expression = words::any(&texts);
        let mut chunk = self.statement(
            "SELECT c.document, c.part, c.text, d.id, d.title, d.metadata
             FROM chunk c JOIN document d ON d.number = c.document WHERE c.number = ?",
        )?;
        let mut snippet = self.statement(&format!(
            "SELECT snippet(words_N, 1, '**', '**', '…', {SNIPPET_TOKENS}) FROM words_N
             WHERE words_N MATCH ?1 AND rowid = ?2"
        ))?;
        let (mut hits, mut seen) = (Vec::new(), HashSet::new());
        for (row, score) in scores {
            if hits.len() == k {
                break;
            }
            let found = chunk.query_row([row], |found| {
                let hit = Hit {
                    id: DocumentId(found.get(3)?),
                    title: found.get(4)?,
                    chunk: found.get::<_, i64>(1)?.cast_unsigned(),
                    text: found.get(2)?,
                    snippet: String::new(),
                    metadata: metadata(&found.get::<_, String>(5)?),
                    distance: 1.0 / (1.0 + score.max(0.0)),
                };
                Ok((found.get::<_, i64>(0)?, hit))
            });
            let (document, mut hit) = found?;
            if seen.insert(document) {
                hit.snippet = snippet
                    .query_row(params![expression, row], |row| row.get(0))
                    .optional()?
                    .unwrap_or_default();
                hits.push(hit);
            }
        }
        Ok(hits)
    }
}

/// The nearest first; of those that are as near, the newest.
fn sorted(mut scores: Vec<(i64, f64)>) -> Vec<(i64, f64)> {
    scores.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(b.0.cmp(&a.0)));
    scores
}
