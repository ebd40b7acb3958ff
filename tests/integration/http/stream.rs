//! Streams: server-sent events and lines of JSON.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tidings::drain::Drain;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

use super::{DEADLINE, Face, request};

const EVENTS: &str = "/v1/topics/session:a/events";

/// A stream that is being read.
struct Reading {
    headers: HeaderMap,
    body: Body,
    text: String,
}

impl Reading {
    async fn open(face: &Face, path: &str, headers: &[(&str, &str)]) -> Self {
        let response = face.send(request(Method::GET, path, headers, "")).await;
        assert_eq!(response.status(), StatusCode::OK);
        let (parts, body) = response.into_parts();
        Self {
            headers: parts.headers,
            body,
            text: String::new(),
        }
    }

    async fn sse(face: &Face, path: &str) -> Self {
        Self::open(face, path, &[("accept", "text/event-stream")]).await
    }

    /// Reads on until the text holds this; returns the text so far.
    async fn until(&mut self, wanted: &str) -> String {
        let reading = async {
            while !self.text.contains(wanted) {
                let frame = self
                    .body
                    .frame()
                    .await
                    .expect("the stream goes on")
                    .unwrap();
                self.text
                    .push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
            }
        };
        let ended = tokio::time::timeout(DEADLINE, reading).await;
        assert!(ended.is_ok(), "no {wanted:?} in {:?}", self.text);
        std::mem::take(&mut self.text)
    }

    /// Reads the rest.
    async fn rest(self) -> String {
        let rest = tokio::time::timeout(DEADLINE, self.body.collect()).await;
        String::from_utf8(rest.unwrap().unwrap().to_bytes().to_vec()).unwrap()
    }
}

/// The (id, event, data) of each event in a text.
fn parsed(text: &str) -> Vec<(String, String, Value)> {
    let field = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().to_owned()
    };
    let events = text.split("\n\n").filter(|block| block.contains("data: "));
    events
        .map(|block| {
            let data = serde_json::from_str(&field(block, "data: ")).unwrap();
            (field(block, "id: "), field(block, "event: "), data)
        })
        .collect()
}

#[tokio::test]
async fn a_stream_begins_with_the_snapshot_and_goes_live() {
    let face = Face::new();
    let first = face
        .publish("session:a", "progress", json!({"progress": 1}))
        .await;
    face.publish("session:a", "progress", json!({"progress": 2}))
        .await;
    let mut stream = Reading::sse(&face, EVENTS).await;
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    assert_eq!(stream.headers["cache-control"], "no-store");
    let text = stream.until("_replayed").await;
    assert!(text.starts_with("retry: 1000\n\n"), "{text}");
    let events = parsed(&text);
    let epoch = first["epoch"].as_str().unwrap();
    assert_eq!(
        (events[0].0.as_str(), events[0].1.as_str()),
        (&*format!("{epoch}:2"), "progress")
    );
    assert_eq!(
        (&events[0].2["progress"], &events[0].2["_replayed"]),
        (&json!(2), &json!(true))
    );

    face.publish("session:a", "completed", json!({"result": 1}))
        .await;
    let events = parsed(&stream.until("completed").await);
    assert_eq!(
        (events[0].0.as_str(), &events[0].2["result"]),
        (&*format!("{epoch}:3"), &json!(1))
    );
    assert!(events[0].2.get("_replayed").is_none());
}

#[tokio::test]
async fn a_stream_waits_for_a_topic_that_nobody_has_published_to() {
    let face = Face::new();
    let mut stream = Reading::sse(&face, EVENTS).await;
    stream.until("retry:").await;
    face.publish("session:a", "note", json!({})).await;
    stream.until("event: note").await;
    face.get("/v1/topics/session:b")
        .await
        .problem(404, "topic_unknown");
}

