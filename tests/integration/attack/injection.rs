//! Texts that want to be lines of the log, and tokens that must not be there.

use std::fmt::Write as _;

use super::*;

const SECRET: &str = "a secret for tests, long enough for HS256";

/// What no log and no metric may hold.
const TOKENS: [&str; 5] = [
    "tokenInTheQuery0123",
    "tokenInTheHeader0123",
    "keyInTheHeader0123",
    "tokenInTheConnect0123",
    "tokenInTheMessage0123",
];

/// What wants to begin a line, to move a cursor or to end a text.
const INJECTED: [&str; 6] = [
    "a\nFORGED 2026-01-01 INFO somebody was let in",
    "a\r\nFORGED: yes",
    "\u{1b}[2J\u{1b}[1;31mFORGED",
    "a\u{0}FORGED",
    "\u{2028}FORGED\u{85}FORGED",
    "\"}\n{\"level\":\"ERROR\",\"message\":\"FORGED\"}",
];

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        let _ = write!(encoded, "%{byte:02X}");
        encoded
    })
}

/// Says all of it wherever a client can say something.
async fn inject(target: &Target) {
    let [in_query, in_header, key, in_connect, in_message] = TOKENS;
    let huge = "x".repeat(6000);
    for text in INJECTED.into_iter().chain([huge.as_str()]) {
        let path = encoded(text);
        for request in [
            format!("GET /{path}?token={in_query} HTTP/1.1\r\nhost: a\r\n"),
            format!("GET /v1/topics/session:{path}?token={in_query} HTTP/1.1\r\nhost: a\r\n"),
            format!("GET /ws/{path}?token={in_query}&since={path} HTTP/1.1\r\nhost: a\r\n"),
            format!("GET /v1/topics HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {in_header}\r\n"),
            format!(
                "GET /v1/topics HTTP/1.1\r\nhost: a\r\nx-api-key: {key}\r\nx-request-id: {path}\r\n"
            ),
            format!("GET /v1/topics HTTP/1.1\r\nhost: {text}\r\nuser-agent: {text}\r\n"),
            format!(
                "GET /socket.io/?EIO=4&transport=websocket&token={in_query}&sid={path} HTTP/1.1\r\nhost: a\r\n"
            ),
            format!("{text} / HTTP/1.1\r\nhost: a\r\n"),
        ] {
            target
                .ask(&format!("{request}connection: close\r\n\r\n"))
                .await;
        }
        let mut tcp = target
            .websocket(&format!(
                "/socket.io/?EIO=4&transport=websocket&token={in_query}"
            ))
            .await;
        let says = [
            format!("40{}", json!({"token": in_connect, "more": text})),
            format!("40/producers,{}", json!({"token": in_connect})),
            format!("42{}", json!([text, {"token": in_message}])),
            format!("42{}", json!(["subscribe", text])),
            format!("42{}", json!(["auth:refresh", in_message])),
            text.to_owned(),
        ];
        for say in says {
            let _ = tcp.write_all(&frame(1, say.as_bytes())).await;
        }
        let mut assist = target
            .websocket(&format!("/ws/connect?token={in_query}"))
            .await;
        let say = json!({"type": "auth", "token": in_message}).to_string();
        let _ = assist.write_all(&frame(1, say.as_bytes())).await;
        for tcp in [&mut tcp, &mut assist] {
            let _ = tcp.write_all(&frame(8, &[3, 0xe8])).await;
            let closing = async {
                let mut heard = [0; 1024];
                while tcp.read(&mut heard).await.is_ok_and(|read| read > 0) {}
            };
            timeout(DEADLINE, closing).await.expect("it is closed");
        }
    }
}

/// Attacks a gateway whose log has this form. Returns its log and its counters.
async fn logged(form: &str) -> (String, String) {
    let format = format!("log.format={form}");
    let secret = format!("auth.jwt.secret={SECRET}");
    let target = Target::start(
        &[
            &format,
            &secret,
            "log.filter=debug,tidings=trace",
            "auth.mode=token",
            "face.socketio.connect_timeout=1s",
        ],
        None,
    );
    inject(&target).await;
    let metrics = target.get("/metrics").await;
    (target.end(), metrics)
}

fn holds_no_token(text: &str) {
    for token in TOKENS {
        let found = text.lines().find(|line| line.contains(token));
        assert!(found.is_none(), "{found:?}");
    }
    assert!(!text.contains(SECRET));
}

#[tokio::test]
async fn a_text_log_has_a_line_for_each_event_and_no_token() {
    let (log, metrics) = logged("text").await;
    holds_no_token(&log);
    holds_no_token(&metrics);
    assert!(!metrics.contains("FORGED"), "{metrics}");
    assert!(log.lines().count() > 10, "{log}");
    for line in log.lines() {
        // Each begins with the time, and is what a terminal may be shown.
        assert!(
            line.starts_with("20") && line.as_bytes().get(10) == Some(&b'T'),
            "{line:?}"
        );
        let is_plain = line.chars().all(|c| c == '\t' || !c.is_ascii_control());
        assert!(is_plain, "{line:?}");
        assert!(line.len() < 9000, "{} bytes", line.len());
    }
}

#[tokio::test]
async fn a_json_log_has_an_object_for_each_event_and_no_token() {
    let (log, metrics) = logged("json").await;
    holds_no_token(&log);
    holds_no_token(&metrics);
    assert!(log.lines().count() > 10, "{log}");
    for line in log.lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect(line);
        assert!(
            event["level"].is_string() && event["timestamp"].is_string(),
            "{line}"
        );
        assert!(line.chars().all(|c| !c.is_ascii_control()), "{line:?}");
    }
}
