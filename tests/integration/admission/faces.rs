//! The same rights on every face: what is not in the table of `rights.rs`, person by person, topic
//! by topic. What may not be had looks like what is not there.

use std::fmt::Write as _;

use reqwest::Method;

use super::rights::{everybody, names, owner, shape};
use super::*;

/// A request about a topic, and what the right to it is called.
struct Asked {
    method: Method,
    path: String,
    body: Value,
    accept: &'static str,
    right: Right,
    /// What somebody is answered who may.
    granted: u16,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Right {
    Follow,
    Publish,
}

/// A request that follows or publishes, with what it is answered.
fn asked(right: Right, method: Method, path: String, granted: u16) -> Asked {
    Asked {
        method,
        path,
        body: Value::Null,
        accept: "application/json",
        right,
        granted,
    }
}

/// Everything that can be asked of a topic over HTTP, beside reading it.
fn requests(topic: &str) -> Vec<Asked> {
    let (kind, id) = topic.split_once(':').unwrap();
    let events = format!("/v1/topics/{topic}/events");
    let answer = format!("/v1/topics/{topic}/clarifications/q/answer");
    let mut asked_of = vec![
        Asked {
            accept: "application/x-ndjson",
            ..asked(Right::Follow, Method::GET, events.clone(), 200)
        },
        Asked {
            accept: "text/event-stream",
            ..asked(Right::Follow, Method::GET, events, 200)
        },
    ];
    if kind == "session" {
        asked_of.push(asked(Right::Publish, Method::GET, answer, 204));
        asked_of.push(Asked {
            body: json!({"sessionId": id, "clarificationId": "unknown", "response": 1}),
            // There is no such question; to those who may not, there is no such session.
            ..asked(
                Right::Follow,
                Method::POST,
                "/api/wizard/clarifications/respond".to_owned(),
                404,
            )
        });
    }
    if kind == "job" {
        let job = format!("/v1/jobs/{id}");
        let wait = format!("{job}/cancel?wait=0s");
        let posts = |way: &str| Asked {
            body: json!({}),
            ..asked(Right::Publish, Method::POST, format!("{job}/{way}"), 200)
        };
        asked_of.push(asked(Right::Follow, Method::GET, job.clone(), 200));
        asked_of.push(posts("progress"));
        asked_of.push(posts("heartbeat"));
        asked_of.push(asked(Right::Publish, Method::GET, wait, 204));
    }
    asked_of
}

impl Guarded {
    /// The status, and the body unless it is a stream.
    async fn answered(&self, asked: &Asked, token: &str) -> (u16, Value) {
        let request = self
            .http
            .request(asked.method.clone(), self.url(&asked.path))
            .bearer_auth(token)
            .header("accept", asked.accept);
        let request = if asked.body.is_null() {
            request
        } else {
            request.json(&asked.body)
        };
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        if status == 200 && asked.accept != "application/json" {
            return (status, Value::Null);
        }
        answer(response).await
    }
}

/// What a refusal says, without the topic and its id.
fn told(refusal: Value, topic: &str) -> String {
    let (_, id) = topic.split_once(':').unwrap();
    shape(refusal, topic).replace(&format!("`{id}`"), "`ID`")
}

/// Topics with a question, or a job that has begun.
async fn fill(guarded: &Guarded, names: &[String]) {
    for (number, name) in names.iter().enumerate() {
        guarded.publish(name, owner(number)).await;
        if name.starts_with("session:") {
            let question = json!({"clarificationId": "q", "question": "?"});
            let event = json!({"name": "clarification", "data": question});
            let path = format!("/v1/topics/{name}/events");
            assert_eq!(guarded.post(&path, &admin(), &event).await.0, 200);
        }
    }
}

fn chosen() -> Vec<String> {
    let mut names = names(80);
    names.sort();
    names.dedup();
    names.retain(|name| name != "system:revocations");
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_is_answered_alike_where_nothing_is_and_where_one_may_not() {
    let guarded = Guarded::start(&["limit.connections_per_user_max=10000"]).await;
    let names = chosen();
    fill(&guarded, &names).await;
    for somebody in everybody() {
        let token = &somebody.token;
        for (number, name) in names.iter().enumerate() {
            let may_follow = (somebody.may_follow)(name, owner(number));
            let may_publish = (somebody.may_publish)(name);
            let absent = format!("{}:absent-{number}", name.split_once(':').unwrap().0);
            for (asked, nothing) in requests(name).iter().zip(requests(&absent)) {
                let may = match asked.right {
                    Right::Follow => may_follow,
                    Right::Publish => may_publish,
                };
                let (status, said) = guarded.answered(asked, token).await;
                if may {
                    assert_eq!(status, asked.granted, "{} {said}", asked.path);
                    continue;
                }
                assert_eq!(status, 404, "{} {said}", asked.path);
                let may_have_absent = match asked.right {
                    Right::Follow => (somebody.may_follow)(&absent, None),
                    Right::Publish => (somebody.may_publish)(&absent),
                };
                if !may_have_absent {
                    let (_, nothing_said) = guarded.answered(&nothing, token).await;
                    assert_eq!(
                        told(said, name),
                        told(nothing_said, &absent),
                        "{}",
                        asked.path
                    );
                }
            }
        }
        jobs_are_listed(&guarded, token, |number, name| {
            (somebody.may_follow)(name, owner(number))
        })
        .await;
    }
    guarded.gateway.drain().await;
}

/// The list of jobs holds those that somebody may follow, and no other.
async fn jobs_are_listed(guarded: &Guarded, token: &str, may: impl Fn(usize, &str) -> bool) {
    let (_, page) = guarded.get("/v1/jobs?limit=1000", Some(token)).await;
    let mut listed: Vec<String> = page["jobs"]
        .as_array()
        .unwrap_or_else(|| panic!("{page}"))
        .iter()
        .map(|job| format!("job:{}", job["id"].as_str().unwrap()))
        .collect();
    listed.sort();
    let names = chosen();
    let jobs = names.iter().enumerate();
    let expected: Vec<String> = jobs
        .filter(|(number, name)| name.starts_with("job:") && may(*number, name))
        .map(|(_, name)| name.clone())
        .collect();
    assert_eq!(listed, expected);
}

/// What a websocket is told first and at its end, or that it is let in.
async fn greeted(guarded: &Guarded, path: &str) -> Option<String> {
    let mut socket = guarded.websocket(path, &[]).await.unwrap();
    // Whoever is let in is answered; the others are closed.
    let _ = socket.0.send(Message::text(r#"{"type":"ping"}"#)).await;
    let mut said = String::new();
    let hearing = async {
        while let Some(Ok(message)) = socket.0.next().await {
            let text = message.to_string();
            let is_in = ["\"status\":", "only listens", "`action`"];
            if is_in.iter().any(|words| text.contains(words)) {
                return None;
            }
            said.push_str(&text);
            if let Message::Close(frame) = message {
                let _ = write!(said, "{frame:?}");
            }
        }
        Some(said.clone())
    };
    tokio::time::timeout(DEADLINE, hearing)
        .await
        .expect("an answer")
}

/// What was said, without the name of what it was said of.
fn without(said: &str, (kind, id): (&str, &str)) -> String {
    said.replace(&format!("{kind}:{id}"), "TOPIC")
        .replace(&format!("Job {id} "), "Job ID ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_websockets_let_nobody_in_who_may_not() {
    let guarded = Guarded::start(&["limit.messages_per_minute=100000"]).await;
    let names: Vec<String> = chosen()
        .into_iter()
        .filter(|name| name.starts_with("job:") || name.starts_with("scan:"))
        .collect();
    for (number, name) in names.iter().enumerate() {
        guarded.publish(name, owner(number)).await;
    }
    for somebody in everybody() {
        for (number, name) in names.iter().enumerate() {
            let (kind, id) = name.split_once(':').unwrap();
            let token = &somebody.token;
            let ways: &[&str] = if kind == "job" {
                &["/ws/", "/progress/ws/"]
            } else {
                &["/ws/scan/"]
            };
            for way in ways {
                let may = (somebody.may_follow)(name, owner(number));
                let said = greeted(&guarded, &format!("{way}{id}?token={token}")).await;
                assert_eq!(said.is_none(), may, "{way}{id}: {said:?}");
                let Some(said) = said else { continue };
                let absent = format!("absent-{number}");
                if !(somebody.may_follow)(&format!("{kind}:{absent}"), None) {
                    let nothing = greeted(&guarded, &format!("{way}{absent}?token={token}")).await;
                    let nothing = without(&nothing.unwrap(), (kind, &absent));
                    assert_eq!(without(&said, (kind, id)), nothing, "{way}");
                }
            }
        }
    }
    guarded.gateway.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn producers_of_socket_io_reach_what_they_may_publish_to_only() {
    let guarded = Guarded::start(&["limit.messages_per_minute=100000"]).await;
    let names = chosen();
    fill(&guarded, &names).await;
    for somebody in everybody() {
        let mut client = guarded.open_socket(&[]).await.unwrap();
        client.until("0").await;
        let join = format!("40/producers,{}", json!({"token": somebody.token}));
        client.say(&join).await;
        let joined = client.until("4").await;
        if joined.starts_with("44/producers,") {
            assert!(
                !names.iter().any(|name| (somebody.may_publish)(name)),
                "{joined}"
            );
            continue;
        }
        for name in &names {
            let may = (somebody.may_publish)(name);
            let (kind, id) = name.split_once(':').unwrap();
            let publish = json!(["publish", {"topic": name, "name": "progress", "data": {}}]);
            client.say(&format!("42/producers,1{publish}")).await;
            let said = client.until("43/producers,1").await;
            assert_eq!(said.contains("\"seq\":"), may, "{name} {said}");
            assert_eq!(said.contains("\"forbidden\""), !may, "{name} {said}");
            if kind == "job" && !may {
                for id in [id, "absent"] {
                    let wait = json!(["await_cancel", {"job_id": id}]);
                    client.say(&format!("42/producers,2{wait}")).await;
                    let said = client.until("43/producers,2").await;
                    assert!(said.contains("job_unknown"), "{said}");
                }
            }
            if kind == "session" && !may {
                let question = json!({"topic": name, "data": {"question": "?"}});
                client
                    .say(&format!("42/producers,3{}", json!(["ask", question])))
                    .await;
                let said = client.until("43/producers,3").await;
                assert!(said.contains("\"forbidden\""), "{said}");
            }
        }
    }
    guarded.gateway.drain().await;
}
