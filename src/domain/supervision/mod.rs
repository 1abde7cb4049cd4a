//! Decides what the controller does about the workers it sees.
//!
//! Level triggered: [`plan`] compares what is wanted with what is there and says what to do next;
//! the controller does it, looks again and asks again. Nothing is remembered in between but what
//! [`Observed`] says, so a new controller goes on where the last one stopped.
//!
//! The rules, in the order they are looked at:
//! 1. Who is suspected by two observers is killed before anything else is done about it.
//! 2. A dead master is succeeded by the slave with the lowest pid among those caught up.
//! 3. With nobody to succeed it, and nobody on the way, the dead are started again: they hold data.
//! 4. Nothing that is dead is removed, and nothing new is made, before a master is in office.
//! 5. Then the dead are removed, and slaves are started or drained until their number is right;
//!    the highest pid is drained first, never the lowest, never the last.

use super::ids::{Epoch, NodeId, Pid};
use super::message::Role;

/// What there is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Desired {
    /// The number of slaves; at least 1 is kept, whatever it says.
    pub slaves: u32,
}

/// A worker's process, as the container runtime knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// Runs.
    Running {
        /// Its pid.
        pid: Pid,
    },
    /// Has ended; its database is still there.
    Exited,
    /// Not one of the runtime's: started by hand.
    Unmanaged {
        /// The pid it tells of itself.
        pid: Pid,
    },
}

/// One worker, put together from all who know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedWorker {
    /// Which.
    pub node: NodeId,
    /// Its process.
    pub process: Process,
    /// What it last told of itself, while its sign of life is fresh or its session stands.
    pub role: Option<Role>,
    /// The newest epoch it has told of.
    pub epoch: Epoch,
    /// Two observers miss it, for longer than the bound.
    pub suspected: bool,
    /// It was asked to drain.
    pub draining: bool,
    /// It was named leader and did not take office within the bound.
    pub passed_over: bool,
    /// It died so often lately that it is to wait before it is started again.
    pub backing_off: bool,
}

/// Who leads, as the record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedLeader {
    /// The term.
    pub epoch: Epoch,
    /// The worker.
    pub master: NodeId,
}

/// Everything the decision rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The leader record, if there is one.
    pub leader: Option<ObservedLeader>,
    /// All workers.
    pub workers: Vec<ObservedWorker>,
}

/// What to do next. All actions of one plan are independent of each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Kill it: it may still act, and must not.
    Fence(NodeId),
    /// Write it into the leader record, for this epoch.
    Elect {
        /// The next master.
        node: NodeId,
        /// Its epoch.
        epoch: Epoch,
    },
    /// Start the first worker of all.
    StartFounder,
    /// Start a new slave.
    StartSlave,
    /// Start an exited worker again, with its data.
    Restart(NodeId),
    /// Let it finish and go.
    Drain(NodeId),
    /// Remove an exited worker and its data.
    Remove(NodeId),
}

impl ObservedWorker {
    /// The worker's pid, if it lives.
    #[must_use]
    pub const fn pid(&self) -> Option<Pid> {
        match self.process {
            Process::Running { pid } | Process::Unmanaged { pid } => Some(pid),
            Process::Exited => None,
        }
    }

    const fn is_alive(&self) -> bool {
        match self.process {
            Process::Running { .. } => true,
            Process::Unmanaged { .. } => !self.suspected,
            Process::Exited => false,
        }
    }

    fn is_candidate(&self) -> bool {
        self.is_alive()
            && self.role == Some(Role::Slave)
            && !(self.suspected || self.draining || self.passed_over)
    }

    fn is_on_its_way(&self) -> bool {
        let may_become = matches!(self.role, None | Some(Role::Joining | Role::Slave));
        self.is_alive() && may_become && !self.draining && !self.suspected && !self.passed_over
    }
}

