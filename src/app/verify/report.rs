//! The figures of a run.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::audit::Audit;
use super::ledger::Wrong;
use super::scene::Scene;
use crate::app::latencies::Latencies;

/// The figures of a run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    seed: u64,
    seconds: f64,
    clients: usize,
    topics: usize,
    published: u64,
    delivered: u64,
    lost: u64,
    doubled: u64,
    out_of_order: u64,
    gaps_unannounced: u64,
    corrupt: u64,
    gaps_announced: u64,
    missing_announced: u64,
    recovered: u64,
    resumed: u64,
    never_back: u64,
    attempts_failed: u64,
    unacknowledged: u64,
    stuck_closed: u64,
    stuck_open: u64,
    repeats: u64,
    receipts_changed: u64,
    log: LogFigures,
    delivery_ms: Percentiles,
    resumption_ms: Percentiles,
    faults: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<Memory>,
    complaints: Vec<String>,
}

#[derive(Debug, Serialize)]
struct LogFigures {
    entries: u64,
    doubled: u64,
    lost: u64,
    misplaced: u64,
}

#[derive(Debug, Serialize)]
struct Percentiles {
    p50: f64,
    p99: f64,
    max: f64,
}

/// Memory of a gateway of ours.
#[derive(Debug, Serialize)]
pub(super) struct Memory {
    rss_before_kib: u64,
    rss_gathered_kib: u64,
    kib_per_client: f64,
}

impl Memory {
    /// Of the gateway before and after the clients had come.
    pub(super) fn of(before: Option<u64>, after: Option<u64>, clients: usize) -> Option<Self> {
        let (before, after) = before.zip(after)?;
        Some(Self {
            rss_before_kib: before,
            rss_gathered_kib: after,
            kib_per_client: after.saturating_sub(before) as f64 / clients as f64,
        })
    }
}

impl Percentiles {
    fn of(latencies: &Latencies) -> Self {
        let at = |percent| {
            let millis = latencies.percentile(percent).as_secs_f64() * 1e3;
            (millis * 1e3).round() / 1e3
        };
        Self {
            p50: at(50),
            p99: at(99),
            max: at(100),
        }
    }
}

impl Report {
    /// The figures at the end of a run.
    pub(super) fn new(
        scene: &Scene,
        wrong: Wrong,
        audit: Audit,
        memory: Option<Memory>,
        seconds: f64,
    ) -> Self {
        let tally = &scene.tally;
        let notes = tally.notes().clone();
        let faults = notes.faults.iter();
        Self {
            seed: scene.plan.seed,
            seconds,
            clients: scene.plan.clients,
            topics: scene.plan.topics.len(),
            published: scene.published.len(),
            delivered: tally.delivered.get(),
            lost: wrong.lost,
            doubled: wrong.doubled,
            out_of_order: wrong.disordered,
            gaps_unannounced: wrong.unannounced,
            corrupt: wrong.corrupt,
            gaps_announced: wrong.gaps,
            missing_announced: wrong.missing,
            recovered: tally.recovered.get(),
            resumed: tally.resumed.get(),
            never_back: tally.never_back.get(),
            attempts_failed: tally.attempts_failed.get(),
            unacknowledged: tally.unacknowledged.get(),
            stuck_closed: tally.stuck_closed.get(),
            stuck_open: tally.stuck_open.get(),
            repeats: tally.repeats.get(),
            receipts_changed: tally.receipts_changed.get(),
            log: LogFigures {
                entries: audit.entries,
                doubled: audit.doubled,
                lost: audit.lost,
                misplaced: audit.misplaced,
            },
            delivery_ms: Percentiles::of(&notes.delivery),
            resumption_ms: Percentiles::of(&notes.resumption),
            faults: faults
                .map(|(fault, count)| (fault.to_string(), *count))
                .collect(),
            memory,
            complaints: notes.complaints,
        }
    }

    /// Whether every promise was kept.
    pub(super) const fn is_clean(&self) -> bool {
        let seen = self.lost + self.doubled + self.out_of_order + self.gaps_unannounced;
        let log = self.log.doubled + self.log.lost + self.log.misplaced;
        let others = self.corrupt + self.never_back + self.unacknowledged + self.receipts_changed;
        seen + log + others == 0
    }

    /// For people; with the last lines of the gateway's log if a promise was broken.
    pub(super) fn told(&self, log: &[String]) -> String {
        let mut text = String::new();
        for (name, value) in self.rows() {
            writeln!(text, "{name:<20} {value}").expect("a String takes all");
        }
        if self.is_clean() {
            text.push_str("lossless: every event once and in order");
        } else {
            text.push_str("a promise was broken:\n");
            for line in self.complaints.iter().chain(log) {
                writeln!(text, "  {line}").expect("a String takes all");
            }
        }
        text.trim_end().to_owned()
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let faults = self.faults.iter();
        let faults: Vec<_> = faults
            .map(|(fault, count)| format!("{count} {fault}"))
            .collect();
        let faults = match faults.as_slice() {
            [] => "none".to_owned(),
            faults => faults.join(", "),
        };
        let memory = self.memory.as_ref().map(|memory| {
            format!(
                "{} KiB before, {} KiB with all clients: {:.1} KiB each",
                memory.rss_before_kib, memory.rss_gathered_kib, memory.kib_per_client
            )
        });
        let mut rows = vec![
            ("seed", self.seed.to_string()),
            ("time", format!("{:.1} s", self.seconds)),
            ("faults made", faults),
            (
                "published",
                format!("{} (and {} sent again)", self.published, self.repeats),
            ),
            ("delivered", self.delivered.to_string()),
            ("L lost", self.lost.to_string()),
            ("D doubled", self.doubled.to_string()),
            ("O out of order", self.out_of_order.to_string()),
            ("G gaps unannounced", self.gaps_unannounced.to_string()),
            ("corrupt", self.corrupt.to_string()),
            (
                "gaps announced",
                format!(
                    "{}: {} events missing",
                    self.gaps_announced, self.missing_announced
                ),
            ),
            (
                "came back",
                format!(
                    "{} recovered, {} not (resumed by cursor), {} never",
                    self.recovered, self.resumed, self.never_back
                ),
            ),
            (
                "log",
                format!(
                    "{} entries; {} doubled, {} lost, {} misplaced",
                    self.log.entries, self.log.doubled, self.log.lost, self.log.misplaced
                ),
            ),
            (
                "receipts",
                format!(
                    "{} changed, {} never came",
                    self.receipts_changed, self.unacknowledged
                ),
            ),
            ("publish to delivery", self.delivery_ms.told()),
            ("time to resume", self.resumption_ms.told()),
        ];
        if self.stuck_closed + self.stuck_open > 0 {
            let told = format!(
                "{} closed by the gateway, {} not",
                self.stuck_closed, self.stuck_open
            );
            rows.push(("did not read", told));
        }
        rows.extend(memory.map(|memory| ("gateway's memory", memory)));
        rows
    }
}

impl Percentiles {
    fn told(&self) -> String {
        format!(
            "p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
            self.p50, self.p99, self.max
        )
    }
}
