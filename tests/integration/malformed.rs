//! Malformed packets on the wire, over fresh connections: no panic, and nothing stays behind.
//!
//! Eight packets for each case of proptest: `PROPTEST_CASES=12500` makes 100,000 of them.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use proptest::prelude::ProptestConfig;

use crate::process;

/// Longest that something is waited for.
const LIMIT: Duration = Duration::from_mins(1);

/// Packets of one connection.
const PACKETS: u64 = 8;

/// Connections at once.
const THREADS: u64 = 4;

/// What may stay with the process beyond what a first crowd has left, in KiB.
const RSS_MORE_MAX: u64 = 24 * 1024;

/// A gateway that gives up on silent clients soon.
struct Gateway {
    child: Child,
    authority: String,
}

impl Gateway {
    fn start() -> Self {
        let mut command = process::tidings();
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        for setting in [
            "face.socketio.connect_timeout=1s",
            "face.socketio.ping_interval=1s",
            "face.socketio.ping_timeout=1s",
            "face.socketio.upgrade_timeout=1s",
            "wire.header_timeout=1s",
            "wire.body_timeout=1s",
        ] {
            command.args(["--set", setting]);
        }
        let (child, line) = process::listening(command.stderr(Stdio::piped()));
        let authority = process::authority(&line).to_owned();
        Self { child, authority }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.authority).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        stream
    }

    /// Sends a request and reads the answer to its end, as far as it is text.
    fn ask(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        // A gateway that has heard enough may close while it is still being talked to.
        let _ = stream.write_all(request);
        rest(&mut stream)
    }

    /// Asks for a websocket, says all this on it once it is open, and waits for its end.
    fn upgrade(&self, request: &[u8], frames: &[u8]) {
        let stream = self.connect();
        let mut answers = BufReader::new(stream);
        let _ = answers.get_mut().write_all(request);
        let mut line = String::new();
        while answers.read_line(&mut line).is_ok_and(|length| length > 2) {
            line.clear();
        }
        let _ = answers.get_mut().write_all(frames);
        let _ = answers.get_mut().shutdown(Shutdown::Write);
        rest(&mut answers);
    }

    fn get(&self, path: &str) -> String {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes())
    }

    /// The sum of a gauge over its labels.
    fn gauge(&self, name: &str) -> u64 {
        let metrics = self.get("/metrics");
        assert!(metrics.contains(name), "{metrics}");
        let is_its = |line: &&str| {
            let value = line.strip_prefix(name);
            value.is_some_and(|value| value.starts_with([' ', '{']))
        };
        let lines = metrics.lines().filter(is_its);
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        values.sum()
    }

    fn rss_kib(&self) -> u64 {
        process::memory_kib(&self.child, "VmRSS")
    }

    /// Drains it. Returns what it logged; it must have left no task behind.
    fn end(mut self) -> String {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        let mut log = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut log)
            .unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{log}");
        log
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What comes up to the end, as far as it is text.
fn rest(stream: &mut impl Read) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Numbers that are the same in every run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> usize {
        usize::try_from(self.next() % bound).unwrap()
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        (0..self.below(most))
            .map(|_| self.next().to_le_bytes()[3])
            .collect()
    }

    /// A packet that nobody should send: a valid one that was cut or changed, or mere noise.
    fn packet(&mut self) -> Vec<u8> {
        const VALID: [&str; 14] = [
            "40",
            "40{\"pid\":\"x\",\"offset\":\"y\"}",
            "40/producers,{}",
            "41",
            "2probe",
            "5",
            "42[\"subscribe\",\"a\"]",
            "420[\"subscribe\",{\"topic\":\"job:a\",\"since\":\"e:1\"}]",
            "42/producers,7[\"publish\",{\"topic\":\"room:a\"}]",
            "451-[\"subscribe\",{\"_placeholder\":true,\"num\":0}]",
            "43999999999999999999[1]",
            "42[\"unsubscribe\",[[[[[[]]]]]]]",
            "459999999999-[\"x\"]",
            "44{\"message\":1}",
        ];
        let mut packet = VALID[self.below(14)].as_bytes().to_vec();
        match self.below(5) {
            0 => packet = self.bytes(200),
            1 => packet.truncate(self.below(packet.len() as u64 + 1)),
            2 => {
                let at = self.below(packet.len() as u64);
                packet[at] = self.next().to_le_bytes()[5];
            }
            3 => packet.extend(self.bytes(40)),
            _ => {}
        }
        packet
    }

    /// A client's frame around it: mostly right, at times with a wrong head.
    fn frame(&mut self) -> Vec<u8> {
        let packet = self.packet();
        let opcodes = [0x81, 0x81, 0x81, 0x82, 0x01, 0x80, 0x8b, 0xf1];
        let mut frame = vec![opcodes[self.below(8)]];
        let length = packet.len() + [0, 0, 0, 0, 0, 1, 100][self.below(7)];
        if length < 126 {
            frame.push(0x80 | u8::try_from(length).unwrap());
        } else {
            frame.push(0xfe);
            frame.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        frame.extend([0; 4]);
        frame.extend(packet);
        frame
    }

    /// One connection from its begin to its end.
    fn converse(&mut self, gateway: &Gateway) {
        let path = ["/socket.io/", "/socket.io-msgpack/"][self.below(2)];
        let eio = 3 + self.below(2);
        let packets: Vec<Vec<u8>> = (0..PACKETS).map(|_| self.packet()).collect();
        match self.below(4) {
            0 => {
                let body = packets.join(&0x1e);
                let length = body.len();
                let head = format!(
                    "POST {path}?EIO={eio}&transport=polling&sid=none HTTP/1.1\r\nHost: a\r\n\
                     Content-Length: {length}\r\nConnection: close\r\n\r\n"
                );
                gateway.ask(&[head.into_bytes(), body].concat());
            }
            1 => {
                let method = ["GET", "POST", "G\u{1}T", ""][self.below(4)];
                let head = format!("{method} /v1/events HTTP/1.1\r\nConnection: close\r\n");
                let body = packets.join(&b"\r\n"[..]);
                gateway.ask(&[head.into_bytes(), body, b"\r\n\r\n".to_vec()].concat());
            }
            _ => {
                let key = ["dGhlIHNhbXBsZSBub25jZQ==", "", "?"][self.below(3)];
                let head = format!(
                    "GET {path}?EIO={eio}&transport=websocket HTTP/1.1\r\nHost: a\r\n\
                     Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: {key}\r\n\r\n"
                );
                let frames: Vec<Vec<u8>> = (0..PACKETS).map(|_| self.frame()).collect();
                gateway.upgrade(head.as_bytes(), &frames.concat());
            }
        }
    }
}

/// Says so many packets. Returns when the gateway knows none of those connections any more.
fn crowd(gateway: &Gateway, packets: u64, seed: u64) {
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                let mut numbers = Numbers(seed * THREADS + thread + 1);
                for _ in 0..packets / PACKETS / THREADS {
                    numbers.converse(gateway);
                }
            });
        }
    });
    let begun = SystemTime::now();
    for name in ["tidings_connections", "tidings_subscriptions"] {
        while gateway.gauge(name) > 0 {
            assert!(
                begun.elapsed().unwrap() < LIMIT,
                "{}",
                gateway.get("/metrics")
            );
        }
    }
}

#[test]
fn malformed_packets_leave_nothing_behind() {
    let packets = u64::from(ProptestConfig::default().cases) * PACKETS;
    let gateway = Gateway::start();
    crowd(&gateway, packets / 2, 1);
    let before = gateway.rss_kib();
    crowd(&gateway, packets / 2, 2);
    let after = gateway.rss_kib();
    assert!(
        after <= before + RSS_MORE_MAX,
        "{before} KiB became {after} KiB"
    );
    assert!(gateway.get("/healthz").starts_with("HTTP/1.1 200"));
    let log = gateway.end();
    assert!(!log.contains("panicked"), "{log}");
}
