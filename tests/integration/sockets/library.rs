//! The library dialect over real sockets, against the REST beside it.

use futures_util::SinkExt as _;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{Client, DEADLINE, Running};

/// A library, by REST.
async fn library(running: &Running) -> String {
    let (status, made) = running
        .post("/v1/libraries", &json!({ "name": "Papers" }))
        .await;
    assert_eq!(status, 201, "{made}");
    made["id"].as_str().unwrap().to_owned()
}

/// A client that has been welcomed.
async fn enter(running: &Running, id: &str) -> Client {
    let mut client = running.client(&format!("/v1/libraries/{id}/ws")).await;
    let welcome = client.next().await;
    assert_eq!(welcome["type"], "system", "{welcome}");
    assert_eq!(welcome["message"], format!("Connected to library {id}"));
    assert!(!welcome["connection_id"].as_str().unwrap().is_empty());
    client
}

async fn ask(client: &mut Client, action: &str, data: Value) {
    let request =
        json!({ "type": "request", "action": action, "request_id": action, "data": data });
    client.send(&request.to_string()).await;
}

async fn answered(client: &mut Client, action: &str, data: Value) -> Value {
    ask(client, action, data).await;
    let response = client.next().await;
    assert_eq!(
        (&response["type"], &response["request_id"]),
        (&json!("response"), &json!(action))
    );
    response
}

#[tokio::test]
async fn a_client_adds_searches_gets_and_deletes() {
    let running = Running::start(&[]).await;
    let id = library(&running).await;
    let mut client = enter(&running, &id).await;
    let mut other = enter(&running, &id).await;
    let (_, stats) = running.get("/v1/websockets/stats").await;
    let want = json!({
        "total_connections": 2, "libraries_with_subscribers": 1,
        "subscriptions_by_library": { id.as_str(): 2 },
    });
    assert_eq!(stats, want);

    let text = "AI is the study of agents.";
    let added = answered(
        &mut client,
        "add",
        json!({ "title": "AI", "text": text, "metadata": { "year": 2026 } }),
    )
    .await;
    assert_eq!(
        (&added["success"], &added["error"]),
        (&json!(true), &Value::Null),
        "{added}"
    );
    let document = added["data"]["document"].clone();
    assert_eq!(
        (&document["title"], &document["num_chunks"]),
        (&json!("AI"), &json!(1))
    );
    for client in [&mut client, &mut other] {
        let event = client.next().await;
        assert_eq!(
            (&event["type"], &event["event_type"]),
            (&json!("event"), &json!("document.added"))
        );
        assert_eq!(
            (&event["library_id"], &event["data"]["document_id"]),
            (&json!(id), &document["id"])
        );
        assert_eq!(event["data"]["num_chunks"], 1);
    }

    let found = answered(
        &mut client,
        "search",
        json!({ "query_text": "AI agents", "k": 5 }),
    )
    .await;
    let hit = &found["data"]["results"][0];
    assert_eq!((&hit["id"], &hit["text"]), (&document["id"], &json!(text)));
    assert_eq!(
        (&hit["metadata"]["year"], hit["distance"].is_f64()),
        (&json!(2026), true)
    );
    let got = answered(&mut client, "get", json!({ "document_id": document["id"] })).await;
    assert_eq!(got["data"]["document"]["text"], text);

    let deleted = answered(
        &mut client,
        "delete",
        json!({ "document_id": document["id"] }),
    )
    .await;
    assert_eq!(deleted["data"], json!({ "message": "Document deleted" }));
    assert_eq!(client.next().await["event_type"], "document.deleted");
    let gone = answered(&mut client, "get", json!({ "document_id": document["id"] })).await;
    assert_eq!(
        (&gone["success"], &gone["error"]),
        (&json!(false), &json!("Document not found"))
    );
    running.gateway.drain().await;
}

#[tokio::test]
async fn requests_sent_at_once_are_answered_in_order_before_their_events() {
    let running = Running::start(&[]).await;
    let id = library(&running).await;
    let mut client = enter(&running, &id).await;
    for n in 0..20 {
        ask(
            &mut client,
            "add",
            json!({ "title": format!("{n}"), "text": "pipelined" }),
        )
        .await;
    }
    ask(
        &mut client,
        "search",
        json!({ "query_text": "pipelined", "k": 100 }),
    )
    .await;
    let (mut answered, mut told) = (Vec::new(), 0);
    while answered.len() < 21 || told < 20 {
        let message = client.next().await;
        if message["type"] == "event" {
            let document = &message["data"]["document_id"];
            assert!(
                answered.contains(document),
                "{message} came before its response"
            );
            told += 1;
        } else if message["request_id"] == "search" {
            assert_eq!(message["data"]["results"].as_array().unwrap().len(), 20);
            answered.push(Value::Null);
        } else {
            let document = &message["data"]["document"];
            assert_eq!(document["title"], format!("{}", answered.len()));
            answered.push(document["id"].clone());
        }
    }
    running.gateway.drain().await;
}

