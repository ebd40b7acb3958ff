//! What one client saw: how many, how late, and what was wrong.

use std::time::Duration;

use serde::Deserialize;

/// Buckets for each doubling of the latency: figures are exact to about 6 %.
const STEPS: u32 = 16;

/// Enough for an hour in microseconds.
const BUCKETS: usize = 32 * STEPS as usize;

/// What a measured event says of itself.
#[derive(Deserialize)]
struct Tick {
    #[serde(rename = "_seq")]
    seq: u64,
    at: u64,
}

/// What one client saw.
#[derive(Debug, Clone)]
pub(super) struct Score {
    seen: Vec<bool>,
    newest: u64,
    pub(super) delivered: u64,
    pub(super) doubled: u64,
    pub(super) disordered: u64,
    /// When the last one came, in microseconds after the start.
    pub(super) last_at: u64,
    latencies: Latencies,
}

impl Score {
    /// Nothing seen yet of so many.
    pub(super) fn new(expected: u64) -> Self {
        let expected = usize::try_from(expected).expect("the number of events is bounded");
        Self {
            seen: vec![false; expected],
            newest: 0,
            delivered: 0,
            doubled: 0,
            disordered: 0,
            last_at: 0,
            latencies: Latencies::default(),
        }
    }

    /// Looks at a packet that came so many microseconds after the start.
    pub(super) fn see(&mut self, packet: &str, now: u64) {
        let Some(data) = packet.strip_prefix("42[\"tick\",") else {
            return;
        };
        // An offset may follow.
        let mut arguments = serde_json::Deserializer::from_str(data).into_iter();
        let Some(Ok(Tick { seq, at })) = arguments.next() else {
            return;
        };
        let place = usize::try_from(seq)
            .ok()
            .and_then(|seq| self.seen.get_mut(seq.checked_sub(1)?));
        let Some(seen) = place else { return };
        if std::mem::replace(seen, true) {
            self.doubled += 1;
            return;
        }
        self.disordered += u64::from(seq < self.newest);
        self.newest = self.newest.max(seq);
        self.delivered += 1;
        self.last_at = now;
        self.latencies.add(now.saturating_sub(at));
    }

    /// Whether nothing is missing.
    pub(super) fn is_whole(&self) -> bool {
        self.delivered == self.seen.len() as u64
    }

    /// How many are missing.
    pub(super) fn lost(&self) -> u64 {
        self.seen.len() as u64 - self.delivered
    }

    /// How late they came.
    pub(super) const fn latencies(&self) -> &Latencies {
        &self.latencies
    }
}

/// How late events came, in microseconds.
#[derive(Debug, Clone)]
pub(super) struct Latencies(Vec<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self(vec![0; BUCKETS])
    }
}

impl Latencies {
    fn add(&mut self, micros: u64) {
        self.0[bucket(micros).min(BUCKETS - 1)] += 1;
    }

    /// Adds another client's.
    pub(super) fn merge(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(&other.0) {
            *sum += more;
        }
    }

    /// The latency that so many percent did not exceed.
    pub(super) fn percentile(&self, percent: u64) -> Duration {
        let total: u64 = self.0.iter().sum();
        let wanted = (total * percent).div_ceil(100);
        let mut sum = 0;
        for (index, count) in self.0.iter().enumerate() {
            sum += count;
            if sum >= wanted && sum > 0 {
                return Duration::from_micros(ceiling(index));
            }
        }
        Duration::ZERO
    }
}

fn bucket(micros: u64) -> usize {
    let steps = u64::from(STEPS);
    if micros < steps {
        return usize::try_from(micros).unwrap_or(0);
    }
    let doublings = u64::from(micros.ilog2() - STEPS.ilog2());
    usize::try_from(doublings * steps + (micros >> doublings)).unwrap_or(BUCKETS)
}

/// The largest latency of a bucket.
fn ceiling(index: usize) -> u64 {
    let steps = u64::from(STEPS);
    let index = index as u64;
    if index < 2 * steps {
        return index;
    }
    let doublings = index / steps - 1;
    ((steps + index % steps + 1) << doublings) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(seq: u64) -> String {
        format!(r#"42["tick",{{"at":5,"pad":"x","_seq":{seq}}}]"#)
    }

    #[test]
    fn what_is_lost_doubled_or_out_of_order_is_counted() {
        let mut score = Score::new(5);
        for seq in [1, 3, 2, 3, 5] {
            score.see(&tick(seq), 10);
        }
        score.see(r#"42["connected",{}]"#, 10);
        score.see("42[\"tick\",nonsense]", 10);
        score.see(&tick(2).replace(']', ",\"session:a:e:2\"]"), 10);
        score.see(&tick(6), 10);
        assert_eq!((score.delivered, score.lost()), (4, 1));
        assert_eq!((score.doubled, score.disordered), (2, 1));
        assert!(!score.is_whole());
        score.see(&tick(4), 10);
        assert!(score.is_whole());
    }

    #[test]
    fn percentiles_are_close_to_the_truth() {
        let mut latencies = Latencies::default();
        for micros in 1..=10_000 {
            latencies.add(micros);
        }
        for (percent, truth) in [(50, 5_000.0), (99, 9_900.0)] {
            let found = latencies.percentile(percent).as_secs_f64() * 1e6;
            assert!((found / truth - 1.0).abs() < 0.07, "{percent}: {found}");
        }
        assert_eq!(Latencies::default().percentile(99), Duration::ZERO);
    }

    #[test]
    fn every_latency_fits_its_bucket() {
        for micros in (0..5_000).chain([1 << 20, (1 << 30) + 12_345]) {
            let index = bucket(micros);
            assert!(ceiling(index) >= micros, "{micros}");
            assert!(index == 0 || ceiling(index - 1) < micros, "{micros}");
        }
    }
}
