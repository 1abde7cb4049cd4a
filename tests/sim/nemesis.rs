//! Disrupts the cluster at random times, and puts everything right in the end.

use std::sync::Arc;
use std::time::Duration;

use rideshare::domain::ids::NodeId;
use rideshare::domain::message::Role;
use rideshare::ports::coordination::{Coordination, ScaleRecord};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::cluster::Cluster;
use crate::containers::Sight;
use crate::host::{Host, Trigger};
use crate::lost_log::LostLog;
use crate::world::{World, lock};

/// What can be done to a cluster.
#[derive(Clone, Copy, Debug)]
enum Disruption {
    CrashWorker,
    CrashMaster,
    CrashAtStep,
    CrashOrchestrator,
    PauseWorker,
    PauseMaster,
    PauseOrchestrator,
    CutWorker,
    CutOrchestrator,
    BrokerAway,
    SlowDisk,
    SetBackDisk,
    WipeDisk,
    ClockJump,
    Scale,
    UsurpLeadership,
    SwitchOver,
    Renew,
    PauseHealing,
    RestartExited,
}

use Disruption::{
    BrokerAway, ClockJump, CrashAtStep, CrashMaster, CrashOrchestrator, CrashWorker,
    CutOrchestrator, CutWorker, PauseHealing, PauseMaster, PauseOrchestrator, PauseWorker, Renew,
    RestartExited, Scale, SetBackDisk, SlowDisk, SwitchOver, UsurpLeadership, WipeDisk,
};

const ALL: [Disruption; 20] = [
    CrashWorker,
    CrashMaster,
    CrashAtStep,
    CrashOrchestrator,
    PauseWorker,
    PauseMaster,
    PauseOrchestrator,
    CutWorker,
    CutOrchestrator,
    BrokerAway,
    SlowDisk,
    SetBackDisk,
    WipeDisk,
    ClockJump,
    Scale,
    UsurpLeadership,
    SwitchOver,
    Renew,
    PauseHealing,
    RestartExited,
];

/// Steps at which a crash is most likely to hurt.
const STEPS: [&str; 17] = [
    "append",
    "appended",
    "apply",
    "half applied",
    "visible",
    "applied",
    "answer",
    "answered",
    "consume",
    "join",
    "coordinated",
    "set leader",
    "history",
    "tail",
    "records",
    "copied",
    "close",
];
const ROLES: [Role; 5] =
    [Role::Joining, Role::Slave, Role::Promoting, Role::Master, Role::Draining];

pub(crate) struct Nemesis {
    cluster: Arc<Cluster>,
    world: Arc<World>,
    /// What is to end by itself after a while.
    reliefs: JoinSet<()>,
    /// People at work on a lost log.
    people: JoinSet<()>,
}

impl Nemesis {
    pub(crate) fn new(cluster: &Arc<Cluster>) -> Self {
        let (cluster, world) = (Arc::clone(cluster), Arc::clone(&cluster.world));
        Self { cluster, world, reliefs: JoinSet::new(), people: JoinSet::new() }
    }

    /// Disrupts until the time of this run is over, and then puts everything right.
    pub(crate) async fn run(mut self) {
        let kinds: Vec<_> = ALL
            .iter()
            .enumerate()
            .filter(|(bit, _)| self.world.plan.disruptions >> bit & 1 == 1)
            .map(|(_, kind)| *kind)
            .collect();
        let mut to_lose = self.world.plan.log_lost;
        while self.world.elapsed_us() < self.world.plan.chaos_ms * 1_000 {
            sleep(self.world.dice.up_to_ms(self.world.plan.disruption_ms)).await;
            if to_lose && self.world.dice.chance(300) {
                to_lose = !self.lose_log().await;
            }
            if let Some(kind) = self.world.dice.pick(&kinds) {
                self.disrupt(*kind).await;
            }
        }
        self.put_right().await;
    }

