//! A toy world in which processes die, freeze, recover and are slow at any moment, and in which the
//! plan is carried out. Whatever happened, once it stops there is a master with its slaves again.

use proptest::prelude::*;

use super::*;

/// Something that is not the plan's doing.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill(usize),
    /// It stays alive and does nothing any more.
    Freeze(usize),
    /// It loses what it knew and has to copy it from somebody.
    Wipe(usize),
    KillAll,
    /// Everything is removed by hand, but the leader record stays.
    RemoveAll,
    /// The coordination service loses the leader record.
    ForgetLeader,
    /// Nobody who is called comes into office while this lasts.
    StallPromotions(bool),
    Desire(u32),
    /// Everybody there is is to be renewed.
    Renew,
    /// The plan is made and carried out, and what was begun goes on.
    Go,
}

#[derive(Clone, Debug)]
struct Toy {
    node: NodeId,
    pid: u32,
    alive: bool,
    frozen: bool,
    managed: bool,
    /// Has the data; who has not must copy it from one who has.
    complete: bool,
    role: Role,
    epoch: Epoch,
    draining: bool,
    /// Rounds since it was named without coming into office.
    overdue: u32,
    passed_over: bool,
    /// Rounds until it may be started again.
    backing_off: u32,
    /// Rounds since it was last heard of.
    silent: u32,
}

#[derive(Clone, Debug)]
struct World {
    workers: Vec<Toy>,
    leader: Option<ObservedLeader>,
    desired: Desired,
    next_pid: u32,
    stalled: bool,
}

/// Rounds for an elected worker to take office, and for one to be missed.
const BOUND: u32 = 3;

impl World {
    fn new() -> Self {
        let desired = Desired { slaves: 2, ..Desired::default() };
        Self { workers: Vec::new(), leader: None, desired, next_pid: 100, stalled: false }
    }

    fn observe(&self) -> Observed {
        let workers = self.workers.iter().map(|toy| {
            let pid = Pid(toy.pid);
            ObservedWorker {
                node: toy.node.clone(),
                process: match (toy.alive, toy.managed) {
                    (true, true) => Process::Running { pid },
                    (true, false) => Process::Unmanaged { pid },
                    (false, _) => Process::Exited,
                },
                role: (toy.alive && toy.silent < BOUND).then_some(toy.role),
                epoch: toy.epoch,
                suspected: toy.alive && toy.silent >= BOUND,
                draining: toy.draining,
                passed_over: toy.passed_over,
                backing_off: toy.backing_off > 0,
                misses_log: false,
            }
        });
        Observed { leader: self.leader.clone(), workers: workers.collect() }
    }

    fn suffer(&mut self, fault: Fault) {
        let count = self.workers.len().max(1);
        let at = |index: usize| index % count;
        match fault {
            Fault::Kill(index) => self.workers.get_mut(at(index)).map_or((), Toy::die),
            Fault::Freeze(index) => {
                if let Some(toy) = self.workers.get_mut(at(index)) {
                    toy.frozen = toy.alive;
                }
            }
            Fault::Wipe(index) => self.wipe(at(index)),
            Fault::KillAll => self.workers.iter_mut().for_each(Toy::die),
            Fault::RemoveAll => self.workers.clear(),
            Fault::ForgetLeader => self.leader = None,
            Fault::StallPromotions(stalled) => self.stalled = stalled,
            Fault::Desire(slaves) => self.desired.slaves = slaves,
            Fault::Renew => {
                let nodes = self.workers.iter().filter(|toy| toy.managed);
                self.desired.renew = nodes.map(|toy| toy.node.clone()).collect();
            }
            Fault::Go => {
                self.go();
            }
        }
        // A worker that nobody manages is gone without a trace when it dies.
        self.workers.retain(|toy| toy.alive || toy.managed);
        self.keep_a_copy();
    }

    fn wipe(&mut self, index: usize) {
        if let Some(toy) = self.workers.get_mut(index) {
            toy.die();
            toy.complete = false;
        }
    }

    /// When every copy is lost or out of reach, somebody still gets everything from the log: what
    /// is lost for good nobody could bring back.
    fn keep_a_copy(&mut self) {
        let within_reach = |toy: &Toy| toy.complete && (toy.managed || (toy.alive && !toy.frozen));
        if !self.workers.iter().any(within_reach)
            && let Some(toy) = self.workers.iter_mut().find(|toy| toy.managed)
        {
            toy.complete = true;
        }
    }

