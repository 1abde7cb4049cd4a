//! Writes that came back more than once: masters may have died of one of them.
//!
//! They wait until all that a dead master held has come in, and are then carried out one by one: who
//! came back least often first, and of those who came back equally often the last one first. The one
//! that kills was most likely the first that a master had in its hands, so that the others are
//! answered before it strikes again, and are not set aside together with it.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::sequencer::Held;

/// How often a write has come back that is suspected. After an ordinary failover each one that the
/// dead master held has done so once.
const OFTEN: u32 = 2;
/// Within this, what a dead master held comes in.
const WAIT: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(super) struct Suspects {
    held: Vec<(u32, Held)>,
    due: Option<Instant>,
}

impl Suspects {
    /// Whether a write that was tried so often is one.
    pub(super) const fn are(tried: u32) -> bool {
        tried >= OFTEN
    }

    pub(super) fn take(&mut self, tried: u32, held: Held) {
        self.due.get_or_insert_with(|| Instant::now() + WAIT);
        self.held.push((tried, held));
    }

    /// Waits until one is to be carried out; forever where there is none. Cancel safe.
    pub(super) async fn due(&self) {
        match self.due {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// The next one.
    pub(super) fn next(&mut self) -> Option<Held> {
        let next = (0..self.held.len()).rev().min_by_key(|index| self.held[*index].0)?;
        let (_, held) = self.held.remove(next);
        if self.held.is_empty() {
            self.due = None;
        }
        Some(held)
    }
}
