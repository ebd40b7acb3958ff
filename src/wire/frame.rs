//! WebSocket frames (RFC 6455, section 5): heads are parsed, server frames are built.

use bytes::{BufMut, Bytes, BytesMut};

/// A text frame.
pub const TEXT: u8 = 1;
/// A binary frame.
pub const BINARY: u8 = 2;
/// A close frame.
pub const CLOSE: u8 = 8;

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// What the payload is; 0 continues the frame before.
    pub opcode: u8,
    /// Whether it is the last of its message.
    pub is_final: bool,
    /// The bytes of the head itself.
    pub len: usize,
    /// The bytes of the payload.
    pub payload_len: u64,
    /// The mask of a client's frame.
    pub mask: Option<[u8; 4]>,
}

impl Head {
    /// Parses the head at the start of `bytes`; nothing if it is not whole yet.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (&first, rest) = bytes.split_first()?;
        let (&second, rest) = rest.split_first()?;
        let (payload_len, extended) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)), 2),
            127 => (u64::from_be_bytes(*rest.first_chunk()?), 8),
            short => (u64::from(short), 0),
        };
        let mask = if second & 0x80 == 0 {
            None
        } else {
            Some(*rest[extended..].first_chunk()?)
        };
        let len = 2 + extended + mask.map_or(0, |mask| mask.len());
        Some(Self {
            opcode: first & 0x0f,
            is_final: first & 0x80 != 0,
            len,
            payload_len,
            mask,
        })
    }

    /// The bytes of head and payload together.
    pub const fn total(&self) -> u64 {
        self.payload_len.saturating_add(self.len as u64)
    }
}

/// A whole frame from the server.
pub fn build(opcode: u8, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(payload.len() + 10);
    put(&mut out, opcode, payload);
    out.freeze()
}

/// Adds a whole frame from the server to `out`.
pub fn put(out: &mut BytesMut, opcode: u8, payload: &[u8]) {
    out.put_u8(0x80 | opcode);
    match payload.len() {
        len @ 0..126 => out.put_u8(u8::try_from(len).expect("below 126")),
        len @ 126..=0xffff => {
            out.put_u8(126);
            out.put_u16(u16::try_from(len).expect("fits 16 bits"));
        }
        len => {
            out.put_u8(127);
            out.put_u64(len as u64);
        }
    }
    out.put_slice(payload);
}

/// Adds a text frame as a client sends it, masked with zero; of a payload below 126 bytes.
pub fn put_masked(out: &mut BytesMut, payload: &[u8]) {
    let len = u8::try_from(payload.len()).unwrap_or(u8::MAX);
    assert!(len < 126, "only short payloads are built as a client's");
    out.extend_from_slice(&[0x80 | TEXT, 0x80 | len, 0, 0, 0, 0]);
    out.extend_from_slice(payload);
}

/// The frames of a buffer of whole server frames: opcode and payload, in order.
pub fn walk(frames: &Bytes) -> impl Iterator<Item = (u8, Bytes)> {
    let mut rest = frames.clone();
    std::iter::from_fn(move || {
        let head = Head::parse(&rest)?;
        let total = usize::try_from(head.total())
            .ok()
            .filter(|total| *total <= rest.len())?;
        let frame = rest.split_to(total);
        Some((head.opcode, frame.slice(head.len..)))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn heads_are_parsed_when_they_are_whole() {
        assert_eq!(Head::parse(&[0x81]), None);
        let mut masked = BytesMut::new();
        put_masked(&mut masked, b"3");
        let head = Head::parse(&masked).unwrap();
        assert_eq!((head.opcode, head.len, head.payload_len), (TEXT, 6, 1));
        assert_eq!(Head::parse(&[0x82, 126, 0]), None);
        assert_eq!(Head::parse(&[0x82, 0x80, 1, 2, 3]), None);
    }

    proptest! {
        #[test]
        fn what_is_built_is_parsed(lens in proptest::collection::vec(0_usize..70_000, 1..4)) {
            let mut out = BytesMut::new();
            for len in &lens {
                put(&mut out, BINARY, &vec![7; *len]);
            }
            let got: Vec<_> = walk(&out.freeze()).map(|(_, payload)| payload.len()).collect();
            prop_assert_eq!(got, lens);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..32)) {
            let _ = Head::parse(&bytes);
            let _ = walk(&bytes.into()).count();
        }
    }
}
