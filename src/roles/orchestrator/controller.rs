//! Keeps one master and the wanted number of slaves: observe, plan, act, and again.
//!
//! Only the orchestrator that holds the controller lock acts. It wakes when containers or
//! coordination change, and by itself more often the less settled things are.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tracing::{debug, error, info, warn};

use super::autoscaler::Autoscaler;
use super::complaints::Complaints;
use super::failover::Failover;
use super::gateway::{Echo, Gateway};
use super::infancy::Infancy;
use super::journal::Journal;
use super::roster::{Office, Roster, Signs};
use super::views::Views;
use super::vigil::Vigil;
use super::{Parts, Settings};
use crate::domain::events::{Cause, Kind};
use crate::domain::ids::{Epoch, LogId, NodeId, Pid};
use crate::domain::message::Role;
use crate::domain::scaling::Outlook;
use crate::domain::supervision::{
    Action, Desired, Observed, ObservedLeader, ObservedWorker, Process, plan,
};
use crate::ports::containers::{Container, ContainerState, StartAs};
use crate::ports::coordination::{CoordinationView, LeaderRecord, OrchestratorStatus, ScaleRecord};
use crate::roles::chain;
use crate::roles::latest;

/// The pause between two looks when all is well.
const CALM: Duration = Duration::from_millis(250);
/// The pause between two looks while there is no master.
const BUSY: Duration = Duration::from_millis(20);
/// How long a suspected worker may take to answer.
const PING_LIMIT: Duration = Duration::from_millis(400);
/// How often other orchestrators are told of the reads taken here.
const TELL_READS: Duration = Duration::from_secs(1);
/// What a worker last said of itself is believed for this long.
const FRESH: Duration = Duration::from_secs(2);
/// No worker is started again sooner than this after the last time; doubled up to the most.
const RESTART_PAUSE: Duration = Duration::from_millis(250);
const MOST_RESTART_PAUSE: Duration = Duration::from_secs(10);
/// The pause after work on the containers that failed.
const HOUSEKEEPING_PAUSE: Duration = Duration::from_millis(500);
/// New workers that may be started within a while, beyond the most that there may be.
const STARTS: u32 = 24;
/// The while.
const STARTS_PERIOD: Duration = Duration::from_secs(30);

pub(super) struct Controller {
    parts: Parts,
    settings: Settings,
    signs: latest::Receiver<Signs>,
    views: Views,
    office: latest::Receiver<Office>,
    gateway: Gateway,
    journal: Journal,
    vigil: Vigil,
    failover: Failover,
    autoscaler: Autoscaler,
    infancy: Infancy,
    in_control: bool,
    /// Asked to drain by this controller, and which process of the worker that was: another one
    /// that somebody starts in its place was not asked.
    draining: HashMap<NodeId, Option<Pid>>,
    complaints: Complaints,
    /// When each worker was last started again, and the pause that was due then.
    restarts: HashMap<NodeId, (Instant, Duration)>,
    starts: Vec<Instant>,
    /// Slow work on the containers; one round at a time. Says whether all of it was done.
    housekeeping: JoinSet<bool>,
    /// The next round is not to begin before this.
    housekeeping_due: Instant,
    told_reads: Option<(u64, Instant)>,
    /// What the autoscaler would do; nothing while another orchestrator is in control.
    outlook: latest::Sender<Option<Outlook>>,
}

impl Controller {
    pub(super) fn new(
        parts: Parts,
        settings: Settings,
        roster: &Roster,
        views: Views,
        gateway: Gateway,
        journal: Journal,
    ) -> Self {
        let now = Instant::now();
        Self {
            vigil: Vigil::new(now),
            failover: Failover::new(settings.promotion_limit),
            autoscaler: Autoscaler::new(settings.scaling, now),
            infancy: Infancy::default(),
            signs: roster.view(),
            views,
            office: roster.office(),
            parts,
            settings,
            gateway,
            journal,
            in_control: false,
            draining: HashMap::new(),
            complaints: Complaints::default(),
            restarts: HashMap::new(),
            starts: Vec::new(),
            housekeeping: JoinSet::new(),
            housekeeping_due: now,
            told_reads: None,
            outlook: latest::Sender::new(None),
        }
    }

    /// What the autoscaler would do, as long as this orchestrator is in control.
    pub(super) fn outlook(&self) -> latest::Receiver<Option<Outlook>> {
        self.outlook.subscribe()
    }

