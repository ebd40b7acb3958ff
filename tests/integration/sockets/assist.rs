//! The assist dialect over real sockets.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tidings::auth::{Issue, Secret, SigningKey};
use tokio_tungstenite::tungstenite::Message;

use super::{Client, DEADLINE, Running};

const SECRET: &str = "a secret of the tests, long enough for HS256";

/// A gateway that takes tokens on Assist.
async fn start(more: &[&str]) -> Running {
    let secret = format!("auth.jwt.secret={SECRET}");
    let mut settings = vec![secret.as_str()];
    settings.extend(more);
    Running::start(&settings).await
}

fn signed(sub: &str, role: &str, secret: &str, valid: Duration) -> String {
    let issue = Issue {
        sub: sub.to_owned(),
        role: Some(role.to_owned()),
        sub_topics: None,
        pub_topics: None,
        iss: None,
        aud: None,
    };
    let key = SigningKey::of_secret(&Secret::from(secret.to_owned()));
    issue.sign(&key, valid).unwrap()
}

fn token(sub: &str, role: &str) -> String {
    signed(sub, role, SECRET, Duration::from_mins(10))
}

/// A client that is in; what an administrator is told of its own rooms is read.
async fn enter(running: &Running, sub: &str, role: &str) -> Client {
    let path = format!("/ws/connect?token={}", token(sub, role));
    let mut client = running.client(&path).await;
    let told = client.next().await;
    assert_eq!(
        (&told["type"], &told["status"], &told["user_id"]),
        (&json!("connection"), &json!("connected"), &json!(sub))
    );
    if role == "admin" {
        let mut rooms: Vec<String> = Vec::new();
        while rooms.len() < 3 {
            let event = client.next().await;
            assert_eq!(
                (&event["type"], &event["event"]),
                (&json!("room_event"), &json!("user_joined")),
                "{event}"
            );
            if event["user_id"] == sub {
                rooms.push(event["room"].as_str().unwrap().to_owned());
            }
        }
        rooms.sort();
        assert_eq!(rooms, ["admin", "background_jobs", "system_monitoring"]);
    }
    client
}

async fn say(client: &mut Client, kind: &str, data: Value) {
    client
        .send(&json!({ "type": kind, "data": data }).to_string())
        .await;
}

async fn error(client: &mut Client, kind: &str, data: Value) -> String {
    say(client, kind, data).await;
    let said = client.next().await;
    assert_eq!(said["type"], "error", "{said}");
    assert!(said["timestamp"].is_string());
    said["error"].as_str().unwrap().to_owned()
}

/// The next message of a type.
async fn next_of(client: &mut Client, kind: &str) -> Value {
    loop {
        let message = client.next().await;
        if message["type"] == kind {
            return message;
        }
    }
}

#[tokio::test]
async fn a_token_opens_by_query_or_as_the_first_message() {
    let running = start(&[]).await;
    let mut client = enter(&running, "ann", "user").await;
    say(&mut client, "ping", json!({})).await;
    assert_eq!(client.next().await["type"], "pong");
    let mut client = running.client("/ws/connect").await;
    client
        .send(&json!({ "type": "auth", "token": token("bob", "user") }).to_string())
        .await;
    assert_eq!(client.next().await["user_id"], "bob");
    running.gateway.drain().await;
}

#[tokio::test]
async fn whoever_shows_no_good_token_is_sent_away() {
    let running = start(&[]).await;
    let expired = signed("ann", "user", SECRET, Duration::ZERO);
    let forged = signed(
        "ann",
        "admin",
        "another secret of somebody else, as long",
        DEADLINE,
    );
    let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4iLCJleHAiOjk5OTk5OTk5OTl9.";
    for bad in [forged.as_str(), none, "x", "a.b.c"] {
        let client = running.client(&format!("/ws/connect?token={bad}")).await;
        let (code, reason) = client.closed().await;
        assert_eq!(code, 1008, "{reason}");
        assert!(reason.starts_with("Authentication failed"), "{reason}");
    }
    // The leeway of clocks lets a token that ended just now in, and its end closes it.
    let client = running
        .client(&format!("/ws/connect?token={expired}"))
        .await;
    assert_eq!(client.closed().await.0, 1008);
    for first in [
        "{}",
        "{",
        "{\"type\":\"ping\"}",
        "{\"type\":\"auth\",\"token\":7}",
    ] {
        let mut client = running.client("/ws/connect").await;
        client.send(first).await;
        assert_eq!(
            client.closed().await,
            (1008, "Authentication required".to_owned())
        );
    }
    let silent = running.client("/ws/connect").await;
    assert_eq!(silent.closed().await.0, 1008);
    running.gateway.drain().await;

    let without = Running::start(&[]).await;
    let client = without
        .client(&format!("/ws/connect?token={}", token("a", "user")))
        .await;
    assert_eq!(client.closed().await.0, 1008);
    without.gateway.drain().await;
}

