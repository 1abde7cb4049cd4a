//! Decides what the controller does about the workers it sees.
//!
//! Level triggered: [`plan`] compares what is wanted with what is there and says what to do next;
//! the controller does it, looks again and asks again. Nothing is remembered in between but what
//! [`Observed`] says, so a new controller goes on where the last one stopped.
//!
//! The rules, in the order they are looked at:
//! 1. Who is suspected by two observers is killed before anything else is done about it. Others do
//!    not wait for that: only who succeeds a suspected master does.
//! 2. A leader that is dead, leaves, or did not take office in time is succeeded by the slave with
//!    the lowest pid among those caught up.
//! 3. With nobody to succeed it, the dead are started again: they hold data, for themselves or for
//!    those that still join. Who had a chance already gets another, in turn, by pid.
//!    While any of them says that the log lacks what it holds, nobody is elected: who holds less must
//!    not lead, and who says so must not be removed.
//! 4. Nothing that is dead is removed, and nothing new is made, before a master is in office.
//!    Only where there is no worker at all, a first one is made.
//! 5. Then the dead are removed, and slaves are started or drained until their number is right;
//!    the highest pid is drained first, never the lowest, never the last that serves. Who dies
//!    again and again keeps its place until its time to wait is over, so that nothing spins.
//! 6. Once all is well, workers that are to be renewed are drained one after another while one slave
//!    more than wanted serves; the master comes last and hands over to one of the new ones.

#[cfg(test)]
mod tests;
#[cfg(test)]
mod walk;

use std::collections::BTreeSet;

use super::ids::{Epoch, NodeId, Pid};
use super::message::Role;

