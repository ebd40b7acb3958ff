//! A run: clients that wait, a publisher, and what came of it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use uuid::Uuid;

use super::Kind;
use super::client::Client;
use super::report::{Delivery, Memory, Report};
use super::score::Score;
use crate::app::cli::BenchCommon;
use crate::app::latencies::Latencies;
use crate::app::process;
use crate::upstream::gateway::{Gateway, Publish};

/// How many clients connect at once.
const CONNECTING_MAX: usize = 64;

/// How long memory may take to settle.
const SETTLE: Duration = Duration::from_secs(2);

/// How long a client that has everything waits for what should not come.
const LINGER: Duration = Duration::from_millis(200);

/// A run.
pub(super) struct Load<'a> {
    gateway: Gateway,
    kind: Kind,
    common: &'a BenchCommon,
    sessions: Vec<String>,
}

impl<'a> Load<'a> {
    /// A run with sessions of its own.
    pub(super) fn new(gateway: Gateway, kind: Kind, common: &'a BenchCommon) -> Self {
        let run = Uuid::now_v7().simple().to_string();
        let sessions = (0..kind.sessions(common))
            .map(|n| format!("bench-{}-{n}", &run[20..]))
            .collect();
        Self {
            gateway,
            kind,
            common,
            sessions,
        }
    }

    /// Connects, measures, disconnects.
    pub(super) async fn run(&self) -> anyhow::Result<Report> {
        let (delivery, memory) = if self.kind == Kind::Idle {
            (None, Some(self.idle().await?))
        } else {
            let clients = self.connect().await?;
            (Some(self.deliver(clients).await?), None)
        };
        Ok(Report {
            kind: self.kind,
            url: self.gateway.base().to_owned(),
            in_process: self.common.url.is_none(),
            clients: self.common.clients,
            delivery,
            memory,
        })
    }

    async fn connect(&self) -> anyhow::Result<Vec<(Client, u64)>> {
        let count = self.common.clients as usize;
        let connecting = stream::iter(0..count).map(|n| async move {
            let session = n % self.sessions.len();
            let transport = self.kind.transport();
            let client =
                Client::subscribe(&self.gateway, transport, &self.sessions[session]).await?;
            anyhow::Ok((client, self.expected(session)))
        });
        let connected = connecting.buffer_unordered(CONNECTING_MAX).try_collect();
        let limit = self.common.limit;
        timeout(limit, connected)
            .await
            .with_context(|| format!("the clients did not connect within {} s", limit.as_secs()))?
    }

    /// How many events a session gets.
    fn expected(&self, session: usize) -> u64 {
        let (events, sessions) = (self.common.events as usize, self.sessions.len());
        (events / sessions + usize::from(session < events % sessions)) as u64
    }

    async fn deliver(&self, clients: Vec<(Client, u64)>) -> anyhow::Result<Delivery> {
        let before = self.cpu()?;
        let begun = Instant::now();
        let deadline = begun + self.common.limit;
        // The tasks belong to this set and end with it: a run leaves nothing behind.
        let mut tasks = JoinSet::new();
        for (client, expected) in clients {
            tasks.spawn(listen(client, Score::new(expected), begun, deadline));
        }
        timeout_at(deadline, self.publish(begun))
            .await
            .context("the events were not published in time: take fewer, or a longer --limit")??;
        let mut scores = Vec::new();
        while let Some(score) = tasks.join_next().await {
            scores.push(score?);
        }
        let used = self
            .cpu()?
            .zip(before)
            .map(|(after, before)| after.saturating_sub(before));
        Ok(self.sum_up(&scores, used))
    }

    async fn publish(&self, begun: Instant) -> anyhow::Result<()> {
        let pad: Arc<str> = "x".repeat(self.common.payload as usize).into();
        let publishing = stream::iter(0..self.common.events as usize).map(|n| {
            let pad = Arc::clone(&pad);
            let topic = format!("session:{}", self.sessions[n % self.sessions.len()]);
            async move {
                let event = Publish::new("tick", json!({"at": micros(begun), "pad": &*pad}));
                self.gateway.publish(&topic, &event).await
            }
        });
        let in_flight = self.common.in_flight as usize;
        publishing
            .buffer_unordered(in_flight)
            .try_for_each(|_| async { Ok(()) })
            .await?;
        Ok(())
    }

    fn sum_up(&self, scores: &[Score], used: Option<Duration>) -> Delivery {
        let sum = |of: fn(&Score) -> u64| scores.iter().map(of).sum::<u64>();
        let delivered = sum(|score| score.delivered);
        let last = scores
            .iter()
            .map(|score| score.last_at)
            .max()
            .unwrap_or_default();
        let seconds = Duration::from_micros(last.max(1)).as_secs_f64();
        let mut latencies = Latencies::default();
        for score in scores {
            latencies.merge(score.latencies());
        }
        Delivery {
            events: self.common.events,
            delivered,
            lost: sum(Score::lost),
            doubled: sum(|score| score.doubled),
            out_of_order: sum(|score| score.disordered),
            seconds,
            deliveries_per_second: delivered as f64 / seconds,
            latency_p50_ms: latencies.percentile(50).as_secs_f64() * 1e3,
            latency_p99_ms: latencies.percentile(99).as_secs_f64() * 1e3,
            server_cpu_us: used.map(|used| used.as_secs_f64() * 1e6 / delivered.max(1) as f64),
        }
    }

    async fn idle(&self) -> anyhow::Result<Memory> {
        let pid = self.common.server_pid;
        let pid = match (pid, &self.common.url) {
            (Some(pid), _) => pid,
            (None, None) => std::process::id(),
            (None, Some(_)) => {
                anyhow::bail!("say which process the gateway is, with --server-pid, to measure it")
            }
        };
        let before = process::rss_kib(pid)?;
        let clients = self.connect().await?;
        sleep(SETTLE).await;
        let connected = process::rss_kib(pid)?;
        drop(clients);
        sleep(SETTLE).await;
        Ok(Memory {
            rss_before_kib: before,
            rss_connected_kib: connected,
            rss_after_kib: process::rss_kib(pid)?,
            kib_per_connection: connected.saturating_sub(before) as f64
                / f64::from(self.common.clients),
        })
    }

    fn cpu(&self) -> anyhow::Result<Option<Duration>> {
        self.common.server_pid.map(process::cpu).transpose()
    }
}

/// Listens until all is there and nothing comes a second time, the connection ends, or time is up.
async fn listen(mut client: Client, mut score: Score, begun: Instant, deadline: Instant) -> Score {
    loop {
        let until = if score.is_whole() {
            deadline.min(Instant::now() + LINGER)
        } else {
            deadline
        };
        match timeout_at(until, client.next()).await {
            Ok(Ok(packet)) => score.see(&packet, micros(begun)),
            Ok(Err(error)) => {
                tracing::warn!(%error, "a client lost its connection");
                break;
            }
            Err(_) => break,
        }
    }
    score
}

fn micros(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX)
}