    async fn put_right(mut self) {
        self.world.calm_down();
        self.world.note("nemesis", "puts everything right", String::new);
        self.reliefs.abort_all();
        if self.cluster.broker.is_away() {
            self.cluster.broker.come_back();
        }
        for (number, front) in self.cluster.fronts().into_iter().enumerate() {
            self.cluster.coordination.heal(front.session);
            if front.host.is_dead() {
                self.cluster.replace_orchestrator(number);
            }
        }
        for worker in self.cluster.machine.workers() {
            if let Some(session) = worker.session {
                self.cluster.coordination.heal(session);
            }
        }
        for host in self.world.living() {
            host.set_clock_error(0);
            host.set_disk_delay(0);
            if host.is_paused() {
                host.pause(false);
            }
        }
        self.end_pause().await;
        while self.people.join_next().await.is_some() {}
    }

    /// Takes the log's data away; people do something about it.
    async fn lose_log(&mut self) -> bool {
        let time = self.a_while();
        let Some(lost) = LostLog::lose(&self.cluster).await else { return false };
        self.people.spawn(lost.mend(time));
        true
    }

    /// People who paused the healing see to it that it goes on.
    async fn end_pause(&self) {
        loop {
            let scale = self.cluster.onlooker.view().borrow().scale.clone();
            let Some(scale) = scale.filter(|scale| scale.value.paused) else { return };
            let record = ScaleRecord { paused: false, ..scale.value };
            let _ = self.cluster.onlooker.set_scale(&record, Some(scale.version)).await;
        }
    }

    fn any_worker(&self) -> Option<Sight> {
        let mut workers = self.cluster.machine.workers();
        workers.retain(|worker| worker.host.is_some());
        let count = workers.len();
        (count > 0).then(|| workers.swap_remove(self.world.dice.below(count as u64) as usize))
    }

    fn master(&self) -> Option<Sight> {
        let leader = self.cluster.onlooker.view().borrow().leader.clone()?.value.master;
        let mut workers = self.cluster.machine.workers().into_iter();
        workers.find(|worker| worker.node == leader && worker.host.is_some())
    }

    /// For a while: mostly short, sometimes longer than every limit.
    fn a_while(&self) -> Duration {
        let most = if self.world.dice.chance(700) { 1_500 } else { 12_000 };
        self.world.dice.up_to_ms(most)
    }

    async fn disrupt(&mut self, kind: Disruption) {
        let done = match kind {
            CrashWorker => self.crash(self.any_worker()),
            CrashMaster => self.crash(self.master()),
            CrashAtStep => self.crash_at_step(),
            CrashOrchestrator => self.crash_orchestrator(),
            PauseWorker => self.pause(self.any_worker().and_then(|worker| worker.host)),
            PauseMaster => self.pause(self.master().and_then(|worker| worker.host)),
            PauseOrchestrator => self.pause(self.any_orchestrator().map(|(_, host)| host)),
            CutWorker => self.cut(self.any_worker().and_then(|worker| worker.session)),
            CutOrchestrator => {
                let fronts = self.cluster.fronts();
                self.cut(self.world.dice.pick(&fronts).map(|front| front.session))
            }
            BrokerAway => self.break_broker(),
            SlowDisk => self.slow_disk(),
            SetBackDisk => self.set_back_disk().await,
            WipeDisk => self.wipe_disk().await,
            ClockJump => self.jump(),
            Scale => self.scale().await,
            UsurpLeadership => self.usurp().await,
            SwitchOver => self.switch_over(),
            Renew => self.renew(),
            PauseHealing => self.pause_healing(),
            RestartExited => self.restart_exited(),
        };
        if done {
            let name = name_of(kind);
            self.world.count(name);
            self.world.note("nemesis", name, String::new);
        }
    }

    fn crash(&self, worker: Option<Sight>) -> bool {
        let Some(host) = worker.and_then(|worker| worker.host) else { return false };
        host.die();
        true
    }

