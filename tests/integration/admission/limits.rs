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
pub(super) async fn counted(guarded: &Guarded, limits: &[&str]) {
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
