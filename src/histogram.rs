//! A histogram of durations for what happens often: observing takes two atomic additions and no
//! lock, and its buckets are the same everywhere, so that series can be added up.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// The upper bounds of the buckets, in microseconds; above the last is one more.
const BOUNDS_US: [u64; 17] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

/// Of so many things that happen in a thread, one is timed: see [`is_timed`].
pub const SAMPLE: u32 = 16;

/// How long something took, by buckets. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Histogram(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_ns: AtomicU64,
}

impl Histogram {
    /// Counts a duration.
    pub fn observe(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        self.0.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        let counts = self.0.buckets.iter();
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let bounds = BOUNDS_US.iter().map(|us| *us as f64 / 1e6);
        let counts = self.0.buckets.iter();
        let counts = counts.map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.chain([f64::MAX]).zip(counts).collect();
        let sum = self.0.sum_ns.load(Ordering::Relaxed) as f64 / 1e9;
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

/// Whether this one is to be timed, where reading the clock for each would cost too much: the first
/// of a thread, and then one of [`SAMPLE`].
pub fn is_timed() -> bool {
    thread_local! {
        static SEEN: Cell<u32> = const { Cell::new(0) };
    }
    SEEN.with(|seen| {
        let before = seen.get();
        seen.set((before + 1) % SAMPLE);
        before == 0
    })
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn durations_lie_in_their_buckets() {
        let (mut registry, took) = (Registry::default(), Histogram::default());
        registry.register("took_seconds", "How long", took.clone());
        for us in [0, 50, 51, 999, 1_000, 11_000_000] {
            took.observe(Duration::from_micros(us));
        }
        assert_eq!(took.count(), 6);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "took_seconds_bucket{le=\"0.00005\"} 2",
            "took_seconds_bucket{le=\"0.0001\"} 3",
            "took_seconds_bucket{le=\"0.001\"} 5",
            "took_seconds_bucket{le=\"10.0\"} 5",
            "took_seconds_bucket{le=\"+Inf\"} 6",
            "took_seconds_count 6",
            "took_seconds_sum 11.0021",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn one_of_a_few_is_timed_and_the_first_is() {
        let thread = std::thread::spawn(|| (0..SAMPLE * 3).filter(|_| is_timed()).count());
        assert_eq!(thread.join().unwrap(), 3);
        let first = std::thread::spawn(is_timed);
        assert!(first.join().unwrap());
    }
}
