//! How long a search takes: `cargo run --example library_search [DOCUMENTS]` fills a library (with
//! 100,000 documents unless told) and asks it one query after the other.
//!
//! The words have the frequencies of a language (Zipf): the most frequent one is in most documents.
//! Half of the queries draw their one to four words by that frequency, so they are full of common
//! words; the others draw them evenly.

#![expect(clippy::print_stdout, reason = "it is here to print")]

use std::time::Duration;

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tidings::document::{NewDocument, NewLibrary, Search};
use tidings::store::{self, documents::Documents};
use tokio::time::Instant;

const VOCABULARY: usize = 20_000;
const WORDS: usize = 60;
const QUERIES: usize = 2_000;
const AT_ONCE: usize = 64;

fn main() -> anyhow::Result<()> {
    let documents = match std::env::args().nth(1) {
        Some(text) => text.parse().context("how many documents? give a number")?,
        None => 100_000,
    };
    tokio::runtime::Runtime::new()?.block_on(measure(documents))
}

async fn measure(count: usize) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let defaults: toml::Table = include_str!("../config/tidings.toml").parse()?;
    let mut config: store::Config = defaults["store"].clone().try_into()?;
    config.data_dir = Some(dir.path().to_owned());
    config.sqlite.durability = store::Durability::Wal;
    let documents = Documents::open(&config)?;
    let new = NewLibrary {
        name: "Measured".to_owned(),
        description: None,
    };
    let library = documents.create(new).await?.0.id;

    let mut random = Random(7);
    let began = Instant::now();
    stream::iter((0..count).map(|_| NewDocument {
        title: random.text(5, Random::frequent),
        texts: vec![random.text(WORDS, Random::frequent)],
        ..NewDocument::default()
    }))
    .map(|new| documents.add(library, new))
    .buffer_unordered(AT_ONCE)
    .try_for_each(|_| async { Ok(()) })
    .await?;
    println!("{count} documents added in {:.1?}", began.elapsed());

    for (what, word) in [
        (
            "words by frequency",
            Random::frequent as fn(&mut Random) -> usize,
        ),
        ("words drawn evenly", Random::even),
    ] {
        let mut took = Vec::new();
        let mut found = 0;
        for number in 0..QUERIES / 2 {
            let query = random.text(1 + number % 4, word);
            let began = Instant::now();
            found += documents
                .search(library, Search { query, k: 10 })
                .await?
                .len();
            took.push(began.elapsed());
        }
        took.sort_unstable();
        let at = |percent: usize| ms(took[(took.len() - 1) * percent / 100]);
        println!(
            "{what}: p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms, longest {:.2} ms ({found} found)",
            at(50),
            at(90),
            at(99),
            at(100)
        );
    }
    Ok(())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The rank of a word, the first ones most often.
    #[expect(clippy::cast_possible_truncation, reason = "a rank is small")]
    #[expect(clippy::cast_sign_loss, reason = "a rank is above 0")]
    fn frequent(&mut self) -> usize {
        let rank = (VOCABULARY as f64).powf(self.next());
        (rank as usize).saturating_sub(1)
    }

    #[expect(clippy::cast_possible_truncation, reason = "a rank is small")]
    #[expect(clippy::cast_sign_loss, reason = "a rank is above 0")]
    fn even(&mut self) -> usize {
        (self.next() * VOCABULARY as f64) as usize
    }

    fn text(&mut self, words: usize, word: fn(&mut Self) -> usize) -> String {
        let words: Vec<String> = (0..words).map(|_| spelled(word(self))).collect();
        words.join(" ")
    }
}

/// The word of a rank: letters only, different for each.
fn spelled(mut rank: usize) -> String {
    const SYLLABLES: [&str; 16] = [
        "ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu", "na", "pe", "ri", "so", "tu",
        "va",
    ];
    let mut word = String::new();
    for _ in 0..4 {
        word.push_str(SYLLABLES[rank % 16]);
        rank /= 16;
    }
    word
}
