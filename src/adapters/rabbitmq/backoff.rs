//! How long to wait before trying again.

use std::time::Duration;

use rand::RngExt;

const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

/// Doubles from 50 ms to 2 s, with jitter so that a whole cluster does not knock at once.
pub(super) struct Backoff {
    next: Duration,
    told: bool,
}

impl Backoff {
    pub(super) const fn new() -> Self {
        Self { next: SHORTEST, told: false }
    }

    /// What went before worked for long enough to start over.
    pub(super) fn reset(&mut self) {
        self.next = SHORTEST;
        self.told = false;
    }

    /// The next wait: between half of its nominal length and all of it.
    pub(super) fn next(&mut self) -> Duration {
        let nominal = self.next;
        self.next = (2 * nominal).min(LONGEST);
        nominal.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// Waits before another attempt at something that lived for so long.
    pub(super) async fn wait(&mut self, lived: Duration) {
        if lived > LONGEST {
            self.reset();
        }
        tokio::time::sleep(self.next()).await;
    }

    /// Tells of a failed attempt: people once, when it has gone on for a while.
    pub(super) fn tell(&mut self, error: &anyhow::Error) {
        if self.next == LONGEST && !self.told {
            self.told = true;
            tracing::warn!(%error, "the broker refuses what is needed, trying on");
        } else {
            tracing::debug!(%error, "the broker refuses what is needed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_bound_and_start_over() {
        let mut backoff = Backoff::new();
        let waits: Vec<_> = (0..10).map(|_| backoff.next()).collect();
        assert!(waits[0] >= SHORTEST / 2 && waits[0] <= SHORTEST, "{waits:?}");
        assert!(waits[9] >= LONGEST / 2 && waits[9] <= LONGEST, "{waits:?}");
        backoff.reset();
        assert!(backoff.next() <= SHORTEST);
    }
}