#[tokio::test]
async fn a_stream_resumes_after_its_last_event() {
    let face = Face::new();
    let epoch = face.publish("session:a", "note", json!({"n": 1})).await["epoch"].clone();
    let epoch = epoch.as_str().unwrap();
    for n in 2..=5 {
        face.publish("session:a", "note", json!({"n": n})).await;
    }
    let path = format!("{EVENTS}?since={epoch}:1");
    let mut stream = Reading::sse(&face, &path).await;
    let seen = parsed(&stream.until("\"n\":5").await);
    assert_eq!(
        seen.iter()
            .map(|event| event.2["n"].clone())
            .collect::<Vec<_>>(),
        [2, 3, 4, 5]
    );

    let last = format!("{epoch}:3");
    let headers = [
        ("accept", "text/event-stream"),
        ("last-event-id", last.as_str()),
    ];
    let mut stream = Reading::open(&face, &path, &headers).await;
    let seen = parsed(&stream.until("\"n\":5").await);
    assert_eq!(
        seen.iter()
            .map(|event| event.2["n"].clone())
            .collect::<Vec<_>>(),
        [4, 5]
    );
}

#[tokio::test]
async fn a_gap_is_told_and_the_snapshot_follows() {
    let face = Face::new();
    let epoch = face
        .publish("session:a", "progress", json!({"progress": 9}))
        .await["epoch"]
        .clone();
    let epoch = epoch.as_str().unwrap();
    let mut stream = Reading::sse(&face, &format!("{EVENTS}?since=other:7")).await;
    let events = parsed(&stream.until("progress\":9").await);
    let gap = json!({"topic": "session:a", "from": "other:7", "to": format!("{epoch}:1")});
    assert_eq!(events[0], (String::new(), "gap".to_owned(), gap.clone()));
    assert_eq!(
        (events[1].1.as_str(), &events[1].2["_replayed"]),
        ("progress", &json!(true))
    );

    let lines = [("accept", "application/x-ndjson")];
    let path = format!("{EVENTS}?since=other:7");
    let mut stream = Reading::open(&face, &path, &lines).await;
    let text = stream.until("progress\":9").await;
    let line: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(
        line,
        json!({"topic": "session:a", "name": "gap", "data": gap})
    );
}

#[tokio::test]
async fn a_reader_that_falls_out_of_the_log_is_told() {
    let face = Face::with(|parts| {
        parts.store.log_events_max = 10;
        parts.hub.ring_events_max = 10;
    });
    let epoch = face.publish("session:a", "note", json!({"n": 0})).await["epoch"].clone();
    let mut stream = Reading::sse(&face, EVENTS).await;
    stream.until("\"n\":0").await;
    for n in 1..=40 {
        face.publish("session:a", "progress", json!({ "n": n }))
            .await;
    }
    let text = stream.until("\"n\":40").await;
    let events = parsed(&text);
    let epoch = epoch.as_str().unwrap();
    let (from, to) = (format!("{epoch}:1"), format!("{epoch}:41"));
    assert_eq!(
        events[0].2,
        json!({"topic": "session:a", "from": from, "to": to})
    );
    let names: Vec<_> = events.iter().map(|event| event.1.as_str()).collect();
    assert_eq!(names, ["gap", "note", "progress"]);
    let metrics = face.get("/metrics").await.text();
    assert!(metrics.contains("tidings_gaps_total 1"), "{metrics}");
}

#[tokio::test]
async fn a_deleted_topic_is_a_gap_to_its_readers() {
    let face = Face::new();
    face.publish("session:a", "note", json!({"n": 1})).await;
    let mut stream = Reading::sse(&face, EVENTS).await;
    stream.until("\"n\":1").await;
    face.call(request(Method::DELETE, "/v1/topics/session:a", &[], ""))
        .await;
    stream.until("event: gap").await;
    face.publish("session:a", "note", json!({"n": 2})).await;
    stream.until("\"n\":2").await;
}

