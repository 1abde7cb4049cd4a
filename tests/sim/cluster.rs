//! A whole cluster: orchestrators, workers and the services between them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rideshare::adapters::memory::{MemoryCoordination, MemorySession, SessionId};
use rideshare::domain::ids::OrchestratorId;
use rideshare::domain::message::Role;
use rideshare::domain::scaling::ScalingRules;
use rideshare::ports::coordination::Coordination;
use rideshare::ports::traces::Untold;
use rideshare::roles::orchestrator::{self, Handle, Orchestrator};
use tokio_util::sync::CancellationToken;

use crate::adapters::broker::Broker;
use crate::adapters::coordination::SimCoordination;
use crate::adapters::log::SimLog;
use crate::adapters::progress::SimProgress;
use crate::adapters::sender::SimSender;
use crate::containers::{Machine, SimContainers};
use crate::host::{Host, Kind};
use crate::world::{World, lock};

/// How long a session outlives its process.
const SESSION: Duration = Duration::from_millis(1_500);

pub(crate) struct Cluster {
    pub(crate) world: Arc<World>,
    pub(crate) broker: Arc<Broker>,
    pub(crate) coordination: MemoryCoordination,
    pub(crate) machine: Arc<Machine>,
    /// The session of whoever looks at the cluster and of nobody in it.
    pub(crate) onlooker: MemorySession,
    orchestrators: Mutex<Vec<Front>>,
}

/// An orchestrator as others see it.
#[derive(Clone)]
pub(crate) struct Front {
    pub(crate) host: Arc<Host>,
    pub(crate) session: SessionId,
    pub(crate) handle: Handle,
}

impl Cluster {
    /// Starts a cluster of so many orchestrators; they start the workers.
    pub(crate) fn start(world: &Arc<World>, orchestrators: usize) -> Arc<Self> {
        let broker = Broker::new(world);
        let coordination = MemoryCoordination::new(SESSION);
        let machine = Machine::new(world, &broker, &coordination);
        let cluster = Arc::new(Self {
            world: Arc::clone(world),
            broker,
            onlooker: coordination.session(),
            coordination,
            machine,
            orchestrators: Mutex::default(),
        });
        for number in 0..orchestrators {
            let front = cluster.start_orchestrator(number);
            lock(&cluster.orchestrators).push(front);
        }
        cluster
    }

    pub(crate) fn fronts(&self) -> Vec<Front> {
        lock(&self.orchestrators).clone()
    }

    /// One that runs.
    pub(crate) fn any_front(&self) -> Option<Front> {
        let mut fronts = self.fronts();
        fronts.retain(|front| !front.host.is_dead());
        self.world.dice.pick(&fronts).cloned()
    }

    fn start_orchestrator(&self, number: usize) -> Front {
        let name = format!("orchestrator-{number}");
        let host = Host::new(&self.world, &name, Kind::Orchestrator);
        self.world.note(&name, "starts", String::new);
        let coordination = SimCoordination::new(&host, &self.coordination);
        let session = coordination.session_id();
        let progress = SimProgress { host: Arc::clone(&host), broker: Arc::clone(&self.broker) };
        let parts = orchestrator::Parts {
            requests: Arc::new(SimSender::new(&host, &self.broker)),
            progress: Arc::new(progress),
            coordination: Arc::new(coordination),
            containers: Arc::new(SimContainers::new(&host, &self.machine)),
            log: Arc::new(SimLog { host: Arc::clone(&host), broker: Arc::clone(&self.broker) }),
            traces: Arc::new(Untold),
            ambient: host.ambient(),
        };
        let slaves = self.world.plan.slaves;
        let scaling = ScalingRules {
            window_ms: 3_600_000,
            reads_per_slave: 20,
            min_slaves: slaves,
            max_slaves: 4,
        };
        let settings = orchestrator::Settings {
            id: OrchestratorId::new(name),
            in_flight: 64,
            suspect_after: Duration::from_secs(2),
            promotion_limit: Duration::from_secs(3),
            startup_grace: Duration::from_secs(5),
            scaling,
        };
        let orchestrator = Orchestrator::new(parts, &settings);
        let handle = orchestrator.handle();
        let running = tokio::spawn(orchestrator.run(CancellationToken::new()));
        host.runs(running.abort_handle());
        Front { host, session, handle }
    }

    /// Puts a new process in the place of a dead orchestrator.
    pub(crate) fn replace_orchestrator(&self, number: usize) {
        let front = self.start_orchestrator(number);
        if let Some(place) = lock(&self.orchestrators).get_mut(number) {
            *place = front;
        }
    }

    /// How many slaves there are to be.
    pub(crate) fn wanted_slaves(&self) -> usize {
        let scale = self.onlooker.view().borrow().scale.as_ref().map(|scale| scale.value.slaves);
        let slaves = scale.unwrap_or(0).clamp(self.world.plan.slaves, 4);
        slaves as usize
    }

    /// What is missing of what there is to be in the end; nothing when all is well.
    pub(crate) async fn missing(&self) -> Vec<String> {
        let view = self.onlooker.view().borrow().clone();
        let mut missing = Vec::new();
        let Some(leader) = view.leader.map(|leader| leader.value) else {
            return vec!["nobody leads".to_owned()];
        };
        let workers = self.machine.workers();
        let mut slaves = 0;
        for worker in &workers {
            let role = worker.host.as_ref().and_then(|host| host.role());
            match role {
                Some(Role::Master) if worker.node == leader.master => {}
                Some(Role::Slave) => slaves += 1,
                role => missing.push(format!("{} is {role:?}", worker.node)),
            }
            if !view.members.contains_key(&worker.node) {
                missing.push(format!("{} is not entered", worker.node));
            }
        }
        if !workers.iter().any(|worker| worker.node == leader.master) {
            missing.push(format!("{} leads, and is not there", leader.master));
        }
        if slaves != self.wanted_slaves() {
            missing.push(format!("{slaves} slaves instead of {}", self.wanted_slaves()));
        }
        let (last, digest) = {
            let oracle = self.world.oracle();
            (oracle.last_offset(), oracle.digest())
        };
        for worker in &workers {
            match worker.disk.contents().await {
                Ok((history, contents)) if history.applied == last && contents == digest => {}
                Ok((history, _)) => {
                    missing
                        .push(format!("{} holds {:?} of {last:?}", worker.node, history.applied));
                }
                Err(error) => missing.push(format!("{}: {error}", worker.node)),
            }
        }
        missing
    }
}
