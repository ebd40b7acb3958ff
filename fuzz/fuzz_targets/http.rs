//! Requests over HTTP: one connection each, to a gateway in this process.

#![no_main]

mod gateway;

use libfuzzer_sys::fuzz_target;

/// What a request begins with; the input follows.
const HEADS: [&str; 6] = [
    "",
    "POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n",
    "POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\n",
    "POST /v1/topics/session:a/events HTTP/1.1\r\nHost: a\r\n",
    "POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Type: application/cloudevents+json\r\n",
    "POST /socket.io/?EIO=4&transport=polling&sid=a HTTP/1.1\r\nHost: a\r\n",
];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else {
        return;
    };
    let head = HEADS[usize::from(*first) % HEADS.len()];
    let mut said = head.as_bytes().to_vec();
    if !head.is_empty() {
        said.extend(format!("Content-Length: {}\r\nConnection: close\r\n\r\n", rest.len()).bytes());
    }
    said.extend(rest);
    gateway::say(&[&said]);
});