    /// Plans, checks, acts, and lets some time pass. True when there was nothing to do.
    fn go(&mut self) -> bool {
        let observed = self.observe();
        let actions = plan(&self.desired, &observed);
        check(&self.desired, &observed, &actions);
        for action in &actions {
            self.act(action);
        }
        self.pass();
        actions.is_empty()
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Fence(node) => self.toy(node).die(),
            Action::Elect { node, epoch } | Action::SwitchOver { node, epoch } => {
                let toy = self.toy(node);
                (toy.overdue, toy.passed_over) = (0, false);
                self.leader = Some(ObservedLeader { epoch: *epoch, master: node.clone() });
            }
            Action::StartFounder | Action::StartSlave => self.start(true),
            Action::Restart(node) => {
                let pid = self.next_pid();
                let toy = self.toy(node);
                (toy.pid, toy.alive, toy.role, toy.silent) = (pid, true, Role::Joining, 0);
            }
            Action::Drain(node) => self.toy(node).draining = true,
            Action::Remove(node) => self.workers.retain(|toy| toy.node != *node),
        }
    }

    /// Each new pid is lower or higher than all before it, in turn.
    fn next_pid(&mut self) -> u32 {
        self.next_pid += 1;
        if self.next_pid.is_multiple_of(2) { self.next_pid } else { 200 - self.next_pid.min(199) }
    }

    fn start(&mut self, managed: bool) {
        let pid = self.next_pid();
        let complete = self.workers.iter().all(|toy| !toy.managed);
        self.workers.push(Toy {
            node: NodeId::new(format!("n{}", self.next_pid)),
            pid,
            alive: true,
            frozen: false,
            managed,
            complete,
            role: Role::Joining,
            epoch: Epoch(0),
            draining: false,
            overdue: 0,
            passed_over: false,
            backing_off: 0,
            silent: 0,
        });
    }

    fn toy(&mut self, node: &NodeId) -> &mut Toy {
        self.workers.iter_mut().find(|toy| toy.node == *node).expect("actions name known workers")
    }

    fn pass(&mut self) {
        let sources = self.workers.iter().any(|toy| toy.alive && !toy.frozen && toy.complete);
        let newest = self.workers.iter().map(|toy| toy.epoch).max().unwrap_or_default();
        let (leader, stalled) = (self.leader.clone(), self.stalled);
        for toy in &mut self.workers {
            toy.backing_off = toy.backing_off.saturating_sub(1);
            if toy.frozen {
                toy.silent += 1;
            } else if toy.alive {
                let called = leader.as_ref().filter(|leader| leader.master == toy.node);
                toy.live(called, sources, stalled, newest);
            }
        }
        let in_office = self.observe().master_in_office().is_some();
        for toy in &mut self.workers {
            let named = leader.as_ref().is_some_and(|leader| leader.master == toy.node);
            toy.overdue = if named && toy.role != Role::Master { toy.overdue + 1 } else { 0 };
            toy.passed_over = !in_office && (toy.passed_over || toy.overdue >= BOUND);
        }
    }

    fn is_well(&self) -> bool {
        let observed = self.observe();
        let telling =
            |role| observed.workers.iter().filter(|worker| worker.role == Some(role)).count();
        let (masters, slaves) = (telling(Role::Master), telling(Role::Slave));
        let is_old = |toy: &Toy| toy.managed && self.desired.renew.contains(&toy.node);
        let is_tidy = self.workers.iter().all(|toy| toy.alive && !toy.draining && !is_old(toy));
        let wanted = self.desired.slaves.max(1) as usize;
        let enough = slaves == wanted || (slaves > wanted && !self.may_drain_one());
        observed.master_in_office().is_some() && masters == 1 && enough && is_tidy
    }

    /// A slave that nobody manages is not drained, nor is the one that would be master next.
    fn may_drain_one(&self) -> bool {
        let slaves = || self.workers.iter().filter(|toy| toy.role == Role::Slave);
        let lowest = slaves().map(|toy| toy.pid).min();
        slaves().any(|toy| toy.managed && Some(toy.pid) != lowest)
    }
}

impl Toy {
    fn die(&mut self) {
        (self.alive, self.frozen, self.role, self.silent) = (false, false, Role::Joining, 0);
        self.backing_off = 2;
    }

    fn live(
        &mut self,
        called: Option<&ObservedLeader>,
        sources: bool,
        stalled: bool,
        newest: Epoch,
    ) {
        if self.draining {
            self.die();
            return;
        }
        self.complete |= sources;
        self.role = match (self.role, called) {
            (Role::Joining, _) if self.complete => Role::Slave,
            (Role::Joining, _) => Role::Joining,
            (_, Some(_)) if stalled => Role::Promoting,
            (Role::Master, None) if newest <= self.epoch => Role::Master,
            (_, None) => Role::Slave,
            (_, Some(leader)) => {
                // A spent epoch is exchanged for a new one, as a worker does by itself.
                self.epoch = self.epoch.max(leader.epoch);
                Role::Master
            }
        };
    }
}

