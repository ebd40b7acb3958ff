//! Attacks on the real binary: clients that are slow or half open in every way, floods of all kinds
//! at once under a bound on memory, and texts that want to be lines of the log. Each attacker is
//! ended by a limit that is counted, and a bystander notices nothing.
//!
//! Everything is on loopback, bounded, and ends by itself.

mod floods;
mod injection;
mod slowness;

use std::fs::File;
use std::net::SocketAddr;
use std::process::{Child, Command};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::process;

/// Longest that something is waited for.
const DEADLINE: Duration = Duration::from_mins(1);

/// The gateway that is attacked.
struct Target {
    child: Child,
    address: SocketAddr,
    dir: tempfile::TempDir,
}

impl Target {
    /// Starts it with these settings; with `bytes_max` its address space has a bound.
    fn start(settings: &[&str], bytes_max: Option<u64>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let plain = process::tidings();
        let mut command = match bytes_max {
            Some(bytes) => {
                let mut bounded = Command::new("prlimit");
                bounded
                    .arg(format!("--as={bytes}"))
                    .arg(plain.get_program());
                process::run_by(bounded)
            }
            None => plain,
        };
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        for setting in settings {
            command.args(["--set", setting]);
        }
        let log = File::create(dir.path().join("log")).unwrap();
        let (child, line) = process::listening(command.stderr(log));
        Self {
            child,
            address: process::authority(&line).parse().unwrap(),
            dir,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A websocket whose handshake is done and read, before anything is said on it.
    async fn websocket(&self, path: &str) -> TcpStream {
        let asked = self.ask_for_websocket(path, "").await;
        asked.unwrap_or_else(|head| panic!("{head}"))
    }

    /// The same, with more headers, each with its line's end; or the head of the refusal.
    async fn ask_for_websocket(&self, path: &str, headers: &str) -> Result<TcpStream, String> {
        let mut tcp = self.connect().await;
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             {headers}\r\n"
        );
        tcp.write_all(request.as_bytes()).await.unwrap();
        let head = read_head(&mut tcp).await;
        let is_open = head.starts_with("HTTP/1.1 101");
        is_open.then_some(tcp).ok_or(head)
    }

    /// The id of a session on polling.
    async fn session(&self) -> String {
        let said = self.get("/socket.io/?EIO=4&transport=polling").await;
        let (_, rest) = said.split_once(r#""sid":""#).unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    }

    /// What is answered to a request on a connection of its own, with its head.
    async fn get(&self, path: &str) -> String {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
        ))
        .await
    }

    async fn ask(&self, request: &str) -> String {
        let mut tcp = self.connect().await;
        let mut said = Vec::new();
        let asking = async {
            // A gateway that has heard enough may close meanwhile.
            let _ = tcp.write_all(request.as_bytes()).await;
            let _ = tcp.read_to_end(&mut said).await;
        };
        timeout(DEADLINE, asking).await.expect("an answer in time");
        String::from_utf8_lossy(&said).into_owned()
    }

    /// How often a limit was reached.
    async fn reached(&self, limit: &str) -> u64 {
        let start = format!(r#"tidings_limits_reached_total{{limit="{limit}"}} "#);
        let metrics = self.get("/metrics").await;
        let mut lines = metrics.lines();
        let value = lines.find_map(|line| line.strip_prefix(&start)?.parse().ok());
        value.unwrap_or(0)
    }

    /// Waits until a limit was reached so often.
    async fn until_reached(&self, limit: &str, times: u64) {
        let mut seen = 0;
        let reaching = async {
            while seen < times {
                seen = self.reached(limit).await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let reached = timeout(DEADLINE, reaching).await;
        assert!(reached.is_ok(), "`{limit}`: {seen} instead of {times}");
    }

    /// The most memory that it ever had, in KiB.
    fn peak_kib(&self) -> u64 {
        process::memory_kib(&self.child, "VmHWM")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// Drains it; it must end by itself and without a panic. Returns its log.
    fn end(mut self) -> String {
        let pid = self.child.id().to_string();
        let killed = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(killed.success());
        let ended = self.child.wait().unwrap();
        let log = self.log();
        assert_eq!(ended.code(), Some(0), "{log}");
        assert!(!log.contains("panicked"), "{log}");
        log
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The head of an answer.
async fn read_head(tcp: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let reading = async {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(tcp.read_u8().await.unwrap());
        }
    };
    timeout(DEADLINE, reading).await.expect("an answer");
    String::from_utf8_lossy(&head).into_owned()
}

/// A client's frame that is whole, masked with zero.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    [frame_head(opcode, payload.len() as u64), payload.to_vec()].concat()
}

/// The head of a client's frame of so many bytes.
fn frame_head(opcode: u8, bytes: u64) -> Vec<u8> {
    let mut head = vec![0x80 | opcode];
    match (u8::try_from(bytes), u16::try_from(bytes)) {
        (Ok(bytes), _) if bytes < 126 => head.push(0x80 | bytes),
        (_, Ok(bytes)) => {
            head.push(0x80 | 0x7e);
            head.extend(bytes.to_be_bytes());
        }
        _ => {
            head.push(0x80 | 0x7f);
            head.extend(bytes.to_be_bytes());
        }
    }
    head.extend([0; 4]);
    head
}

/// A client that does what clients do, and the events that reach it.
struct Bystander {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    http: reqwest::Client,
    url: String,
    published: u64,
    heard: u64,
    latencies: Vec<Duration>,
}

impl Bystander {
    async fn join(target: &Target) -> Self {
        let path = "/socket.io/?EIO=4&transport=websocket";
        let (socket, _) = connect_async(format!("ws://{}{path}", target.address))
            .await
            .unwrap();
        let mut bystander = Self {
            socket,
            http: reqwest::Client::new(),
            url: target.url("/v1/topics/session:calm/events"),
            published: 0,
            heard: 0,
            latencies: Vec::new(),
        };
        for (says, hears) in [
            ("40", "40{"),
            (r#"42["subscribe","calm"]"#, r#"42["subscribed""#),
        ] {
            bystander.socket.send(Message::text(says)).await.unwrap();
            bystander.until(hears).await;
        }
        bystander
    }

    async fn until(&mut self, start: &str) -> String {
        let hearing = async {
            loop {
                let message = self.socket.next().await.expect("it stays connected");
                let Message::Text(text) = message.unwrap() else {
                    continue;
                };
                if text.as_str() == "2" {
                    self.socket.send(Message::text("3")).await.unwrap();
                } else if text.starts_with(start) {
                    return text.to_string();
                }
            }
        };
        let heard = timeout(DEADLINE, hearing).await;
        heard.unwrap_or_else(|_| panic!("the bystander hears no `{start}`"))
    }

    /// Publishes so many events, one after the other, and sees each of them, once and in order.
    async fn live(&mut self, events: u64) {
        for _ in 0..events {
            self.published += 1;
            let number = self.published;
            let began = Instant::now();
            let event = json!({"name": "note", "data": {"n": number}});
            let answer = self.http.post(&self.url).json(&event).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            // What was on its way when it was last looked at comes first.
            while self.heard < number {
                let heard = self.until("42[\"note\"").await;
                let (_, rest) = heard.split_once("\"n\":").unwrap();
                let came: u64 = rest.split(',').next().unwrap().parse().unwrap();
                assert!(came > self.heard && came <= number, "{heard}");
                self.heard = came;
            }
            self.latencies.push(began.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The latency that 99 of 100 since the last call were within.
    fn p99(&mut self) -> Duration {
        let mut taken = std::mem::take(&mut self.latencies);
        taken.sort_unstable();
        taken[(taken.len() * 99).div_ceil(100) - 1]
    }
}
