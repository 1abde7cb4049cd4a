//! Tells of the way of single writes through the master: what became of their batch, stage by stage.

use tokio::time::Instant;

use super::replica::Batch;
use crate::domain::ids::{NodeId, RequestId};
use crate::domain::request::WriteRequest;
use crate::ports::traces::{Stage, Traces};

/// The way of a batch, for those of its writes that are followed.
pub(super) struct Course {
    followed: Vec<RequestId>,
    requests: usize,
    /// When the stage under way began.
    at: Instant,
    passed: Vec<(&'static str, Instant, Instant)>,
}

impl Course {
    /// Begins its first stage.
    pub(super) fn begin(traces: &dyn Traces, requests: &[&WriteRequest]) -> Self {
        let followed = requests.iter().filter(|it| traces.follows(&it.id));
        Self {
            followed: followed.map(|it| it.id.clone()).collect(),
            requests: requests.len(),
            at: Instant::now(),
            passed: Vec::new(),
        }
    }

    /// Ends a stage, and begins the next.
    pub(super) fn pass(&mut self, stage: &'static str) {
        if self.followed.is_empty() {
            return;
        }
        let began = std::mem::replace(&mut self.at, Instant::now());
        self.passed.push((stage, began, self.at));
    }

    pub(super) fn tell(self, traces: &dyn Traces, node: &NodeId, batch: Batch) {
        let Batch { epoch, sequence, offset } = batch;
        for request in &self.followed {
            for (name, began, ended) in self.passed.iter().copied() {
                let facts = vec![
                    ("worker.node", node.to_string()),
                    ("log.epoch", epoch.to_string()),
                    ("log.sequence", sequence.to_string()),
                    ("log.offset", offset.to_string()),
                    ("batch.requests", self.requests.to_string()),
                ];
                traces.tell(request, Stage { name, is_whole: false, began, ended, facts });
            }
        }
    }
}
