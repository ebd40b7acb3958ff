//! What the document store may take.

use serde::{Deserialize, Serialize};

use crate::quantity::ByteSize;

/// The bounds of the document store.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Most libraries.
    pub libraries_max: usize,
    /// Most bytes of a document's text.
    pub document_bytes_max: ByteSize,
    /// Longer texts are split into chunks of at most this many bytes.
    pub chunk_bytes_max: ByteSize,
    /// Most bytes of the file, or of memory without a data directory.
    pub bytes_max: ByteSize,
    /// Threads that read.
    pub readers: usize,
    /// Most searches and other reads that wait; one more is refused.
    pub reads_queue_max: usize,
    /// Most changes that wait; who brings one more waits for a place.
    pub writes_queue_max: usize,
    /// Most words of a query that are looked for.
    pub query_words_max: usize,
    /// Most documents that a search returns.
    pub results_max: usize,
    /// Most chunks that one search ranks.
    pub ranked_max: usize,
    /// Most bytes of the lines that wait in one background import.
    pub import_bytes_max: ByteSize,
    /// Memory for pages of the file, for the writer and for each reader.
    pub cache_bytes: ByteSize,
}
