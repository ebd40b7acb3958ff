//! A scan of a hundred thousand files: what the process takes for it, and how often it tells.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::Client;
use crate::process;

/// Files, and in how many directories.
const FILES: usize = 100_000;
const DIRECTORIES: usize = 200;

/// What the scan may add to the most that the process ever held.
const GROWTH_KIB_MAX: u64 = 64 * 1024;

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn start(root: &Path) -> (Self, String) {
        let roots = format!("producer.scan.roots={}", json!([root]));
        let mut command = process::tidings();
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--set", &roots])
            .stderr(Stdio::null());
        let (child, line) = process::listening(&mut command);
        (Self(child), process::authority(&line).to_owned())
    }

    /// The most memory that it ever held, in KiB.
    fn peak_kib(&self) -> u64 {
        process::memory_kib(&self.0, "VmHWM")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_files_take_64_mib_and_ten_messages_a_second() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..DIRECTORIES {
        let below = dir.path().join(format!("directory-{n:04}"));
        fs::create_dir(&below).unwrap();
        for n in 0..FILES / DIRECTORIES {
            File::create(below.join(format!("report-number-{n:05}.pdf"))).unwrap();
        }
    }
    let (process, address) = Process::start(dir.path());
    let mut config = WebSocketConfig::default();
    config.max_message_size = None;
    config.max_frame_size = None;
    let url = format!("ws://{address}/ws/scan/all");
    let connected = tokio_tungstenite::connect_async_with_config(url, Some(config), false).await;
    let mut client = Client(connected.unwrap().0);
    let before = process.peak_kib();
    let began = Instant::now();
    client
        .send(&json!({"action": "scan", "path": dir.path()}).to_string())
        .await;
    let mut told = 0_u32;
    let done = loop {
        let said = client.next().await;
        match said["type"].as_str() {
            Some("progress") => told += 1,
            Some("completed") => break said,
            Some("started") => {}
            _ => panic!("{said}"),
        }
    };
    let took = began.elapsed();
    assert_eq!(done["count"], FILES);
    assert_eq!(done["files"].as_array().unwrap().len(), FILES);
    let growth = process.peak_kib() - before;
    println!("{FILES} files in {took:?}, {told} messages of progress, {growth} KiB at most");
    assert!(growth <= GROWTH_KIB_MAX, "{growth} KiB");
    let most = took.div_duration_f64(Duration::from_millis(100)).ceil() + 1.0;
    assert!(f64::from(told) <= most, "{told} messages in {took:?}");
}
