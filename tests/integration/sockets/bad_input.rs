//! Bad input to every dialect: the dialect's own error, the connection as the contract says, and
//! nobody else disturbed. Each test goes through the whole table of dialects; after each item a
//! bystander of every dialect still gets its answer.

mod table;

use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidings::auth::{Issue, Secret, SigningKey};
use tokio_tungstenite::tungstenite::{self, Message};

use self::table::{Line, table};
use super::{Client, DEADLINE, Running};

const SECRET: &str = "a secret of the tests, long enough for HS256";

/// Ids that are none, as they stand in a path.
const BAD_IDS: [&str; 9] = [
    "..%2F..%2Fetc%2Fpasswd",
    "..%5C..%5Cboot.ini",
    "a%00b",
    "%C3%A4",
    "%E6%BC%A2%E5%AD%97",
    "%F0%9F%A6%80",
    ".hidden",
    "a%20b",
    "a%3Ab",
];

/// What is malformed in every dialect.
const MALFORMED: [&str; 10] = [
    "{",
    "",
    "null",
    "[]",
    "7",
    "\"text\"",
    "\u{0}",
    "{\"type\":",
    "{\"type\":\"ping\"}}",
    "\u{1f980}",
];

fn signed(sub: &str, secret: &str, valid: Duration) -> String {
    let issue = Issue {
        sub: sub.to_owned(),
        role: Some("admin".to_owned()),
        sub_topics: None,
        pub_topics: None,
        iss: None,
        aud: None,
    };
    let key = SigningKey::of_secret(&Secret::from(secret.to_owned()));
    issue.sign(&key, valid).unwrap()
}

fn token() -> String {
    signed("ann", SECRET, Duration::from_mins(30))
}

/// A gateway, and a client of every dialect that nothing is to disturb.
struct House {
    running: Running,
    lines: [Line; 5],
    bystanders: Vec<Client>,
    documents: TempDir,
}

impl House {
    async fn start(more: &[&str]) -> Self {
        let documents = tempfile::tempdir().unwrap();
        let secret = format!("auth.jwt.secret={SECRET}");
        let roots = json!([documents.path()]).to_string();
        let roots = format!("producer.scan.roots={roots}");
        let mut settings = vec![secret.as_str(), roots.as_str()];
        settings.extend([
            "face.ws.messages_per_minute_max=100000",
            "limit.messages_per_minute=100000",
        ]);
        settings.extend(more);
        let running = Running::start(&settings).await;
        let (_, library) = running.post("/v1/libraries", &json!({"name": "l"})).await;
        let lines = table(library["id"].as_str().unwrap(), &token());
        running.publish("job:bystander", "queued", json!({})).await;
        let mut house = Self {
            running,
            lines,
            bystanders: Vec::new(),
            documents,
        };
        for line in &house.lines {
            let bystander = house.enter(line).await;
            house.bystanders.push(bystander);
        }
        house
    }

    /// A client of a dialect that has been greeted.
    async fn enter(&self, line: &Line) -> Client {
        let mut client = self.running.client(&line.path).await;
        for _ in 0..line.greetings {
            client.next().await;
        }
        client
    }

    /// Everybody else still gets their answer.
    async fn nobody_else_noticed(&mut self, item: &str) {
        for (bystander, line) in self.bystanders.iter_mut().zip(&self.lines) {
            let (ask, want) = line.bad[1];
            bystander.send(ask).await;
            answered(bystander, want, &format!("{}: {item}", line.name)).await;
        }
    }
}

/// Waits for the answer that says this; what is told of others is passed over.
async fn answered(client: &mut Client, want: &str, item: &str) {
    loop {
        let said = client.next().await;
        let kind = said["type"].as_str().unwrap_or_default();
        if ["room_event", "user_activity", "started", "progress"].contains(&kind)
            || said["job_id"].is_string()
        {
            continue;
        }
        assert!(
            said.to_string().contains(want),
            "{item}: `{want}` in {said}"
        );
        return;
    }
}

