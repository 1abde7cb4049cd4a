//! What was measured.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;

use super::target::Outcome;

/// The longest latency told apart, in microseconds.
const LONGEST_US: u64 = 120_000_000;
/// Latencies are kept to a thousandth.
const DIGITS: u8 = 3;

/// Of one kind of request.
#[derive(Clone)]
pub(super) struct Latencies {
    /// In microseconds, of those that were answered.
    histogram: Histogram<u64>,
}

impl Latencies {
    fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_US, DIGITS);
        Self { histogram: histogram.expect("the bounds are sound") }
    }

    fn note(&mut self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(LONGEST_US);
        self.histogram.saturating_record(us);
    }

    pub(super) fn count(&self) -> u64 {
        self.histogram.len()
    }

    pub(super) fn mean_ms(&self) -> f64 {
        self.histogram.mean() / 1_000.0
    }

    pub(super) fn quantile_ms(&self, quantile: f64) -> f64 {
        self.histogram.value_at_quantile(quantile) as f64 / 1_000.0
    }

    pub(super) fn max_ms(&self) -> f64 {
        self.histogram.max() as f64 / 1_000.0
    }
}

/// Of one connection, or of all together.
#[derive(Clone)]
pub(super) struct Tally {
    pub(super) reads: Latencies,
    pub(super) writes: Latencies,
    /// How often each kind of failure was seen.
    pub(super) failures: BTreeMap<String, u64>,
    /// When each write was answered, where somebody wants to know.
    pub(super) written_at: Option<Vec<Instant>>,
}

impl Tally {
    pub(super) fn new(keep_times: bool) -> Self {
        Self {
            reads: Latencies::new(),
            writes: Latencies::new(),
            failures: BTreeMap::new(),
            written_at: keep_times.then(Vec::new),
        }
    }

    /// Takes in a request that was due, or sent, at some time and has its outcome now.
    pub(super) fn note(&mut self, is_read: bool, since: Instant, outcome: Outcome) {
        let now = Instant::now();
        match outcome {
            Outcome::Answered if is_read => self.reads.note(now - since),
            Outcome::Answered => {
                self.writes.note(now - since);
                self.written_at.iter_mut().for_each(|times| times.push(now));
            }
            Outcome::Failed(why) => *self.failures.entry(why).or_default() += 1,
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        let sum = "histograms of the same bounds add up";
        self.reads.histogram.add(&other.reads.histogram).expect(sum);
        self.writes.histogram.add(&other.writes.histogram).expect(sum);
        for (why, times) in other.failures {
            *self.failures.entry(why).or_default() += times;
        }
        if let (Some(all), Some(more)) = (&mut self.written_at, other.written_at) {
            all.extend(more);
        }
    }
}
