//! Transcripts of the assist dialect.
