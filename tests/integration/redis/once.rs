//! What happens once, whichever node is asked: the first answer, the end of a question, a job's steps.

use std::time::Duration;

use serde_json::json;

use super::node::{LIMIT, Node, fact};
use super::{TOPIC, two_nodes};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_answer_wins_on_whatever_node() {
    let (_redis, one, two) = two_nodes().await;
    let question =
        json!({"name": "clarification", "data": {"clarificationId": "q", "question": "?"}});
    let (status, _) = one.publish(TOPIC, &question).await;
    assert_eq!(status, 200);
    let (status, _) = two.publish(TOPIC, &question).await;
    assert_eq!(status, 409, "asked already");
    let mut stream = two.stream(TOPIC, None).await;
    assert_eq!(stream.next().await.unwrap()["name"], "clarification");
    let wait = one.get("/v1/topics/session:a/clarifications/q/answer?wait=30s");
    let answers = (0..8_u64).map(async |n| {
        let node = if n % 2 == 0 { &one } else { &two };
        let body = json!({"sessionId": "a", "clarificationId": "q", "response": n});
        (
            n,
            node.post("/api/wizard/clarifications/respond", &body).await,
        )
    });
    let (waited, answers) = tokio::join!(wait, futures_util::future::join_all(answers));
    let won: Vec<u64> = answers
        .iter()
        .filter(|(_, (status, _))| *status == 200)
        .map(|(n, _)| *n)
        .collect();
    assert_eq!(won.len(), 1, "{answers:?}");
    for (_, (status, answer)) in answers.iter().filter(|(n, _)| *n != won[0]) {
        assert_eq!(*status, 409, "{answer}");
        assert!(answer["answeredAt"].is_string(), "{answer}");
    }
    assert_eq!(waited.0, 200, "{waited:?}");
    assert_eq!(waited.1["response"], won[0]);
    let told = stream.next().await.unwrap();
    assert_eq!(told["data"]["status"], "answered");
    assert_eq!(told["data"]["response"], won[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_expires_once_with_its_default() {
    let (_redis, one, two) = two_nodes().await;
    let mut here = one.stream(TOPIC, None).await;
    let mut there = two.stream(TOPIC, None).await;
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(300);
    let question = json!({"name": "clarification", "data": {
        "clarificationId": "q", "question": "?", "default": "yes", "expiresAt": at.to_string(),
    }});
    one.publish(TOPIC, &question).await;
    for stream in [&mut here, &mut there] {
        assert_eq!(stream.next().await.unwrap()["data"]["status"], "pending");
        let ended = stream.next().await.unwrap();
        assert_eq!(ended["data"]["answeredBy"], "default");
    }
    one.publish(TOPIC, &fact(1)).await;
    assert_eq!(here.seqs(1).await, [3], "it was ended once");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_steps_of_a_job_exclude_each_other_on_all_nodes() {
    let (_redis, one, two) = two_nodes().await;
    let (status, job) = one.post("/v1/jobs", &json!({"id": "j"})).await;
    assert!(status < 300, "{job}");
    assert_eq!(two.post("/v1/jobs/j/started", &json!({})).await.0, 200);
    let steps = (0..6).map(async |n| {
        let node = if n % 2 == 0 { &one } else { &two };
        let step = if n % 3 == 0 { "completed" } else { "failed" };
        node.post(&format!("/v1/jobs/j/{step}"), &json!({})).await
    });
    let ended = futures_util::future::join_all(steps).await;
    let done = ended.iter().filter(|(status, _)| *status == 200).count();
    assert_eq!(done, 1, "{ended:?}");
    for (status, answer) in ended.iter().filter(|(status, _)| *status != 200) {
        assert_eq!(*status, 409, "{answer}");
    }
    assert_eq!(two.get("/v1/jobs/j").await.1, one.get("/v1/jobs/j").await.1);
    let (_, page) = two.get("/v1/jobs").await;
    assert_eq!(page["jobs"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_lost_is_told_once_though_its_node_died() {
    let (redis, one, two) = two_nodes().await;
    let job = json!({"id": "w", "lease": "1s"});
    let (status, told) = one.post("/v1/jobs", &job).await;
    assert!(status < 300, "{told}");
    let mut there = two.stream("job:w", None).await;
    let (status, told) = one.post("/v1/jobs/w/started", &json!({})).await;
    assert_eq!(status, 200, "{told}");
    // Both nodes watch the lease; the one that the worker talked to goes with it.
    one.kill();
    while there.next().await.expect("the stream goes on")["class"] != "terminal" {}
    let (_, job) = two.get("/v1/jobs/w").await;
    assert_eq!(job["status"], "failed", "{job}");
    let three = Node::ready(&redis.url(), &[]).await;
    let log = three.log("job:w").await;
    let ends = log
        .iter()
        .filter(|event| event["class"] == "terminal")
        .count();
    assert_eq!(ends, 1, "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_all_nodes_watch_ends_once() {
    let (_redis, one, two) = two_nodes().await;
    let job = json!({"id": "w", "lease": "1s"});
    assert!(one.post("/v1/jobs", &job).await.0 < 300);
    let mut streams = [
        one.stream("job:w", None).await,
        two.stream("job:w", None).await,
    ];
    assert_eq!(two.post("/v1/jobs/w/started", &json!({})).await.0, 200);
    for stream in &mut streams {
        let ended = async { while stream.next().await.unwrap()["class"] != "terminal" {} };
        tokio::time::timeout(LIMIT, ended).await.unwrap();
        // Nothing more comes of it.
        let more = tokio::time::timeout(Duration::from_secs(2), stream.next()).await;
        assert!(more.is_err(), "{more:?}");
    }
}
