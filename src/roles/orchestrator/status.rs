//! Puts together what containers, coordination and signs of life say of each worker.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;

use super::Parts;
use super::recovery::misses_its_log;
use super::roster::{Sign, Signs};
use super::views::Views;
use crate::domain::ids::{DatabaseAddress, Epoch, NodeId, Offset, Pid};
use crate::domain::message::Role;
use crate::ports::containers::{Container, ContainerState};
use crate::ports::coordination::CoordinationView;
use crate::roles::ambient::Ambient;
use crate::roles::latest;

/// A worker that has said nothing for this long may not be able to do anything either.
const SILENCE: Duration = Duration::from_secs(2);

/// An entry outlives its process until the session expires, and for so long says what the process was
/// that ran before.
const SESSION: Duration = Duration::from_secs(60);

/// Whether a worker lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Life {
    /// Its process runs.
    Running,
    /// Its process has ended.
    Exited,
}

/// What is known of one worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WorkerStatus {
    /// Which.
    pub node: NodeId,
    /// What it does, as it last said.
    pub role: Option<Role>,
    /// Its process, while it lives.
    pub pid: Option<Pid>,
    /// The newest epoch it has admitted.
    pub epoch: Epoch,
    /// How far it has applied the log.
    pub applied: Option<Offset>,
    /// How many records it lacks of what the furthest worker has.
    pub lag: Option<u64>,
    /// Whether it lives.
    pub state: Life,
    /// Where its database is.
    pub database: Option<DatabaseAddress>,
    /// How long its process has lived, in milliseconds.
    pub uptime_ms: Option<u64>,
}

/// Looks at everything there is to see; cheap to clone.
#[derive(Clone)]
pub(super) struct Observer {
    containers: watch::Receiver<Vec<Container>>,
    coordination: Views,
    signs: latest::Receiver<Signs>,
    ambient: Ambient,
}

impl Observer {
    pub(super) fn new(parts: &Parts, signs: latest::Receiver<Signs>, views: Views) -> Self {
        Self {
            containers: parts.containers.watch(),
            coordination: views,
            signs,
            ambient: parts.ambient.clone(),
        }
    }

    pub(super) fn workers(&self) -> Vec<WorkerStatus> {
        let containers = self.containers.borrow().clone();
        let coordination = self.coordination.borrow().clone();
        let signs = self.signs.borrow().clone();
        // What a runtime started and does not know any more is gone; its session follows.
        let by_hand = coordination.members.values().filter(|member| !member.managed);
        let mut nodes: BTreeSet<&NodeId> = by_hand.map(|member| &member.node).collect();
        nodes.extend(containers.iter().map(|container| &container.node));
        let mut workers: Vec<_> = nodes
            .into_iter()
            .map(|node| self.worker(node, &containers, &coordination, &signs))
            .collect();
        workers.sort_by_key(|worker| worker.pid);
        workers
    }

    fn worker(
        &self,
        node: &NodeId,
        containers: &[Container],
        coordination: &CoordinationView,
        signs: &Signs,
    ) -> WorkerStatus {
        let container = containers.iter().find(|container| container.node == *node);
        let member = coordination.members.get(node);
        let uptime_ms = container
            .map(|container| self.ambient.now_ms().saturating_sub(container.changed_at_ms));
        // A sign from before the last start is another process's.
        let is_own = |sign: &&Sign| {
            uptime_ms.is_none_or(|uptime| sign.heard_at.elapsed().as_millis() <= u128::from(uptime))
        };
        let progress = signs.workers.get(node).filter(is_own).map(|sign| &sign.progress);
        let is_old = |uptime| Duration::from_millis(uptime) > SESSION;
        let entry = member.filter(|_| uptime_ms.is_none_or(is_old));
        let (state, pid) = match container.map(|container| container.state) {
            Some(ContainerState::Running { pid }) => (Life::Running, Some(pid)),
            Some(ContainerState::Exited { .. }) => (Life::Exited, None),
            None => (Life::Running, member.map(|member| member.pid)),
        };
        let applied = progress.map_or(entry.and_then(|entry| entry.applied), |it| it.applied);
        // Its database outlives a process: people choose by that whose data to go on with.
        let applied = applied.or_else(|| signs.workers.get(node)?.held);
        let lag = signs
            .furthest()
            .map(|furthest| furthest.0.saturating_sub(applied.map_or(0, |applied| applied.0)));
        let role = progress.map(|it| it.role).or(entry.map(|entry| entry.role));
        WorkerStatus {
            node: node.clone(),
            role: role.filter(|_| state == Life::Running),
            pid,
            epoch: progress.map_or(entry.map_or(Epoch(0), |entry| entry.epoch), |it| it.epoch),
            applied,
            lag,
            state,
            database: member.map(|member| member.database.clone()),
            uptime_ms: uptime_ms.filter(|_| state == Life::Running),
        }
    }

    /// The worker that is in office by its own word and the record's.
    pub(super) fn master(&self) -> Option<NodeId> {
        let leader = self.coordination.borrow().leader.clone()?.value.master;
        let alive = |worker: &WorkerStatus| {
            worker.node == leader
                && worker.state == Life::Running
                && worker.role == Some(Role::Master)
        };
        self.workers().iter().any(alive).then_some(leader)
    }