fn check(desired: &Desired, observed: &Observed, actions: &[Action]) {
    let context = || format!("{actions:?} for {observed:?}");
    let of = |node: &NodeId| observed.workers.iter().find(|worker| worker.node == *node);
    let master = observed.master_in_office();
    let alive = |worker: &&ObservedWorker| worker.pid().is_some() && !worker.suspected;
    let slaves: Vec<_> = observed
        .workers
        .iter()
        .filter(alive)
        .filter(|worker| !worker.draining && master.is_none_or(|master| master.node != worker.node))
        .collect();
    let lowest = slaves.iter().filter_map(|worker| worker.pid()).min();
    let is_first = |worker: &ObservedWorker| worker.pid() == lowest;
    let mut serving = slaves.iter().filter(|worker| worker.role == Some(Role::Slave)).count();
    let mut started = 0;
    let mut elected = 0;
    for action in actions {
        match action {
            Action::Fence(node) => {
                assert!(of(node).is_some_and(|it| it.suspected), "{}", context())
            }
            Action::Elect { node, epoch } => {
                elected += 1;
                let next = of(node).expect("known");
                let fit = matches!(next.role, Some(Role::Slave | Role::Master));
                assert!(fit && alive(&next) && !next.draining, "{}", context());
                assert!(
                    observed.leader.as_ref().is_none_or(|it| it.epoch < *epoch),
                    "{}",
                    context()
                );
                assert!(master.is_none(), "{}", context());
            }
            Action::SwitchOver { node, epoch } => {
                let next = of(node).expect("known");
                assert!(next.is_caught_up() && !desired.renew.contains(node), "{}", context());
                let current = master.expect("in office");
                assert!(desired.renews(current) && current.epoch < *epoch, "{}", context());
                assert_eq!(actions.len(), 1, "{}", context());
            }
            Action::StartFounder => {
                assert!(observed.workers.iter().all(ObservedWorker::is_lost), "{}", context());
            }
            Action::StartSlave => {
                started += 1;
                assert!(master.is_some(), "{}", context());
            }
            Action::Restart(node) => {
                let again = of(node).expect("known");
                assert!(again.process == Process::Exited && !again.backing_off, "{}", context());
                assert!(master.is_none(), "{}", context());
            }
            Action::Drain(node) => {
                let worker = of(node).expect("known");
                serving -= usize::from(worker.role == Some(Role::Slave));
                let may_go = !is_first(worker) || desired.renews(worker);
                assert!(serving > 0 && may_go, "{}", context());
                assert!(master.is_some_and(|master| master.node != *node), "{}", context());
            }
            Action::Remove(node) => {
                assert!(master.is_some(), "{}", context());
                assert!(of(node).is_some_and(|it| it.process == Process::Exited), "{}", context());
            }
        }
    }
    assert!(elected <= 1, "{}", context());
    let wanted = desired.slaves.max(1) as usize + usize::from(!desired.renew.is_empty());
    assert!(started == 0 || slaves.len() + started <= wanted, "{}", context());
}

fn any_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        12 => Just(Fault::Go),
        3 => (0..8_usize).prop_map(Fault::Kill),
        2 => (0..8_usize).prop_map(Fault::Freeze),
        1 => (0..8_usize).prop_map(Fault::Wipe),
        1 => Just(Fault::KillAll),
        1 => Just(Fault::ForgetLeader),
        1 => any::<bool>().prop_map(Fault::StallPromotions),
        1 => (0..5_u32).prop_map(Fault::Desire),
        1 => Just(Fault::RemoveAll),
        1 => Just(Fault::Renew),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_any_faults_there_is_a_master_with_its_slaves_again(
        faults in prop::collection::vec(any_fault(), 0..60),
        strangers in 0..2_usize,
    ) {
        let mut world = World::new();
        for _ in 0..strangers {
            world.start(false);
        }
        for fault in faults {
            world.suffer(fault);
        }
        world.stalled = false;
        for _ in 0..60 {
            world.suffer(Fault::Go);
        }
        prop_assert!(world.is_well(), "{world:?}");
        prop_assert!(world.go(), "restless: {:?}", world);
    }
}

/// One slave too many stays where neither may be drained: a stranger, and the next master.
#[test]
fn stranger_beside_the_next_master_may_be_one_slave_too_many() {
    let mut world = World::new();
    world.start(false);
    let stall = Fault::StallPromotions(true);
    for fault in [
        Fault::Desire(4),
        Fault::Go,
        Fault::Go,
        stall,
        Fault::Go,
        Fault::Desire(0),
        Fault::Go,
        Fault::Go,
    ] {
        world.suffer(fault);
    }
    world.stalled = false;
    (0..60).for_each(|_| world.suffer(Fault::Go));
    let slaves = world.workers.iter().filter(|toy| toy.role == Role::Slave).count();
    assert_eq!(slaves, 2, "{world:?}");
    assert!(world.is_well() && world.go(), "{world:?}");
}

#[test]
fn master_is_back_within_a_few_rounds_of_any_single_death() {
    for victims in 0..8_u32 {
        let mut world = World::new();
        (0..20).for_each(|_| world.suffer(Fault::Go));
        assert!(world.is_well(), "{world:?}");
        for index in (0..3).filter(|index| victims >> index & 1 == 1) {
            world.suffer(Fault::Kill(index));
        }
        let rounds = (0..20).take_while(|_| {
            world.suffer(Fault::Go);
            world.observe().master_in_office().is_none()
        });
        assert!(rounds.count() <= 6, "{victims:b}: {world:?}");
    }
}
