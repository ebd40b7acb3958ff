//! The log of the gateway against the receipts of the producers.

use std::collections::HashMap;

use anyhow::Context as _;
use serde::Deserialize;

use super::event::{Lane, Stream};
use super::ledger::Place;
use super::scene::Scene;
use crate::upstream::gateway::{Gateway, Page};

/// Attempts to read a page.
const ATTEMPTS: u32 = 5;

/// What the log holds of what was acknowledged.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Audit {
    /// Entries that were read.
    pub(super) entries: u64,
    /// Published once and there twice.
    pub(super) doubled: u64,
    /// Acknowledged and not there (although what is older is).
    pub(super) lost: u64,
    /// There, but not where the receipt says.
    pub(super) misplaced: u64,
}

/// What an entry says of itself.
#[derive(Deserialize)]
struct Said {
    producer: usize,
    n: u64,
}

impl Audit {
    /// Reads the logs of all topics.
    pub(super) async fn of(scene: &Scene, gateway: &Gateway) -> anyhow::Result<Self> {
        let mut audit = Self::default();
        for number in 0..scene.plan.topics.len() {
            if scene.published.topic(number).len() > 0 {
                audit.topic(scene, gateway, number).await?;
            }
        }
        Ok(audit)
    }

    async fn topic(
        &mut self,
        scene: &Scene,
        gateway: &Gateway,
        number: usize,
    ) -> anyhow::Result<()> {
        let name = &scene.plan.topics[number].name;
        let mut there: HashMap<(Stream, u64), Place> = HashMap::new();
        let mut oldest: Option<Place> = None;
        let mut since: Option<String> = None;
        loop {
            let page = page(gateway, name, since.as_deref()).await?;
            for entry in page.events {
                self.entries += 1;
                let place = Place {
                    epoch: entry.epoch,
                    seq: entry.seq,
                };
                oldest.get_or_insert_with(|| place.clone());
                let said = serde_json::from_value::<Said>(entry.data).ok();
                let Some((lane, said)) = Lane::of(&entry.name).zip(said) else {
                    continue;
                };
                let stream = Stream {
                    producer: said.producer,
                    lane,
                };
                let twin = there.insert((stream, said.n), place);
                self.doubled += u64::from(twin.is_some());
            }
            since = page.cursor;
            if since.is_none() {
                break;
            }
        }
        let log = scene.published.topic(number);
        for (stream, receipts) in log.streams() {
            for (n, receipt) in (1..).zip(receipts) {
                match there.get(&(*stream, n)) {
                    Some(place) => self.misplaced += u64::from(place != receipt),
                    // What the log no longer has room for is older than all it holds.
                    None if is_older(receipt, oldest.as_ref()) => {}
                    None => self.lost += 1,
                }
            }
        }
        Ok(())
    }
}

fn is_older(receipt: &Place, oldest: Option<&Place>) -> bool {
    oldest.is_some_and(|oldest| oldest.epoch == receipt.epoch && receipt.seq < oldest.seq)
}

async fn page(gateway: &Gateway, name: &str, since: Option<&str>) -> anyhow::Result<Page> {
    let mut attempt = 1;
    loop {
        match gateway.history(name, since).await {
            Err(error) if error.is_transient() && attempt < ATTEMPTS => attempt += 1,
            page => return page.with_context(|| format!("cannot read the log of `{name}`")),
        }
    }
}
