//! Scans of directories, over real trees and sockets.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Client, Running};

/// A tree of so many files in directories of ten, outside of it a secret.
fn tree(files: usize) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    for n in 0..files {
        let below = root.join(format!("d{}", n / 10));
        fs::create_dir_all(&below).unwrap();
        fs::write(below.join(format!("f{n}.txt")), "xy").unwrap();
    }
    fs::create_dir_all(&root).unwrap();
    fs::write(dir.path().join("secret.txt"), "s").unwrap();
    dir
}

fn root_of(dir: &TempDir) -> String {
    dir.path().join("root").to_str().unwrap().to_owned()
}

async fn running(dir: &TempDir, more: &[&str]) -> Running {
    let roots = format!("producer.scan.roots={}", root_of(dir));
    let settings: Vec<&str> = [roots.as_str()]
        .into_iter()
        .chain(more.iter().copied())
        .collect();
    Running::start(&settings).await
}

fn scan(path: &str) -> String {
    json!({"action": "scan", "path": path, "recursive": true}).to_string()
}

/// The next message of a type, after whatever progress is told before.
async fn until(client: &mut Client, kind: &str) -> Value {
    loop {
        let said = client.next().await;
        if said["type"] == kind {
            return said;
        }
        assert!(
            said["type"] == "progress" || said["type"] == "started",
            "{said}"
        );
    }
}

#[tokio::test]
async fn everybody_with_the_same_id_sees_the_same_scan() {
    let dir = tree(35);
    let running = running(&dir, &[]).await;
    let mut first = running.client("/ws/scan/s1").await;
    let mut second = running.client("/ws/scan/s1").await;
    let mut third = running.client("/ws/scan/s1?page_size=10").await;
    while running.subscribers("scan:s1").await < 3 {}
    first.send(&scan(&root_of(&dir))).await;
    let done = until(&mut first, "completed").await;
    assert_eq!(
        (&done["count"], &done["total_size"]),
        (&json!(35), &json!(70))
    );
    assert_eq!(done["warnings"], json!([]));
    let file = &done["files"][0];
    let path = format!("{}/d0/f0.txt", root_of(&dir));
    assert_eq!(
        (&file["path"], &file["extension"]),
        (&json!(path), &json!(".txt"))
    );
    assert!(file["modified"].as_str().unwrap().ends_with('Z'), "{file}");
    assert_eq!(until(&mut second, "completed").await, done);

    let mut paged = Vec::new();
    for number in 1..=3 {
        let page = until(&mut third, "files").await;
        assert_eq!(page["page"], number);
        paged.extend(page["files"].as_array().unwrap().clone());
    }
    let last = until(&mut third, "completed").await;
    paged.extend(last["files"].as_array().unwrap().clone());
    assert_eq!(
        (Value::Array(paged), &last["count"]),
        (done["files"].clone(), &json!(35))
    );

    let mut late = running.client("/ws/scan/s1").await;
    assert_eq!(
        late.next().await,
        done,
        "one that joins a finished scan gets its end"
    );
    late.send(&scan(&root_of(&dir))).await;
    assert_eq!(until(&mut late, "completed").await["count"], 35);
    running.gateway.drain().await;
}

#[tokio::test]
async fn what_does_not_fit_the_list_is_told() {
    let dir = tree(30);
    let running = running(&dir, &["producer.scan.entries_max=20"]).await;
    let mut client = running.client("/ws/scan/s1").await;
    client.send(&scan(&root_of(&dir))).await;
    let done = until(&mut client, "completed").await;
    assert_eq!(
        (&done["count"], done["files"].as_array().unwrap().len()),
        (&json!(20), 20)
    );
    assert_eq!(
        done["warnings"][0],
        "10 files were left out of the list: it has at most 20"
    );
    running.gateway.drain().await;
}