#[tokio::test]
async fn what_is_malformed_is_an_error_and_the_connection_stays() {
    let mut house = House::start(&["face.ws.assistant.messages_max=10000"]).await;
    for number in 0..house.lines.len() {
        let line = &house.lines[number];
        let mut client = house.enter(line).await;
        for text in MALFORMED {
            client.send(text).await;
            answered(&mut client, "\"error\"", &format!("{}: {text}", line.name)).await;
        }
        for bytes in [&b""[..], b"\0\xff", b"{\"type\":\"ping\"}"] {
            client
                .0
                .send(Message::binary(bytes.to_vec()))
                .await
                .unwrap();
            answered(&mut client, "\"error\"", line.name).await;
        }
        for (text, want) in line.bad {
            client.send(text).await;
            answered(&mut client, want, &format!("{}: {text}", line.name)).await;
        }
        let name = line.name;
        house.nobody_else_noticed(name).await;
    }
    house.running.gateway.drain().await;
}

#[tokio::test]
async fn ids_that_are_none_are_refused_in_the_dialects_words() {
    let mut house = House::start(&[]).await;
    let long = "x".repeat(129);
    for number in 0..house.lines.len() {
        let Some((path, code)) = house.lines[number].ids else {
            continue;
        };
        let end = if path.starts_with("/v1") { "/ws" } else { "" };
        for id in BAD_IDS.into_iter().chain([long.as_str()]) {
            let client = house.running.client(&format!("{path}{id}{end}")).await;
            let (closed, reason) = client.closed().await;
            assert_eq!(closed, code, "{path}{id}");
            assert!(
                !reason.is_empty() && reason.len() <= 123,
                "{path}{id}: {reason}"
            );
        }
        house.nobody_else_noticed(path).await;
    }
    house.running.gateway.drain().await;
}

#[tokio::test]
async fn a_message_of_a_byte_too_many_closes_with_1009() {
    let mut house = House::start(&[]).await;
    for number in 0..house.lines.len() {
        let line = &house.lines[number];
        let mut client = house.enter(line).await;
        let text = format!("{{\"type\":\"{}\"}}", "x".repeat(1024 * 1024 - 10));
        assert_eq!(text.len(), 1024 * 1024 + 1);
        client.send(&text).await;
        assert_eq!(client.closed().await.0, 1009, "{}", line.name);
        let mut client = house.enter(line).await;
        let bytes = vec![0; 1024 * 1024 + 1];
        client.0.send(Message::binary(bytes)).await.unwrap();
        assert_eq!(client.closed().await.0, 1009, "{}", line.name);
        let name = line.name;
        house.nobody_else_noticed(name).await;
    }
    house.running.gateway.drain().await;
}

#[tokio::test]
async fn ten_thousand_subscriptions_stop_at_the_bound() {
    const MANY: usize = 10_000;
    let mut house = House::start(&[]).await;
    for chunk in 0..MANY / 1000 {
        let created =
            |n: usize| json!({"topic": format!("job:many-{n}"), "name": "queued", "data": {}});
        let batch: Vec<Value> = (chunk * 1000..(chunk + 1) * 1000).map(created).collect();
        let (status, answer) = house.running.post("/v1/events", &json!(batch)).await;
        assert_eq!(status, 200, "{answer}");
    }
    for number in 0..house.lines.len() {
        let line = &house.lines[number];
        let client = house.enter(line).await;
        let (mut sink, stream) = client.0.split();
        let (text, want) = line.many;
        let asking = async {
            for n in 0..MANY {
                let text = text.replace("%n", &n.to_string());
                sink.send(Message::text(text)).await.unwrap();
            }
        };
        let is_last = |text: &str| text.contains(want);
        let mut refused = 0;
        let mut stream = Box::pin(stream);
        // Some are taken: up to the bound, and what a new window of time lets through.
        let least = MANY - 1000;
        let hearing = async {
            while refused < least {
                let said = tokio::time::timeout(DEADLINE, stream.next()).await.unwrap();
                match said.expect("the connection stays").unwrap() {
                    Message::Text(text) if is_last(&text) => refused += 1,
                    Message::Text(_) | Message::Ping(_) => {}
                    other => panic!("{}: {other:?}", line.name),
                }
            }
        };
        tokio::join!(asking, hearing);
        // Assist's bystander is the same user, whose rate is used up; it is the last of the table.
        if line.name != "assist" {
            let name = line.name;
            house.nobody_else_noticed(name).await;
        }
    }
    house.running.gateway.drain().await;
}

