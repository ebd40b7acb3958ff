use proptest::prelude::*;

use super::*;
use crate::wire::frame::{BINARY, TEXT};

/// Notes what it is shown; drops what begins with `d`, swaps what begins with `s`.
#[derive(Default)]
struct Noted {
    outgoing: Vec<(u8, usize, bool)>,
    incoming: Vec<(u8, Vec<u8>)>,
}

impl Filter for Noted {
    fn outgoing(&mut self, opcode: u8, payload: &[u8], is_whole: bool) -> Verdict {
        self.outgoing.push((opcode, payload.len(), is_whole));
        match payload.first() {
            Some(b'd') if is_whole => Verdict::Drop,
            Some(b's') if is_whole => Verdict::Swap(frame::build(opcode, b"other")),
            _ => Verdict::Keep,
        }
    }

    fn is_mid_packet(&self) -> bool {
        false
    }

    fn passed(&mut self) -> bool {
        false
    }

    fn incoming(&mut self, head: &Head, start: &[u8]) {
        self.incoming.push((head.opcode, start.to_vec()));
    }

    fn may_read(&self) -> bool {
        true
    }

    fn wants_incoming(&self) -> bool {
        true
    }

    fn feed(&mut self) -> Option<u8> {
        None
    }

    fn stalled(&mut self) {}

    fn writable(&mut self) {}

    fn closed(&mut self, _: &Arc<Outbox>) {}
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    let len = prop_oneof![
        0..8_usize,
        100..140_usize,
        1000..1100_usize,
        65_500..65_600_usize
    ];
    (prop_oneof![Just(b'd'), Just(b's'), Just(b'k')], len)
        .prop_map(|(first, len)| std::iter::once(first).chain(vec![b'x'; len]).collect())
}

/// Cuts the bytes at the given places.
fn pieces(bytes: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.push(0);
    cuts.push(bytes.len());
    cuts.sort_unstable();
    cuts.windows(2)
        .map(|pair| bytes[pair[0]..pair[1]].to_vec())
        .collect()
}

proptest! {
    /// However the engine's bytes are cut, the same frames pass.
    #[test]
    fn frames_pass_dropped_or_swapped_wherever_they_are_cut(
        payloads in proptest::collection::vec((any::<bool>(), payload()), 0..6),
        cuts in proptest::collection::vec(any::<usize>(), 0..12),
    ) {
        let (mut input, mut want) = (BytesMut::new(), BytesMut::new());
        for (is_text, payload) in &payloads {
            let opcode = if *is_text { TEXT } else { BINARY };
            frame::put(&mut input, opcode, payload);
            let is_small = frame::build(opcode, payload).len() as u64 <= SMALL;
            match payload[0] {
                b'd' if is_small => {}
                b's' if is_small => frame::put(&mut want, opcode, b"other"),
                _ => frame::put(&mut want, opcode, payload),
            }
        }
        let (mut noted, mut outgoing) = (Noted::default(), Outgoing::default());
        let mut got = BytesMut::new();
        for piece in pieces(&input, &cuts) {
            got.extend_from_slice(&outgoing.scan(&piece, &mut noted));
        }
        prop_assert_eq!(got, want);
        prop_assert_eq!(noted.outgoing.len(), payloads.len());
        prop_assert_eq!(outgoing.left, 0);
    }

    /// However the client's bytes arrive, the same frames are seen, unmasked.
    #[test]
    fn frames_of_the_client_are_seen_wherever_they_are_cut(
        payloads in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..200), any::<[u8; 4]>()),
            0..6,
        ),
        cuts in proptest::collection::vec(any::<usize>(), 0..12),
    ) {
        let mut input = Vec::new();
        for (payload, mask) in &payloads {
            let mut head = frame::build(TEXT, payload).to_vec();
            head.truncate(head.len() - payload.len());
            head[1] |= 0x80;
            input.extend_from_slice(&head);
            input.extend_from_slice(mask);
            input.extend(payload.iter().enumerate().map(|(n, byte)| byte ^ mask[n % 4]));
        }
        let (mut noted, mut incoming) = (Noted::default(), Incoming::default());
        for piece in pieces(&input, &cuts) {
            incoming.scan(&piece, &mut noted);
        }
        let want: Vec<_> = payloads
            .iter()
            .map(|(payload, _)| (TEXT, payload[..payload.len().min(HEARD)].to_vec()))
            .collect();
        prop_assert_eq!(noted.incoming, want);
        prop_assert!(incoming.is_between_frames());
    }
}
