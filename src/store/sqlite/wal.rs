//! The write-ahead log, looked at before SQLite opens it: SQLite passes over damage in silence.
//!
//! The form is that of "The WAL File Format" of SQLite's documentation.

use std::fs;
use std::path::Path;

use super::salvage::with_suffix;

/// Bytes of the head of the log, of the head of a frame, and of a head of the index.
const HEAD: usize = 32;
const FRAME_HEAD: usize = 24;
const INDEX_HEAD: usize = 48;

/// Why commits that were acknowledged are gone from the log, if they are.
///
/// Two signs are looked for. A commit that lies behind a frame whose checksum is wrong: SQLite would
/// stop before it. And fewer frames than the index beside the log (`-shm`) counts: it is what the
/// writer that was killed had committed, so that a log that was cut off is told from one whose last
/// write was interrupted. After a loss of power the index may be older than the log, and claims less.
pub(super) fn damage(path: &Path) -> Option<String> {
    let wal = fs::read(with_suffix(path, "-wal")).unwrap_or_default();
    let index = fs::read(with_suffix(path, "-shm")).unwrap_or_default();
    let index = Index::read(&index);
    let Some((head, frames)) = wal.split_at_checked(HEAD) else {
        let is_missed = index.is_some_and(|index| index.committed > index.moved);
        return is_missed.then(|| "the write-ahead log is missing".to_owned());
    };
    let Some(log) = Log::read(head) else {
        let is_used = frames.iter().any(|byte| *byte != 0);
        return is_used.then(|| "the head of the write-ahead log is damaged".to_owned());
    };
    let found = log.follow(frames);
    if found.is_passed_over {
        return Some("a frame of the write-ahead log is damaged".to_owned());
    }
    let index = index.filter(|index| index.salt == log.salt)?;
    let is_short = index.committed > found.committed && index.committed > index.moved;
    is_short.then(|| "the end of the write-ahead log is missing".to_owned())
}

/// What the head of the log says of its frames.
struct Log<'a> {
    is_big: bool,
    page_bytes: usize,
    salt: &'a [u8],
    sums: (u32, u32),
}

/// What was found in the frames.
#[derive(Default)]
struct Found {
    /// How many frames belong to commits that are whole.
    committed: u32,
    /// Whether a commit lies behind a frame that is not what was written.
    is_passed_over: bool,
}

impl<'a> Log<'a> {
    /// Nothing if it is not what was written.
    fn read(head: &'a [u8]) -> Option<Self> {
        let is_big = word(head, 0) & 1 == 1;
        let page_bytes = usize::try_from(word(head, 8)).ok()?;
        let sums = summed(is_big, (0, 0), &head[..24]);
        let is_sound = sums == (word(head, 24), word(head, 28)) && page_bytes >= 512;
        is_sound.then_some(Self {
            is_big,
            page_bytes,
            salt: &head[16..24],
            sums,
        })
    }

    fn follow(&self, mut frames: &[u8]) -> Found {
        let (mut found, mut sums) = (Found::default(), self.sums);
        let (mut number, mut is_broken) = (0, false);
        while let Some((frame, rest)) = frames.split_at_checked(FRAME_HEAD + self.page_bytes) {
            frames = rest;
            number += 1;
            // Frames of an earlier use of the log have another salt.
            let is_ours = frame[8..16] == *self.salt;
            let is_commit = word(frame, 4) != 0;
            if is_broken {
                found.is_passed_over |= is_ours && is_commit;
                continue;
            }
            sums = summed(self.is_big, sums, &frame[..8]);
            sums = summed(self.is_big, sums, &frame[FRAME_HEAD..]);
            is_broken = !is_ours || sums != (word(frame, 16), word(frame, 20));
            if is_commit && !is_broken {
                found.committed = number;
            }
        }
        found
    }
}

/// What the index beside the log says of it; in the byte order of the machine.
struct Index<'a> {
    salt: &'a [u8],
    /// How many frames were committed.
    committed: u32,
    /// How many of them were moved into the file.
    moved: u32,
}

impl<'a> Index<'a> {
    /// Nothing if its two heads differ, as they do while one is written.
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (first, rest) = bytes.split_at_checked(INDEX_HEAD)?;
        let (second, rest) = rest.split_at_checked(INDEX_HEAD)?;
        let own = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_ne_bytes);
        (first == second && first[12] == 1).then(|| Self {
            salt: &first[32..40],
            committed: own(&first[16..20]),
            moved: rest.get(..4).map_or(0, own),
        })
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].try_into().map_or(0, u32::from_be_bytes)
}

/// The checksum of the write-ahead log, carried on.
fn summed(is_big: bool, start: (u32, u32), bytes: &[u8]) -> (u32, u32) {
    bytes
        .as_chunks::<8>()
        .0
        .iter()
        .fold(start, |(first, second), chunk| {
            let whole = u64::from_be_bytes(*chunk);
            let high = u32::try_from(whole >> 32).unwrap_or(0);
            let low = u32::try_from(whole & u64::from(u32::MAX)).unwrap_or(0);
            let (left, right) = if is_big {
                (high, low)
            } else {
                (high.swap_bytes(), low.swap_bytes())
            };
            let first = first.wrapping_add(left).wrapping_add(second);
            (first, second.wrapping_add(right).wrapping_add(first))
        })
}
