//! The lifecycle of jobs: its REST, its guard, leases, requests to cancel, and the progress channel.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{DEADLINE, Running};

/// The names of a topic's events, oldest first.
async fn events(running: &Running, topic: &str) -> Vec<Value> {
    let (status, page) = running.get(&format!("/v1/topics/{topic}/events")).await;
    assert_eq!(status, 200, "{page}");
    page["events"].as_array().unwrap().clone()
}

/// Waits until a job has a status, and gives the job.
async fn until(running: &Running, id: &str, status: &str) -> Value {
    let topic = format!("/ws/{id}");
    // Any event of the job wakes this client; the job is read after each.
    let mut client = running.client(&format!("/progress{topic}")).await;
    loop {
        let (_, job) = running.get(&format!("/v1/jobs/{id}")).await;
        if job["status"] == status {
            return job;
        }
        client.next().await;
    }
}

#[tokio::test]
async fn a_created_job_has_every_field() {
    let running = Running::start(&[]).await;
    let body = json!({"id": "abc", "name": "n", "type": "t", "metadata": {"owner": "o"}});
    let (status, job) = running.post("/v1/jobs", &body).await;
    assert_eq!(status, 201, "{job}");
    let names: BTreeSet<&str> = job
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let want = [
        "attempt",
        "created_at",
        "id",
        "message",
        "metadata",
        "name",
        "progress",
        "status",
        "type",
        "updated_at",
    ];
    assert_eq!(names, BTreeSet::from(want));
    assert_eq!(
        (&job["status"], &job["attempt"]),
        (&json!("pending"), &json!(1))
    );

    running.gateway.drain().await;
}

#[track_caller]
fn forbidden(state: &'static str, (status, problem): (u16, Value)) {
    let code = (status, &problem["code"]);
    assert_eq!(code, (409, &json!("job_state")), "{problem}");
    assert_eq!(
        (&problem["state"], &problem["status"]),
        (&json!(state), &json!(409))
    );
}

#[tokio::test]
async fn a_job_is_refused_what_the_table_forbids() {
    let running = Running::start(&[]).await;
    let body = json!({"id": "abc", "metadata": {"owner": "o"}});
    running.post("/v1/jobs", &body).await;
    forbidden("pending", running.post("/v1/jobs", &body).await);
    for step in ["progress", "completed", "retry"] {
        forbidden(
            "pending",
            running
                .post(&format!("/v1/jobs/abc/{step}"), &json!({}))
                .await,
        );
    }
    for (step, then) in [
        ("queued", "queued"),
        ("started", "in_progress"),
        ("progress", "in_progress"),
    ] {
        let (status, job) = running
            .post(&format!("/v1/jobs/abc/{step}"), &json!({}))
            .await;
        assert_eq!((status, &job["status"]), (200, &json!(then)), "{job}");
    }
    let data = json!({"progress": 75, "message": "stage 3", "metadata": {"stage": 3}});
    let (_, job) = running.post("/v1/jobs/abc/progress", &data).await;
    assert_eq!(
        (&job["progress"], &job["message"]),
        (&json!(75.0), &json!("stage 3"))
    );
    assert_eq!(job["metadata"], json!({"owner": "o", "stage": 3}));
    let (_, job) = running
        .post("/v1/jobs/abc/completed", &json!({"message": "done"}))
        .await;
    assert_eq!(
        (&job["status"], &job["progress"]),
        (&json!("completed"), &json!(100.0))
    );
    for step in [
        "queued",
        "started",
        "progress",
        "completed",
        "failed",
        "cancelled",
        "cancel",
    ] {
        forbidden(
            "completed",
            running
                .post(&format!("/v1/jobs/abc/{step}"), &json!({}))
                .await,
        );
    }
    let direct = json!({"name": "file_processing", "data": {}});
    forbidden(
        "completed",
        running.post("/v1/topics/job:abc/events", &direct).await,
    );
    let (status, _) = running
        .post(
            "/v1/topics/job:abc/events",
            &json!({"name": "note", "data": {}}),
        )
        .await;
    assert_eq!(
        status, 200,
        "what is no step is none of the lifecycle's business"
    );
    running.gateway.drain().await;
}