    /// Runs until aborted.
    pub(super) async fn run(mut self) {
        let mut containers = self.parts.containers.watch();
        let mut views = self.views.clone();
        let mut office = self.office.clone();
        loop {
            let pause = self.look_around().await;
            let change = async {
                tokio::select! {
                    biased;
                    changed = containers.changed() => changed.is_ok(),
                    changed = views.changed() => changed.is_ok(),
                    changed = office.changed() => changed.is_ok(),
                }
            };
            // A port that is gone for good would wake this loop without end.
            if timeout(pause, change).await == Ok(false) {
                error!("a port is closed, the controller stops");
                return;
            }
        }
    }

    /// One round. Returns the longest pause before the next.
    async fn look_around(&mut self) -> Duration {
        let view = self.parts.coordination.view().borrow().clone();
        let now = Instant::now();
        let can_listen = view.connected && self.parts.requests.is_connected();
        self.vigil.look(now, can_listen);
        if !view.connected {
            self.lose_control();
            return CALM;
        }
        self.tell_reads(now).await;
        if !self.holds_control(&view).await {
            self.lose_control();
            return CALM;
        }
        self.scale(&view, now).await;
        self.outlook.send(Some(self.autoscaler.outlook(now)));
        self.supervise(&view, now).await
    }

    fn lose_control(&mut self) {
        self.in_control = false;
        self.outlook.send(None);
    }

    async fn holds_control(&mut self, view: &CoordinationView) -> bool {
        let held = match &view.controller {
            Some(holder) => *holder == self.settings.id,
            None => {
                let locked = self.parts.coordination.lock_controller(&self.settings.id).await;
                locked.unwrap_or(false)
            }
        };
        if held && !self.in_control {
            info!("in control");
            self.draining.clear();
            let own = (&self.settings.id, self.gateway.reads_taken());
            self.autoscaler.reset(&view.orchestrators, own);
        }
        self.in_control = held;
        held
    }

    async fn tell_reads(&mut self, now: Instant) {
        let reads = self.gateway.reads_taken();
        let due = self
            .told_reads
            .is_none_or(|(told, at)| told != reads && now.duration_since(at) >= TELL_READS);
        let status = OrchestratorStatus { reads };
        if due && self.parts.coordination.register(&self.settings.id, &status).await.is_ok() {
            self.told_reads = Some((reads, now));
        }
    }

    async fn scale(&mut self, view: &CoordinationView, now: Instant) {
        let own = (&self.settings.id, self.gateway.reads_taken());
        let Some(decision) = self.autoscaler.look(&view.orchestrators, own, now) else { return };
        let current = view.scale.as_ref();
        if current.is_some_and(|scale| scale.value.manual || scale.value.paused) {
            return;
        }
        if self.desired(view).slaves == decision.slaves {
            return;
        }
        let current_value = current.map(|it| it.value.clone()).unwrap_or_default();
        let record = ScaleRecord { slaves: decision.slaves, ..current_value };
        let written = self.parts.coordination.set_scale(&record, current.map(|it| it.version));
        match written.await {
            Ok(()) => self.journal.note_scale(decision.slaves, Cause::Reads(decision.reads)),
            Err(error) => warn!(error = %chain(error), "scale record not written"),
        }
    }

    /// Whether it is over.
    async fn end_pause(&self, view: &CoordinationView) -> bool {
        let ended = self.change_scale(view, |record| record.paused = false).await;
        if ended {
            warn!("the pause ends: no worker is left");
            self.journal.note(Kind::Resumed, None, Cause::NoMaster);
        }
        ended
    }

    async fn end_renewal(&self, view: &CoordinationView) {
        if self.change_scale(view, |record| record.renew.clear()).await {
            info!("all workers are renewed");
            self.journal.note(Kind::Renewed, None, Cause::Asked);
        }
    }

    /// Whether it was written, or there was nothing to change.
    async fn change_scale(
        &self,
        view: &CoordinationView,
        change: impl FnOnce(&mut ScaleRecord),
    ) -> bool {
        let Some(current) = &view.scale else { return true };
        let mut record = current.value.clone();
        change(&mut record);
        let written = self.parts.coordination.set_scale(&record, Some(current.version)).await;
        if let Err(error) = written {
            warn!(error = %chain(error), "scale record not written");
            return false;
        }
        true
    }

    fn desired(&self, view: &CoordinationView) -> Desired {
        let rules = &self.settings.scaling;
        let least = rules.min_slaves.max(1);
        let wanted = view.scale.as_ref().map_or(least, |scale| scale.value.slaves);
        Desired {
            slaves: wanted.clamp(least, rules.max_slaves.max(least)),
            paused: view.scale.as_ref().is_some_and(|scale| scale.value.paused),
            renew: view.scale.as_ref().map(|scale| scale.value.renew.clone()).unwrap_or_default(),
        }
    }

