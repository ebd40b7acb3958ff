//! What durability costs: acknowledged publishes per second, and how long a reopening takes.
//!
//! `cargo run --release --example durable [EVENTS]`: 64 producers publish to 1,000 topics through
//! the hub, into a directory of its own, once for each durability and once in memory; then a store
//! with EVENTS events (100,000 unless told) is closed and opened again.

#![expect(clippy::print_stdout, reason = "it is here to print")]
#![expect(
    clippy::disallowed_methods,
    reason = "an example has no drain of its own"
)]

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use tidings::drain::Drain;
use tidings::hub::{self, Hub};
use tidings::store::{self, Durability, Store};
use tidings::topic::{Draft, TopicName};
use tokio::time::Instant;

const PRODUCERS: usize = 64;
const TOPICS: usize = 1000;
const PAYLOAD_BYTES: usize = 200;

fn main() -> anyhow::Result<()> {
    let events = match std::env::args().nth(1) {
        Some(text) => text.parse().context("how many events? give a number")?,
        None => 100_000,
    };
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        println!("{PRODUCERS} producers, {TOPICS} topics, {PAYLOAD_BYTES} bytes a payload");
        let dir = tempfile::tempdir()?;
        for durability in [None, Some(Durability::Wal), Some(Durability::Fsync)] {
            let dir = tempfile::tempdir()?;
            let took = fill(&config(durability, dir.path())?, events.min(200_000)).await?;
            let rate = events.min(200_000) as f64 / took.as_secs_f64();
            println!("{durability:?}: {rate:.0} acknowledged publishes a second");
        }
        fill(&config(Some(Durability::Wal), dir.path())?, events).await?;
        for _ in 0..3 {
            let config = config(Some(Durability::Fsync), dir.path())?;
            let begun = Instant::now();
            let (hub, drain) = open(&config)?;
            println!("reopened with {events} events in {:?}", begun.elapsed());
            let name: TopicName = "session:t0".parse()?;
            let begun = Instant::now();
            let held = hub.topic(&name).context("it is there")?.snapshot();
            println!("  first look at a topic: {:?}", begun.elapsed());
            drop((hub, held));
            drain.begin();
            drain.finished(Duration::from_secs(10)).await;
        }
        Ok(())
    })
}

fn config(
    durability: Option<Durability>,
    dir: &Path,
) -> anyhow::Result<(store::Config, hub::Config)> {
    let defaults: toml::Table = include_str!("../config/tidings.toml").parse()?;
    let mut store: store::Config = defaults["store"].clone().try_into()?;
    if let Some(durability) = durability {
        store.data_dir = Some(dir.to_owned());
        store.sqlite.durability = durability;
    }
    Ok((store, defaults["hub"].clone().try_into()?))
}

fn open((store, hub): &(store::Config, hub::Config)) -> anyhow::Result<(Hub, Drain)> {
    let drain = Drain::new();
    let store = Store::open(store.clone())?;
    let hub = Hub::new(hub.clone(), store, drain.clone(), hub::Metrics::default());
    Ok((hub, drain))
}

/// Publishes so many events, closes, and tells how long the publishing took.
async fn fill(config: &(store::Config, hub::Config), events: usize) -> anyhow::Result<Duration> {
    let (hub, drain) = open(config)?;
    let begun = Instant::now();
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|number| tokio::spawn(produce(hub.clone(), number, events / PRODUCERS)))
        .collect();
    for producer in producers {
        producer.await??;
    }
    let took = begun.elapsed();
    drop(hub);
    drain.begin();
    drain.finished(Duration::from_secs(10)).await;
    Ok(took)
}

async fn produce(hub: Hub, number: usize, events: usize) -> anyhow::Result<()> {
    let data = format!(r#"{{"text":"{}"}}"#, "x".repeat(PAYLOAD_BYTES));
    for n in 0..events {
        let topic: TopicName = format!("session:t{}", (n * PRODUCERS + number) % TOPICS).parse()?;
        hub.append(Draft::json(topic, "progress".parse()?, &data)?, None)
            .await?;
    }
    Ok(())
}
