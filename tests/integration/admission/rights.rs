//! Rights: roles, actions and many topic names, on every face.

use std::time::Duration;

use super::*;

/// Somebody with what they may do, told apart from the gateway's own function.
pub(super) struct Somebody {
    pub(super) token: String,
    pub(super) may_follow: fn(&str, Option<&str>) -> bool,
    pub(super) may_publish: fn(&str) -> bool,
}

pub(super) fn everybody() -> Vec<Somebody> {
    let topics = |sub, publish| Topics { sub, publish };
    let of = |sub: &str, role, topics| token(sub, role, topics, Duration::from_mins(10));
    vec![
        Somebody {
            token: of("ann", None, topics(None, None)),
            may_follow: |topic, owner| owner == Some("ann") || topic == "documents:ann",
            may_publish: |_| false,
        },
        Somebody {
            token: of(
                "bob",
                None,
                topics(Some(&["job:*", "session:s-1"]), Some(&["room:*"])),
            ),
            may_follow: |topic, _| topic.starts_with("job:") || topic == "session:s-1",
            may_publish: |topic| topic.starts_with("room:"),
        },
        Somebody {
            token: of("eve", None, topics(Some(&[]), None)),
            may_follow: |_, _| false,
            may_publish: |_| false,
        },
        Somebody {
            token: of(
                "worker",
                Some("producer"),
                topics(None, Some(&["session:s-*"])),
            ),
            may_follow: |topic, _| topic.starts_with("session:s-"),
            may_publish: |topic| topic.starts_with("session:s-"),
        },
        Somebody {
            token: admin(),
            may_follow: |_, _| true,
            may_publish: |topic| topic != "system:revocations",
        },
    ]
}

/// Names of every kind, some close to those that somebody may have. The same each time.
pub(super) fn names(count: usize) -> Vec<String> {
    let kinds = [
        "session",
        "job",
        "scan",
        "library",
        "documents",
        "room",
        "system",
    ];
    let stems = [
        "s-",
        "s",
        "ann",
        "bob",
        "ann.",
        "annn",
        "x",
        "S-",
        "s-1",
        "job",
        "revocations",
    ];
    let mut state: u64 = 0x5eed;
    let mut next = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % below
    };
    let name = |_| {
        let (kind, stem) = (kinds[next(kinds.len())], stems[next(stems.len())]);
        match next(4) {
            0 => format!("{kind}:{stem}"),
            1 => format!("{kind}:{stem}{}", next(10)),
            _ => format!("{kind}:{stem}{}", next(100_000)),
        }
    };
    (0..count).map(name).collect()
}

pub(super) fn owner(number: usize) -> Option<&'static str> {
    [Some("ann"), Some("bob"), None, Some("annn")][number % 4]
}

