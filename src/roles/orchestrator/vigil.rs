//! Decides whose silence counts.
//!
//! Silence says nothing while this orchestrator itself could not listen: while the broker or the
//! coordination service was away from it, or while it was itself stopped.

use std::time::Duration;

use tokio::time::Instant;

/// A look that comes later than this after the one before means that this process stood still.
const STALL: Duration = Duration::from_millis(1_200);

/// When this orchestrator began to listen without a break.
#[derive(Debug)]
pub(super) struct Vigil {
    listening_since: Instant,
    last_look: Instant,
}

impl Vigil {
    pub(super) fn new(now: Instant) -> Self {
        Self { listening_since: now, last_look: now }
    }

    /// To be called at every look around.
    pub(super) fn look(&mut self, now: Instant, can_listen: bool) {
        if !can_listen || now.duration_since(self.last_look) > STALL {
            self.listening_since = now;
        }
        self.last_look = now;
    }

    /// For how long somebody was silent while this orchestrator listened.
    pub(super) fn silence(&self, heard_at: Option<Instant>, now: Instant) -> Duration {
        let since = heard_at.map_or(self.listening_since, |at| at.max(self.listening_since));
        now.duration_since(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn silence_counts_only_from_when_somebody_listened() {
        let start = Instant::now();
        let mut vigil = Vigil::new(start);
        vigil.look(start + 500 * MS, true);
        assert_eq!(vigil.silence(None, start + 500 * MS), 500 * MS);
        assert_eq!(vigil.silence(Some(start + 300 * MS), start + 500 * MS), 200 * MS);
        vigil.look(start + 1_000 * MS, false);
        assert_eq!(vigil.silence(Some(start + 300 * MS), start + 1_000 * MS), Duration::ZERO);
        vigil.look(start + 1_500 * MS, true);
        assert_eq!(vigil.silence(None, start + 1_500 * MS), 500 * MS);
    }

    #[test]
    fn standing_still_starts_the_vigil_anew() {
        let start = Instant::now();
        let mut vigil = Vigil::new(start);
        vigil.look(start + 5_000 * MS, true);
        assert_eq!(vigil.silence(Some(start), start + 5_000 * MS), Duration::ZERO);
    }
}
