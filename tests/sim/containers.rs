//! The runtime of the workers: each is a task, with a disk that outlives it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::anyhow;
use async_trait::async_trait;
use rideshare::adapters::cache::CachedStore;
use rideshare::adapters::memory::{MemoryCoordination, MemoryStores, SessionId};
use rideshare::domain::ids::{NodeId, Pid};
use rideshare::ports::containers::{
    Container, ContainerState, Containers, ContainersError, StartAs,
};
use rideshare::ports::traces::Untold;
use rideshare::roles::worker;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::adapters::broker::Broker;
use crate::adapters::coordination::SimCoordination;
use crate::adapters::log::SimLog;
use crate::adapters::progress::SimProgress;
use crate::adapters::receiver::SimReceiver;
use crate::adapters::store::{Disk, SimStore};
use crate::host::{Host, Kind};
use crate::world::{World, lock};

const KILLED: i32 = 137;
const FAILED: i32 = 1;
/// What a worker remembers of documents: more than there are, so that nothing hangs on the order in
/// which they are forgotten.
const CACHE_BYTES: usize = 16 << 20;

/// The machine that the workers run on.
pub(crate) struct Machine {
    pub(crate) world: Arc<World>,
    broker: Arc<Broker>,
    coordination: MemoryCoordination,
    stores: MemoryStores,
    state: Mutex<State>,
    ended: Notify,
}

#[derive(Default)]
struct State {
    last_pid: u32,
    workers: BTreeMap<NodeId, Worker>,
    watchers: Vec<watch::Sender<Vec<Container>>>,
}

struct Worker {
    container: Container,
    disk: Arc<Disk>,
    running: Option<Running>,
}

#[derive(Clone)]
struct Running {
    host: Arc<Host>,
    session: SessionId,
    shutdown: CancellationToken,
}

/// One worker as those who disrupt it see it.
pub(crate) struct Sight {
    pub(crate) node: NodeId,
    pub(crate) host: Option<Arc<Host>>,
    pub(crate) session: Option<SessionId>,
    pub(crate) disk: Arc<Disk>,
}

impl Machine {
    pub(crate) fn new(
        world: &Arc<World>,
        broker: &Arc<Broker>,
        coordination: &MemoryCoordination,
    ) -> Arc<Self> {
        Arc::new(Self {
            world: Arc::clone(world),
            broker: Arc::clone(broker),
            coordination: coordination.clone(),
            stores: MemoryStores::new(),
            state: Mutex::new(State { last_pid: 100, ..State::default() }),
            ended: Notify::new(),
        })
    }

    /// Everything that there is, by name.
    pub(crate) fn workers(&self) -> Vec<Sight> {
        let state = lock(&self.state);
        let sight = |(node, worker): (&NodeId, &Worker)| Sight {
            node: node.clone(),
            host: worker.running.as_ref().map(|running| Arc::clone(&running.host)),
            session: worker.running.as_ref().map(|running| running.session),
            disk: Arc::clone(&worker.disk),
        };
        state.workers.iter().map(sight).collect()
    }

    fn publish(&self, state: &mut State) {
        let list: Vec<_> = state.workers.values().map(|it| it.container.clone()).collect();
        state.watchers.retain(|watcher| watcher.receiver_count() > 0);
        for watcher in &state.watchers {
            watcher.send_replace(list.clone());
        }
    }

    fn run(self: &Arc<Self>, node: &NodeId, start_as: StartAs) {
        let host = Host::new(&self.world, node.as_str(), Kind::Worker);
        let session = SimCoordination::new(&host, &self.coordination);
        let running = Running {
            host: Arc::clone(&host),
            session: session.session_id(),
            shutdown: CancellationToken::new(),
        };
        let (pid, disk) = {
            let mut state = lock(&self.state);
            state.last_pid += 1;
            let pid = Pid(state.last_pid);
            let known = state.workers.get(node).map(|worker| Arc::clone(&worker.disk));
            let disk = known.unwrap_or_else(|| Disk::open(&self.stores, node.as_str()));
            let container = Container {
                node: node.clone(),
                state: ContainerState::Running { pid },
                changed_at_ms: self.world.true_time_ms(),
            };
            let (running, disk_too) = (Some(running.clone()), Arc::clone(&disk));
            state.workers.insert(node.clone(), Worker { container, disk: disk_too, running });
            self.publish(&mut state);
            (pid, disk)
        };
        self.world.note(node.as_str(), "starts", || format!("{pid} as {start_as:?}"));
        let (lifeline, cut) = mpsc::channel(1);
        let (broker, log_host) = (Arc::clone(&self.broker), Arc::clone(&host));
        let store = SimStore { host: Arc::clone(&host), disk };
        let parts = worker::Parts {
            log: Arc::new(SimLog { host: log_host, broker: Arc::clone(&broker) }),
            requests: Arc::new(SimReceiver {
                host: Arc::clone(&host),
                broker: Arc::clone(&broker),
            }),
            progress: Arc::new(SimProgress { host: Arc::clone(&host), broker }),
            coordination: Arc::new(session),
            store: Arc::new(CachedStore::new(Arc::new(store), CACHE_BYTES)),
            traces: Arc::new(Untold),
            ambient: host.ambient(),
            lifeline,
        };
        let settings = worker::Settings {
            node: node.clone(),
            pid,
            managed: true,
            founder: start_as == StartAs::Master,
            batch_requests: 16,
            max_lag: 50,
            store_patience: Duration::from_secs(10),
        };
        let work = tokio::spawn(worker::run(parts, settings, running.shutdown));
        host.runs(work.abort_handle());
        tokio::spawn(Arc::clone(self).attend(node.clone(), host, work, cut));
    }

