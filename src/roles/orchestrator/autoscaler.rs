//! Sums up the reads that all orchestrators took, window by window.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::domain::ids::OrchestratorId;
use crate::domain::scaling::{Decision, Outlook, ReadWindow, ScalingRules};
use crate::ports::coordination::OrchestratorStatus;

/// Counts reads on behalf of the whole system; only the controller's counts.
#[derive(Debug)]
pub(super) struct Autoscaler {
    rules: ScalingRules,
    started: Instant,
    window: ReadWindow,
    known: BTreeMap<OrchestratorId, u64>,
}

impl Autoscaler {
    pub(super) fn new(rules: ScalingRules, now: Instant) -> Self {
        Self { rules, started: now, window: ReadWindow::default(), known: BTreeMap::new() }
    }

    /// Takes in how many reads each orchestrator has taken since it started, and decides when a
    /// window has ended.
    pub(super) fn look(
        &mut self,
        orchestrators: &BTreeMap<OrchestratorId, OrchestratorStatus>,
        own: (&OrchestratorId, u64),
        now: Instant,
    ) -> Option<Decision> {
        let others = orchestrators.iter().filter(|(id, _)| *id != own.0);
        let counts = others.map(|(id, status)| (id, status.reads)).chain([own]);
        let mut fresh = 0;
        for (id, reads) in counts {
            let known = self.known.insert(id.clone(), reads).unwrap_or(0);
            fresh += reads.saturating_sub(known);
        }
        self.known.retain(|id, _| id == own.0 || orchestrators.contains_key(id));
        self.window.tick(self.elapsed_ms(now), fresh, &self.rules)
    }

    /// What the window under way would call for if it ended now.
    pub(super) fn outlook(&self, now: Instant) -> Outlook {
        self.window.outlook(self.elapsed_ms(now), &self.rules)
    }

    fn elapsed_ms(&self, now: Instant) -> u64 {
        u64::try_from(now.duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }

    /// Takes the counts as they are, without counting them: at the start of an office.
    pub(super) fn reset(
        &mut self,
        orchestrators: &BTreeMap<OrchestratorId, OrchestratorStatus>,
        own: (&OrchestratorId, u64),
    ) {
        self.window = ReadWindow::default();
        self.known = orchestrators.iter().map(|(id, status)| (id.clone(), status.reads)).collect();
        self.known.insert(own.0.clone(), own.1);
    }
}