#[tokio::test]
async fn refusals_are_errors_and_cancel_without_a_scan_is_cancelled() {
    let dir = tree(1);
    let none = Running::start(&[]).await;
    let mut client = none.client("/ws/scan/s1").await;
    client.send(&scan("/etc/passwd")).await;
    let said = client.next().await;
    assert!(
        said["message"]
            .as_str()
            .unwrap()
            .contains("producer.scan.roots"),
        "{said}"
    );
    assert_eq!(said["error"], said["message"]);
    client.send(r#"{"action":"cancel"}"#).await;
    assert_eq!(client.next().await, json!({"type": "cancelled"}));
    none.gateway.drain().await;

    let running = running(&dir, &[]).await;
    let mut client = running.client("/ws/scan/s1").await;
    for (path, why) in [
        ("/etc/passwd".to_owned(), "not below"),
        (
            dir.path().join("secret.txt").to_str().unwrap().to_owned(),
            "not below",
        ),
        (format!("{}/none", root_of(&dir)), "Directory not found"),
        (format!("{}/d0/f0.txt", root_of(&dir)), "Not a directory"),
    ] {
        client.send(&scan(&path)).await;
        let said = client.next().await;
        assert_eq!(said["type"], "error", "{path}");
        assert!(
            said["message"].as_str().unwrap().contains(why),
            "{path}: {said}"
        );
    }
    running.gateway.drain().await;
}

#[tokio::test]
async fn a_scan_that_is_cancelled_says_so_to_everybody() {
    let dir = tree(3000);
    let running = running(&dir, &["producer.scan.progress_interval=10ms"]).await;
    let mut first = running.client("/ws/scan/s1").await;
    let mut second = running.client("/ws/scan/s1").await;
    while running.subscribers("scan:s1").await < 2 {}
    // A quick disk may be done before the request to cancel is read: then it is tried again.
    for _ in 0..50 {
        first.send(&scan(&root_of(&dir))).await;
        first.send(&scan(&root_of(&dir))).await;
        first.send(r#"{"action":"cancel"}"#).await;
        let mut ends = BTreeSet::new();
        while !ends.contains("cancelled") {
            let said = first.next().await;
            ends.insert(said["type"].as_str().unwrap().to_owned());
        }
        if !ends.contains("completed") {
            assert!(
                ends.contains("error"),
                "a second scan meanwhile is refused: {ends:?}"
            );
            loop {
                let said = second.next().await;
                if said["type"] == "cancelled" {
                    running.gateway.drain().await;
                    return;
                }
            }
        }
    }
    panic!("no scan was caught while it ran");
}

#[tokio::test]
async fn a_scan_whose_last_client_left_is_cancelled_after_a_while() {
    let dir = tree(3000);
    let settings = [
        "producer.scan.progress_interval=1ms",
        "producer.scan.grace=1ms",
    ];
    let running = running(&dir, &settings).await;
    for _ in 0..50 {
        let mut client = running.client("/ws/scan/s1").await;
        client.send(&scan(&root_of(&dir))).await;
        while client.next().await["type"] != "started" {}
        drop(client);
        let mut watching = running.client("/ws/scan/other").await;
        let end = loop {
            let (_, topic) = running.get("/v1/topics/scan:s1").await;
            if topic["terminal"].is_object() {
                break topic["terminal"]["name"].clone();
            }
            watching.send(r#"{"action":"cancel"}"#).await;
            watching.next().await;
        };
        running
            .http
            .delete(running.url("/v1/topics/scan:s1"))
            .send()
            .await
            .unwrap();
        if end == "cancelled" {
            running.gateway.drain().await;
            return;
        }
    }
    panic!("no scan was left while it ran");
}

/// Five hundred ways to say `..`, at several depths and with several targets.
fn traversals(root: &str) -> Vec<String> {
    let dots = [
        "..",
        "%2e%2e",
        "..%2f",
        "..\\",
        "....//",
        "..;",
        "%c0%ae%c0%ae",
        ". .",
        "..\u{0}",
        "\u{ff0e}\u{ff0e}",
    ];
    let targets = [
        "secret.txt",
        "etc/passwd",
        "",
        "root/../secret.txt",
        "proc/self/environ",
    ];
    let mut found = Vec::new();
    for dot in dots {
        for target in targets {
            for depth in 1..=5 {
                let climb = vec![dot; depth].join("/");
                found.push(format!("{root}/{climb}/{target}"));
                found.push(format!("{climb}/{target}"));
            }
        }
    }
    found
}

#[tokio::test]
async fn five_hundred_ways_out_lead_nowhere() {
    let dir = tree(10);
    std::os::unix::fs::symlink(dir.path(), Path::new(&root_of(&dir)).join("up")).unwrap();
    let running = running(&dir, &["face.ws.messages_per_minute_max=10000"]).await;
    let mut healthy = running.client("/ws/scan/healthy").await;
    let mut client = running.client("/ws/scan/s1").await;
    let mut paths = traversals(&root_of(&dir));
    assert!(paths.len() >= 500, "{}", paths.len());
    paths
        .extend(["up", "up/secret.txt", "up/root"].map(|path| format!("{}/{path}", root_of(&dir))));
    for path in paths {
        client.send(&scan(&path)).await;
        loop {
            let said = client.next().await;
            assert!(
                !said.to_string().contains("secret.txt\",\"size"),
                "{path}: {said}"
            );
            match said["type"].as_str().unwrap() {
                "error" => break,
                "completed" => {
                    let inside = said["files"].as_array().unwrap().iter().all(|file| {
                        let path = file["path"].as_str().unwrap();
                        path.starts_with(&root_of(&dir)) && !path.contains("..")
                    });
                    panic!("{path} was scanned (inside: {inside})");
                }
                _ => {}
            }
        }
    }
    healthy.send(&scan(&root_of(&dir))).await;
    assert_eq!(until(&mut healthy, "completed").await["count"], 10);
    running.gateway.drain().await;
}
