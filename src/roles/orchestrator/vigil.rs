//! Decides whose silence counts.
//!
//! Silence says nothing while this orchestrator itself could not listen: while the broker or the
//! coordination service was away from it, soon after, or while it was itself stopped.

use std::time::Duration;

use tokio::time::Instant;

/// A look that comes later than this after the one before means that this process stood still.
const STALL: Duration = Duration::from_millis(1_200);

/// The others may need so long to come back to a server that was away from all.
const RETURN: Duration = Duration::from_secs(5);

/// When this orchestrator began to listen without a break.
#[derive(Debug)]
pub(super) struct Vigil {
    listening_since: Instant,
    /// Until then, nobody who was not heard of since is silent. May be yet to come.
    return_until: Instant,
    last_look: Instant,
    /// The carrier did not take a ping, and has not taken one since.
    doubtful: bool,
}

impl Vigil {
    pub(super) fn new(now: Instant) -> Self {
        Self { listening_since: now, return_until: now, last_look: now, doubtful: false }
    }

    /// To be called at every look around.
    pub(super) fn look(&mut self, now: Instant, can_listen: bool) {
        if !can_listen || self.doubtful {
            self.listening_since = now;
            self.return_until = now + RETURN;
        } else if now.duration_since(self.last_look) > STALL {
            self.listening_since = now;
        }
        self.last_look = now;
    }

    /// A ping was taken by the carrier, or was not. A carrier that cannot be reached may look
    /// connected for as long as a heartbeat takes.
    pub(super) fn note_ping(&mut self, taken: bool) {
        self.doubtful = !taken;
    }

    /// Whether it is to be tried if the carrier takes a ping.
    pub(super) const fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// For how long somebody was silent while this orchestrator listened. Who was heard of since
    /// is back, whatever was away before.
    pub(super) fn silence(&self, heard_at: Option<Instant>, now: Instant) -> Duration {
        let since = heard_at
            .filter(|at| *at > self.listening_since)
            .unwrap_or(self.listening_since.max(self.return_until));
        now.saturating_duration_since(since)
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
        for now in [start + 1_500 * MS, start + 2_500 * MS, start + 3_500 * MS] {
            vigil.look(now, true);
            assert_eq!(vigil.silence(None, now), Duration::ZERO);
        }
        for now in [4_500, 5_500, 6_500].map(|ms| start + ms * MS) {
            vigil.look(now, true);
        }
        assert_eq!(vigil.silence(None, start + 6_500 * MS), 500 * MS);
    }

    #[test]
    fn silence_counts_again_some_time_after_the_carrier_took_a_ping() {
        let start = Instant::now();
        let mut vigil = Vigil::new(start);
        vigil.note_ping(false);
        for now in [1_000, 2_000, 9_000].map(|ms| start + ms * MS) {
            vigil.look(now, true);
            assert!(vigil.is_doubtful());
            assert_eq!(vigil.silence(Some(start), now), Duration::ZERO);
        }
        vigil.note_ping(true);
        for (ms, silence) in [(10_000, 0), (11_000, 0), (12_000, 0), (13_000, 0), (14_500, 500)] {
            // No pause is long enough to count as standing still.
            for step in [ms - 500, ms] {
                vigil.look(start + step * MS, true);
            }
            assert_eq!(vigil.silence(Some(start), start + ms * MS), silence * MS);
        }
    }

    #[test]
    fn silence_of_who_was_heard_of_since_counts_at_once() {
        let start = Instant::now();
        let mut vigil = Vigil::new(start);
        vigil.look(start, false);
        for now in [500, 1_500, 2_500].map(|ms| start + ms * MS) {
            vigil.look(now, true);
        }
        let now = start + 2_500 * MS;
        assert_eq!(vigil.silence(Some(start + 400 * MS), now), 2_100 * MS);
        assert_eq!(vigil.silence(Some(start - 400 * MS), now), Duration::ZERO, "not back yet");
        assert_eq!(vigil.silence(None, now), Duration::ZERO);
    }

    #[test]
    fn standing_still_starts_the_vigil_anew() {
        let start = Instant::now();
        let mut vigil = Vigil::new(start);
        vigil.look(start + 5_000 * MS, true);
        assert_eq!(vigil.silence(Some(start), start + 5_000 * MS), Duration::ZERO);
    }
}