#[tokio::test]
async fn lines_are_envelopes() {
    let face = Face::new();
    face.post(EVENTS, r#"{"name":"blob","data_base64":"AAE="}"#)
        .await;
    let mut stream = Reading::open(
        &face,
        EVENTS,
        &[("accept", "application/ndjson, */*;q=0.1")],
    )
    .await;
    assert_eq!(stream.headers["content-type"], "application/x-ndjson");
    let first: Value = serde_json::from_str(&stream.until("\n").await).unwrap();
    assert_eq!(
        (&first["data_base64"], &first["seq"]),
        (&json!("AAE="), &json!(1))
    );
    face.publish("session:a", "note", json!({"n": 1})).await;
    let second: Value = serde_json::from_str(&stream.until("\n").await).unwrap();
    assert_eq!(
        (&second["name"], &second["data"]["n"]),
        (&json!("note"), &json!(1))
    );
    for member in ["topic", "epoch", "id", "timestamp", "class"] {
        assert!(second[member].is_string(), "{member}");
    }
}

#[tokio::test]
async fn bytes_and_pretty_json_keep_to_their_line() {
    let face = Face::new();
    face.post(EVENTS, r#"{"name":"blob","data_base64":"AAE="}"#)
        .await;
    let pretty = "{\r\n \"name\": \"note\",\n \"data\": {\n  \"text\": \"two\\nlines\"\n }\n}\n";
    assert_eq!(face.post(EVENTS, pretty).await.status, StatusCode::OK);
    let mut stream = Reading::sse(&face, EVENTS).await;
    let events = parsed(&stream.until("event: note").await);
    assert_eq!(events[0].2, json!({"data_base64": "AAE="}));
    assert_eq!(events[1].2["text"], "two\nlines");
}

#[tokio::test(start_paused = true)]
async fn silence_is_filled_with_comments() {
    let face = Face::new();
    let mut stream = Reading::sse(&face, EVENTS).await;
    let began = tokio::time::Instant::now();
    stream.body.frame().await.unwrap().unwrap();
    let frame = stream.body.frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), ": keep-alive\n\n");
    assert_eq!(began.elapsed().as_secs(), 15);
}

#[tokio::test]
async fn readers_are_listed_until_they_go() {
    let face = Face::new();
    face.publish("session:a", "progress", json!({"progress": 1}))
        .await;
    let mut stream = Reading::sse(&face, EVENTS).await;
    stream.until("progress").await;
    let presence = face.get("/v1/topics/session:a/subscribers").await.json();
    let reader = &presence["subscribers"][0];
    assert_eq!(
        (&reader["transport"], &reader["lag"]),
        (&json!("sse"), &json!(0))
    );
    assert_eq!(reader["connection"].as_str().unwrap().len(), 32);
    assert_eq!(
        face.publish("session:a", "note", json!({})).await["subscribers"],
        1
    );
    drop(stream);
    let presence = face.get("/v1/topics/session:a/subscribers").await.json();
    assert_eq!(presence["subscribers"], json!([]));
}

#[tokio::test]
async fn streams_end_when_the_gateway_drains() {
    let face = Face::new();
    let mut stream = Reading::sse(&face, EVENTS).await;
    stream.until("retry:").await;
    face.drain.begin();
    assert_eq!(stream.rest().await, "");
    let sse = [("accept", "text/event-stream")];
    let answer = face.call(request(Method::GET, EVENTS, &sse, "")).await;
    answer.problem(503, "draining");
    assert_eq!(answer.header("retry-after"), "1");
}

/// Serves the face on a port of its own.
pub(super) async fn serve(face: &Face) -> SocketAddr {
    let http = face.http.clone();
    let answer = async move |request| http.respond(request).await;
    serve_router(Router::new().fallback(answer), &face.drain).await
}