#[tokio::test]
async fn rooms_tell_who_comes_and_goes_and_carry_binary_frames() {
    let running = start(&[]).await;
    let mut ann = enter(&running, "ann", "user").await;
    let mut bob = enter(&running, "bob", "user").await;
    say(&mut ann, "join_room", json!({ "room": "chat_1" })).await;
    let joined = ann.next().await;
    assert_eq!(
        (&joined["event"], &joined["room"], &joined["user_id"]),
        (&json!("user_joined"), &json!("chat_1"), &json!("ann"))
    );
    say(&mut bob, "join_room", json!({ "room": "chat_1" })).await;
    for client in [&mut ann, &mut bob] {
        assert_eq!(client.next().await["user_id"], "bob");
    }
    ann.0.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    let came = tokio::time::timeout(DEADLINE, bob.0.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(came, Message::binary(vec![1, 2, 3]));
    running
        .publish(
            "room:chat_1",
            "custom_event",
            json!({ "message": "Hello room!" }),
        )
        .await;
    for client in [&mut ann, &mut bob] {
        let custom = client.next().await;
        assert_eq!(
            (&custom["type"], &custom["data"]["message"]),
            (&json!("custom_event"), &json!("Hello room!"))
        );
    }
    say(&mut bob, "leave_room", json!({ "room": "chat_1" })).await;
    for client in [&mut ann, &mut bob] {
        assert_eq!(client.next().await["event"], "user_left");
    }
    say(&mut bob, "join_room", json!({ "room": "chat_1" })).await;
    assert_eq!(ann.next().await["event"], "user_joined");
    drop(bob);
    let left = ann.next().await;
    assert_eq!(
        (&left["event"], &left["user_id"]),
        (&json!("user_left"), &json!("bob"))
    );
    running.gateway.drain().await;
}

#[tokio::test]
async fn what_is_for_administrators_is_refused_to_users() {
    let running = start(&[]).await;
    let mut ann = enter(&running, "ann", "user").await;
    for kind in [
        "subscribe_system_metrics",
        "subscribe_job_updates",
        "broadcast_admin",
    ] {
        assert_eq!(
            error(&mut ann, kind, json!({})).await,
            "Admin access required"
        );
    }
    for room in [
        "admin",
        "system_monitoring",
        "job_updates",
        "document_updates_bob",
    ] {
        let why = error(&mut ann, "join_room", json!({ "room": room })).await;
        assert_eq!(why, "Insufficient permissions", "{room}");
    }
    let why = error(
        &mut ann,
        "subscribe_document_updates",
        json!({ "user_id": "bob" }),
    )
    .await;
    assert_eq!(why, "Insufficient permissions");
    assert_eq!(
        error(&mut ann, "join_room", json!({})).await,
        "Room name required"
    );
    assert_eq!(
        error(&mut ann, "fly", json!({})).await,
        "Unknown message type: fly"
    );
    for room in ["../etc", "a\u{0}b", "漢字", ".x"] {
        let why = error(&mut ann, "join_room", json!({ "room": room })).await;
        assert!(why.contains("is not allowed"), "{why}");
    }
    for text in ["{", "null", "[]", "\u{0}"] {
        ann.send(text).await;
        assert_eq!(ann.next().await["error"], "Invalid JSON format");
    }
    ann.0.send(Message::binary(vec![0])).await.unwrap();
    assert_eq!(ann.next().await["type"], "error");
    let mut bob = enter(&running, "bob", "user").await;
    ann.send(&"x".repeat(1024 * 1024 + 1)).await;
    assert_eq!(ann.closed().await.0, 1009);
    say(&mut bob, "ping", json!({})).await;
    assert_eq!(bob.next().await["type"], "pong");
    running.gateway.drain().await;
}

#[tokio::test]
async fn an_administrator_watches_the_machine_jobs_and_documents() {
    let running = start(&["producer.monitor.interval=200ms"]).await;
    let mut root = enter(&running, "root", "admin").await;
    say(&mut root, "subscribe_system_metrics", json!({})).await;
    for _ in 0..2 {
        let metrics = next_of(&mut root, "system_metrics").await;
        let data = &metrics["data"];
        assert!(data["cpu"]["count"].as_u64().unwrap() > 0, "{metrics}");
        assert!(data["memory"]["total_gb"].as_f64().unwrap() > 0.0);
        assert!(
            data["disk"]["percent"].is_number() && data["network"]["bytes_sent_mb"].is_number()
        );
        assert!(data["timestamp"].is_string());
        assert_eq!(data["node"], "", "there are no others");
    }
    say(&mut root, "unsubscribe_system_metrics", json!({})).await;

    running
        .publish("job:j1", "job_started", json!({ "name": "Index" }))
        .await;
    say(&mut root, "subscribe_job_updates", json!({})).await;
    let status = next_of(&mut root, "job_status").await;
    assert_eq!(
        (
            &status["data"]["jobs"][0]["job_id"],
            &status["data"]["jobs"][0]["status"]
        ),
        (&json!("j1"), &json!("in_progress"))
    );
    running
        .publish("job:j1", "progress", json!({ "progress": 45.5 }))
        .await;
    let updates = next_of(&mut root, "job_updates").await;
    let update = &updates["data"]["updates"][0];
    assert_eq!(
        (&update["job_id"], &update["event"], &update["progress"]),
        (&json!("j1"), &json!("progress"), &json!(45.5))
    );
    assert_eq!(update["_seq"], 2);
    assert!(update["_epoch"].is_string(), "{update}");
    say(&mut root, "get_active_jobs", json!({})).await;
    let active = next_of(&mut root, "active_jobs").await;
    assert_eq!(active["data"]["jobs"].as_array().unwrap().len(), 1);

    running.gateway.drain().await;
}

#[tokio::test]
async fn an_administrator_hears_alerts_documents_and_broadcasts() {
    let running = start(&[]).await;
    let mut root = enter(&running, "root", "admin").await;
    running
        .publish(
            "system:jobs",
            "job_status_change",
            json!({ "job_id": "j2" }),
        )
        .await;
    assert_eq!(
        next_of(&mut root, "job_status_change").await["data"]["job_id"],
        "j2"
    );
    let alert = json!({ "alert_type": "disk_space", "severity": "critical", "message": "Disk usage above 90%", "details": { "usage": 92.5 } });
    running
        .publish("system:alerts", "system_alert", alert)
        .await;
    assert_eq!(
        next_of(&mut root, "system_alert").await["data"]["severity"],
        "critical"
    );

    say(&mut root, "subscribe_document_updates", json!({})).await;
    say(&mut root, "ping", json!({})).await;
    next_of(&mut root, "pong").await;
    let started = json!({ "document_id": "doc456", "filename": "report.pdf" });
    running
        .publish("documents:ann", "document_processing_start", started)
        .await;
    let told = next_of(&mut root, "document_processing_start").await;
    assert_eq!(
        (&told["data"]["filename"], &told["data"]["user_id"]),
        (&json!("report.pdf"), &json!("ann"))
    );
    say(&mut root, "get_active_documents", json!({})).await;
    let active = next_of(&mut root, "active_documents").await;
    let document = &active["data"]["documents"][0];
    assert_eq!(
        (&document["document_id"], &document["status"]),
        (&json!("doc456"), &json!("processing"))
    );

    let mut other = enter(&running, "eve", "admin").await;
    say(&mut other, "broadcast_admin", json!({ "note": "hello" })).await;
    for client in [&mut root, &mut other] {
        let broadcast = next_of(client, "admin_broadcast").await;
        assert_eq!(
            (&broadcast["from_user"], &broadcast["data"]["note"]),
            (&json!("eve"), &json!("hello"))
        );
    }
    running.gateway.drain().await;
}

#[tokio::test]
async fn what_is_published_to_a_user_waits_for_them() {
    let running = start(&[]).await;
    let started = |id: &str| json!({ "document_id": id, "filename": "a.pdf" });
    running
        .publish("documents:ann", "document_processing_start", started("d1"))
        .await;
    let mut ann = enter(&running, "ann", "user").await;
    let waited = ann.next().await;
    assert_eq!(
        (&waited["type"], &waited["data"]["document_id"]),
        (&json!("document_processing_start"), &json!("d1"))
    );
    running
        .publish(
            "documents:ann",
            "document_processing_complete",
            started("d1"),
        )
        .await;
    assert_eq!(ann.next().await["type"], "document_processing_complete");
    drop(ann);
    running
        .publish("documents:ann", "document_processing_start", started("d2"))
        .await;
    let mut ann = enter(&running, "ann", "user").await;
    assert_eq!(
        ann.next().await["data"]["document_id"],
        "d2",
        "and what was read is not told again"
    );
    say(&mut ann, "get_active_documents", json!({})).await;
    let active = ann.next().await;
    assert_eq!(
        active["data"]["documents"].as_array().unwrap().len(),
        1,
        "{active}"
    );
    running.gateway.drain().await;
}

#[tokio::test]
async fn a_user_who_says_too_much_is_told_so_over_all_connections() {
    let running = start(&["face.ws.assistant.messages_max=3"]).await;
    let mut one = enter(&running, "ann", "user").await;
    let mut two = enter(&running, "ann", "user").await;
    for turn in 0..3 {
        let client = if turn == 1 { &mut two } else { &mut one };
        say(client, "ping", json!({})).await;
        assert_eq!(client.next().await["type"], "pong");
    }
    assert_eq!(
        error(&mut two, "ping", json!({})).await,
        "Rate limit exceeded"
    );
    let mut bob = enter(&running, "bob", "user").await;
    say(&mut bob, "ping", json!({})).await;
    assert_eq!(bob.next().await["type"], "pong");
    running.gateway.drain().await;
}

/// What is told of a user's document, by the id that it bears.
async fn document(client: &mut Client) -> Value {
    let told = client.next().await;
    assert_eq!(told["type"], "document_processing_start", "{told}");
    told["data"]["document_id"].clone()
}

#[tokio::test]
async fn what_waits_survives_a_restart_and_is_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let place = format!("store.data_dir={}", dir.path().display());
    let running = start(&[&place]).await;
    let started = |id: &str| json!({ "document_id": id, "filename": "a.pdf" });
    let publish = async |running: &Running, id: &str| {
        let name = "document_processing_start";
        running.publish("documents:ann", name, started(id)).await;
    };
    publish(&running, "d1").await;
    let mut ann = enter(&running, "ann", "user").await;
    assert_eq!(document(&mut ann).await, "d1");
    drop(ann);
    publish(&running, "d2").await;
    running.gateway.drain().await;

    let running = start(&[&place]).await;
    let mut ann = enter(&running, "ann", "user").await;
    assert_eq!(document(&mut ann).await, "d2", "and d1 is not told again");
    publish(&running, "d3").await;
    assert_eq!(document(&mut ann).await, "d3");
    running.gateway.drain().await;
}

