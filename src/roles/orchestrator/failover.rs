//! Keeps time while there is no master: how long that lasts, and who had its chance.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::ids::{Epoch, NodeId};

/// The course of an election.
#[derive(Debug)]
pub(super) struct Failover {
    limit: Duration,
    vacant_since: Option<Instant>,
    /// Who is named, and since when without being in office.
    hopeful: Option<(NodeId, Epoch, Instant)>,
    /// Who did not make it, and in which epoch, until somebody does or it is named again.
    passed_over: HashMap<NodeId, Epoch>,
    in_office: Option<(NodeId, Epoch)>,
}

/// A master that has just been seen in office.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TookOffice {
    pub(super) node: NodeId,
    pub(super) epoch: Epoch,
    /// How long there was no master; unknown for the first one seen.
    pub(super) vacancy: Option<Duration>,
}

impl Failover {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            vacant_since: None,
            hopeful: None,
            passed_over: HashMap::new(),
            in_office: None,
        }
    }

    /// Whether a worker is passed over while this one is named leader.
    pub(super) fn is_passed_over(&self, node: &NodeId, named: Option<(&NodeId, Epoch)>) -> bool {
        self.passed_over.get(node).is_some_and(|failed| {
            named.is_none_or(|(leader, epoch)| leader != node || epoch <= *failed)
        })
    }

    /// Takes in who is named leader, and whether that worker can be in office by now.
    pub(super) fn look(
        &mut self,
        named: Option<(&NodeId, Epoch)>,
        is_alive: bool,
        is_in_office: bool,
        now: Instant,
    ) -> Option<TookOffice> {
        if let (Some((node, epoch)), true) = (named, is_in_office) {
            return self.office(node, epoch, now);
        }
        self.vacant_since.get_or_insert(now);
        let Some((node, epoch)) = named.filter(|_| is_alive) else {
            self.hopeful = None;
            return None;
        };
        match &self.hopeful {
            Some((hopeful, for_epoch, since)) if hopeful == node && *for_epoch == epoch => {
                if now.duration_since(*since) >= self.limit {
                    self.passed_over.insert(node.clone(), epoch);
                }
            }
            _ => {
                self.passed_over.remove(node);
                self.hopeful = Some((node.clone(), epoch, now));
            }
        }
        None
    }

    fn office(&mut self, node: &NodeId, epoch: Epoch, now: Instant) -> Option<TookOffice> {
        self.hopeful = None;
        self.passed_over.clear();
        let vacancy = self.vacant_since.take().map(|since| now.duration_since(since));
        let known = self.in_office.as_ref().is_some_and(|(n, e)| n == node && *e == epoch);
        if known {
            return None;
        }
        let vacancy = vacancy.filter(|_| self.in_office.is_some());
        self.in_office = Some((node.clone(), epoch));
        Some(TookOffice { node: node.clone(), epoch, vacancy })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(2);

    fn node(name: &str) -> NodeId {
        NodeId::new(name)
    }

    #[test]
    fn hopeful_that_takes_too_long_is_passed_over_until_it_is_named_again() {
        let start = Instant::now();
        let mut failover = Failover::new(LIMIT);
        let (n1, n2) = (node("n1"), node("n2"));
        let (first, second, third) = (Epoch(2), Epoch(3), Epoch(4));
        failover.look(Some((&n1, first)), true, false, start);
        failover.look(Some((&n1, first)), true, false, start + LIMIT / 2);
        assert!(!failover.is_passed_over(&n1, Some((&n1, first))));
        failover.look(Some((&n1, first)), true, false, start + LIMIT);
        assert!(failover.is_passed_over(&n1, Some((&n1, first))));
        failover.look(Some((&n2, second)), true, false, start + LIMIT * 2);
        failover.look(Some((&n2, second)), true, false, start + LIMIT * 3);
        let named = Some((&n2, second));
        assert!(failover.is_passed_over(&n1, named) && failover.is_passed_over(&n2, named));
        let named = Some((&n1, third));
        assert!(!failover.is_passed_over(&n1, named), "before the next look, too");
        failover.look(named, true, false, start + LIMIT * 3);
        assert!(!failover.is_passed_over(&n1, named));
        failover.look(named, true, true, start + LIMIT * 3);
        assert!(!failover.is_passed_over(&n2, named));
    }

    #[test]
    fn vacancy_is_the_time_from_the_first_look_without_a_master() {
        let start = Instant::now();
        let mut failover = Failover::new(LIMIT);
        let (n1, n2) = (node("n1"), node("n2"));
        let first = failover.look(Some((&n1, Epoch(1))), true, true, start);
        assert_eq!(first, Some(TookOffice { node: n1.clone(), epoch: Epoch(1), vacancy: None }));
        assert_eq!(failover.look(Some((&n1, Epoch(1))), true, true, start), None);
        failover.look(Some((&n1, Epoch(1))), false, false, start + LIMIT);
        failover.look(Some((&n2, Epoch(2))), true, false, start + LIMIT);
        let next = failover.look(Some((&n2, Epoch(2))), true, true, start + LIMIT * 2);
        assert_eq!(next, Some(TookOffice { node: n2, epoch: Epoch(2), vacancy: Some(LIMIT) }));
    }
}