    async fn supervise(&mut self, view: &CoordinationView, now: Instant) -> Duration {
        let mut desired = self.desired(view);
        let observed = self.observe(view, now).await;
        if desired.paused && observed.ends_a_pause() {
            desired.paused = !self.end_pause(view).await;
        }
        if !desired.renew.is_empty() && desired.is_renewed(&observed) {
            self.end_renewal(view).await;
        }
        let leader = observed.leader.as_ref();
        let leads = observed
            .workers
            .iter()
            .find(|worker| leader.is_some_and(|leader| leader.master == worker.node));
        let in_office = observed.master_in_office().is_some();
        let named = named(view);
        let is_alive = leads.is_some_and(|worker| worker.pid().is_some() && !worker.suspected);
        if let Some(office) = self.failover.look(named, is_alive, in_office, now) {
            metrics::histogram!("rideshare_orchestrator_vacancy_seconds")
                .record(office.vacancy.unwrap_or_default().as_secs_f64());
            self.journal.note_office(&office.node, office.epoch, office.vacancy);
            let _ = self.parts.containers.mark_master(&office.node).await;
        }
        if let Some(master) = observed.master_in_office() {
            self.note_admitted(view, master.epoch).await;
        }
        let actions = plan(&desired, &observed);
        let settled = in_office && actions.is_empty();
        self.act(actions, view, now).await;
        if settled { CALM } else { BUSY }
    }

    async fn observe(&mut self, view: &CoordinationView, now: Instant) -> Observed {
        let containers = self.parts.containers.watch().borrow().clone();
        let signs = self.signs.borrow().clone();
        let now_ms = self.parts.ambient.now_ms();
        self.infancy.look(containers.iter().map(|it| (&it.node, it.runs())), now);
        let log = view.leader.as_ref().map(|leader| &leader.value.log_id);
        self.complaints.look(&containers, &signs, log, now_ms);
        let mut workers = Vec::new();
        let mut silent = Vec::new();
        for container in &containers {
            let uptime = Duration::from_millis(now_ms.saturating_sub(container.changed_at_ms));
            let worker =
                self.observe_one(&container.node, Some(container), uptime, view, &signs, now);
            if self.is_silent(&worker, uptime, &signs, now) {
                silent.push(workers.len());
            }
            workers.push(worker);
        }
        // What a runtime started and does not know any more is gone; its session follows.
        for (node, member) in &view.members {
            if !member.managed && !workers.iter().any(|worker| worker.node == *node) {
                let worker = self.observe_one(node, None, Duration::MAX, view, &signs, now);
                if self.is_silent(&worker, Duration::MAX, &signs, now) {
                    silent.push(workers.len());
                }
                workers.push(worker);
            }
        }
        self.question(&mut workers, &silent, view).await;
        self.try_carrier(&workers).await;
        let leader = view.leader.as_ref().map(|leader| ObservedLeader {
            epoch: leader.value.epoch,
            master: leader.value.master.clone(),
        });
        self.draining.retain(|node, asked| {
            let worker = workers.iter().find(|worker| worker.node == *node);
            worker.is_some_and(|worker| worker.pid().is_none_or(|pid| Some(pid) == *asked))
        });
        Observed { leader, workers }
    }

    fn observe_one(
        &self,
        node: &NodeId,
        container: Option<&Container>,
        uptime: Duration,
        view: &CoordinationView,
        signs: &Signs,
        now: Instant,
    ) -> ObservedWorker {
        let member = view.members.get(node);
        // A sign from before the last start is another process's.
        let sign = signs.workers.get(node).filter(|sign| {
            let age = now.duration_since(sign.heard_at);
            age < uptime && age < FRESH.max(self.settings.suspect_after)
        });
        let told = sign.map(|sign| (sign.progress.role, sign.progress.epoch));
        let told = told.or(member.map(|member| (member.role, member.epoch)));
        let process = match container.map(|container| container.state) {
            Some(ContainerState::Running { pid }) => Process::Running { pid },
            Some(ContainerState::Exited { .. }) => Process::Exited,
            None => Process::Unmanaged { pid: member.map_or(Pid(u32::MAX), |member| member.pid) },
        };
        let role = told.map(|(role, _)| role).filter(|_| process != Process::Exited);
        let waits = self.restarts.get(node);
        ObservedWorker {
            node: node.clone(),
            process,
            role,
            epoch: told.map_or(Epoch(0), |(_, epoch)| epoch),
            suspected: false,
            draining: role == Some(Role::Draining) || self.was_asked_to_drain(node, process),
            passed_over: self.failover.is_passed_over(node, named(view)),
            backing_off: self.infancy.is_waiting(node, now)
                || waits.is_some_and(|(at, pause)| now.duration_since(*at) < *pause),
            misses_log: self.complaints.is_of(node),
        }
    }

