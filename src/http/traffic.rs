//! How many requests come in a second, and how long they take: the last minutes, for people to look at.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::{MissedTickBehavior, interval};

/// How far back it is kept, in seconds.
pub(super) const SECONDS: usize = 300;
/// A request that takes longer counts as so long, in microseconds.
const MOST_US: u64 = 60_000_000;

/// What one second brought.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Second {
    pub(super) requests: u64,
    /// Those that were answered with 500 or above.
    pub(super) failures: u64,
    /// Of their times in milliseconds; 0 where there was none.
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

/// Counts requests; cheap to clone.
#[derive(Clone)]
pub struct Traffic(Arc<Mutex<State>>);

struct State {
    times_us: Histogram<u64>,
    failures: u64,
    past: VecDeque<Second>,
}

impl Traffic {
    /// Nothing yet.
    ///
    /// # Panics
    /// Never: the bounds of the histogram are sound.
    #[must_use]
    pub fn new() -> Self {
        let times_us = Histogram::new_with_bounds(1, MOST_US, 2).expect("sound bounds");
        let past = VecDeque::with_capacity(SECONDS);
        Self(Arc::new(Mutex::new(State { times_us, failures: 0, past })))
    }

    /// Ends a second every second, for ever.
    pub async fn count(self) {
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        // The first comes at once.
        ticks.tick().await;
        loop {
            ticks.tick().await;
            self.end_second();
        }
    }

    pub(super) fn record(&self, took: Duration, has_failed: bool) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(MOST_US);
        let mut state = self.lock();
        state.times_us.saturating_record(took_us.max(1));
        state.failures += u64::from(has_failed);
    }

    /// The last seconds, oldest first.
    pub(super) fn past(&self) -> Vec<Second> {
        self.lock().past.iter().copied().collect()
    }

    fn end_second(&self) {
        let mut state = self.lock();
        let at = |quantile| state.times_us.value_at_quantile(quantile) as f64 / 1_000.0;
        let second = Second {
            requests: state.times_us.len(),
            failures: state.failures,
            p50_ms: at(0.5),
            p99_ms: at(0.99),
        };
        state.times_us.reset();
        state.failures = 0;
        if state.past.len() == SECONDS {
            state.past.pop_front();
        }
        state.past.push_back(second);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Traffic {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_counted_apart_and_only_the_last_ones_kept() {
        let traffic = Traffic::new();
        for took_ms in 1..=100 {
            traffic.record(Duration::from_millis(took_ms), took_ms > 98);
        }
        traffic.end_second();
        let [second] = traffic.past()[..] else { panic!("one second") };
        assert_eq!((second.requests, second.failures), (100, 2));
        assert!((second.p50_ms - 50.0).abs() < 1.0 && (second.p99_ms - 99.0).abs() < 2.0);
        traffic.record(Duration::from_secs(3_600), false);
        (0..SECONDS).for_each(|_| traffic.end_second());
        let past = traffic.past();
        assert_eq!((past.len(), past[0].requests, past[SECONDS - 1].requests), (SECONDS, 1, 0));
    }
}
