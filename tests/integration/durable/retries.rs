//! Retries: however often a publish is sent, and however many answers are lost, it is one event,
//! and everybody is told the same receipt, across a kill as well.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::{Chance, Gateway, setting, tell, until};

const TOPICS: u64 = 10;
const PUBLISHERS: u64 = 16;
/// Of a hundred answers, so many are cut off.
const CUT: u64 = 30;

/// What publishers share.
struct Publishing {
    url: RwLock<String>,
    next: AtomicU64,
    end: u64,
    receipts: Mutex<BTreeMap<u64, Value>>,
    sent: AtomicU64,
    cut: AtomicU64,
}

impl Publishing {
    fn told(&self) -> usize {
        self.receipts.lock().unwrap().len()
    }

    /// Sends a publish, and waits for the answer or cuts the connection. Nothing if there was no
    /// answer, or one that says to try again.
    async fn send(&self, n: u64, is_cut: bool) -> Option<Value> {
        let url = self.url.read().unwrap().clone();
        let address = url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).await.ok()?;
        let body = json!({"name": "model_result", "data": {"mark": n.to_string()}}).to_string();
        let head = format!(
            "POST /v1/topics/session:r{}/events HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
             content-type: application/json\r\nidempotency-key: key-{n}\r\ncontent-length: {}\r\n\r\n",
            n % TOPICS,
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).await.ok()?;
        self.sent.fetch_add(1, Ordering::Relaxed);
        if is_cut {
            self.cut.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let mut answer = BufReader::new(stream);
        let mut status = String::new();
        answer.read_line(&mut status).await.ok()?;
        let mut rest = String::new();
        answer.read_to_string(&mut rest).await.ok()?;
        let answer: Value = serde_json::from_str(rest.split_once("\r\n\r\n")?.1).ok()?;
        match status.split(' ').nth(1)? {
            "200" => Some(answer),
            // In flight, or just before the kill.
            "409" | "503" => None,
            _ => panic!("{status}: {answer}"),
        }
    }

    /// Sends each publish one to five times, and on until it was told; the receipt is always the
    /// same.
    async fn publish(&self, mut chance: Chance) {
        loop {
            let n = self.next.fetch_add(1, Ordering::Relaxed);
            if n >= self.end {
                return;
            }
            let times = 1 + chance.below(5);
            let mut first: Option<Value> = None;
            let mut sent = 0;
            while sent < times || first.is_none() {
                sent += 1;
                let is_cut = chance.below(100) < CUT;
                let Some(mut receipt) = self.send(n, is_cut).await else {
                    tokio::task::yield_now().await;
                    continue;
                };
                receipt["subscribers"] = json!(null);
                let known = first.get_or_insert_with(|| receipt.clone());
                assert_eq!(*known, receipt, "the same receipt each time");
            }
            self.receipts
                .lock()
                .unwrap()
                .extend(first.map(|receipt| (n, receipt)));
        }
    }
}

/// `PUBLISHES=100000` asks for more.
#[tokio::test(flavor = "multi_thread")]
async fn each_publish_is_one_event_however_often_it_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let more = [
        "--set",
        "log.filter=off",
        "--set",
        "store.log_events_max=100000",
    ];
    let mut gateway = Gateway::start(dir.path(), &more);
    let mut chance = Chance::new();
    let publishing = Arc::new(Publishing {
        url: RwLock::new(gateway.url.clone()),
        next: AtomicU64::new(0),
        end: setting("PUBLISHES").unwrap_or(800),
        receipts: Mutex::default(),
        sent: AtomicU64::new(0),
        cut: AtomicU64::new(0),
    });
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|_| {
            let (publishing, chance) = (Arc::clone(&publishing), Chance(chance.below(u64::MAX)));
            #[expect(clippy::disallowed_methods, reason = "a test has no drain")]
            tokio::spawn(async move { publishing.publish(chance).await })
        })
        .collect();
    for part in 1..=3 {
        let enough = usize::try_from(publishing.end * part / 4).unwrap();
        while publishing.told() < enough {
            let before = publishing.told();
            until("publishes go on", async || publishing.told() > before).await;
        }
        gateway.kill();
        gateway = Gateway::start(dir.path(), &more);
        publishing.url.write().unwrap().clone_from(&gateway.url);
    }
    for publisher in publishers {
        publisher.await.unwrap();
    }
    let (sent, cut) = (
        publishing.sent.load(Ordering::Relaxed),
        publishing.cut.load(Ordering::Relaxed),
    );
    tell(&format!(
        "{} publishes, sent {sent} times, {cut} answers cut",
        publishing.end
    ));
    every_one_is_there_once(&gateway, &publishing).await;
}

async fn every_one_is_there_once(gateway: &Gateway, publishing: &Publishing) {
    let receipts = publishing.receipts.lock().unwrap().clone();
    assert_eq!(receipts.len() as u64, publishing.end);
    let mut seen = BTreeSet::new();
    for topic in 0..TOPICS {
        let log = gateway.log(&format!("session:r{topic}")).await;
        for (at, event) in log.iter().enumerate() {
            assert_eq!(event["seq"], at as u64 + 1);
            let n: u64 = event["data"]["mark"].as_str().unwrap().parse().unwrap();
            assert!(seen.insert(n), "{n} is there once");
            for field in ["topic", "seq", "epoch", "id", "timestamp"] {
                assert_eq!(event[field], receipts[&n][field], "{n}");
            }
        }
    }
    assert_eq!(seen.len() as u64, publishing.end, "exactly as many entries");
}
