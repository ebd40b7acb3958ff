//! Libraries and scans: of what one may not have, one learns nothing.

use super::*;

/// Topics that a token names, for as long as the test runs.
fn topics(sub: Vec<String>, publish: Vec<String>) -> Topics {
    let keep = |texts: Vec<String>| -> &'static [&'static str] {
        let texts: Vec<&'static str> = texts
            .into_iter()
            .map(|text| &*Box::leak(text.into_boxed_str()))
            .collect();
        Box::leak(texts.into_boxed_slice())
    };
    Topics {
        sub: Some(keep(sub)),
        publish: Some(keep(publish)),
    }
}

fn of(sub: &str, topics: Topics) -> String {
    token(sub, None, topics, Duration::from_mins(10))
}

impl Guarded {
    async fn library(&self, name: &str) -> String {
        let (status, said) = self
            .post("/v1/libraries", &admin(), &json!({"name": name}))
            .await;
        assert_eq!(status, 201, "{said}");
        said["id"].as_str().unwrap().to_owned()
    }

    async fn add(&self, library: &str, token: &str) -> (u16, Value) {
        let path = format!("/v1/libraries/{library}/documents");
        let document = json!({"title": "T", "text": "a secret of the library"});
        self.post(&path, token, &document).await
    }

    async fn delete(&self, path: &str, token: &str) -> (u16, Value) {
        let request = self.http.delete(self.url(path)).bearer_auth(token);
        answer(request.send().await.unwrap()).await
    }

    /// Everything that can be asked of a library, with the answers.
    async fn all_of(&self, library: &str, document: &str, token: &str) -> Vec<(u16, String)> {
        let base = format!("/v1/libraries/{library}");
        let one = format!("{base}/documents/{document}");
        let query = json!({"query": "secret", "k": 3});
        let answers = [
            self.get(&base, Some(token)).await,
            self.get(&format!("{base}/documents"), Some(token)).await,
            self.get(&one, Some(token)).await,
            self.get(&format!("{base}/documents/stream"), Some(token))
                .await,
            self.post(&format!("{base}/search"), token, &query).await,
            self.add(library, token).await,
            self.post(
                &format!("{base}/documents/stream"),
                token,
                &json!({"text": "x"}),
            )
            .await,
            self.delete(&one, token).await,
            self.delete(&base, token).await,
        ];
        answers
            .into_iter()
            .map(|(status, mut said)| {
                said["request_id"] = Value::Null;
                let said = said.to_string().replace(library, "LIBRARY");
                (status, said.replace(document, "DOCUMENT"))
            })
            .collect()
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table, read from top to bottom")]
async fn of_other_libraries_nothing_is_told() {
    let guarded = Guarded::start(&[]).await;
    let (mine, other) = (
        guarded.library("mine").await,
        guarded.library("other").await,
    );
    let (_, added) = guarded.add(&mine, &admin()).await;
    let my_document = added["id"].as_str().unwrap().to_owned();
    let (_, added) = guarded.add(&other, &admin()).await;
    let document = added["id"].as_str().unwrap().to_owned();
    let reader = of("ann", topics(vec![format!("library:{mine}")], Vec::new()));
    let writer = of("bob", topics(Vec::new(), vec![format!("library:{mine}")]));
    let absent = "00000000-0000-4000-8000-000000000000";

    for token in [&reader, &writer] {
        let there = guarded.all_of(&other, &document, token).await;
        let nowhere = guarded.all_of(absent, absent, token).await;
        assert_eq!(there, nowhere);
        assert!(there.iter().all(|(status, _)| *status == 404), "{there:?}");
    }
    let answers = guarded.all_of(&mine, &my_document, &reader).await;
    let statuses: Vec<u16> = answers.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 403, 403, 403, 403]);

    // The list and the numbers hold what one may read.
    let (_, listed) = guarded.get("/v1/libraries", Some(&reader)).await;
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    let socket = |library: &str, token: &str| format!("/v1/libraries/{library}/ws?token={token}");
    let mut watching = guarded
        .websocket(&socket(&mine, &reader), &[])
        .await
        .unwrap();
    watching.until("{").await;
    let mut others = guarded
        .websocket(&socket(&other, &admin()), &[])
        .await
        .unwrap();
    others.until("{").await;
    let (_, numbers) = guarded.get("/v1/websockets/stats", Some(&reader)).await;
    assert_eq!(numbers["total_connections"], 1, "{numbers}");
    assert!(!numbers.to_string().contains(&other), "{numbers}");
    let (_, numbers) = guarded.get("/v1/websockets/stats", Some(&admin())).await;
    assert_eq!(numbers["total_connections"], 2, "{numbers}");