    fn was_asked_to_drain(&self, node: &NodeId, process: Process) -> bool {
        self.draining.get(node).is_some_and(|asked| match process {
            Process::Running { pid } | Process::Unmanaged { pid } => *asked == Some(pid),
            Process::Exited => true,
        })
    }

    /// The process of a worker, if the runtime knows that it runs.
    fn pid_of(&self, node: &NodeId) -> Option<Pid> {
        let containers = self.parts.containers.watch().borrow().clone();
        let container = containers.iter().find(|container| container.node == *node)?;
        match container.state {
            ContainerState::Running { pid } => Some(pid),
            ContainerState::Exited { .. } => None,
        }
    }

    fn is_silent(
        &self,
        worker: &ObservedWorker,
        uptime: Duration,
        signs: &Signs,
        now: Instant,
    ) -> bool {
        // A sign from before the last start is another process's.
        let heard_at = signs.workers.get(&worker.node).map(|sign| sign.heard_at);
        let heard_at = heard_at.filter(|at| now.duration_since(*at) < uptime);
        let limit = self.settings.suspect_after;
        // Who was heard of has started; who never was may still be about to.
        let grace = if heard_at.is_some() { limit } else { self.settings.startup_grace.max(limit) };
        worker.process != Process::Exited
            && uptime > grace
            && self.vigil.silence(heard_at, now) > limit
    }

    /// The second observer: whoever is silent is suspected if its session is gone too, or if it
    /// does not answer. Nobody is while the carrier itself does not take a ping: then the silence
    /// may be this orchestrator's own.
    async fn question(
        &mut self,
        workers: &mut [ObservedWorker],
        silent: &[usize],
        view: &CoordinationView,
    ) {
        let gateway = &self.gateway;
        let pings = silent.iter().map(|index| {
            let node = workers[*index].node.clone();
            async move { (*index, gateway.ping(node, PING_LIMIT).await) }
        });
        let echoes = join_all(pings).await;
        if !echoes.is_empty() {
            self.vigil.note_ping(echoes.iter().all(|(_, echo)| *echo != Echo::Unasked));
        }
        for (index, echo) in echoes {
            let gone = !view.members.contains_key(&workers[index].node);
            workers[index].suspected = match echo {
                Echo::Answered => gone,
                Echo::Unanswered => true,
                Echo::Unasked => false,
            };
        }
    }

    /// Once a ping was not taken, tries every round if one is.
    async fn try_carrier(&mut self, workers: &[ObservedWorker]) {
        if self.vigil.is_doubtful()
            && let Some(worker) = workers.first()
        {
            let echo = self.gateway.ping(worker.node.clone(), PING_LIMIT).await;
            self.vigil.note_ping(echo != Echo::Unasked);
        }
    }

    async fn act(&mut self, actions: Vec<Action>, view: &CoordinationView, now: Instant) {
        let mut slow = Vec::new();
        for action in actions {
            match action {
                Action::Fence(node) => self.fence(&node).await,
                Action::Elect { node, epoch } => {
                    self.elect(node, epoch, view, Cause::NoMaster).await;
                }
                Action::SwitchOver { node, epoch } => {
                    self.elect(node, epoch, view, Cause::Asked).await;
                }
                Action::Restart(node) => self.restart(&node, now).await,
                other => slow.push(other),
            }
        }
        while let Some(round) = self.housekeeping.try_join_next() {
            if !matches!(round, Ok(true)) {
                self.housekeeping_due = now + HOUSEKEEPING_PAUSE;
            }
        }
        if !slow.is_empty() && self.housekeeping.is_empty() && now >= self.housekeeping_due {
            self.keep_house(slow, now);
        }
    }

    async fn fence(&self, node: &NodeId) {
        warn!(worker = %node, "suspected, killing it");
        match self.parts.containers.kill(node).await {
            Ok(_) => self.journal.note(Kind::Fenced, Some(node), Cause::Suspected),
            Err(error) => {
                error!(worker = %node, error = %chain(error), "cannot kill");
            }
        }
    }

    async fn elect(&self, node: NodeId, epoch: Epoch, view: &CoordinationView, cause: Cause) {
        let current = view.leader.as_ref();
        let from = current.map_or(Epoch(0), |leader| leader.value.epoch);
        let record = current.map_or_else(
            || {
                let log_id = LogId::new(self.parts.ambient.unique());
                LeaderRecord::new(epoch, node.clone(), log_id)
            },
            |leader| leader.value.succeeded_by(node.clone(), epoch),
        );
        let expected = current.map(|leader| leader.version);
        match self.parts.coordination.set_leader(&record, expected).await {
            Ok(()) => {
                metrics::counter!("rideshare_orchestrator_elections_total").increment(1);
                self.journal.note_election(&node, from, epoch, cause);
            }
            Err(error) => warn!(error = %chain(error), "election not written"),
        }
    }

