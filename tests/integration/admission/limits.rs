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
        "face.socketio.connect_timeout=1s",
    ])
    .await;
    let mut begun = Vec::new();
    for _ in 0..20 {
        begun.push(guarded.open_socket(&[]).await.unwrap());
    }
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