#[tokio::test]
async fn what_others_change_by_rest_is_told_and_a_cursor_resumes() {
    let running = Running::start(&[]).await;
    let id = library(&running).await;
    let mut client = enter(&running, &id).await;
    let path = format!("/v1/libraries/{id}/documents");
    running
        .post(&path, &json!({ "title": "Test Document", "texts": ["x"] }))
        .await;
    let event = client.next().await;
    assert_eq!(event["data"]["title"], "Test Document");
    let since = format!(
        "{}:{}",
        event["data"]["_epoch"].as_str().unwrap(),
        event["data"]["_seq"]
    );
    drop(client);
    running
        .post(&path, &json!({ "title": "Missed", "texts": ["x"] }))
        .await;
    let mut again = running
        .client(&format!("/v1/libraries/{id}/ws?since={since}"))
        .await;
    assert_eq!(again.next().await["type"], "system");
    let missed = again.next().await;
    assert_eq!(
        (&missed["data"]["title"], &missed["data"]["_replayed"]),
        (&json!("Missed"), &json!(true))
    );
    running.gateway.drain().await;
}

#[tokio::test]
async fn libraries_that_are_none_close_with_their_name() {
    let running = Running::start(&[]).await;
    let unknown = "8179ce48-fd2b-4141-9ab0-9cfba4f6848b";
    for (path, name) in [
        (unknown, unknown),
        ("..%2F..%2Fetc", "../../etc"),
        ("a%00b", "a\0b"),
        ("%F0%9F%A6%80", "🦀"),
    ] {
        let client = running.client(&format!("/v1/libraries/{path}/ws")).await;
        let closed = client.closed().await;
        assert_eq!(closed, (1008, format!("Library {name} not found")));
    }
    running.gateway.drain().await;
}

#[tokio::test]
async fn bad_input_is_an_error_and_disturbs_nobody() {
    let running = Running::start(&[]).await;
    let id = library(&running).await;
    let mut healthy = enter(&running, &id).await;
    let mut client = enter(&running, &id).await;
    for text in [
        "{",
        "",
        "null",
        "[]",
        "7",
        "{\"type\":7}",
        "{\"action\":\"get\"}",
        "\u{0}",
    ] {
        client.send(text).await;
        let error = client.next().await;
        assert_eq!(
            (&error["type"], &error["error"]),
            (&json!("error"), &json!("Invalid message format"))
        );
    }
    client.0.send(Message::binary(vec![0, 255])).await.unwrap();
    assert_eq!(client.next().await["error"], "Invalid message format");
    for (action, data, error) in [
        ("fly", json!({}), "Unknown action: fly"),
        ("search", json!({}), "query_text is required"),
        (
            "search",
            json!({ "query_text": "a", "k": 101 }),
            "k is a number from 1 to 100 (`store.documents.results_max`)",
        ),
        ("add", json!({ "text": null }), "text is required"),
        (
            "get",
            json!({ "document_id": "../../etc/passwd" }),
            "Invalid document_id format",
        ),
    ] {
        let response = answered(&mut client, action, data).await;
        assert_eq!(
            (&response["success"], &response["error"]),
            (&json!(false), &json!(error))
        );
    }
    let hostile = "\"alpha\u{0} AND NEAR( '; DROP TABLE document; --";
    let found = answered(&mut client, "search", json!({ "query_text": hostile })).await;
    assert_eq!(
        (&found["success"], &found["data"]["results"]),
        (&json!(true), &json!([]))
    );

    let big = "x".repeat(1024 * 1024 + 1);
    client.send(&big).await;
    assert_eq!(client.closed().await.0, 1009);
    running
        .post(
            &format!("/v1/libraries/{id}/documents"),
            &json!({ "text": "x" }),
        )
        .await;
    assert_eq!(healthy.next().await["event_type"], "document.added");
    running.gateway.drain().await;
}

#[tokio::test]
async fn a_client_that_leaves_is_counted_no_more() {
    let running = Running::start(&[]).await;
    let id = library(&running).await;
    drop(enter(&running, &id).await);
    let gone = async {
        while running.get("/v1/websockets/stats").await.1["total_connections"] != 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, gone)
        .await
        .expect("it is counted no more");
    running.gateway.drain().await;
}
