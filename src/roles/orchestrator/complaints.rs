//! Remembers who has stopped because the log lacks what it holds.
//!
//! Such a worker is started again and again, as the log may come back; in between it looks like any
//! other that is starting. Whoever leads meanwhile would lead with less than there was.

use std::collections::HashSet;
use std::time::Duration;

use super::recovery::misses_its_log;
use super::roster::Signs;
use crate::domain::ids::{LogId, NodeId};
use crate::domain::message::Role;
use crate::ports::containers::Container;

#[derive(Debug, Default)]
pub(super) struct Complaints {
    of: HashSet<NodeId>,
    /// The history that they are about.
    log: Option<LogId>,
    /// What was said of an earlier one does not count, in milliseconds since 1970.
    since_ms: u64,
}

impl Complaints {
    /// Takes in what has become of the workers, and which history is led.
    pub(super) fn look(
        &mut self,
        containers: &[Container],
        signs: &Signs,
        log: Option<&LogId>,
        now_ms: u64,
    ) {
        if self.log.as_ref() != log {
            self.since_ms = if self.log.is_some() { now_ms } else { 0 };
            self.log = log.cloned();
            self.of.clear();
        }
        self.of.retain(|node| containers.iter().any(|container| container.node == *node));
        for container in containers {
            let complains = misses_its_log(container) && container.changed_at_ms >= self.since_ms;
            if complains {
                self.of.insert(container.node.clone());
            } else if has_come_back(container, signs, now_ms) {
                self.of.remove(&container.node);
            }
        }
    }

    /// Whether this worker has stopped for that, and has not come back since.
    pub(super) fn is_of(&self, node: &NodeId) -> bool {
        self.of.contains(node)
    }
}

/// It follows the log again, or has ended for another reason.
fn has_come_back(container: &Container, signs: &Signs, now_ms: u64) -> bool {
    if !container.runs() {
        return true;
    }
    let uptime = Duration::from_millis(now_ms.saturating_sub(container.changed_at_ms));
    let sign = signs.workers.get(&container.node);
    // A sign from before the last start is another process's.
    let sign = sign.filter(|sign| sign.heard_at.elapsed() < uptime);
    sign.is_some_and(|sign| sign.progress.role != Role::Joining)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{Epoch, Pid};
    use crate::domain::message::Progress;
    use crate::ports::containers::{ContainerState, LOG_LOST};

    fn container(state: ContainerState, changed_at_ms: u64) -> Container {
        Container { node: NodeId::new("n1"), state, changed_at_ms }
    }

    fn sign(role: Role) -> Signs {
        let mut signs = Signs::default();
        let (node, epoch) = (NodeId::new("n1"), Epoch(1));
        signs.take(Progress { node, role, epoch, applied: None, stalled: false });
        signs
    }

    #[test]
    fn complaint_stands_until_the_worker_is_back_or_another_history_is_led() {
        let node = NodeId::new("n1");
        let (first, second) = (LogId::new("first"), LogId::new("second"));
        let lost = |at| container(ContainerState::Exited { code: LOG_LOST }, at);
        let runs = |at| container(ContainerState::Running { pid: Pid(7) }, at);
        let mut complaints = Complaints::default();
        let mut look = |container: Container, signs: Signs, log: &LogId| {
            complaints.look(&[container], &signs, Some(log), 1_000);
            complaints.is_of(&node)
        };
        let unheard = Signs::default;
        assert!(!look(runs(0), sign(Role::Slave), &first));
        assert!(look(lost(10), unheard(), &first));
        assert!(look(runs(20), unheard(), &first), "it has said nothing yet");
        assert!(look(runs(20), sign(Role::Joining), &first));
        assert!(!look(runs(20), sign(Role::Slave), &first), "the log is back");
        assert!(look(lost(30), unheard(), &first));
        let crashed = container(ContainerState::Exited { code: 137 }, 40);
        assert!(!look(crashed, unheard(), &first));
        assert!(look(lost(50), unheard(), &first));
        assert!(!look(lost(50), unheard(), &second), "somebody said what to go on with");
        assert!(look(lost(1_000), unheard(), &second));
    }
}