    fn crash_at_step(&self) -> bool {
        let dice = &self.world.dice;
        let trigger = Trigger {
            host: None,
            role: dice.chance(700).then(|| dice.pick(&ROLES).copied()).flatten(),
            step: dice.chance(700).then(|| dice.pick(&STEPS).copied()).flatten(),
            steps_left: dice.below(if dice.chance(500) { 3 } else { 60 }),
        };
        let mut triggers = lock(&self.world.triggers);
        triggers.push(trigger);
        let most = 4;
        if triggers.len() > most {
            triggers.remove(0);
        }
        false
    }

    fn any_orchestrator(&self) -> Option<(usize, Arc<Host>)> {
        let fronts = self.cluster.fronts();
        let number = self.world.dice.below(fronts.len() as u64) as usize;
        let host = fronts.get(number).map(|front| Arc::clone(&front.host))?;
        (!host.is_dead()).then_some((number, host))
    }

    fn crash_orchestrator(&mut self) -> bool {
        let Some((number, host)) = self.any_orchestrator() else { return false };
        host.die();
        let (cluster, time) = (Arc::clone(&self.cluster), self.a_while());
        self.reliefs.spawn(async move {
            sleep(time).await;
            cluster.replace_orchestrator(number);
        });
        true
    }

    fn pause(&mut self, host: Option<Arc<Host>>) -> bool {
        let Some(host) = host.filter(|host| !host.is_paused()) else { return false };
        host.pause(true);
        let time = self.a_while();
        self.reliefs.spawn(async move {
            sleep(time).await;
            host.pause(false);
        });
        true
    }

    fn cut(&mut self, session: Option<rideshare::adapters::memory::SessionId>) -> bool {
        let Some(session) = session else { return false };
        let (coordination, time) = (self.cluster.coordination.clone(), self.a_while());
        coordination.cut(session);
        self.reliefs.spawn(async move {
            sleep(time).await;
            coordination.heal(session);
        });
        true
    }

    fn break_broker(&mut self) -> bool {
        let (broker, time) = (Arc::clone(&self.cluster.broker), self.a_while());
        if broker.is_away() {
            return false;
        }
        broker.go_away();
        self.reliefs.spawn(async move {
            sleep(time).await;
            broker.come_back();
        });
        true
    }

    fn slow_disk(&mut self) -> bool {
        let Some(host) = self.any_worker().and_then(|worker| worker.host) else { return false };
        let slow_ms = if self.world.dice.chance(700) { 100 } else { 5_000 };
        host.set_disk_delay(slow_ms);
        let time = self.a_while();
        self.reliefs.spawn(async move {
            sleep(time).await;
            host.set_disk_delay(0);
        });
        true
    }

    /// Further back than the log reaches only where it is not the master's: what is lost for good
    /// nobody could bring back.
    async fn set_back_disk(&self) -> bool {
        if self.world.oracle().log_is_lost() {
            return false;
        }
        let Some(worker) = self.any_worker() else { return false };
        let Ok(bounds) = self.cluster.broker.log().bounds().await else { return false };
        let leads = self.master().is_none_or(|master| master.node == worker.node);
        (!leads || worker.disk.earlier_offset().await >= bounds.first)
            && worker.disk.set_back().await
    }

    /// Only while the log holds everything: else it may be the last that knows.
    async fn wipe_disk(&self) -> bool {
        if self.world.plan.retention.is_some() || !self.world.oracle().log_holds_all() {
            return false;
        }
        let Some(worker) = self.any_worker() else { return false };
        let Some(host) = worker.host else { return false };
        host.die();
        self.cluster.machine.wait_for_exit(&worker.node, &host).await;
        worker.disk.wipe().await;
        self.cluster.machine.restart(&worker.node);
        true
    }

    fn jump(&self) -> bool {
        let hosts = self.world.living();
        let Some(host) = self.world.dice.pick(&hosts) else { return false };
        let most = if self.world.dice.chance(500) { 5_000 } else { 100_000_000 };
        let error = self.world.dice.between(0, most * 2) as i64 - most as i64;
        host.set_clock_error(error);
        self.world.note(&host.name, "clock", || error.to_string());
        true
    }