/// What there is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// The number of slaves; at least 1 is kept, whatever it says.
    pub slaves: u32,
    /// Nothing is to be done, whatever happens; see [`Observed::ends_a_pause`].
    pub paused: bool,
    /// New workers are to take the place of these.
    pub renew: BTreeSet<NodeId>,
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
    /// It was named leader and did not take office within the bound. Holds until a master is in
    /// office or the worker is named again, which gives it the whole bound anew.
    pub passed_over: bool,
    /// Workers died so often lately that this one is to wait before it is started again or
    /// replaced.
    pub backing_off: bool,
    /// It has stopped because the log lacks what it holds, and has not come back since.
    pub misses_log: bool,
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
    /// Write it into the leader record for this epoch, in the place of a master that is well.
    SwitchOver {
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

impl Desired {
    /// Nobody is left who is to be renewed.
    #[must_use]
    pub fn is_renewed(&self, observed: &Observed) -> bool {
        !observed.workers.iter().any(|worker| self.renew.contains(&worker.node))
    }

    /// Somebody new is to take its place; nobody can see to that where it was started by hand.
    fn renews(&self, worker: &ObservedWorker) -> bool {
        worker.can_be_stopped() && self.renew.contains(&worker.node)
    }
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

    /// It is to be killed and is not yet dead.
    const fn is_to_be_fenced(&self) -> bool {
        self.suspected && self.can_be_stopped()
    }

    /// It lives as far as anybody can tell. Nobody can kill an unmanaged worker: that it is missed
    /// has to do.
    const fn is_sound(&self) -> bool {
        !self.suspected && !matches!(self.process, Process::Exited)
    }

    /// It is missed, and nobody can kill it or start it again: as good as none at all.
    const fn is_lost(&self) -> bool {
        self.suspected && matches!(self.process, Process::Unmanaged { .. })
    }

    /// The runtime can do that.
    const fn can_be_stopped(&self) -> bool {
        matches!(self.process, Process::Running { .. })
    }

    fn serves(&self) -> bool {
        self.role == Some(Role::Slave)
    }

    fn is_leaving(&self) -> bool {
        self.draining || self.role == Some(Role::Draining)
    }

    /// It has everything that is in the log. A master that the record does not name has, too.
    fn is_caught_up(&self) -> bool {
        self.is_sound() && !self.draining && matches!(self.role, Some(Role::Slave | Role::Master))
    }
}

impl Observed {
    fn leader_worker(&self) -> Option<&ObservedWorker> {
        let leader = self.leader.as_ref()?;
        self.workers.iter().find(|worker| worker.node == leader.master)
    }

    /// The leader may still take office, or is not yet certain to be dead.
    fn is_leader_awaited(&self) -> bool {
        self.leader_worker().is_some_and(|leader| {
            let in_time = !leader.passed_over && !leader.is_leaving();
            leader.is_to_be_fenced() || (leader.is_sound() && in_time)
        })
    }

    /// The master that the record names lives and says itself that it is in office.
    #[must_use]
    pub fn master_in_office(&self) -> Option<&ObservedWorker> {
        self.leader_worker().filter(|leader| leader.is_sound() && leader.role == Some(Role::Master))
    }

    /// Nobody is left to keep hands off from. A pause that went on would outlast a restart of the
    /// whole system, which could then never serve again.
    #[must_use]
    pub fn ends_a_pause(&self) -> bool {
        !self.workers.iter().any(ObservedWorker::is_sound)
    }

    /// Nobody is suspected, and nobody is on the way out, but for those that nobody can help.
    fn is_calm(&self) -> bool {
        let is_calm = |it: &ObservedWorker| it.is_lost() || (it.is_sound() && !it.is_leaving());
        self.workers.iter().all(is_calm)
    }

    fn next_epoch(&self) -> Epoch {
        let told = self.workers.iter().map(|worker| worker.epoch).max().unwrap_or_default();
        self.leader.as_ref().map_or(told, |leader| leader.epoch.max(told)).next()
    }
}

/// Says what to do next; nothing when all is well or all that helps is under way.
#[must_use]
pub fn plan(desired: &Desired, observed: &Observed) -> Vec<Action> {
    if desired.paused {
        return Vec::new();
    }
    let fences = observed.workers.iter().filter(|worker| worker.is_to_be_fenced());
    let mut actions: Vec<Action> =
        fences.map(|worker| Action::Fence(worker.node.clone())).collect();
    if let Some(master) = observed.master_in_office() {
        actions.extend(keep_house(desired, observed, master));
    } else if !observed.is_leader_awaited() {
        actions.extend(find_leader(observed));
    }
    actions
}

/// Rules 2 and 3: somebody must lead.
fn find_leader(observed: &Observed) -> Vec<Action> {
    let elect = |next: &ObservedWorker| Action::Elect {
        node: next.node.clone(),
        epoch: observed.next_epoch(),
    };
    if observed.workers.iter().all(ObservedWorker::is_lost) {
        return vec![Action::StartFounder];
    }
    let log_is_lost = observed.workers.iter().any(|worker| worker.misses_log);
    if let Some(next) = first_choice(observed).filter(|_| !log_is_lost) {
        return vec![elect(next)];
    }
    let dead = observed.workers.iter().filter(|worker| worker.process == Process::Exited);
    let restarts = dead
        .filter(|worker| !worker.backing_off)
        .map(|worker| Action::Restart(worker.node.clone()));
    let next = second_choice(observed).filter(|_| !log_is_lost);
    restarts.chain(next.map(elect)).collect()
}

/// The lowest pid among the slaves that are caught up.
fn first_choice(observed: &Observed) -> Option<&ObservedWorker> {
    let slaves = observed.workers.iter().filter(|worker| {
        worker.is_caught_up() && worker.role == Some(Role::Slave) && !worker.passed_over
    });
    slaves.min_by_key(|worker| worker.pid())
}

/// Of all that are caught up the next in the order of pids after the leader of the record, so that
/// each has its turn; where it is alone, that leader itself, for a new epoch.
fn second_choice(observed: &Observed) -> Option<&ObservedWorker> {
    let last = observed.leader_worker().and_then(ObservedWorker::pid);
    let caught_up = observed.workers.iter().filter(|worker| worker.is_caught_up());
    caught_up.min_by_key(|worker| (worker.pid() <= last, worker.pid()))
}

/// Rules 5 and 6: the right number of slaves, nobody dead, and nobody who is to be renewed.
fn keep_house(desired: &Desired, observed: &Observed, master: &ObservedWorker) -> Vec<Action> {
    let mut actions = Vec::new();
    let mut slaves = Vec::new();
    let mut waiting = 0;
    for worker in observed.workers.iter().filter(|worker| worker.node != master.node) {
        if worker.is_sound() && !worker.is_leaving() {
            slaves.push(worker);
        } else if worker.process == Process::Exited && worker.backing_off && !worker.draining {
            waiting += 1;
        } else if worker.process == Process::Exited && worker.misses_log {
            // It may hold more than whoever leads.
            actions.push(Action::Restart(worker.node.clone()));
            waiting += 1;
        } else if worker.process == Process::Exited {
            actions.push(Action::Remove(worker.node.clone()));
        }
    }
    let renews = |worker: &ObservedWorker| desired.renews(worker);
    let is_renewing = renews(master) || slaves.iter().any(|worker| renews(worker));
    let wanted = desired.slaves.max(1) as usize + usize::from(is_renewing);
    for _ in slaves.len() + waiting..wanted {
        actions.push(Action::StartSlave);
    }
    let surplus = slaves.len().saturating_sub(wanted);
    let is_whole = actions.is_empty() && waiting == 0 && surplus == 0 && observed.is_calm();
    if is_renewing && is_whole && slaves.iter().all(|worker| worker.serves()) {
        actions.extend(renewal(desired, observed, &slaves));
    }
    actions.extend(drains(slaves, surplus));
    actions
}

/// The next step of it, while one slave more than wanted serves.
fn renewal(desired: &Desired, observed: &Observed, slaves: &[&ObservedWorker]) -> Option<Action> {
    let old = slaves.iter().filter(|worker| desired.renews(worker));
    if let Some(old) = old.max_by_key(|worker| worker.pid()) {
        return Some(Action::Drain(old.node.clone()));
    }
    let next = first_choice(observed)?;
    Some(Action::SwitchOver { node: next.node.clone(), epoch: observed.next_epoch() })
}

/// Highest pid first. Only whom the runtime can stop, and only while another one serves.
fn drains(mut slaves: Vec<&ObservedWorker>, surplus: usize) -> Vec<Action> {
    let mut serving = slaves.iter().filter(|worker| worker.serves()).count();
    let mut actions = Vec::new();
    slaves.sort_by_key(|worker| worker.pid());
    for worker in slaves.into_iter().skip(1).rev() {
        let would_serve = serving.saturating_sub(usize::from(worker.serves()));
        if actions.len() < surplus && worker.can_be_stopped() && would_serve > 0 {
            serving = would_serve;
            actions.push(Action::Drain(worker.node.clone()));
        }
    }
    actions
}