    /// Waits for the end of a worker, and of everything that acted for it.
    async fn attend(
        self: Arc<Self>,
        node: NodeId,
        host: Arc<Host>,
        work: tokio::task::JoinHandle<Result<(), worker::WorkerError>>,
        mut cut: mpsc::Receiver<std::convert::Infallible>,
    ) {
        let end = work.await;
        // Whoever ended by itself ended with its whole process.
        if !host.is_dead() {
            host.die();
        }
        let _ = cut.recv().await;
        let code = match &end {
            Ok(Ok(())) => 0,
            Ok(Err(error)) => {
                self.world.note(node.as_str(), "failed", || error.to_string());
                error.exit_code()
            }
            Err(stopped) if stopped.is_cancelled() => KILLED,
            Err(panic) => {
                self.world.require(Err(format!("{node} panicked: {panic}")));
                FAILED
            }
        };
        self.world.note(node.as_str(), "exits", || code.to_string());
        let mut state = lock(&self.state);
        if let Some(worker) = state.workers.get_mut(&node) {
            worker.running = None;
            worker.container.state = ContainerState::Exited { code };
            worker.container.changed_at_ms = self.world.true_time_ms();
        }
        self.publish(&mut state);
        drop(state);
        self.ended.notify_waiters();
    }

    /// Starts an exited worker again, whoever asks.
    pub(crate) fn restart(self: &Arc<Self>, node: &NodeId) {
        let is_down = |worker: &Worker| worker.running.is_none();
        if lock(&self.state).workers.get(node).is_some_and(is_down) {
            self.run(node, StartAs::Slave);
        }
    }

    fn running(&self, node: &NodeId) -> Option<Running> {
        lock(&self.state).workers.get(node)?.running.clone()
    }

    /// Waits until this run of a worker has ended.
    pub(crate) async fn wait_for_exit(&self, node: &NodeId, host: &Arc<Host>) {
        loop {
            let ended = self.ended.notified();
            if !self.running(node).is_some_and(|running| Arc::ptr_eq(&running.host, host)) {
                return;
            }
            ended.await;
        }
    }
}

/// The machine as one orchestrator commands it.
pub(crate) struct SimContainers {
    host: Arc<Host>,
    machine: Arc<Machine>,
    list: watch::Receiver<Vec<Container>>,
}

impl SimContainers {
    pub(crate) fn new(host: &Arc<Host>, machine: &Arc<Machine>) -> Self {
        let mut state = lock(&machine.state);
        let (watcher, list) =
            watch::channel(state.workers.values().map(|it| it.container.clone()).collect());
        state.watchers.push(watcher);
        drop(state);
        Self { host: Arc::clone(host), machine: Arc::clone(machine), list }
    }
}

#[async_trait]
impl Containers for SimContainers {
    fn watch(&self) -> watch::Receiver<Vec<Container>> {
        self.list.clone()
    }

    async fn start(&self, node: &NodeId, start_as: StartAs) -> Result<(), ContainersError> {
        self.host.step("start worker").await;
        let world = &self.host.world;
        if world.strikes("start failed", world.plan.start_failed) {
            let source = anyhow!("simulated");
            return Err(ContainersError::StartFailed { node: node.clone(), source });
        }
        if lock(&self.machine.state).workers.contains_key(node) {
            let source = anyhow!("there is a worker of this name");
            return Err(ContainersError::StartFailed { node: node.clone(), source });
        }
        self.machine.run(node, start_as);
        Ok(())
    }

    async fn restart(&self, node: &NodeId) -> Result<(), ContainersError> {
        self.host.step("restart worker").await;
        if !lock(&self.machine.state).workers.contains_key(node) {
            return Err(ContainersError::NotFound(node.clone()));
        }
        self.machine.restart(node);
        Ok(())
    }

    async fn kill(&self, node: &NodeId) -> Result<Pid, ContainersError> {
        self.host.step("kill worker").await;
        let not_found = || ContainersError::NotFound(node.clone());
        let (running, state) = {
            let state = lock(&self.machine.state);
            let worker = state.workers.get(node).ok_or_else(not_found)?;
            (worker.running.clone().ok_or_else(not_found)?, worker.container.state)
        };
        running.host.die();
        self.machine.wait_for_exit(node, &running.host).await;
        match state {
            ContainerState::Running { pid } => Ok(pid),
            ContainerState::Exited { .. } => Err(not_found()),
        }
    }

    async fn stop(&self, node: &NodeId) -> Result<(), ContainersError> {
        self.host.step("stop worker").await;
        let running = self.machine.running(node);
        running.ok_or_else(|| ContainersError::NotFound(node.clone()))?.shutdown.cancel();
        Ok(())
    }

    async fn mark_master(&self, _node: &NodeId) -> Result<(), ContainersError> {
        self.host.step("mark master").await;
        Ok(())
    }

    async fn remove(&self, node: &NodeId) -> Result<(), ContainersError> {
        self.host.step("remove worker").await;
        let mut state = lock(&self.machine.state);
        if state.workers.get(node).is_some_and(|worker| worker.running.is_some()) {
            return Err(ContainersError::Unavailable(anyhow!("worker {node} runs")));
        }
        if state.workers.remove(node).is_some() {
            self.machine.stores.remove(node.as_str());
            self.machine.stores.remove(&format!("{node}:earlier"));
            self.machine.world.note(node.as_str(), "removed", String::new);
            self.machine.publish(&mut state);
        }
        Ok(())
    }

    async fn set_aside(&self) -> Result<Vec<NodeId>, ContainersError> {
        Ok(Vec::new())
    }

    async fn bring_back(&self, node: &NodeId) -> Result<(), ContainersError> {
        Err(ContainersError::NotFound(node.clone()))
    }
}