#[tokio::test]
async fn of_two_that_come_at_once_one_is_told_what_waited() {
    let running = start(&[]).await;
    for n in 0..50 {
        let data = json!({ "document_id": n });
        running
            .publish("documents:ann", "document_processing_start", data)
            .await;
    }
    let (mut one, mut two) = tokio::join!(
        enter(&running, "ann", "user"),
        enter(&running, "ann", "user")
    );
    running
        .publish("documents:ann", "document_processing_complete", json!({}))
        .await;
    let mut told = 0;
    for client in [&mut one, &mut two] {
        while client.next().await["type"] == "document_processing_start" {
            told += 1;
        }
    }
    assert_eq!(told, 50);
    running.gateway.drain().await;
}

#[tokio::test]
async fn administrators_are_told_who_comes_and_goes() {
    let running = start(&[]).await;
    let mut root = enter(&running, "root", "admin").await;
    let mut ann = enter(&running, "ann", "user").await;
    let came = next_of(&mut root, "user_activity").await;
    assert_eq!(
        (
            &came["data"]["user_id"],
            &came["data"]["activity"],
            &came["data"]["active_users"]
        ),
        (&json!("ann"), &json!("connected"), &json!(2))
    );
    let second = enter(&running, "ann", "user").await;
    drop(second);
    say(&mut ann, "ping", json!({})).await;
    assert_eq!(ann.next().await["type"], "pong", "a user is told of nobody");
    drop(ann);
    let left = next_of(&mut root, "user_activity").await;
    assert_eq!(
        (
            &left["data"]["user_id"],
            &left["data"]["activity"],
            &left["data"]["active_users"]
        ),
        (&json!("ann"), &json!("disconnected"), &json!(1))
    );
    running.gateway.drain().await;
}
