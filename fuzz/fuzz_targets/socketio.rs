//! Socket.IO over a websocket: one connection each, to a gateway in this process.

#![no_main]

mod gateway;

use libfuzzer_sys::fuzz_target;

/// The opening handshake; Engine.IO 4 and 3, and the msgpack parser.
const PATHS: [&str; 3] = ["/socket.io/?EIO=4", "/socket.io/?EIO=3", "/socket.io-msgpack/?EIO=4"];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else {
        return;
    };
    let path = PATHS[usize::from(*first) % PATHS.len()];
    let head = format!(
        "GET {path}&transport=websocket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let mut frames = Vec::new();
    // Most inputs are packets, so that they reach what is behind the frames.
    if first & 0x80 == 0 {
        for packet in rest.split(|byte| *byte == b'\n') {
            let short = &packet[..packet.len().min(125)];
            let length = u8::try_from(short.len()).expect("below 126");
            frames.extend([0x81, 0x80 | length, 0, 0, 0, 0]);
            frames.extend(short);
        }
    } else {
        frames.extend(rest);
    }
    gateway::say(&[head.as_bytes(), &frames]);
});