#[tokio::test]
async fn bad_requests_about_jobs_say_what_is_wrong() {
    let running = Running::start(&[]).await;
    running.post("/v1/jobs", &json!({"id": "abc"})).await;
    for (path, body, status, code) in [
        ("/v1/jobs", json!({"id": "connect"}), 422, "topic_invalid"),
        ("/v1/jobs", json!({"id": "scan"}), 422, "topic_invalid"),
        ("/v1/jobs", json!({"id": "../x"}), 422, "topic_invalid"),
        ("/v1/jobs", json!({"id": 7}), 422, "shape"),
        ("/v1/jobs", json!([]), 422, "shape"),
        ("/v1/jobs", json!({"lease": "soon"}), 422, "shape"),
        ("/v1/jobs", json!({"lease": "1ms"}), 422, "shape"),
        ("/v1/jobs", json!({"metadata": []}), 422, "shape"),
        ("/v1/jobs/abc/started", json!({"attempt": 0}), 422, "shape"),
        (
            "/v1/jobs/abc/started",
            json!({"attempt": 2}),
            409,
            "job_state",
        ),
        (
            "/v1/jobs/abc/progress",
            json!({"progress": 101}),
            422,
            "shape",
        ),
        (
            "/v1/jobs/abc/progress",
            json!({"progress": "x"}),
            422,
            "shape",
        ),
        ("/v1/jobs/none/started", json!({}), 404, "job_unknown"),
        ("/v1/jobs/none/heartbeat", json!({}), 404, "job_unknown"),
    ] {
        let (got, problem) = running.post(path, &body).await;
        assert_eq!(
            (got, &problem["code"]),
            (status, &json!(code)),
            "{path} {body}: {problem}"
        );
    }
    for (path, status) in [
        ("/v1/jobs/none", 404),
        ("/v1/jobs?status=done", 422),
        ("/v1/jobs/none/cancel", 404),
        ("/v1/jobs/..%2Fx", 422),
    ] {
        assert_eq!(running.get(path).await.0, status, "{path}");
    }
    let text = running
        .http
        .post(running.url("/v1/jobs"))
        .body("{")
        .send()
        .await
        .unwrap();
    assert_eq!(text.status(), 400);
    running.gateway.drain().await;
}