impl Observed {
    fn leader_worker(&self) -> Option<&ObservedWorker> {
        let leader = self.leader.as_ref()?;
        self.workers.iter().find(|worker| worker.node == leader.master)
    }

    /// The leader is alive, and in office or still within its time to get there.
    fn has_living_leader(&self) -> bool {
        self.leader_worker()
            .is_some_and(|leader| leader.is_alive() && !leader.suspected && !leader.passed_over)
    }

    /// The master that the record names says itself that it is in office.
    #[must_use]
    pub fn master_in_office(&self) -> Option<&ObservedWorker> {
        self.leader_worker().filter(|leader| leader.is_alive() && leader.role == Some(Role::Master))
    }

    fn next_epoch(&self) -> Epoch {
        let told = self.workers.iter().map(|worker| worker.epoch).max().unwrap_or_default();
        self.leader.as_ref().map_or(told, |leader| leader.epoch.max(told)).next()
    }
}

/// Says what to do next; nothing when all is well or all that helps is under way.
#[must_use]
pub fn plan(desired: Desired, observed: &Observed) -> Vec<Action> {
    let fences = observed
        .workers
        .iter()
        .filter(|worker| worker.suspected && matches!(worker.process, Process::Running { .. }));
    let mut actions: Vec<Action> =
        fences.map(|worker| Action::Fence(worker.node.clone())).collect();
    if let Some(master) = observed.master_in_office() {
        actions.extend(keep_house(desired, observed, master));
    } else if !observed.has_living_leader() && actions.is_empty() {
        actions.extend(find_leader(observed));
    }
    actions
}

/// Rules 2 and 3: somebody must lead.
fn find_leader(observed: &Observed) -> Vec<Action> {
    let candidates = observed.workers.iter().filter(|worker| worker.is_candidate());
    if let Some(next) = candidates.min_by_key(|worker| worker.pid()) {
        return vec![Action::Elect { node: next.node.clone(), epoch: observed.next_epoch() }];
    }
    if observed.workers.is_empty() {
        return vec![Action::StartFounder];
    }
    if observed.leader.is_some() && observed.workers.iter().any(ObservedWorker::is_on_its_way) {
        // A slave that still joins may need its source back to get anywhere.
        return restart(observed, |worker| {
            observed.leader.as_ref().is_some_and(|leader| leader.master == worker.node)
        });
    }
    restart(observed, |_| true)
}

fn restart(observed: &Observed, which: impl Fn(&ObservedWorker) -> bool) -> Vec<Action> {
    observed
        .workers
        .iter()
        .filter(|worker| worker.process == Process::Exited && !worker.backing_off && which(worker))
        .map(|worker| Action::Restart(worker.node.clone()))
        .collect()
}

/// Rule 5: the right number of slaves, and nobody dead.
fn keep_house(desired: Desired, observed: &Observed, master: &ObservedWorker) -> Vec<Action> {
    let mut actions = Vec::new();
    let mut slaves = Vec::new();
    for worker in observed.workers.iter().filter(|worker| worker.node != master.node) {
        if worker.process == Process::Exited {
            actions.push(Action::Remove(worker.node.clone()));
        } else if worker.is_alive() && !worker.draining && !worker.suspected {
            slaves.push(worker);
        }
    }
    let wanted = desired.slaves.max(1) as usize;
    for _ in slaves.len()..wanted {
        actions.push(Action::StartSlave);
    }
    // Highest pid first. Only whom the runtime can stop, and only slaves beyond those that serve.
    slaves.sort_by_key(|worker| worker.pid());
    for worker in slaves.iter().skip(1).rev().take(slaves.len().saturating_sub(wanted)) {
        let serving = slaves.iter().filter(|slave| slave.role == Some(Role::Slave)).count();
        let would_serve = serving - usize::from(worker.role == Some(Role::Slave) && serving > 0);
        if matches!(worker.process, Process::Running { .. }) && would_serve > 0 {
            actions.push(Action::Drain(worker.node.clone()));
        }
    }
    actions
}
