//! Killed in mid-write: what was acknowledged is there, once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::{Chance, Gateway, Known, check, publish, setting, until};

const TOPICS: usize = 3;
const PRODUCERS: usize = 8;

/// Publishes until the connection breaks; notes what was acknowledged, by sequence.
async fn produce(
    client: reqwest::Client,
    url: String,
    (topic, bytes): (String, usize),
    known: Arc<Mutex<Known>>,
) {
    for n in 0_u64.. {
        let key = format!("{}-{n}", uuid::Uuid::new_v4());
        let data = json!({"mark": key, "text": "x".repeat(bytes)});
        let body = json!({"name": "model_result", "data": data});
        let Some((status, receipt)) = publish(&client, &url, &topic, &body, Some(&key)).await
        else {
            return;
        };
        assert_eq!(status, 200, "{receipt}");
        let seq = receipt["seq"].as_u64().unwrap();
        let doubled = known.lock().unwrap().insert(seq, key);
        assert_eq!(doubled, None, "{seq} was given twice");
    }
}

/// Publishes to topics of this round, kills, and tells what was acknowledged.
async fn round(gateway: Gateway, number: u64, chance: &mut Chance) -> BTreeMap<String, Known> {
    let topics: Vec<_> = (0..TOPICS)
        .map(|n| (format!("session:k{number}-{n}"), Arc::new(Mutex::default())))
        .collect();
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|n| {
            let (topic, known) = topics[n % TOPICS].clone();
            let bytes = usize::try_from(chance.below(3000)).unwrap();
            let (client, url) = (gateway.client.clone(), gateway.url.clone());
            #[expect(clippy::disallowed_methods, reason = "a test has no drain")]
            tokio::spawn(produce(client, url, (topic, bytes), known))
        })
        .collect();
    let enough = usize::try_from(20 + chance.below(100)).unwrap();
    until("the publishes of a round", async || {
        let count = |known: &Arc<Mutex<Known>>| known.lock().unwrap().len();
        topics.iter().map(|(_, known)| count(known)).sum::<usize>() >= enough
    })
    .await;
    gateway.kill();
    for producer in producers {
        producer.await.unwrap();
    }
    let taken = |known: &Mutex<Known>| std::mem::take(&mut *known.lock().unwrap());
    topics
        .iter()
        .map(|(topic, known)| (topic.clone(), taken(known)))
        .collect()
}

/// `KILLS=200` asks for more rounds.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_or_doubled_by_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut chance = Chance::new();
    let more = ["--set", "log.filter=error"];
    let mut known = BTreeMap::new();
    let mut gateway = Gateway::start(dir.path(), &more);
    for number in 0..setting("KILLS").unwrap_or(20) {
        let told = round(gateway, number, &mut chance).await;
        gateway = Gateway::start(dir.path(), &more);
        for (topic, known) in &told {
            check(&gateway.log(topic).await, known, &mut None);
        }
        let (topic, known_there) = told.first_key_value().unwrap();
        let (seq, mark) = known_there.last_key_value().unwrap();
        let log = gateway.log(topic).await;
        let text = &log[usize::try_from(*seq).unwrap() - 1]["data"]["text"];
        let body = json!({"name": "model_result", "data": {"mark": mark, "text": text}});
        let (_, receipt) = gateway.publish(topic, &body, Some(mark)).await.unwrap();
        assert_eq!(receipt["seq"], *seq, "the receipt is replayed: {receipt}");
        known.extend(told);
    }
    let total: usize = known.values().map(BTreeMap::len).sum();
    println!("{total} acknowledged, none lost");
    for (topic, known) in &known {
        check(&gateway.log(topic).await, known, &mut None);
    }
}