    async fn scale(&self) -> bool {
        let current = self.cluster.onlooker.view().borrow().scale.clone();
        let slaves = self.world.dice.between(1, 4) as u32;
        let record = ScaleRecord { slaves, manual: true, ..ScaleRecord::default() };
        let expected = current.map(|scale| scale.version);
        self.cluster.onlooker.set_scale(&record, expected).await.is_ok()
    }

    /// Another controller names whom it likes, alive or not.
    async fn usurp(&self) -> bool {
        let Some(leader) = self.cluster.onlooker.view().borrow().leader.clone() else {
            return false;
        };
        let nodes: Vec<NodeId> =
            self.cluster.machine.workers().into_iter().map(|worker| worker.node).collect();
        let Some(master) = self.world.dice.pick(&nodes).cloned() else { return false };
        let epoch = leader.value.epoch.next();
        let record = leader.value.succeeded_by(master, epoch);
        self.cluster.onlooker.set_leader(&record, Some(leader.version)).await.is_ok()
    }

    /// Asks an orchestrator for another master: any slave, or one that it may not know.
    fn switch_over(&mut self) -> bool {
        let Some(front) = self.cluster.any_front() else { return false };
        let named = self.world.dice.chance(500).then(|| self.any_worker()).flatten();
        let world = Arc::clone(&self.world);
        self.reliefs.spawn(async move {
            let to = named.map(|worker| worker.node);
            match front.handle.switch_over(to.as_ref()).await {
                Ok(switchover) => {
                    world.count("switchover done");
                    world.note("nemesis", "switched over", || format!("{switchover:?}"));
                    let (to, epoch) = (switchover.to.as_str(), switchover.to_epoch);
                    let verdict = world.oracle().check_switchover(to, epoch);
                    world.require(verdict);
                }
                Err(error) => world.note("nemesis", "no switchover", || error.to_string()),
            }
        });
        true
    }

    /// Asks an orchestrator for new workers in the place of all that there are.
    fn renew(&mut self) -> bool {
        let Some(front) = self.cluster.any_front() else { return false };
        let world = Arc::clone(&self.world);
        self.reliefs.spawn(async move {
            let begun = front.handle.renew().await;
            world.note("nemesis", "renew", || begun.is_ok().to_string());
        });
        true
    }

    /// Asks an orchestrator to keep its hands off everything, for a while.
    fn pause_healing(&mut self) -> bool {
        let Some(front) = self.cluster.any_front() else { return false };
        let (world, time) = (Arc::clone(&self.world), self.a_while());
        self.reliefs.spawn(async move {
            let paused = front.handle.set_paused(true).await;
            world.note("nemesis", "pause", || paused.is_ok().to_string());
            sleep(time).await;
            let resumed = front.handle.set_paused(false).await;
            world.note("nemesis", "resume", || resumed.is_ok().to_string());
        });
        true
    }

    fn restart_exited(&self) -> bool {
        let workers = self.cluster.machine.workers();
        let exited: Vec<_> = workers.iter().filter(|worker| worker.host.is_none()).collect();
        let Some(worker) = self.world.dice.pick(&exited) else { return false };
        self.cluster.machine.restart(&worker.node);
        true
    }
}

const fn name_of(kind: Disruption) -> &'static str {
    match kind {
        CrashWorker => "worker crashed",
        CrashMaster => "master crashed",
        CrashAtStep => "crash at a step planned",
        CrashOrchestrator => "orchestrator crashed",
        PauseWorker => "worker paused",
        PauseMaster => "master paused",
        PauseOrchestrator => "orchestrator paused",
        CutWorker => "worker's session cut",
        CutOrchestrator => "orchestrator's session cut",
        BrokerAway => "broker restarted",
        SlowDisk => "disk slowed",
        SetBackDisk => "database set back",
        WipeDisk => "database wiped",
        ClockJump => "clock jumped",
        Scale => "scaled",
        UsurpLeadership => "leader record overwritten",
        SwitchOver => "switchover asked for",
        Renew => "new workers asked for",
        PauseHealing => "healing paused",
        RestartExited => "exited worker restarted",
    }
}
