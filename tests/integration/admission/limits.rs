//! Limits: whoever reaches one is told which, and nobody else notices.

use super::*;

#[tokio::test]
async fn a_users_connections_have_a_bound() {
    let guarded = Guarded::start(&["limit.connections_per_user_max=2"]).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = guarded.connect(&json!({"token": user("ann")})).await;
        client.until("40").await;
        held.push(client);
    }
    let mut third = guarded.connect(&json!({"token": user("ann")})).await;
    let said = third.until("44").await;
    assert!(said.contains("limit.connections_per_user_max"), "{said}");
    guarded
        .connect(&json!({"token": user("bob")}))
        .await
        .until("40")
        .await;
    let url = guarded.url(&format!(
        "/v1/topics/documents:ann/events?token={}",
        user("ann")
    ));
    let stream = guarded.http.get(url).header("accept", "text/event-stream");
    let (status, said) = answer(stream.send().await.unwrap()).await;
    assert_eq!(
        (status, &said["limit"]),
        (429, &json!("limit.connections_per_user_max"))
    );

    // A place is free again when its connection is gone.
    held.pop().unwrap().0.close(None).await.unwrap();
    let freed = async {
        loop {
            let mut client = guarded.connect(&json!({"token": user("ann")})).await;
            let said = client.until("4").await;
            if said.starts_with("40") {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, freed)
        .await
        .expect("the place is given back");
    guarded.gateway.drain().await;
}

#[tokio::test]
async fn messages_and_events_are_slowed_down_by_name() {
    let guarded =
        Guarded::start(&["limit.messages_per_minute=5", "limit.events_per_second=3"]).await;
    let mut client = guarded.connect(&json!({"token": user("ann")})).await;
    client.until("40").await;
    for number in 0..5 {
        let answer = client
            .ask(number, "subscribe", &json!("documents:ann"))
            .await;
        assert_eq!(answer["ok"], true, "{answer}");
    }
    let refused = client.ask(9, "subscribe", &json!("documents:ann")).await;
    assert_eq!(refused["code"], "limit_reached", "{refused}");
    assert!(
        refused["error"]
            .as_str()
            .unwrap()
            .contains("limit.messages_per_minute"),
        "{refused}"
    );

    let batch = json!([
        {"topic": "job:a", "name": "x"}, {"topic": "job:a", "name": "x"},
        {"topic": "job:a", "name": "x"},
    ]);
    let publish = || {
        guarded
            .http
            .post(guarded.url("/v1/events"))
            .bearer_auth(admin())
            .json(&batch)
    };
    let taken = publish().send().await.unwrap();
    assert_eq!(taken.status(), 200);
    assert_eq!(taken.headers()["ratelimit-policy"], r#""events";q=3;w=1"#);
    assert!(taken.headers().contains_key("ratelimit"));
    let refused = publish().send().await.unwrap();
    assert_eq!(refused.headers()["retry-after"], "1");
    let (status, said) = answer(refused).await;
    assert_eq!(
        (status, &said["limit"]),
        (429, &json!("limit.events_per_second")),
        "{said}"
    );
    let (_, counted) = guarded.get("/metrics", None).await;
    let counted = counted.as_str().unwrap().to_owned();
    let line = r#"tidings_limits_reached_total{limit="limit.events_per_second"} 1"#;
    assert!(counted.contains(line), "{counted}");
    assert!(!counted.contains("ann"), "no user is a label");
    guarded.gateway.drain().await;
}

#[tokio::test]
async fn handshakes_that_are_never_finished_have_a_bound() {
    let guarded = Guarded::start(&[
        "limit.handshakes_unfinished_max=20",
        "face.socketio.connect_timeout=4s",
    ])
    .await;
    // All are begun before the first has to be finished.
    let opening = (0..20).map(|_| guarded.open_socket(&[]));
    let opened = futures_util::future::join_all(opening).await;
    let mut begun: Vec<_> = opened.into_iter().map(Result::unwrap).collect();
    match guarded.open_socket(&[]).await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 429),
        other => panic!("{}", other.is_ok()),
    }
    // Those that do not finish are closed, and their places are free.
    for client in &mut begun {
        client.last_words().await;
    }
    guarded
        .connect(&json!({"token": user("ann")}))
        .await
        .until("40")
        .await;
    guarded.gateway.drain().await;
}

