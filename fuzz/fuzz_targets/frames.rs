//! WebSocket frames: heads, and buffers of whole frames.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tidings::wire::frame::{self, Head};

fuzz_target!(|bytes: &[u8]| {
    if let Some(head) = Head::parse(bytes) {
        assert!(head.len <= bytes.len());
        assert!(head.total() >= head.payload_len);
    }
    let whole: usize = frame::walk(&Bytes::copy_from_slice(bytes))
        .map(|(_, payload)| payload.len())
        .sum();
    assert!(whole <= bytes.len());
    let built = frame::build(frame::BINARY, bytes);
    assert_eq!(frame::walk(&built).next().map(|(_, payload)| payload.len()), Some(bytes.len()));
});