/// A refusal without what differs from request to request.
pub(super) fn shape(mut refusal: Value, topic: &str) -> String {
    refusal["request_id"] = Value::Null;
    refusal.to_string().replace(topic, "TOPIC")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_lets_nobody_in_who_may_not_and_tells_nothing() {
    let guarded = Guarded::start(&[]).await;
    let mut names = names(60);
    names.sort();
    names.dedup();
    names.retain(|name| name != "system:revocations");
    for (number, name) in names.iter().enumerate() {
        guarded.publish(name, owner(number)).await;
    }
    for somebody in everybody() {
        let token = Some(somebody.token.as_str());
        for (number, name) in names.iter().enumerate() {
            let may_follow = (somebody.may_follow)(name, owner(number));
            let absent = format!("{}:absent-{number}", name.split_once(':').unwrap().0);
            for (path, absent_path) in paths(name).into_iter().zip(paths(&absent)) {
                let (status, said) = guarded.get(&path, token).await;
                if may_follow {
                    assert_eq!(status, 200, "{path} {said}");
                    continue;
                }
                let (absent_status, absent_said) = guarded.get(&absent_path, token).await;
                assert_eq!(
                    (status, absent_status),
                    (404, 404),
                    "{path} {said} {absent_said}"
                );
                assert_eq!(shape(said, name), shape(absent_said, &absent), "{path}");
            }
            let event = json!({"name": "progress", "data": {}});
            let path = format!("/v1/topics/{name}/events");
            let (status, said) = guarded.post(&path, &somebody.token, &event).await;
            let may_publish = (somebody.may_publish)(name);
            assert_eq!(status, if may_publish { 200 } else { 403 }, "{path} {said}");
        }
        let (_, page) = guarded.get("/v1/topics?limit=1000", token).await;
        let listed: Vec<&str> = page["topics"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line["topic"].as_str().unwrap())
            .filter(|topic| *topic != "system:revocations")
            .collect();
        let expected: Vec<&str> = names
            .iter()
            .enumerate()
            .filter(|(number, name)| (somebody.may_follow)(name, owner(*number)))
            .map(|(_, name)| name.as_str())
            .collect();
        assert_eq!(listed, expected);
    }
    guarded.gateway.drain().await;
}

fn paths(topic: &str) -> Vec<String> {
    let mut paths = vec![
        format!("/v1/topics/{topic}"),
        format!("/v1/topics/{topic}/events"),
        format!("/v1/topics/{topic}/subscribers"),
    ];
    if topic.starts_with("session:") {
        let id = topic.split_once(':').unwrap().1;
        paths.push(format!("/api/wizard/session/{id}"));
        paths.push(format!("/api/wizard/status/{id}"));
        paths.push(format!("/api/wizard/clarifications/{id}"));
    }
    paths
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_ten_thousand_topics_socket_io_gives_those_that_may_be_had() {
    let guarded = Guarded::start(&[
        "face.socketio.subscriptions_max=20000",
        "limit.subscribes_per_minute=1000000",
        "limit.messages_per_minute=100000",
    ])
    .await;
    let mut names = names(10_000);
    names.sort();
    names.dedup();
    for (number, name) in names.iter().enumerate().take(200) {
        if name != "system:revocations" {
            guarded.publish(name, owner(number)).await;
        }
    }
    for somebody in everybody() {
        let mut client = guarded.connect(&json!({"token": somebody.token})).await;
        client.until("40").await;
        for (chunk, ids) in names.chunks(256).enumerate() {
            let number = u32::try_from(chunk).unwrap();
            let answers = client.ask(number, "subscribe", &json!(ids)).await;
            for (at, (name, answer)) in ids.iter().zip(answers.as_array().unwrap()).enumerate() {
                let number = chunk * 256 + at;
                let owner = owner(number).filter(|_| number < 200);
                let may = (somebody.may_follow)(name, owner);
                assert_eq!(answer["ok"], may, "{name} {answer}");
                if !may {
                    assert_eq!(answer["code"], "unknown_topic", "{answer}");
                }
            }
        }
    }
    guarded.gateway.drain().await;
}

#[tokio::test]
async fn streams_and_plain_websockets_ask_too() {
    let guarded = Guarded::start(&[]).await;
    guarded.publish("job:mine", Some("ann")).await;
    guarded.publish("job:other", Some("bob")).await;
    let token = user("ann");
    for (job, status) in [("mine", 200), ("other", 404), ("absent", 404)] {
        let url = guarded.url(&format!("/v1/topics/job:{job}/events?token={token}"));
        let request = guarded.http.get(url).header("accept", "text/event-stream");
        assert_eq!(request.send().await.unwrap().status(), status, "{job}");
    }
    let path = |job: &str| format!("/ws/{job}?token={token}");
    let mut mine = guarded.websocket(&path("mine"), &[]).await.unwrap();
    mine.say("{}").await;
    mine.until("{").await;
    for job in ["other", "absent"] {
        let mut socket = guarded.websocket(&path(job), &[]).await.unwrap();
        let said = socket.last_words().await.join(" ");
        assert!(said.contains("that you may follow"), "{said}");
    }
    // Without a credential there is no handshake at all, and in the query of a plain request none
    // is looked at.
    assert!(guarded.websocket("/ws/mine", &[]).await.is_err());
    let (status, said) = guarded
        .get(&format!("/v1/topics/job:mine?token={token}"), None)
        .await;
    assert_eq!(
        (status, &said["code"]),
        (401, &json!("unauthorized")),
        "{said}"
    );
    assert!(!said.to_string().contains(&token));
    guarded.gateway.drain().await;
}

#[tokio::test]
async fn every_path_asks_who_it_is() {
    let open = [
        "/healthz",
        "/readyz",
        "/health",
        "/version",
        "/openapi.json",
        "/asyncapi.json",
        "/docs",
    ];
    let guarded = Guarded::start(&[]).await;
    for path in tidings::face::http::paths() {
        let asked = path.replace("{topic}", "session:a").replace(['{', '}'], "");
        let (status, _) = guarded.get(&asked, None).await;
        // The counters may be read from this machine.
        let is_open = open.contains(&path) || path == "/metrics";
        assert_eq!(status == 401, !is_open, "{path}: {status}");
        let (status, _) = guarded.get(&asked, Some("nonsense")).await;
        assert_eq!(status == 401, !is_open, "{path}: {status}");
    }
    let (status, _) = guarded
        .get("/v1/admin/revocations", Some(&user("ann")))
        .await;
    assert_eq!(status, 403);
    guarded.gateway.drain().await;
}

#[tokio::test]
async fn producers_come_in_by_key_and_users_do_not() {
    use tidings::auth::{ApiKey, NewApiKey};

    let dir = tempfile::tempdir().unwrap();
    let data_dir = format!("store.data_dir={}", dir.path().display());
    let new = |name: &str| NewApiKey {
        name: name.to_owned(),
        is_admin: false,
        pub_topics: vec!["job:*".parse::<Pattern>().unwrap()].into(),
        sub_topics: None,
    };
    let (kept, key) = new("one").make();
    let file = dir.path().join("keys.toml");
    std::fs::write(&file, ApiKey::write(vec![kept])).unwrap();
    let guarded = Guarded::start(&[&data_dir]).await;
    let event = json!({"name": "progress", "data": {}});
    for (topic, expected) in [("job:a", 200), ("session:a", 403)] {
        let request = guarded
            .http
            .post(guarded.url(&format!("/v1/topics/{topic}/events")));
        let request = request.header("x-api-key", key.reveal()).json(&event);
        assert_eq!(request.send().await.unwrap().status(), expected, "{topic}");
    }
    let join = |token: &str| format!("40/producers,{}", json!({"token": token}));
    let mut client = guarded.open_socket(&[]).await.unwrap();
    client.until("0").await;
    client.say(&join(&user("ann"))).await;
    assert!(
        client
            .until("44/producers,")
            .await
            .contains("for producers")
    );
    client.say(&join(key.reveal())).await;
    client.until("40/producers,").await;
    for (topic, ok) in [("job:b", true), ("session:b", false)] {
        let publish = json!(["publish", {"topic": topic, "name": "progress", "data": {}}]);
        client.say(&format!("42/producers,7{publish}")).await;
        let said = client.until("43/producers,7").await;
        assert_eq!(said.contains("\"seq\":1"), ok, "{said}");
        assert_eq!(said.contains("forbidden"), !ok, "{said}");
    }

    // A key that leaves the file is known no more, and its connection ends.
    std::fs::write(&file, ApiKey::write(vec![new("two").make().0])).unwrap();
    let said = client.last_words().await.join(" ");
    assert!(said.contains("auth_revoked"), "{said}");
    guarded.gateway.drain().await;
}