/// What is believed of where a client is.
fn from(address: &str) -> [(&'static str, &str); 1] {
    [("x-forwarded-for", address)]
}

/// The status of a websocket's handshake, 101 if it was let in, and the websocket.
async fn handshake(guarded: &Guarded, path: &str, address: &str) -> (u16, Option<Client>) {
    match guarded.websocket(path, &from(address)).await {
        Ok(client) => (101, Some(client)),
        Err(Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            let said = String::from_utf8_lossy(&body).into_owned();
            assert!(said.is_empty() || said.contains("limit."), "{said}");
            (response.status().as_u16(), None)
        }
        Err(error) => panic!("{error}"),
    }
}

/// Waits until all of these limits were counted.
async fn counted(guarded: &Guarded, limits: &[&str]) {
    let mut missing = Vec::new();
    let counting = async {
        loop {
            let (_, metrics) = guarded.get("/metrics", None).await;
            let metrics = metrics.as_str().unwrap();
            let is_counted = |limit: &&str| {
                metrics.contains(&format!(
                    r#"tidings_limits_reached_total{{limit="{limit}"}}"#
                ))
            };
            missing = limits
                .iter()
                .copied()
                .filter(|limit| !is_counted(limit))
                .collect();
            if missing.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let ended = tokio::time::timeout(DEADLINE, counting).await;
    assert!(ended.is_ok(), "not counted: {missing:?}");
}

#[tokio::test]
async fn addresses_behind_a_proxy_have_bounds_of_their_own() {
    let guarded = Guarded::start(&[
        r#"limit.trusted_proxies=["127.0.0.1"]"#,
        "limit.connections_per_address_max=2",
        "limit.handshakes_per_second=4",
    ])
    .await;
    let (engine, plain) = ("/socket.io/?EIO=4&transport=websocket", "/ws/connect");
    let first = handshake(&guarded, engine, "192.0.2.1").await;
    let second = handshake(&guarded, plain, "192.0.2.1").await;
    assert_eq!((first.0, second.0), (101, 101));
    for path in [engine, plain] {
        assert_eq!(
            handshake(&guarded, path, "192.0.2.1").await.0,
            429,
            "{path}"
        );
    }
    assert_eq!(handshake(&guarded, engine, "192.0.2.2").await.0, 101);
    drop((first, second));

    // Handshakes that fail for another reason are counted as well. So many at once are too many in
    // a second, however slow the machine is.
    let many = (0..40).map(|_| handshake(&guarded, engine, "192.0.2.9"));
    futures_util::future::join_all(many).await;
    counted(
        &guarded,
        &[
            "limit.connections_per_address_max",
            "limit.handshakes_per_second",
        ],
    )
    .await;
    guarded.gateway.drain().await;
}

/// A refusal over HTTP: its status, and the limit that it names.
async fn refused(guarded: &Guarded, path: &str, body: String) -> (u16, String) {
    let request = guarded.http.post(guarded.url(path)).bearer_auth(admin());
    let request = request
        .header("content-type", "application/json")
        .body(body);
    let (status, said) = answer(request.send().await.unwrap()).await;
    let limit = said["limit"]
        .as_str()
        .unwrap_or_else(|| panic!("{status} {said}"));
    assert!(
        said["detail"].as_str().unwrap().contains(limit) || status == 507,
        "{said}"
    );
    (status, limit.to_owned())
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table, read from top to bottom")]
async fn every_refusal_over_http_names_its_limit() {
    let guarded = Guarded::start(&[
        "hub.payload_bytes_max=1KiB",
        "hub.payload_depth_max=8",
        "hub.topics_max=3",
        "face.http.body_bytes_max=4KiB",
        "face.http.batch_entries_max=2",
        "store.documents.libraries_max=1",
        "store.documents.document_bytes_max=256B",
        "auth.revocations_max=1",
    ])
    .await;
    let (_, made) = guarded
        .post("/v1/libraries", &admin(), &json!({"name": "a"}))
        .await;
    let library = made["id"].as_str().unwrap();
    let (status, _) = guarded
        .post("/v1/admin/revocations", &admin(), &json!({"sub": "a"}))
        .await;
    assert_eq!(status, 201);
    let text = |bytes: usize| "x".repeat(bytes);
    let entry = r#"{"topic":"room:a","name":"n"}"#;
    let events = "/v1/topics/room:a/events";
    let deep = format!("{}{}", "[".repeat(9), "]".repeat(9));
    for (path, body, status, limit) in [
        (
            events,
            json!({"name": "n", "data": text(2000)}).to_string(),
            413,
            "hub.payload_bytes_max",
        ),
        (
            events,
            format!(r#"{{"name":"n","data":{deep}}}"#),
            422,
            "hub.payload_depth_max",
        ),
        (events, text(5000), 413, "face.http.body_bytes_max"),
        (
            "/v1/events",
            format!("[{entry},{entry},{entry}]"),
            413,
            "face.http.batch_entries_max",
        ),
        (
            "/v1/libraries",
            json!({"name": "b"}).to_string(),
            507,
            "store.documents.libraries_max",
        ),
        (
            &format!("/v1/libraries/{library}/documents"),
            json!({"text": text(300)}).to_string(),
            413,
            "store.documents.document_bytes_max",
        ),
        (
            "/v1/admin/revocations",
            json!({"sub": "b"}).to_string(),
            507,
            "auth.revocations_max",
        ),
    ] {
        assert_eq!(
            refused(&guarded, path, body).await,
            (status, limit.to_owned())
        );
    }
    let mut last = (200, String::new());
    for n in 0..4 {
        let path = format!("/v1/topics/room:more-{n}/events");
        let event = json!({"name": "n"}).to_string();
        let request = guarded
            .http
            .post(guarded.url(&path))
            .bearer_auth(admin())
            .body(event);
        let (status, said) = answer(request.send().await.unwrap()).await;
        last = (
            status,
            said["limit"].as_str().unwrap_or_default().to_owned(),
        );
    }
    assert_eq!(last, (503, "hub.topics_max".to_owned()));
    counted(
        &guarded,
        &[
            "hub.payload_bytes_max",
            "hub.payload_depth_max",
            "hub.topics_max",
            "face.http.body_bytes_max",
            "face.http.batch_entries_max",
            "store.documents.libraries_max",
            "store.documents.document_bytes_max",
            "auth.revocations_max",
        ],
    )
    .await;
    guarded.gateway.drain().await;
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table, read from top to bottom")]
async fn every_refusal_of_socket_io_names_its_limit() {
    let guarded = Guarded::start(&[
        "face.socketio.subscriptions_max=2",
        "face.socketio.subscribe_ids_max=4",
        "face.socketio.message_bytes_max=4KiB",
        "face.socketio.attachments_max=2",
        "face.socketio.payload_bytes_max=2000B",
        "hub.topic_subscribers_max=1",
        "limit.subscribes_per_minute=12",
    ])
    .await;
    let auth = json!({"token": admin()});
    let mut first = guarded.connect(&auth).await;
    first.until("40").await;
    let answer = first.ask(1, "subscribe", &json!(["a", "b", "c"])).await;
    let refused = |answer: &Value| answer["error"].as_str().unwrap_or_default().to_owned();
    assert!(
        refused(&answer[2]).contains("face.socketio.subscriptions_max"),
        "{answer}"
    );
    let answer = first
        .ask(2, "subscribe", &json!(["a", "b", "c", "d", "e"]))
        .await;
    assert!(
        refused(&answer).contains("face.socketio.subscribe_ids_max"),
        "{answer}"
    );
    let mut second = guarded.connect(&auth).await;
    second.until("40").await;
    let answer = second.ask(1, "subscribe", &json!("a")).await;
    assert!(
        refused(&answer).contains("hub.topic_subscribers_max"),
        "{answer}"
    );
    let mut last = Value::Null;
    for number in 2..12 {
        last = second.ask(number, "subscribe", &json!("b")).await;
    }
    assert!(
        refused(&last).contains("limit.subscribes_per_minute"),
        "{last}"
    );

    // What no answer can be given to is closed, and counted.
    second
        .say(&format!("42[\"x\",\"{}\"]", "x".repeat(5000)))
        .await;
    second.last_words().await;
    first
        .say(r#"453-["x",{"_placeholder":true,"num":0}]"#)
        .await;
    first.last_words().await;
    let url = guarded.url("/socket.io/?EIO=4&transport=polling");
    let opened = guarded
        .http
        .get(&url)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let handshake: Value = serde_json::from_str(&opened[1..]).unwrap();
    let url = format!("{url}&sid={}", handshake["sid"].as_str().unwrap());
    let posted = guarded
        .http
        .post(url)
        .body("4".repeat(3000))
        .send()
        .await
        .unwrap();
    assert_eq!(posted.status(), 413);
    let said = posted.text().await.unwrap();
    assert!(said.contains("face.socketio.payload_bytes_max"), "{said}");
    counted(
        &guarded,
        &[
            "face.socketio.subscriptions_max",
            "face.socketio.subscribe_ids_max",
            "face.socketio.message_bytes_max",
            "face.socketio.attachments_max",
            "face.socketio.payload_bytes_max",
            "hub.topic_subscribers_max",
            "limit.subscribes_per_minute",
        ],
    )
    .await;
    guarded.gateway.drain().await;
}

#[tokio::test]
async fn every_refusal_of_plain_websockets_names_its_limit() {
    let guarded = Guarded::start(&[
        "face.ws.message_bytes_max=1KiB",
        "face.ws.subscriptions_max=1",
        "face.ws.messages_per_minute_max=4",
        "limit.messages_per_minute=6",
    ])
    .await;
    guarded.publish("job:a", Some("ann")).await;
    guarded.publish("job:b", Some("ann")).await;
    let ends = async |path: &str, token: &str, says: &[String]| {
        let path = format!("{path}?token={token}");
        let mut socket = guarded.websocket(&path, &[]).await.unwrap();
        for say in says {
            let _ = socket.0.send(Message::text(say.clone())).await;
        }
        socket.last_words().await.join(" ")
    };
    let (ann, root) = (user("ann"), admin());
    let said = ends("/ws/a", &ann, &["x".repeat(2000)]).await;
    assert!(said.contains("face.ws.message_bytes_max"), "{said}");
    let many = vec!["{}".to_owned(); 5];
    let said = ends("/ws/a", &root, &many).await;
    assert!(said.contains("face.ws.messages_per_minute_max"), "{said}");
    // All connections of a user together have a bound as well.
    let said = ends("/ws/a", &root, &many).await;
    assert!(said.contains("limit.messages_per_minute"), "{said}");
    let more = json!({"type": "subscribe", "job_id": "b"}).to_string();
    let mut channel = guarded
        .websocket(&format!("/progress/ws/a?token={ann}"), &[])
        .await
        .unwrap();
    channel.say(&more).await;
    loop {
        let said = channel.until("{").await;
        if said.contains("face.ws.subscriptions_max") {
            break;
        }
    }
    counted(
        &guarded,
        &[
            "face.ws.message_bytes_max",
            "face.ws.messages_per_minute_max",
            "face.ws.subscriptions_max",
            "limit.messages_per_minute",
        ],
    )
    .await;
    guarded.gateway.drain().await;
}

#[tokio::test]
async fn refusals_of_assist_are_in_its_own_words_and_counted() {
    let guarded = Guarded::start(&[
        "face.ws.assistant.messages_max=2",
        "face.ws.assistant.rooms_max=1",
    ])
    .await;
    let mut assist = guarded
        .websocket(&format!("/ws/connect?token={}", user("bob")), &[])
        .await
        .unwrap();
    for room in ["one", "two", "three"] {
        let join = json!({"type": "join_room", "data": {"room": room}});
        assist.say(&join.to_string()).await;
    }
    assist
        .until(r#"{"error":"At most 1 rooms (`face.ws.assistant.rooms_max`)"#)
        .await;
    assist.until(r#"{"error":"Rate limit exceeded"#).await;
    counted(
        &guarded,
        &[
            "face.ws.assistant.messages_max",
            "face.ws.assistant.rooms_max",
        ],
    )
    .await;
    guarded.gateway.drain().await;
}

#[tokio::test]
async fn a_node_that_is_full_and_heads_that_are_too_large_are_counted() {
    let guarded = Guarded::start(&["wire.connections_max=6", "wire.header_bytes_max=8KiB"]).await;
    let big = "x".repeat(9000);
    let request = guarded
        .http
        .get(guarded.url("/healthz"))
        .header("x-big", big);
    // The gateway may close before it was told everything.
    if let Ok(response) = request.send().await {
        assert_eq!(response.status(), 431);
    }
    counted(&guarded, &["wire.header_bytes_max"]).await;
    let mut held = Vec::new();
    let full = async {
        loop {
            let tcp = TcpStream::connect(guarded.gateway.local_addr())
                .await
                .unwrap();
            let mut first = [0; 12];
            let refused = tokio::time::timeout(Duration::from_millis(300), tcp.peek(&mut first));
            match refused.await {
                Ok(Ok(1..)) => return first,
                _ => held.push(tcp),
            }
        }
    };
    let first = tokio::time::timeout(DEADLINE, full)
        .await
        .expect("it is full");
    assert_eq!(&first, b"HTTP/1.1 503");
    drop(held);
    counted(&guarded, &["wire.connections_max"]).await;
    guarded.gateway.drain().await;
}