#[tokio::test]
async fn jobs_are_listed_by_status_in_pages() {
    let running = Running::start(&[]).await;
    for n in 0..5 {
        running
            .post("/v1/jobs", &json!({"id": format!("j{n}")}))
            .await;
    }
    running.post("/v1/jobs/j1/queued", &json!({})).await;
    running
        .publish("job:direct", "file_processing", json!({}))
        .await;
    let ids = |page: &Value| -> Vec<String> {
        let jobs = page["jobs"].as_array().unwrap().iter();
        jobs.map(|job| job["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let (_, page) = running.get("/v1/jobs?status=pending&limit=3").await;
    assert_eq!(
        (ids(&page).join(" "), &page["next"]),
        ("j0 j2 j3".to_owned(), &json!("j3"))
    );
    let (_, page) = running
        .get("/v1/jobs?status=pending&limit=3&after=j3")
        .await;
    assert_eq!(
        (ids(&page).join(" "), &page["next"]),
        ("j4".to_owned(), &json!(null))
    );
    let (_, page) = running.get("/v1/jobs?status=in_progress").await;
    assert_eq!(ids(&page), ["direct"]);
    running.gateway.drain().await;
}

#[tokio::test]
async fn of_many_that_end_a_job_one_wins() {
    let running = Running::start(&[]).await;
    running.post("/v1/jobs", &json!({"id": "abc"})).await;
    running.post("/v1/jobs/abc/started", &json!({})).await;
    let path = |n: usize| ["completed", "failed", "cancelled"][n % 3];
    let ends = (0..30).map(|n| {
        let running = &running;
        async move {
            running
                .post(&format!("/v1/jobs/abc/{}", path(n)), &json!({}))
                .await
                .0
        }
    });
    let statuses = futures_util::future::join_all(ends).await;
    assert_eq!(
        statuses.iter().filter(|status| **status == 200).count(),
        1,
        "{statuses:?}"
    );
    assert!(
        statuses.iter().all(|status| [200, 409].contains(status)),
        "{statuses:?}"
    );
    assert_eq!(events(&running, "job:abc").await.len(), 3);
    running.gateway.drain().await;
}

#[tokio::test]
async fn a_lease_that_runs_out_fails_the_job_once_and_fences_its_worker() {
    let running = Running::start(&[]).await;
    running
        .post("/v1/jobs", &json!({"id": "abc", "lease": "300ms"}))
        .await;
    running
        .post("/v1/jobs/abc/started", &json!({"attempt": 1}))
        .await;
    let job = until(&running, "abc", "failed").await;
    assert!(
        job["message"].as_str().unwrap().starts_with("worker_lost"),
        "{job}"
    );
    assert_eq!(job["metadata"]["error"], "worker_lost");
    let late = json!({"progress": 50, "attempt": 1});
    assert_eq!(running.post("/v1/jobs/abc/progress", &late).await.0, 409);

    let (status, job) = running.post("/v1/jobs/abc/retry", &json!({})).await;
    assert_eq!(
        (status, &job["attempt"], &job["status"]),
        (200, &json!(2), &json!("pending"))
    );
    assert_eq!(job["progress"], 0.0);
    running
        .post(
            "/v1/jobs/abc/started",
            &json!({"attempt": 2, "lease": "1h"}),
        )
        .await;
    let (status, problem) = running.post("/v1/jobs/abc/progress", &late).await;
    assert_eq!(
        (status, &problem["state"]),
        (409, &json!("in_progress")),
        "{problem}"
    );
    let direct = json!({"name": "file_completed", "data": {}, "attempt": 1});
    assert_eq!(
        running.post("/v1/topics/job:abc/events", &direct).await.0,
        409
    );
    assert_eq!(
        running
            .post("/v1/jobs/abc/heartbeat", &json!({"attempt": 1}))
            .await
            .0,
        409
    );
    let late = json!({"attempt": 2});
    assert_eq!(running.post("/v1/jobs/abc/completed", &late).await.0, 200);
    let lost = events(&running, "job:abc").await;
    let lost = lost
        .iter()
        .filter(|event| event["data"]["code"] == "worker_lost")
        .count();
    assert_eq!(lost, 1);
    running.gateway.drain().await;
}

#[tokio::test]
async fn heartbeats_and_events_renew_a_lease() {
    let running = Running::start(&[]).await;
    running
        .post("/v1/jobs", &json!({"id": "abc", "lease": "2s"}))
        .await;
    running
        .post("/v1/jobs", &json!({"id": "silent", "lease": "2s"}))
        .await;
    running.post("/v1/jobs/abc/started", &json!({})).await;
    let beating = async {
        for n in 0_u64.. {
            let path = if n % 2 == 0 { "heartbeat" } else { "progress" };
            let (status, job) = running
                .post(&format!("/v1/jobs/abc/{path}"), &json!({}))
                .await;
            assert_eq!(status, 200, "{job}");
        }
    };
    tokio::select! {
        () = beating => unreachable!("it goes on"),
        lost = until(&running, "silent", "failed") => assert_eq!(lost["metadata"]["error"], "worker_lost"),
    }
    assert_eq!(running.get("/v1/jobs/abc").await.1["status"], "in_progress");
    running.gateway.drain().await;
}

#[tokio::test]
async fn a_request_to_cancel_reaches_the_worker_and_is_acknowledged() {
    let running = Running::start(&[]).await;
    running.post("/v1/jobs", &json!({"id": "abc"})).await;
    running.post("/v1/jobs/abc/started", &json!({})).await;
    assert_eq!(running.get("/v1/jobs/abc/cancel").await.0, 204);
    let asking = async {
        let (status, job) = running
            .post("/v1/jobs/abc/cancel", &json!({"reason": "r"}))
            .await;
        assert_eq!((status, &job["status"]), (200, &json!("in_progress")));
        assert_eq!(job["metadata"]["cancelling"], true);
        running.post("/v1/jobs/abc/cancel", &json!({})).await.0
    };
    let (told, again) = tokio::join!(
        running.get("/v1/jobs/abc/cancel?wait=30s&attempt=1"),
        asking
    );
    assert_eq!((told.0, again), (200, 200));
    assert_eq!(
        (&told.1["cancelling"], &told.1["reason"]),
        (&json!(true), &json!("r"))
    );
    let (_, job) = running.post("/v1/jobs/abc/cancelled", &json!({})).await;
    assert_eq!(
        (&job["status"], &job["metadata"]),
        (&json!("cancelled"), &json!({}))
    );
    assert_eq!(running.get("/v1/jobs/abc/cancel?wait=30s").await.0, 409);
    assert_eq!(
        events(&running, "job:abc").await.len(),
        4,
        "asking twice is one event"
    );
    running.gateway.drain().await;
}

#[tokio::test]
async fn the_progress_channel_tells_the_status_then_every_change() {
    let running = Running::start(&["face.ws.heartbeat_interval=300ms"]).await;
    running
        .post(
            "/v1/jobs",
            &json!({"id": "abc", "metadata": {"owner": "o"}}),
        )
        .await;
    let mut client = running.client("/progress/ws/abc").await;
    let first = client.next().await;
    assert_eq!(
        (&first["job_id"], &first["status"]),
        (&json!("abc"), &json!("pending"))
    );
    running.post("/v1/jobs/abc/queued", &json!({})).await;
    let queued = client.next().await;
    assert_eq!(queued["status"], "queued");
    running
        .publish(
            "job:abc",
            "progress",
            json!({"progress": 12.5, "message": "m"}),
        )
        .await;
    let progress = client.next().await;
    assert_eq!(
        (&progress["status"], &progress["progress"]),
        (&json!("in_progress"), &json!(12.5))
    );
    assert_eq!(
        (&progress["message"], &progress["metadata"]),
        (&json!("m"), &json!({"owner": "o"}))
    );

    client.send(r#"{"type":"subscribe","job_id":"none"}"#).await;
    assert_eq!(
        client.next().await,
        json!({"type": "error", "error": "Job none not found"})
    );
    running.publish("job:other", "job_started", json!({})).await;
    client
        .send(r#"{"type":"subscribe","job_id":"other"}"#)
        .await;
    assert_eq!(client.next().await["job_id"], "other");
    running
        .post("/v1/jobs/other/failed", &json!({"message": "broke"}))
        .await;
    let failed = client.next().await;
    assert_eq!(
        (&failed["job_id"], &failed["status"]),
        (&json!("other"), &json!("failed"))
    );
    client.send(r#"{"type":"ping"}"#).await;
    assert_eq!(client.next().await["type"], "pong");
    client.send("{").await;
    assert_eq!(client.next().await["error"], "Invalid JSON format");
    assert_eq!(client.next().await["type"], "heartbeat");
    assert_eq!(client.next().await["type"], "heartbeat");

    let unknown = running.client("/progress/ws/none").await;
    assert_eq!(
        unknown.closed().await,
        (1000, "Job none not found".to_owned())
    );
    running.gateway.drain().await;
}

#[tokio::test]
async fn ten_thousand_subscriptions_are_refused_beyond_the_bound() {
    let running = Running::start(&[
        "face.ws.subscriptions_max=8",
        "face.ws.messages_per_minute_max=20000",
    ])
    .await;
    for n in 0..12 {
        running
            .publish(&format!("job:j{n}"), "job_started", json!({}))
            .await;
    }
    let mut client = running.client("/progress/ws/j0").await;
    client.next().await;
    for n in 1..10_000 {
        client
            .send(&json!({"type": "subscribe", "job_id": format!("j{n}")}).to_string())
            .await;
    }
    client.send(r#"{"type":"ping"}"#).await;
    let (mut told, mut refused, mut unknown) = (BTreeSet::new(), 0, 0);
    let counting = async {
        loop {
            let said = client.next().await;
            match (said["type"].as_str(), said["error"].as_str()) {
                (Some("pong"), _) => break,
                (_, Some(error)) if error.contains("subscriptions_max") => refused += 1,
                (_, Some(error)) if error.ends_with("not found") => unknown += 1,
                _ => drop(told.insert(said["job_id"].as_str().unwrap().to_owned())),
            }
        }
        while refused < 4 || unknown < 9_988 {
            let said = client.next().await;
            refused += usize::from(
                said["error"]
                    .as_str()
                    .unwrap()
                    .contains("subscriptions_max"),
            );
            unknown += usize::from(said["error"].as_str().unwrap().ends_with("not found"));
        }
    };
    tokio::time::timeout(DEADLINE, counting).await.unwrap();
    running.publish("job:j5", "job_completed", json!({})).await;
    assert_eq!(client.next().await["status"], "completed");
    running.gateway.drain().await;
}

#[tokio::test]
async fn jobs_survive_a_restart_though_the_log_has_dropped_their_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = format!("store.data_dir={}", dir.path().display());
    let settings = [
        data_dir.as_str(),
        "auth.revocations_max=8",
        "store.log_events_max=64",
    ];
    let running = Running::start(&settings).await;
    let body = json!({"id": "abc", "name": "n", "type": "t", "metadata": {"owner": "o"}});
    running.post("/v1/jobs", &body).await;
    running.post("/v1/jobs/abc/failed", &json!({})).await;
    running.post("/v1/jobs/abc/retry", &json!({})).await;
    running
        .post("/v1/jobs/abc/started", &json!({"lease": "8s"}))
        .await;
    let data = json!({"progress": 40, "message": "m", "metadata": {"stage": 1}});
    running.post("/v1/jobs/abc/progress", &data).await;
    let batch: Vec<Value> = (0..400)
        .map(|_| json!({"topic": "job:abc", "name": "file_completed", "data": {}}))
        .collect();
    let (status, receipts) = running.post("/v1/events", &Value::Array(batch)).await;
    assert_eq!(
        (status, receipts[399]["seq"].is_u64()),
        (200, true),
        "{receipts}"
    );
    let (_, before) = running.get("/v1/jobs/abc").await;
    running.gateway.drain().await;

    let running = Running::start(&settings).await;
    let (status, after) = running.get("/v1/jobs/abc").await;
    assert_eq!((status, &after), (200, &before));
    assert_eq!(
        (&after["attempt"], &after["name"]),
        (&json!(2), &json!("n"))
    );
    assert_eq!(after["metadata"], json!({"owner": "o", "stage": 1}));
    let late = json!({"attempt": 1});
    assert_eq!(running.post("/v1/jobs/abc/progress", &late).await.0, 409);
    let lost = until(&running, "abc", "failed").await;
    assert_eq!(lost["metadata"]["error"], "worker_lost");
    running.gateway.drain().await;
}
