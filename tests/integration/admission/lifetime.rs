//! Tokens that end while their client is connected, are renewed, or taken back.

use std::time::Duration;

use tokio::time::Instant;

use super::*;

fn short(sub: &str, seconds: u64) -> Value {
    json!({"token": token(sub, None, Topics::default(), Duration::from_secs(seconds))})
}

#[tokio::test]
async fn an_expired_token_closes_unless_it_is_renewed_in_time() {
    let guarded = Guarded::start(&["auth.jwt.leeway=0s"]).await;
    let began = Instant::now();
    let mut ends = guarded.connect(&short("ann", 3)).await;
    let mut stays = guarded.connect(&short("ann", 3)).await;
    for client in [&mut ends, &mut stays] {
        assert!(
            client
                .until("42[\"auth:expiring\"")
                .await
                .contains("expiresAt")
        );
    }
    let somebody = stays.ask(1, "auth:refresh", &json!(user("bob"))).await;
    assert_eq!(somebody["code"], "auth_somebody_else", "{somebody}");
    let nothing = stays.ask(2, "auth:refresh", &json!("nonsense")).await;
    assert_eq!(nothing["code"], "auth_refused", "{nothing}");
    let renewed = stays
        .ask(3, "auth:refresh", &json!({"token": user("ann")}))
        .await;
    assert_eq!(renewed["ok"], true, "{renewed}");

    let said = ends.last_words().await.join(" ");
    assert!(said.contains("auth_expired"), "{said}");
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "within 5 s of its end"
    );
    assert_eq!(
        stays.ask(4, "subscribe", &json!("documents:ann")).await["ok"],
        true
    );
    let again = guarded.connect(&short("ann", 0)).await.until("44").await;
    assert!(again.contains("has expired"), "{again}");
    guarded.gateway.drain().await;
}