#[tokio::test]
async fn a_link_that_is_swapped_in_during_a_scan_leads_nowhere() {
    let mut house = House::start(&[]).await;
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "x").unwrap();
    let at = |name: &str| house.documents.path().join(name);
    std::fs::create_dir(at("swapped")).unwrap();
    std::fs::write(at("swapped/file"), "x").unwrap();
    let is_done = Arc::new(AtomicBool::new(false));
    let swapping = {
        let (is_done, link) = (Arc::clone(&is_done), outside.path().to_owned());
        let (dir, parked) = (at("swapped"), at("parked"));
        std::thread::spawn(move || {
            while !is_done.load(Ordering::Relaxed) {
                std::fs::rename(&dir, &parked).unwrap();
                symlink(&link, &dir).unwrap();
                std::fs::remove_file(&dir).unwrap();
                std::fs::rename(&parked, &dir).unwrap();
            }
        })
    };
    for n in 0..50 {
        let mut client = house.running.client(&format!("/ws/scan/swap-{n}")).await;
        let place = if n % 2 == 0 { at("") } else { at("swapped") };
        client
            .send(&json!({"action": "scan", "path": place}).to_string())
            .await;
        loop {
            let said = client.next().await;
            assert!(!said.to_string().contains("secret"), "{said}");
            if said["type"] == "completed" || said["type"] == "error" {
                break;
            }
        }
    }
    is_done.store(true, Ordering::Relaxed);
    swapping.join().unwrap();
    house.nobody_else_noticed("a link was swapped in").await;
    house.running.gateway.drain().await;
}

#[tokio::test]
async fn expired_and_forged_tokens_let_nobody_in() {
    let secret = format!("auth.jwt.secret={SECRET}");
    let running = Running::start(&[&secret, "auth.mode=token"]).await;
    let good = token();
    let path = |line: &Line| line.path.split('?').next().unwrap_or_default().to_owned();
    let lines = table("8179ce48-fd2b-4141-9ab0-9cfba4f6848b", &good);
    let mut bystander = running.client(&format!("/ws/abc?token={good}")).await;
    let expired = {
        // Longer ago than the leeway of clocks.
        let header = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";
        let claims = json!({"sub": "ann", "role": "admin", "exp": 1_700_000_000});
        let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims.to_string());
        let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
        let said = format!("{header}.{claims}");
        let algorithm = jsonwebtoken::Algorithm::HS256;
        let signature = jsonwebtoken::crypto::sign(said.as_bytes(), &key, algorithm).unwrap();
        format!("{said}.{signature}")
    };
    let forged = signed("ann", "another secret of somebody else, as long", DEADLINE);
    let cut = good[..good.len() - 4].to_owned();
    let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4iLCJleHAiOjk5OTk5OTk5OTl9.".to_owned();
    for line in &lines {
        for bad in [&expired, &forged, &cut, &none, &"x".to_owned()] {
            let address = running.gateway.local_addr();
            let url = format!("ws://{address}{}?token={bad}", path(line));
            match tokio_tungstenite::connect_async(url).await {
                // Assist says it in its own words, after the handshake.
                Ok((socket, _)) => {
                    assert_eq!(line.name, "assist");
                    let (code, reason) = Client(socket).closed().await;
                    assert_eq!(code, 1008, "{reason}");
                    assert!(reason.starts_with("Authentication failed"), "{reason}");
                    assert!(!reason.contains(bad.as_str()), "{reason}");
                }
                Err(tungstenite::Error::Http(answer)) => {
                    assert_ne!(line.name, "assist");
                    assert_eq!(answer.status(), 401, "{}", line.name);
                }
                Err(other) => panic!("{}: {other}", line.name),
            }
        }
    }
    let body = json!({"name": "job_started", "data": {}});
    let sent = running
        .http
        .post(running.url("/v1/topics/job:abc/events"))
        .bearer_auth(&good)
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(sent.status(), 200);
    assert_eq!(bystander.next().await["type"], "job_started");
    running.gateway.drain().await;
}
