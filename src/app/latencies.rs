//! How late things came: a histogram that costs the same however much it holds.

use std::time::Duration;

/// Buckets for each doubling of the latency: figures are exact to about 6 %.
const STEPS: u32 = 16;

/// Enough for an hour in microseconds.
const BUCKETS: usize = 32 * STEPS as usize;

/// How late events came, in microseconds.
#[derive(Debug, Clone)]
pub(super) struct Latencies(Vec<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self(vec![0; BUCKETS])
    }
}

impl Latencies {
    /// Adds one.
    pub(super) fn add(&mut self, micros: u64) {
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