#[tokio::test]
async fn plain_websockets_and_streams_end_with_their_token() {
    let guarded = Guarded::start(&["auth.jwt.leeway=0s"]).await;
    guarded.publish("job:a", Some("ann")).await;
    let short = token("ann", None, Topics::default(), Duration::from_secs(3));
    let path = format!("/ws/a?token={short}");
    let mut ends = guarded.websocket(&path, &[]).await.unwrap();
    let mut stays = guarded.websocket(&path, &[]).await.unwrap();
    let url = guarded.url(&format!("/v1/topics/job:a/events?token={short}"));
    let stream = guarded.http.get(url).header("accept", "text/event-stream");
    let stream = stream.send().await.unwrap();
    stays
        .say(&json!({"type": "auth", "token": "no"}).to_string())
        .await;
    assert!(stays.until("{").await.contains(r#""ok":false"#));
    stays
        .say(&json!({"type": "auth", "token": user("ann")}).to_string())
        .await;
    assert!(stays.until("{").await.contains(r#""ok":true"#));
    let said = ends.last_words().await.join(" ");
    assert!(said.contains("auth_expired"), "{said}");
    let read = tokio::time::timeout(DEADLINE, stream.text()).await;
    read.expect("the stream ends").unwrap();
    stays.say("{}").await;
    stays.until("{").await;
    guarded.gateway.drain().await;
}

#[tokio::test]
async fn what_is_revoked_ends_within_two_seconds_and_stays_so() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = format!("store.data_dir={}", dir.path().display());
    let guarded = Guarded::start(&[&data_dir]).await;
    let (ann, bob) = (user("ann"), user("bob"));
    let mut revoked = guarded.connect(&json!({"token": ann})).await;
    let mut other = guarded.connect(&json!({"token": bob})).await;
    revoked.until("42[\"connected\"").await;
    other.until("42[\"connected\"").await;
    let (status, said) = guarded
        .post("/v1/admin/revocations", &bob, &json!({"sub": "ann"}))
        .await;
    assert_eq!(
        (status, &said["code"]),
        (403, &json!("forbidden")),
        "{said}"
    );

    let began = Instant::now();
    let (status, said) = guarded
        .post("/v1/admin/revocations", &admin(), &json!({"sub": "ann"}))
        .await;
    assert_eq!(status, 201, "{said}");
    let words = revoked.last_words().await.join(" ");
    assert!(words.contains("auth_revoked"), "{words}");
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(
        other.ask(1, "subscribe", &json!("documents:bob")).await["ok"],
        true
    );
    let refused = guarded
        .connect(&json!({"token": ann}))
        .await
        .until("44")
        .await;
    assert!(refused.contains("revoked"), "{refused}");
    for body in [
        json!({}),
        json!({"sub": "a", "jti": "b"}),
        json!({"sub": ""}),
        json!({"x": 1}),
    ] {
        let (status, said) = guarded.post("/v1/admin/revocations", &admin(), &body).await;
        assert_eq!((status, &said["code"]), (422, &json!("shape")), "{said}");
    }
    let topic = "/v1/topics/system:revocations";
    let (status, _) = guarded.get(topic, Some(&admin())).await;
    assert_eq!(status, 200);
    assert_eq!(guarded.get(topic, Some(&bob)).await.0, 404);
    let event = json!({"name": "revoked", "data": {}});
    let (status, _) = guarded
        .post(&format!("{topic}/events"), &admin(), &event)
        .await;
    assert_eq!(status, 403, "the gateway alone writes it");
    guarded.gateway.drain().await;

    let guarded = Guarded::start(&[&data_dir]).await;
    let refused = guarded
        .connect(&json!({"token": ann}))
        .await
        .until("44")
        .await;
    assert!(refused.contains("revoked"), "{refused}");
    guarded
        .connect(&json!({"token": bob}))
        .await
        .until("40")
        .await;
    guarded.gateway.drain().await;
}

#[tokio::test]
async fn a_topic_that_begins_anew_as_anothers_is_ended_for_who_owned_it() {
    let guarded = Guarded::start(&[]).await;
    let patterns = Topics {
        sub: Some(&["job:*"]),
        publish: None,
    };
    let by_pattern = token("eve", None, patterns, Duration::from_mins(10));
    guarded.publish("job:a", Some("ann")).await;
    let mut socketio = guarded.connect(&json!({"token": user("ann")})).await;
    let mut stays = guarded.connect(&json!({ "token": by_pattern })).await;
    for client in [&mut socketio, &mut stays] {
        client.until("40").await;
        assert_eq!(
            client.ask(1, "subscribe", &json!("job:a")).await["ok"],
            true
        );
    }
    let path = format!("/ws/a?token={}", user("ann"));
    let mut plain = guarded.websocket(&path, &[]).await.unwrap();
    plain.say("{}").await;
    plain.until("{").await;
    let url = guarded.url(&format!("/v1/topics/job:a/events?token={}", user("ann")));
    let stream = guarded.http.get(url).header("accept", "text/event-stream");
    let stream = stream.send().await.unwrap();

    let url = guarded.url("/v1/topics/job:a");
    let deleted = guarded.http.delete(url).bearer_auth(admin()).send().await;
    assert!(deleted.unwrap().status().is_success());
    let event = json!({"name": "progress", "data": {"for": "bob alone"}, "owner": "bob"});
    let path = "/v1/topics/job:a/events";
    let (status, said) = guarded.post(path, &admin(), &event).await;
    assert_eq!(status, 200, "{said}");

    let heard = socketio.all_until(r#"42["unsubscribed""#).await.join(" ");
    assert!(!heard.contains("bob alone"), "{heard}");
    let again = socketio.ask(2, "subscribe", &json!("job:a")).await;
    assert_eq!(again["code"], "unknown_topic", "{again}");
    let heard = plain.last_words().await.join(" ");
    assert!(heard.contains("somebody else's"), "{heard}");
    assert!(!heard.contains("bob alone"), "{heard}");
    let read = tokio::time::timeout(DEADLINE, stream.text()).await;
    let heard = read.expect("the stream ends").unwrap();
    assert!(heard.contains("progress"), "{heard}");
    assert!(!heard.contains("bob alone"), "{heard}");
    stays.until(r#"42["progress",{"for":"bob alone""#).await;
    guarded.gateway.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_before_being_connected_leaves_nothing_behind() {
    let guarded = Guarded::start(&["drain.limit=5s", "limit.connections_per_user_max=1000"]).await;
    let connect = format!("40{}", json!({"token": user("ann")}));
    for _ in 0..200 {
        let mut client = guarded.open_socket(&[]).await.unwrap();
        client.say(&connect).await;
    }
    assert_eq!(guarded.gateway.drain().await, 0, "tasks that never end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_nothing_in_a_drain_does_not_hold_it() {
    let guarded = Guarded::start(&["drain.limit=5s", "drain.grace=100ms"]).await;
    let url = guarded.url("/socket.io/?EIO=4&transport=polling");
    let opened = guarded.http.get(&url).send().await.unwrap();
    let opened = opened.text().await.unwrap();
    let (_, rest) = opened.split_once(r#""sid":""#).unwrap();
    let (sid, _) = rest.split_once('"').unwrap();
    let url = format!("{url}&sid={sid}");
    let connect = format!("40{}", json!({"token": user("ann")}));
    let posted = guarded.http.post(&url).body(connect).send().await.unwrap();
    assert_eq!(posted.status(), 200);
    let connected = guarded.http.get(&url).send().await.unwrap();
    let connected = connected.text().await.unwrap();
    assert!(connected.starts_with("40"), "{connected}");
    // It polls no more.
    assert_eq!(guarded.gateway.drain().await, 0, "tasks that never end");
}
