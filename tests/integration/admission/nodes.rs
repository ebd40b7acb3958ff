//! Many nodes over one Redis: rights of owners where nobody watches, and revocations everywhere.

use tokio::time::Instant;

use super::*;
use crate::redis::server::{Keeping, Server};

/// A node of the house.
async fn node(redis: &Server) -> Guarded {
    let url = format!("store.redis.url={}", redis.url());
    let node = Guarded::start(&["store.kind=redis", &url]).await;
    let ready = async { while node.get("/readyz", None).await.0 != 200 {} };
    tokio::time::timeout(DEADLINE, ready)
        .await
        .expect("it is ready");
    node
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_has_what_nobody_watches_on_any_node() {
    let redis = Server::start(Keeping::Nothing);
    let (one, two) = (node(&redis).await, node(&redis).await);
    one.publish("session:a", Some("ann")).await;
    one.publish("job:a", Some("ann")).await;
    let (ann, bob) = (user("ann"), user("bob"));
    for path in [
        "/v1/topics/session:a",
        "/v1/topics/session:a/events",
        "/v1/topics/session:a/subscribers",
        "/api/wizard/session/a",
        "/v1/jobs/a",
    ] {
        assert_eq!(two.get(path, Some(&ann)).await.0, 200, "{path}");
        assert_eq!(two.get(path, Some(&bob)).await.0, 404, "{path}");
    }
    for (token, ok) in [(&ann, true), (&bob, false)] {
        let mut client = two.connect(&json!({"token": token})).await;
        client.until("40").await;
        let answer = client.ask(1, "subscribe", &json!("a")).await;
        assert_eq!(answer["ok"], ok, "{answer}");
        let request = two.http.get(two.url("/v1/topics/session:a/events"));
        let request = request
            .bearer_auth(token)
            .header("accept", "text/event-stream");
        let status = request.send().await.unwrap().status().as_u16();
        assert_eq!(status, if ok { 200 } else { 404 });
        let path = format!("/ws/a?token={token}");
        let mut socket = two.websocket(&path, &[]).await.unwrap();
        // Whoever is not let in may be closed before that.
        let _ = socket.0.send(Message::text("{}")).await;
        let said = socket.until("{").await;
        assert_eq!(said.contains("that you may follow"), !ok, "{said}");
    }
    one.gateway.drain().await;
    two.gateway.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_revoked_on_one_node_ends_on_all_and_stays_so_on_new_ones() {
    let redis = Server::start(Keeping::Always);
    let (one, two) = (node(&redis).await, node(&redis).await);
    two.publish("job:a", Some("ann")).await;
    let (ann, bob) = (user("ann"), user("bob"));
    let mut here = one.connect(&json!({"token": ann})).await;
    let mut there = two.connect(&json!({"token": ann})).await;
    let mut plain = two
        .websocket(&format!("/ws/a?token={ann}"), &[])
        .await
        .unwrap();
    let mut other = two.connect(&json!({"token": bob})).await;
    let stream = two.http.get(two.url("/v1/topics/job:a/events"));
    let stream = stream
        .bearer_auth(&ann)
        .header("accept", "text/event-stream");
    let stream = stream.send().await.unwrap();
    for client in [&mut here, &mut there, &mut other] {
        client.until("42[\"connected\"").await;
    }
    plain.say("{}").await;
    plain.until("{").await;
    let began = Instant::now();
    let (status, said) = one
        .post("/v1/admin/revocations", &admin(), &json!({"sub": "ann"}))
        .await;
    assert_eq!(status, 201, "{said}");
    for client in [&mut here, &mut there, &mut plain] {
        let words = client.last_words().await.join(" ");
        assert!(words.contains("auth_revoked"), "{words}");
    }
    let rest = tokio::time::timeout(DEADLINE, stream.text()).await;
    rest.expect("the stream ends").unwrap();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(
        other.ask(1, "subscribe", &json!("documents:bob")).await["ok"],
        true
    );
    one.gateway.drain().await;
    two.gateway.drain().await;

    // A node that is new knows it before it lets anybody in.
    let url = format!("store.redis.url={}", redis.url());
    let three = Guarded::start(&["store.kind=redis", &url]).await;
    for _ in 0..10 {
        assert_eq!(three.get("/v1/topics", Some(&ann)).await.0, 401);
    }
    let refused = three
        .connect(&json!({"token": ann}))
        .await
        .until("44")
        .await;
    assert!(refused.contains("revoked"), "{refused}");
    three
        .connect(&json!({"token": bob}))
        .await
        .until("40")
        .await;
    three.gateway.drain().await;
}
