//! Keys of an issuer, fetched from a real server that may be slow, wrong or away.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use tokio::time::Instant;

use super::*;

/// Least time between two fetches here.
const RETRY: Duration = Duration::from_millis(300);

/// What the server of keys answers.
#[derive(Clone)]
enum Answers {
    /// This document.
    Keys(String),
    /// Something else, whole.
    Other(&'static str),
    /// More bytes than a document has, for as long as they are taken.
    Huge,
    /// The head of an answer, and nothing after it.
    Slow,
    /// Nothing: the connection is closed.
    Gone,
}

/// A server of keys.
struct Issuer {
    url: String,
    answers: Arc<Mutex<Answers>>,
    asked: Arc<AtomicUsize>,
}

impl Issuer {
    fn start(keys: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let answers = Arc::new(Mutex::new(Answers::Keys(keys.to_owned())));
        let asked = Arc::new(AtomicUsize::new(0));
        let (says, counts) = (Arc::clone(&answers), Arc::clone(&asked));
        std::thread::spawn(move || {
            for tcp in listener.incoming() {
                counts.fetch_add(1, Ordering::SeqCst);
                let answers = says.lock().unwrap().clone();
                std::thread::spawn(move || answer(&mut tcp.unwrap(), &answers));
            }
        });
        Self {
            url,
            answers,
            asked,
        }
    }

