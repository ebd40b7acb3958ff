//! Libraries over HTTP: their REST, import and export, their events, and a service behind them.

mod service;

use std::convert::Infallible;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::{Answer, DEADLINE, Face, request};

const NDJSON: &str = "application/x-ndjson";

async fn library(face: &Face) -> String {
    let answer = face.post("/v1/libraries", r#"{"name":"Papers"}"#).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    answer.json()["id"].as_str().unwrap().to_owned()
}

async fn add(face: &Face, library: &str, document: Value) -> Value {
    let path = format!("/v1/libraries/{library}/documents");
    let answer = face.post(&path, &document.to_string()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    answer.json()
}

async fn delete(face: &Face, path: &str) -> Answer {
    face.call(request(Method::DELETE, path, &[], "")).await
}

/// Waits until something is so.
async fn until<F: Future<Output = bool>>(mut is_so: impl FnMut() -> F) {
    let waiting = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting)
        .await
        .expect("it is so in time");
}

/// The documents of a library, one a page: this one, then the cats.
async fn page_by_page(face: &Face, id: &str, added: &Value) {
    let page = face
        .get(&format!("/v1/libraries/{id}/documents?limit=1"))
        .await
        .json();
    assert_eq!(
        (&page["documents"][0]["id"], &page["next"]),
        (&added["id"], &added["id"])
    );
    let next = format!(
        "/v1/libraries/{id}/documents?after={}",
        page["next"].as_str().unwrap()
    );
    let page = face.get(&next).await.json();
    assert_eq!(
        (page["documents"][0]["title"].as_str(), &page["next"]),
        (Some("Cats"), &Value::Null)
    );
}

#[tokio::test]
async fn a_library_lives_from_its_making_to_its_end() {
    let face = Face::new();
    let id = library(&face).await;
    let added = add(
        &face,
        &id,
        json!({ "title": "Foxes", "texts": ["The quick brown fox.", "It jumps."], "author": "A" }),
    )
    .await;
    assert_eq!(added["num_chunks"], 2);
    add(&face, &id, json!({ "title": "Cats", "text": "A cat." })).await;

    for body in [r#"{"query":"fox","k":5}"#, r#"{"query_text":"fox"}"#] {
        let found = face.post(&format!("/v1/libraries/{id}/search"), body).await;
        let found = found.json();
        assert_eq!(found["total_results"], 1, "{found}");
        let hit = &found["results"][0];
        assert_eq!(hit["id"], added["id"]);
        assert_eq!(hit["metadata"]["author"], "A");
        assert_eq!(hit["metadata"]["snippet"], "The quick brown **fox**.");
        assert_eq!(hit["chunk"]["text"], hit["text"]);
    }

    let path = format!(
        "/v1/libraries/{id}/documents/{}",
        added["id"].as_str().unwrap()
    );
    let document = face.get(&path).await.json();
    assert_eq!(document["text"], "The quick brown fox.\n\nIt jumps.");
    page_by_page(&face, &id, &added).await;

    assert_eq!(delete(&face, &path).await.status, StatusCode::NO_CONTENT);
    face.get(&path).await.problem(404, "document_unknown");
    let library = face.get(&format!("/v1/libraries/{id}")).await.json();
    assert_eq!(
        (&library["name"], &library["num_documents"]),
        (&json!("Papers"), &json!(1))
    );
    let path = format!("/v1/libraries/{id}");
    assert_eq!(delete(&face, &path).await.status, StatusCode::NO_CONTENT);
    let problem = face.get(&path).await.problem(404, "library_unknown");
    assert_eq!(problem["detail"], format!("Library {id} not found"));
    assert_eq!(face.get("/v1/libraries").await.json(), json!([]));

    let events = face.events(&format!("library:{id}")).await;
    let names: Vec<_> = events
        .iter()
        .map(|event| event["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "library.created",
            "document.added",
            "document.added",
            "document.deleted",
            "library.deleted"
        ]
    );
    let told = &events[1]["data"];
    assert_eq!(told["document_id"], added["id"]);
    assert_eq!(
        (&told["title"], &told["num_chunks"]),
        (&json!("Foxes"), &json!(2))
    );
}

#[tokio::test]
async fn what_is_no_library_document_or_search_is_refused_in_words() {
    let face = Face::with(|parts| {
        parts.store.documents.libraries_max = 1;
        parts.store.documents.document_bytes_max = tidings::quantity::ByteSize(64);
    });
    let id = library(&face).await;
    let other = "8179ce48-fd2b-4141-9ab0-9cfba4f6848b";
    face.post("/v1/libraries", r#"{"name":"Second"}"#)
        .await
        .problem(507, "libraries_full");
    for (body, status, code) in [
        ("{", 400, "not_json"),
        ("[]", 422, "shape"),
        (r#"{"name":1}"#, 422, "shape"),
        ("{}", 422, "document_invalid"),
        (r#"{"name":" "}"#, 422, "document_invalid"),
    ] {
        face.post("/v1/libraries", body).await.problem(status, code);
    }
    let long = json!({ "text": "x".repeat(65) }).to_string();
    for (body, status, code) in [
        ("{}", 422, "document_invalid"),
        (r#"{"text":""}"#, 422, "document_invalid"),
        (r#"{"texts":"a"}"#, 422, "shape"),
        (r#"{"text":"a","metadata":[]}"#, 422, "shape"),
        (&long, 413, "payload_too_large"),
    ] {
        let path = format!("/v1/libraries/{id}/documents");
        face.post(&path, body).await.problem(status, code);
    }
    for (body, status, code) in [
        ("{}", 422, "document_invalid"),
        (r#"{"query":""}"#, 422, "document_invalid"),
        (r#"{"query":"a","k":0}"#, 422, "document_invalid"),
        (r#"{"query":"a","k":101}"#, 422, "document_invalid"),
        (r#"{"query":"a","k":-1}"#, 422, "shape"),
        (r#"{"query":7}"#, 422, "shape"),
    ] {
        let path = format!("/v1/libraries/{id}/search");
        face.post(&path, body).await.problem(status, code);
    }
    for bad in ["x", "..%2F..%2Fetc", "%00", "a%00b", "%E4%BD%A0"] {
        face.get(&format!("/v1/libraries/{bad}"))
            .await
            .problem(422, "id_invalid");
        let path = format!("/v1/libraries/{id}/documents/{bad}");
        face.get(&path).await.problem(422, "id_invalid");
    }
    for path in [
        "",
        "/documents",
        "/documents/stream",
        &format!("/documents/{other}"),
    ] {
        let path = format!("/v1/libraries/{other}{path}");
        face.get(&path).await.problem(404, "library_unknown");
    }
    let hostile = json!({ "query": "\"a\u{0}' OR NEAR( ; DROP TABLE document" }).to_string();
    let found = face
        .post(&format!("/v1/libraries/{id}/search"), &hostile)
        .await;
    assert_eq!(
        (found.status, found.json()["total_results"].as_u64()),
        (StatusCode::OK, Some(0))
    );
}

#[tokio::test]
async fn an_import_streams_and_an_export_gives_it_back() {
    let face = Face::with(|parts| parts.http.import_results_max = 2);
    let id = library(&face).await;
    let path = format!("/v1/libraries/{id}/documents/stream");
    // Lines are cut anywhere, the last has no end.
    let text =
        "{\"title\":\"a\",\"text\":\"one\"}\n\n{\"title\":\"b\"}\nno\n{\"texts\":[\"two ä\"]}";
    let pieces: Vec<_> = text
        .as_bytes()
        .chunks(3)
        .map(|piece| Ok::<_, Infallible>(Bytes::copy_from_slice(piece)))
        .collect();
    let wanted = Request::post(&path)
        .header("content-type", NDJSON)
        .body(Body::from_stream(stream::iter(pieces)))
        .unwrap();
    let answer = face.call(wanted).await.json();
    assert_eq!(
        (&answer["successful"], &answer["failed"]),
        (&json!(2), &json!(2)),
        "{answer}"
    );
    assert_eq!(
        (&answer["results"][0]["title"], &answer["results_left_out"]),
        (&json!("a"), &json!(2))
    );
    assert_eq!(
        answer["results"][1],
        json!({ "success": false, "error": "text is required" })
    );

    let exported = face.get(&path).await;
    assert_eq!(exported.header("content-type"), NDJSON);
    let lines: Vec<Value> = exported
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (&lines[0]["text"], &lines[1]["text"]),
        (&json!("one"), &json!("two ä"))
    );
    let again = library(&face).await;
    let path = format!("/v1/libraries/{again}/documents/stream");
    let answer = face.post_as(&path, NDJSON, &exported.text()).await.json();
    assert_eq!(
        (&answer["successful"], &answer["failed"]),
        (&json!(2), &json!(0))
    );
}

#[tokio::test]
async fn a_line_without_an_end_is_refused() {
    let face = Face::with(|parts| parts.http.body_bytes_max = tidings::quantity::ByteSize(1024));
    let id = library(&face).await;
    let path = format!("/v1/libraries/{id}/documents/stream");
    let endless = stream::repeat(Ok::<_, Infallible>(Bytes::from_static(b"xxxxxxxx")));
    let wanted = Request::post(&path)
        .body(Body::from_stream(endless))
        .unwrap();
    face.call(wanted).await.problem(413, "body_too_large");
}

#[tokio::test]
async fn a_background_import_is_a_job_with_progress() {
    let face = Face::new();
    let id = library(&face).await;
    let path = format!("/v1/libraries/{id}/documents/stream");
    let lines: String = (0..200)
        .map(|n| {
            if n == 7 {
                "bad\n".to_owned()
            } else {
                format!("{{\"text\":\"text {n}\"}}\n")
            }
        })
        .collect();
    let headers = [("prefer", "respond-async"), ("content-type", NDJSON)];
    let answer = face
        .call(request(Method::POST, &path, &headers, &lines))
        .await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    let (topic, total) = (
        answer.json()["topic"].clone(),
        answer.json()["total"].clone(),
    );
    assert_eq!(total, 200);
    let topic = topic.as_str().unwrap().to_owned();
    until(|| async {
        let snapshot = face.get(&format!("/v1/topics/{topic}")).await;
        snapshot.status == StatusCode::OK && snapshot.json()["status"] == "completed"
    })
    .await;
    let events = face.events(&topic).await;
    let names: Vec<_> = events
        .iter()
        .map(|event| event["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        (names[0], names[names.len() - 1]),
        ("job_started", "job_completed")
    );
    assert!(
        names[1..names.len() - 1]
            .iter()
            .all(|name| *name == "progress")
    );
    let last = &events[events.len() - 1]["data"];
    assert_eq!(
        (&last["progress"], &last["metadata"]["successful"]),
        (&json!(100), &json!(199))
    );
    assert_eq!(last["metadata"]["failed"], 1);
    let library = face.get(&format!("/v1/libraries/{id}")).await.json();
    assert_eq!(library["num_documents"], 199);
    let added = face.events(&format!("library:{id}")).await;
    assert_eq!(added.len(), 200, "each is told");
}

/// The events of a stream of all libraries, up to the one that holds a text.
async fn read_until(body: &mut Body, text: &mut String, wanted: &str) {
    let reading = async {
        while !text.contains(wanted) {
            let frame = body.frame().await.expect("the stream goes on").unwrap();
            text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    };
    let read = tokio::time::timeout(DEADLINE, reading).await;
    assert!(read.is_ok(), "no {wanted:?} in {text:?}");
}

#[tokio::test]
async fn the_events_of_all_libraries_come_on_one_stream() {
    let face = Face::new();
    let known = library(&face).await;
    add(&face, &known, json!({ "title": "before", "text": "x" })).await;
    let response = face
        .send(request(Method::GET, "/v1/events/stream", &[], ""))
        .await;
    let (parts, mut body) = response.into_parts();
    assert_eq!(parts.headers["content-type"], "text/event-stream");
    let mut text = String::new();
    read_until(&mut body, &mut text, "retry:").await;

    add(&face, &known, json!({ "title": "after", "text": "x" })).await;
    read_until(&mut body, &mut text, "after").await;
    let new = library(&face).await;
    add(&face, &new, json!({ "title": "within", "text": "x" })).await;
    read_until(&mut body, &mut text, "within").await;
    delete(&face, &format!("/v1/libraries/{known}")).await;
    read_until(&mut body, &mut text, "event: library.deleted").await;
    assert!(!text.contains("before"), "{text}");
    let created = format!("\"library_id\":\"{new}\",\"name\":\"Papers\"");
    assert!(text.contains(&created), "{text}");
    assert!(text.find("library.created") < text.find("within"), "{text}");

    face.drain.begin();
    let rest = tokio::time::timeout(DEADLINE, StreamExt::count(body.into_data_stream())).await;
    assert!(rest.is_ok(), "the stream ends with the drain");
}

#[tokio::test]
async fn a_client_of_the_stream_that_comes_back_gets_what_it_missed() {
    const STREAM: &str = "/v1/events/stream";
    let face = Face::new();
    let (first, second) = (library(&face).await, library(&face).await);
    let opened = face.send(request(Method::GET, STREAM, &[], "")).await;
    let (mut body, mut text) = (opened.into_body(), String::new());
    read_until(&mut body, &mut text, "retry:").await;
    add(&face, &first, json!({ "title": "had", "text": "x" })).await;
    read_until(&mut body, &mut text, "\"had\"").await;
    let id = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("id: "));
    let id = id.unwrap().to_owned();
    drop(body);

    add(&face, &first, json!({ "title": "missed 1", "text": "x" })).await;
    add(&face, &second, json!({ "title": "missed 2", "text": "x" })).await;
    let new = library(&face).await;
    add(&face, &new, json!({ "title": "missed 3", "text": "x" })).await;
    delete(&face, &format!("/v1/libraries/{second}")).await;
    let headers = [("last-event-id", id.as_str())];
    let again = face.send(request(Method::GET, STREAM, &headers, "")).await;
    let (mut body, mut text) = (again.into_body(), String::new());
    for missed in ["missed 1", "missed 2", "missed 3", "library.deleted"] {
        read_until(&mut body, &mut text, missed).await;
    }
    add(&face, &first, json!({ "title": "live", "text": "x" })).await;
    read_until(&mut body, &mut text, "\"live\"").await;
    assert!(!text.contains("\"had\""), "{text}");
    for once in ["missed 1", "missed 2", "missed 3", "library.deleted"] {
        assert_eq!(text.matches(once).count(), 1, "{once}: {text}");
    }
    let refused = face.get(&format!("{STREAM}?since=yesterday")).await;
    assert_eq!(refused.status.as_u16(), 422);
    face.drain.begin();
}

#[tokio::test]
async fn the_stats_are_empty_when_nobody_watches() {
    let face = Face::new();
    let stats = face.get("/v1/websockets/stats").await.json();
    let want = json!({
        "total_connections": 0, "libraries_with_subscribers": 0, "subscriptions_by_library": {},
    });
    assert_eq!(stats, want);
}

#[tokio::test]
async fn documents_and_their_events_are_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().to_owned();
    let face = Face::with(|parts| parts.store.data_dir = Some(place.clone()));
    let id = library(&face).await;
    let added = add(&face, &id, json!({ "title": "Durable", "text": "words" })).await;
    face.drain.begin();
    assert_eq!(face.drain.finished(DEADLINE).await, 0);
    drop(face);

    let face = Face::with(|parts| parts.store.data_dir = Some(place));
    let found = face
        .post(
            &format!("/v1/libraries/{id}/search"),
            r#"{"query":"words"}"#,
        )
        .await;
    assert_eq!(found.json()["results"][0]["id"], added["id"]);
    add(&face, &id, json!({ "title": "Second", "text": "words" })).await;
    let events = face.events(&format!("library:{id}")).await;
    assert_eq!(events.len(), 3, "nothing is told twice: {events:?}");
}