/// Serves a router on a port of its own.
pub(super) async fn serve_router(router: Router, drain: &Drain) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tasks = drain.clone();
    drain.spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let router = router.clone();
            tasks.spawn(async move {
                let service = hyper::service::service_fn(move |request| {
                    let router = router.clone();
                    async move { Ok::<_, Infallible>(router.oneshot(request).await.unwrap()) }
                });
                let http = hyper::server::conn::http1::Builder::new();
                let _ = http.serve_connection(TokioIo::new(socket), service).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn a_slow_reader_on_a_socket_costs_itself_only() {
    let face = Face::with(|parts| parts.hub.ring_events_max = 64);
    let address = serve(&face).await;
    let mut slow = TcpStream::connect(address).await.unwrap();
    let mut quick = TcpStream::connect(address).await.unwrap();
    let get = format!(
        "GET {EVENTS} HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\nconnection: close\r\n\r\n"
    );
    for socket in [&mut slow, &mut quick] {
        socket.write_all(get.as_bytes()).await.unwrap();
        read_until(socket, "retry:").await;
    }
    let filler = "x".repeat(20_000);
    for n in 1..=800 {
        face.publish("session:a", "note", json!({"n": n, "filler": filler}))
            .await;
    }
    let text = read_until(&mut quick, "\"n\":800").await;
    assert!(!text.contains("event: gap"));
    let lags = face.get("/v1/topics/session:a/subscribers").await.json();
    let lags: Vec<_> = lags["subscribers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| &s["lag"])
        .collect();
    assert!(lags.iter().any(|lag| lag.as_u64() > Some(0)), "{lags:?}");
    let text = read_until(&mut slow, "\"n\":800").await;
    assert_eq!(text.matches("event: note").count(), 800);
}

async fn read_until(socket: &mut TcpStream, wanted: &str) -> String {
    let (mut text, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
    let reading = async {
        loop {
            let read = socket.read(&mut piece).await.unwrap();
            assert!(read > 0, "the stream ended without {wanted:?}");
            text.extend_from_slice(&piece[..read]);
            let tail = text.len().saturating_sub(read + 40_000);
            if String::from_utf8_lossy(&text[tail..]).contains(wanted) {
                break;
            }
        }
    };
    tokio::time::timeout(DEADLINE, reading)
        .await
        .expect("the text comes in time");
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn the_list_of_topics_is_live() {
    let face = Face::with(|parts| {
        parts.http.topics_interval = std::time::Duration::from_millis(20);
    });
    face.publish("session:a", "progress", json!({"progress": 1}))
        .await;
    let mut reading = Reading::sse(&face, "/v1/topics").await;
    let change = |text: &str| parsed(text).pop().unwrap().2;
    let first = change(&reading.until("session:a").await);
    assert_eq!(first["begins"], true, "{first}");
    assert_eq!(
        (&first["total"], &first["more"]),
        (&json!(1), &json!(false))
    );
    face.publish("session:a", "progress", json!({"progress": 55}))
        .await;
    let moved = change(&reading.until("55").await);
    assert_eq!(moved["begins"], false, "{moved}");
    assert_eq!(moved["topics"][0]["progress"], 55.0, "{moved}");
    face.publish("session:b", "note", json!({})).await;
    let new = change(&reading.until("session:b").await);
    assert_eq!(
        new["topics"].as_array().unwrap().len(),
        1,
        "only what has changed: {new}"
    );
    face.hub
        .delete(&"session:a".parse().unwrap())
        .await
        .unwrap();
    let gone = change(&reading.until("session:a").await);
    assert_eq!(gone["gone"], json!(["session:a"]), "{gone}");
    assert_eq!(gone["total"], 1, "{gone}");
    face.drain.begin();
    reading.rest().await;
}

#[tokio::test]
async fn watchers_and_connections_are_told_with_what_they_were_handed() {
    let face = Face::new();
    face.publish("session:a", "progress", json!({"progress": 1}))
        .await;
    let mut reading = Reading::sse(&face, EVENTS).await;
    reading.until("\"progress\":1").await;
    face.publish("session:a", "progress", json!({"progress": 2}))
        .await;
    reading.until("\"progress\":2").await;
    let presence = face.get("/v1/topics/session:a/subscribers").await.json();
    let watcher = &presence["subscribers"][0];
    assert_eq!(watcher["transport"], "sse");
    let counted =
        |of: &Value| [&of["delivered"], &of["replayed"], &of["conflated"]].map(Value::clone);
    assert_eq!(
        counted(watcher),
        [json!(1), json!(1), json!(0)],
        "{presence}"
    );
    let all = face.get("/v1/admin/connections").await.json();
    assert_eq!(all["total"], 1, "{all}");
    let one = &all["connections"][0];
    assert_eq!(one["path"], EVENTS);
    assert_eq!(one["connection"], watcher["connection"]);
    let none = face.get("/v1/admin/connections?find=nothing").await.json();
    assert_eq!(none["connections"], json!([]));
    drop(reading);
    let after = face.get("/v1/admin/connections").await.json();
    assert_eq!(after["connections"], json!([]), "{after}");
    assert_eq!(after["ended"][0]["close_reason"], "client", "{after}");
    let limits = after["limits"].as_array().unwrap();
    assert!(
        limits
            .iter()
            .any(|one| one["limit"] == "limit.connections_per_user_max")
    );
    let presence = face.get("/v1/topics/session:a/subscribers").await.json();
    assert_eq!(
        counted(&presence["tally"]),
        [json!(1), json!(1), json!(0)],
        "{presence}"
    );
}