    /// From now on a log without this epoch is known to have lost data.
    async fn note_admitted(&self, view: &CoordinationView, told: Epoch) {
        let Some(current) = &view.leader else { return };
        let epoch = current.value.epoch;
        if told != epoch || current.value.admitted >= epoch {
            return;
        }
        let record = LeaderRecord { admitted: epoch, ..current.value.clone() };
        let written = self.parts.coordination.set_leader(&record, Some(current.version)).await;
        if let Err(error) = written {
            debug!(%epoch, error = %chain(error), "epoch not noted yet");
        }
    }

    async fn restart(&mut self, node: &NodeId, now: Instant) {
        let pause = self.restarts.get(node).map_or(RESTART_PAUSE, |(at, pause)| {
            let calm = now.duration_since(*at) > MOST_RESTART_PAUSE * 2;
            if calm { RESTART_PAUSE } else { (*pause * 2).min(MOST_RESTART_PAUSE) }
        });
        self.restarts.insert(node.clone(), (now, pause));
        match self.parts.containers.restart(node).await {
            Ok(()) => self.journal.note(Kind::Restarted, Some(node), Cause::NoMaster),
            Err(error) => {
                error!(worker = %node, error = %chain(error), "cannot restart");
            }
        }
    }

    /// Carries out what may take long beside the loop: an election must never wait for it. The dead
    /// are removed last: whoever takes their place is waited for, and a runtime does one thing at
    /// the cost of another.
    fn keep_house(&mut self, actions: Vec<Action>, now: Instant) {
        self.starts.retain(|at| now.duration_since(*at) < STARTS_PERIOD);
        let (mut first, mut last) = (Vec::new(), Vec::new());
        for action in actions {
            let starts = matches!(action, Action::StartSlave | Action::StartFounder);
            let most = (STARTS + self.settings.scaling.max_slaves) as usize;
            if starts && self.starts.len() >= most {
                warn!("workers die as fast as they are started, pausing");
                continue;
            }
            if starts {
                self.starts.push(now);
            }
            if let Action::Drain(node) = &action {
                self.draining.insert(node.clone(), self.pid_of(node));
            }
            let group = if matches!(action, Action::Remove(_)) { &mut last } else { &mut first };
            group.push(action);
        }
        let (parts, journal) = (self.parts.clone(), self.journal.clone());
        self.housekeeping.spawn(async move {
            let mut all_done = true;
            for group in [first, last] {
                let all = group.into_iter().map(|action| carry_out(action, &parts, &journal));
                all_done &= join_all(all).await.into_iter().all(|done| done);
            }
            all_done
        });
    }
}

/// Who is named leader, and for which epoch.
fn named(view: &CoordinationView) -> Option<(&NodeId, Epoch)> {
    view.leader.as_ref().map(|leader| (&leader.value.master, leader.value.epoch))
}

/// Whether it was done.
async fn carry_out(action: Action, parts: &Parts, journal: &Journal) -> bool {
    let containers = Arc::clone(&parts.containers);
    let new_node = || {
        let unique = parts.ambient.unique();
        NodeId::new(format!("worker-{}", &unique[unique.len().saturating_sub(8)..]))
    };
    let (kind, node, cause, result) = match action {
        Action::StartFounder => {
            let node = new_node();
            let started = containers.start(&node, StartAs::Master).await;
            (Kind::Started, node, Cause::NoMaster, started)
        }
        Action::StartSlave => {
            let node = new_node();
            let started = containers.start(&node, StartAs::Slave).await;
            (Kind::Started, node, Cause::Wanted, started)
        }
        Action::Drain(node) => {
            let stopped = containers.stop(&node).await;
            (Kind::Drained, node, Cause::Wanted, stopped)
        }
        Action::Remove(node) => {
            let removed = containers.remove(&node).await;
            (Kind::Removed, node, Cause::Exited, removed)
        }
        Action::Fence(_)
        | Action::Elect { .. }
        | Action::SwitchOver { .. }
        | Action::Restart(_) => return true,
    };
    match result {
        Ok(()) => {
            journal.note(kind, Some(&node), cause);
            true
        }
        Err(error) => {
            error!(worker = %node, ?kind, error = %chain(error), "housekeeping failed");
            false
        }
    }
}