    /// The slaves that live, lowest pid first.
    pub(super) fn slaves(&self) -> Vec<NodeId> {
        let slaves = self
            .workers()
            .into_iter()
            .filter(|worker| worker.state == Life::Running && worker.role == Some(Role::Slave));
        slaves.map(|worker| worker.node).collect()
    }

    /// Waits until a worker says itself that it is in office, for this epoch or a later one. A master
    /// that is just deposed may know of the epoch before it has stepped down.
    ///
    /// # Errors
    /// When this orchestrator ends and hears of nobody any more.
    pub(super) async fn in_office(
        &self,
        node: &NodeId,
        epoch: Epoch,
    ) -> Result<(), latest::Closed> {
        let mut signs = self.signs.clone();
        let says_so = |it: &Sign| it.progress.role == Role::Master && it.progress.epoch >= epoch;
        signs.until(|signs| signs.workers.get(node).filter(|it| says_so(it)).map(drop)).await
    }

    /// Waits until a master is in office and a slave serves.
    pub(super) async fn ready(&self) {
        let (mut containers, mut coordination, mut signs) =
            (self.containers.clone(), self.coordination.clone(), self.signs.clone());
        while !self.unready().is_empty() {
            tokio::select! {
                biased;
                _ = containers.changed() => {}
                _ = coordination.changed() => {}
                _ = signs.changed() => {}
            }
        }
    }

    pub(super) fn unready(&self) -> Vec<&'static str> {
        let signs = self.signs.borrow().clone();
        let mut reasons = Vec::new();
        match self.master().map(|master| condition(signs.workers.get(&master))) {
            None if self.containers.borrow().iter().any(misses_its_log) => reasons.push(
                "the log has lost its data: bring them back, or say whose to go on with (ctl recover)",
            ),
            None => reasons.push("no master is in office"),
            Some(Condition::Silent) => reasons.push("nothing is heard of the master"),
            Some(Condition::Stalled) => reasons.push("the master's database does not answer"),
            Some(Condition::Sound) => {}
        }
        let serves = |slave: &NodeId| condition(signs.workers.get(slave)) == Condition::Sound;
        if !self.slaves().iter().any(serves) {
            reasons.push("no slave serves reads");
        }
        reasons
    }
}

/// Whether a worker can work, by its own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Sound,
    Silent,
    Stalled,
}

fn condition(sign: Option<&Sign>) -> Condition {
    match sign {
        Some(sign) if sign.heard_at.elapsed() <= SILENCE && sign.progress.stalled => {
            Condition::Stalled
        }
        Some(sign) if sign.heard_at.elapsed() <= SILENCE => Condition::Sound,
        _ => Condition::Silent,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::message::{Member, Progress};

    const NOW_MS: u64 = 1_000_000;

    /// A worker whose entry calls it the master, and whose process began to run so long ago.
    fn observed(uptime: Duration, signs: Signs) -> WorkerStatus {
        let node = NodeId::new("worker");
        let started_at_ms = NOW_MS - u64::try_from(uptime.as_millis()).unwrap();
        let container = Container {
            node: node.clone(),
            state: ContainerState::Running { pid: Pid(7) },
            changed_at_ms: started_at_ms,
        };
        let member = Member {
            node: node.clone(),
            pid: Pid(7),
            role: Role::Master,
            epoch: Epoch(3),
            applied: Some(Offset(9)),
            database: DatabaseAddress::new("database"),
            managed: true,
        };
        let members = [(node, member)].into();
        let observer = Observer {
            containers: watch::channel(vec![container]).1,
            coordination: latest::channel(CoordinationView { members, ..Default::default() }).1,
            signs: latest::Sender::new(signs).subscribe(),
            ambient: Ambient { now_ms: Arc::new(|| NOW_MS), ..Ambient::real() },
        };
        observer.workers().remove(0)
    }

    #[test]
    fn entry_of_a_former_process_says_nothing_of_the_one_that_runs() {
        let started_again = observed(Duration::from_secs(1), Signs::default());
        assert_eq!((started_again.role, started_again.epoch), (None, Epoch(0)));
        let unheard = observed(Duration::from_secs(90), Signs::default());
        assert_eq!((unheard.role, unheard.epoch), (Some(Role::Master), Epoch(3)));
    }

    #[test]
    fn database_is_as_far_as_was_last_told_of_it_whoever_runs() {
        let told = |applied| Progress {
            node: NodeId::new("worker"),
            role: Role::Joining,
            epoch: Epoch(0),
            applied,
            stalled: false,
        };
        let mut signs = Signs::default();
        signs.take(told(Some(Offset(12))));
        signs.take(told(None));
        let applied = |signs: &Signs| observed(Duration::ZERO, signs.clone()).applied;
        assert_eq!(applied(&signs), Some(Offset(12)), "it has not looked yet");
        signs.take(told(Some(Offset(3))));
        assert_eq!(applied(&signs), Some(Offset(3)));
        assert_eq!(applied(&Signs::default()), None, "nobody has ever told");
    }
}