    // One may search where one may read, and change nothing; elsewhere there is nothing.
    let ask = |action: &str, data: Value| {
        json!({"type": "request", "action": action, "request_id": action, "data": data}).to_string()
    };
    watching
        .say(&ask("search", json!({"query_text": "secret"})))
        .await;
    assert!(watching.until("{").await.contains("\"success\":true"));
    for (action, data) in [
        ("add", json!({"text": "x"})),
        ("delete", json!({"document_id": my_document})),
    ] {
        watching.say(&ask(action, data)).await;
        let said = watching.until("{").await;
        assert!(said.contains("Insufficient permissions"), "{said}");
    }
    let mut ends = Vec::new();
    for library in [other.as_str(), absent] {
        let mut socket = guarded
            .websocket(&socket(library, &reader), &[])
            .await
            .unwrap();
        ends.push(
            socket
                .last_words()
                .await
                .join(" ")
                .replace(library, "LIBRARY"),
        );
    }
    assert_eq!(ends[0], ends[1]);
    assert!(ends[0].contains("not found"), "{ends:?}");
    guarded.gateway.drain().await;
}

#[tokio::test]
async fn the_events_of_all_libraries_are_those_that_one_may_follow_and_have_a_place() {
    let guarded = Guarded::start(&["limit.connections_per_user_max=1"]).await;
    let (mine, other) = (
        guarded.library("mine").await,
        guarded.library("other").await,
    );
    let reader = of("ann", topics(vec![format!("library:{mine}")], Vec::new()));
    let open = async || {
        let request = guarded.http.get(guarded.url("/v1/events/stream"));
        request.bearer_auth(&reader).send().await.unwrap()
    };
    let mut stream = open().await;
    assert_eq!(stream.status(), 200);
    let (status, said) = answer(open().await).await;
    assert_eq!(
        (status, &said["limit"]),
        (429, &json!("limit.connections_per_user_max")),
        "{said}"
    );
    guarded.add(&other, &admin()).await;
    guarded.add(&mine, &admin()).await;
    let mut heard = String::new();
    let hearing = async {
        while !heard.contains("document.added") {
            let piece = stream.chunk().await.unwrap().expect("it goes on");
            heard.push_str(&String::from_utf8_lossy(&piece));
        }
    };
    tokio::time::timeout(DEADLINE, hearing)
        .await
        .expect("the event");
    assert!(heard.contains(&mine) && !heard.contains(&other), "{heard}");
    guarded.gateway.drain().await;
}

#[tokio::test]
async fn a_scan_is_begun_by_those_who_may_and_seen_by_those_who_may() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret.txt"), "s").unwrap();
    let roots = format!("producer.scan.roots={}", dir.path().display());
    let guarded = Guarded::start(&[&roots]).await;
    let owned = |texts: &[&str]| {
        texts
            .iter()
            .map(|&text| text.to_owned())
            .collect::<Vec<_>>()
    };
    let reader = of("ann", topics(owned(&["scan:mine"]), owned(&[])));
    let writer = of("bob", topics(owned(&["scan:mine"]), owned(&["scan:mine"])));
    let stranger = of(
        "eve",
        topics(owned(&["scan:other"]), owned(&["scan:other"])),
    );
    let path = |token: &str| format!("/ws/scan/mine?token={token}");
    let scan = json!({"action": "scan", "path": dir.path(), "recursive": true}).to_string();

    let mut reads = guarded.websocket(&path(&reader), &[]).await.unwrap();
    for action in [scan.as_str(), r#"{"action":"cancel"}"#] {
        reads.say(action).await;
        let said = reads.until("{").await;
        assert!(said.contains("Insufficient permissions"), "{said}");
    }
    let mut writes = guarded.websocket(&path(&writer), &[]).await.unwrap();
    writes.say(&scan).await;
    for client in [&mut writes, &mut reads] {
        loop {
            let said = client.until("{").await;
            if said.contains("\"completed\"") {
                assert!(said.contains("secret.txt"), "{said}");
                break;
            }
        }
    }
    let mut sees = guarded.websocket(&path(&stranger), &[]).await.unwrap();
    let said = sees.last_words().await.join(" ");
    assert!(
        said.contains("that you may follow") && !said.contains("secret"),
        "{said}"
    );
    guarded.gateway.drain().await;
}