    fn now(&self, answers: Answers) {
        *self.answers.lock().unwrap() = answers;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Waits until it was asked once more.
    async fn is_asked_after(&self, before: usize) {
        let asked = async {
            while self.asked() == before {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let asked = tokio::time::timeout(DEADLINE, asked).await;
        asked.expect("the keys are fetched again");
    }
}

fn answer(tcp: &mut TcpStream, answers: &Answers) {
    let head = |bytes: usize| {
        format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\nconnection: close\r\n\r\n")
    };
    let _ = tcp.read(&mut [0; 2048]);
    // Whoever has heard enough may close meanwhile.
    match answers {
        Answers::Keys(text) => {
            let _ = tcp.write_all(format!("{}{text}", head(text.len())).as_bytes());
        }
        Answers::Other(text) => {
            let _ = tcp.write_all(text.as_bytes());
        }
        Answers::Huge => {
            let _ = tcp.write_all(head(1 << 30).as_bytes());
            while tcp.write_all(&[b' '; 8192]).is_ok() {}
        }
        Answers::Slow => {
            let _ = tcp.write_all(head(100).as_bytes());
            let _ = tcp.read(&mut [0; 16]);
        }
        Answers::Gone => {}
    }
}

fn key(name: &str) -> EncodingKey {
    let path = format!("{}/tests/keys/{name}.pem", env!("CARGO_MANIFEST_DIR"));
    EncodingKey::from_ec_pem(&std::fs::read(path).unwrap()).unwrap()
}

fn algorithm(name: &str) -> Algorithm {
    match name {
        "ec256" => Algorithm::ES256,
        _ => Algorithm::ES384,
    }
}

/// A key as the issuer publishes it; its id is its name.
fn published(name: &str) -> Value {
    let jwk = Jwk::from_encoding_key(&key(name), algorithm(name)).unwrap();
    let mut jwk = serde_json::to_value(jwk).unwrap();
    jwk["kid"] = json!(name);
    jwk
}

fn keys(names: &[&str]) -> String {
    let keys: Vec<Value> = names.iter().map(|name| published(name)).collect();
    json!({ "keys": keys }).to_string()
}

/// A token of the issuer, with the key of this name and an id that may be another.
fn signed(name: &str, kid: &str) -> String {
    let mut header = Header::new(algorithm(name));
    header.kid = Some(kid.to_owned());
    let exp = jiff::Timestamp::now().as_second() + 600;
    let claims = json!({"sub": "ann", "exp": exp});
    jsonwebtoken::encode(&header, &claims, &key(name)).unwrap()
}

impl Guarded {
    async fn of_issuer(issuer: &Issuer, data_dir: &std::path::Path) -> Self {
        Self::open(vec![
            "auth.mode=token".to_owned(),
            format!("auth.jwt.jwks_url={}", issuer.url),
            format!("auth.jwt.jwks_retry_interval={}ms", RETRY.as_millis()),
            format!("store.data_dir={}", data_dir.display()),
        ])
        .await
    }

    async fn admits(&self, token: &str) -> bool {
        match self.get("/v1/topics", Some(token)).await.0 {
            200 => true,
            401 => false,
            other => panic!("{other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_kept_rotate_and_are_asked_for_no_oftener_than_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let issuer = Issuer::start(&keys(&["ec256"]));
    let guarded = Guarded::of_issuer(&issuer, dir.path()).await;
    let (old, new) = (signed("ec256", "ec256"), signed("ec384", "ec384"));
    for _ in 0..20 {
        assert!(guarded.admits(&old).await);
    }
    assert_eq!(issuer.asked(), 1, "known keys are not fetched again");

    // A key that the issuer has begun to use is fetched when its first token comes.
    issuer.now(Answers::Keys(keys(&["ec256", "ec384"])));
    assert!(guarded.admits(&new).await && guarded.admits(&old).await);
    assert_eq!(issuer.asked(), 2);

    // Whoever invents ids makes no more fetches than one in each interval.
    let (began, before) = (Instant::now(), issuer.asked());
    let invented = (0..200).map(async |n| guarded.admits(&signed("ec256", &format!("k{n}"))).await);
    let admitted = futures_util::future::join_all(invented).await;
    assert!(!admitted.contains(&true));
    let most = began.elapsed().as_millis() / RETRY.as_millis() + 2;
    let fetches = issuer.asked() - before;
    assert!(fetches as u128 <= most, "{fetches} fetches, {most} allowed");

    // A key that the issuer has given up ends with it.
    issuer.now(Answers::Keys(keys(&["ec384"])));
    let given_up = async {
        while guarded.admits(&old).await {
            guarded.admits(&signed("ec256", "unknown")).await;
        }
    };
    let given_up = tokio::time::timeout(DEADLINE, given_up).await;
    given_up.expect("the old key is not taken any more");
    assert!(guarded.admits(&new).await);
    guarded.gateway.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_issuer_is_wrong_or_away_the_last_good_keys_count() {
    let dir = tempfile::tempdir().unwrap();
    let issuer = Issuer::start(&keys(&["ec256"]));
    let guarded = Guarded::of_issuer(&issuer, dir.path()).await;
    let good = signed("ec256", "ec256");
    assert!(guarded.admits(&good).await);
    for wrong in [
        Answers::Other("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>"),
        Answers::Other("HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"keys\":[]}"),
        Answers::Other("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"),
        Answers::Other("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n\r\n"),
        Answers::Other("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n\u{0}\u{1}"),
        Answers::Other("no HTTP at all\r\n\r\n"),
        Answers::Huge,
        Answers::Gone,
        Answers::Slow,
    ] {
        let before = issuer.asked();
        issuer.now(wrong);
        let forgery = signed("ec384", "ec384");
        let (forged, ()) = tokio::join!(guarded.admits(&forgery), issuer.is_asked_after(before),);
        assert!(!forged);
        assert!(guarded.admits(&good).await);
    }
    guarded.gateway.drain().await;

    // The copy counts after a restart, also when nobody answers at all.
    issuer.now(Answers::Gone);
    let again = Guarded::of_issuer(&issuer, dir.path()).await;
    assert!(again.admits(&good).await);
    assert!(!again.admits(&signed("ec384", "ec384")).await);
    again.gateway.drain().await;

    // Without a copy nobody is let in, and the keys are fetched as soon as they can be had.
    let empty = tempfile::tempdir().unwrap();
    let fresh = Guarded::of_issuer(&issuer, empty.path()).await;
    assert!(!fresh.admits(&good).await);
    issuer.now(Answers::Keys(keys(&["ec256"])));
    let admitted = async { while !fresh.admits(&good).await {} };
    let admitted = tokio::time::timeout(DEADLINE, admitted).await;
    admitted.expect("the keys are there again");
    fresh.gateway.drain().await;
}
