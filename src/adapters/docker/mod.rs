//! `Containers` as Docker has them: a worker is two containers, its own and its database's, and a
//! volume for the latter.
//!
//! Labels alone say what belongs to which worker; names are for people, and one of them moves to
//! whoever is master. The volume is made first and removed last, so that whatever is left half
//! made or half removed is still seen, as a worker that has exited. The containers themselves hold
//! nothing: a worker that is started again gets new ones, on the volume that it had.
//!
//! A worker has exited when its own process is dead. Where its database dies it is killed first,
//! and where it dies its database is killed after it.

mod engine;
mod error;
mod names;
mod shared;
mod spec;
mod tls;
mod watcher;
mod world;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{info, warn};

use self::engine::Engine;
use self::error::EngineError;
use self::names::{Names, Part};
use self::shared::Shared;
pub use self::tls::TlsFiles;
use self::world::Found;
use crate::domain::ids::{NodeId, Pid};
use crate::ports::containers::{Container, ContainerState, Containers, ContainersError, StartAs};

/// How long a killed container may take to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(10);
/// How long an engine that is just starting is waited for.
const OPEN_LIMIT: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(20);
const OPEN_PAUSE: Duration = Duration::from_millis(500);
/// Tries to give a name, and the pause between two.
const NAMINGS: u32 = 5;
const NAMING_PAUSE: Duration = Duration::from_millis(200);

/// Makes the environment of a worker's container, from its name, what it is started as, and the
/// host name of its database.
pub type Environment = Arc<dyn Fn(&NodeId, StartAs, &str) -> Vec<(String, String)> + Send + Sync>;

/// What the runtime is made from.
#[derive(Clone)]
pub struct DockerSettings {
    /// `unix://PATH`, or `tcp://HOST:PORT`.
    pub host: String,
    /// Where the engine at a `HOST:PORT` speaks TLS.
    pub tls: Option<TlsFiles>,
    /// How long the engine may take to answer a question; three times as long for real work.
    pub timeout: Duration,
    /// What the names and labels of everything begin with.
    pub project: String,
    /// The network that the containers are in; it is there.
    pub network: String,
    /// Of the worker.
    pub worker_image: String,
    /// `UID[:GID]`.
    pub worker_user: String,
    /// The most memory of the worker, in MiB.
    pub worker_memory_mb: u64,
    /// `HOST:CONTAINER[:ro]` each.
    pub worker_binds: Vec<String>,
    /// Of the worker's MongoDB.
    pub database_image: String,
    /// `UID[:GID]`; the owner of `/data/db` in the image.
    pub database_user: String,
    /// The most memory of the database, in MiB.
    pub database_memory_mb: u64,
    /// Its cache, in MiB; at least 256.
    pub database_cache_mb: u64,
    /// The size of one file of a container's log, in MiB.
    pub log_max_mb: u64,
    /// How many of them are kept.
    pub log_max_files: u32,
    /// So many volumes of removed workers are kept.
    pub keep_databases: usize,
    /// How long a worker that was asked to stop may take before it is killed.
    pub stop_limit: Duration,
    /// The worker's variables.
    pub environment: Environment,
    /// The time of day, in milliseconds since 1970.
    pub now_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl DockerSettings {
    fn names(&self) -> Names {
        Names::new(&self.project)
    }
}

/// Workers as pairs of containers.
pub struct DockerContainers {
    shared: Arc<Shared>,
    tasks: [JoinHandle<()>; 2],
}

impl DockerContainers {
    /// A runtime on the containers that the engine has of this project, whoever made them.
    ///
    /// # Errors
    /// When the engine cannot be reached, with what to do about it, or has no such network.
    pub async fn open(settings: DockerSettings) -> anyhow::Result<Self> {
        let engine = Engine::new(&settings.host, settings.tls.as_ref(), settings.timeout)?;
        let version = reach(&engine).await?;
        match engine.inspect_network(&settings.network).await {
            Err(EngineError::NotFound(_)) => anyhow::bail!(
                "there is no Docker network {0}: make it (docker network create {0}), or name \
                 another one with RIDESHARE_DOCKER__NETWORK",
                settings.network
            ),
            answer => answer.map(drop)?,
        }
        let shared = Arc::new(Shared::new(engine, settings));
        // Whoever takes no workers for all there are makes new ones.
        shared.look(true).await.context("listing the containers")?;
        info!(version, workers = shared.watch().borrow().len(), "Docker answers");
        let tasks = [
            tokio::spawn(watcher::listen(Arc::clone(&shared))),
            tokio::spawn(watcher::look(Arc::clone(&shared))),
        ];
        Ok(Self { shared, tasks })
    }

    /// Asks all workers to finish and waits until they have, at most `limit`; then kills.
    pub async fn stop_all(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let running = self.running();
        join_all(running.iter().map(|node| self.stop(node))).await;
        let mut list = self.watch();
        let all_ended = list.wait_for(|list| !list.iter().any(Container::runs));
        if timeout_at(deadline, all_ended).await.is_err() {
            for node in self.running() {
                warn!(worker = %node, "worker did not finish in time, killing it");
                let _ = self.kill(&node).await;
            }
        }
        // Their databases follow them; nobody is there to see to it later.
        let deadline = Instant::now() + KILL_LIMIT;
        while Instant::now() < deadline && self.shared.world().find(Found::runs).is_some() {
            if self.shared.look(false).await.is_err() {
                return;
            }
            sleep(PAUSE).await;
        }
    }

    fn running(&self) -> Vec<NodeId> {
        let list = self.shared.watch();
        let list = list.borrow();
        list.iter().filter(|it| it.runs()).map(|it| it.node.clone()).collect()
    }

    /// Makes both containers of a worker anew and starts them, on the volume that is there.
    async fn launch(
        &self,
        node: &NodeId,
        start_as: StartAs,
        made: &mut Vec<String>,
    ) -> Result<(), EngineError> {
        let Shared { engine, settings, names, .. } = &*self.shared;
        let (database, worker) =
            (spec::database(settings, node), spec::worker(settings, node, start_as));
        let (database_name, worker_name) = (names.database(node), names.worker(node));
        let (database, worker) = tokio::join!(
            engine.create(&database_name, &database),
            engine.create(&worker_name, &worker)
        );
        made.extend(database.as_ref().ok().cloned());
        made.extend(worker.as_ref().ok().cloned());
        let (database, worker) = (database?, worker?);
        // The worker waits for its database, which takes longer than the start of either.
        tokio::try_join!(engine.start(&database), engine.start(&worker)).map(|_| ())
    }

    /// Kills and forgets all containers of a worker; its volume stays.
    async fn clear(&self, node: &NodeId) -> Result<(), EngineError> {
        let containers = self.shared.world().of(node);
        let removals = containers.iter().map(|it| self.shared.engine.remove(&it.id));
        join_all(removals).await.into_iter().collect()
    }

    async fn set_volume_aside(&self, node: &NodeId) -> Result<(), EngineError> {
        let Shared { engine, names, settings, .. } = &*self.shared;
        if settings.keep_databases == 0 {
            return engine.remove_volume(&names.database(node)).await;
        }
        let now_ms = (settings.now_ms)().to_string();
        engine.create_volume(&names.aside(node), names.labels_aside(node, &now_ms)).await
    }

    /// Removes the volumes that are too many. The one that says so goes last: what is not yet
    /// removed is not forgotten.
    async fn prune(&self) -> Result<(), EngineError> {
        let Shared { engine, names, settings, .. } = &*self.shared;
        let surplus = self.shared.world().set_aside().into_iter().skip(settings.keep_databases);
        for node in surplus.collect::<Vec<_>>() {
            // Whoever else works on it deletes it, or brings it back.
            let Ok(_work) = self.occupy(&node, None) else { continue };
            engine.remove_volume(&names.database(&node)).await?;
            engine.remove_volume(&names.aside(&node)).await?;
        }
        Ok(())
    }

    fn occupy(
        &self,
        node: &NodeId,
        listed: Option<Container>,
    ) -> Result<Occupied, ContainersError> {
        if self.shared.world().occupy(node, listed) {
            return Ok(Occupied { shared: Arc::clone(&self.shared), node: node.clone() });
        }
        Err(ContainersError::Unavailable(anyhow!("worker {node} is being worked on")))
    }

    /// Tells what has become of a worker that was worked on.
    async fn show(&self, work: Occupied) {
        // Begun first: what it finds must not be older than the end of the work.
        drop(work);
        if let Err(error) = self.shared.look(false).await {
            warn!(%error, "the engine cannot be asked");
            self.shared.wanted.notify_one();
        }
    }

    async fn rename_master(&self, node: &NodeId) -> Result<(), EngineError> {
        let Shared { engine, names, .. } = &*self.shared;
        self.shared.look(false).await?;
        let is_worker = |it: &Found| it.part == Part::Worker;
        let wanted = names.master();
        let (former, next) = {
            let world = self.shared.world();
            let former = world.find(|it| is_worker(it) && it.name == wanted && it.node != *node);
            (former, world.find(|it| is_worker(it) && it.node == *node))
        };
        if let Some(former) = former {
            match engine.rename(&former.id, &names.worker(&former.node)).await {
                // Removed by now, and the name with it.
                Err(EngineError::NotFound(_)) => {}
                renamed => renamed?,
            }
        }
        match next.filter(|next| next.name != wanted) {
            Some(next) => engine.rename(&next.id, &wanted).await,
            None => Ok(()),
        }
    }
}

impl Drop for DockerContainers {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// A worker that this process works on.
struct Occupied {
    shared: Arc<Shared>,
    node: NodeId,
}

impl Drop for Occupied {
    fn drop(&mut self) {
        self.shared.world().release(&self.node);
    }
}

#[async_trait]
impl Containers for DockerContainers {
    fn watch(&self) -> watch::Receiver<Vec<Container>> {
        self.shared.watch()
    }

    async fn start(&self, node: &NodeId, start_as: StartAs) -> Result<(), ContainersError> {
        let fail = |source| ContainersError::StartFailed { node: node.clone(), source };
        if self.shared.world().knows(node) {
            return Err(fail(anyhow!("there is a worker of this name")));
        }
        let work = self.occupy(node, None)?;
        let engine = &self.shared.engine;
        let volume = self.shared.names.database(node);
        let labels = self.shared.names.labels(node, Part::Volume);
        let mut made = Vec::new();
        let launched = match engine.create_volume(&volume, labels).await {
            Ok(()) => self.launch(node, start_as, &mut made).await,
            failed => failed,
        };
        if let Err(cause) = launched {
            // Only what was made here: a name that was taken is somebody else's worker, and the
            // engine does not let go of a volume that is in use.
            let removals = made.iter().map(|id| engine.remove(id));
            let mut removed = join_all(removals).await;
            removed.push(engine.remove_volume(&volume).await);
            for error in removed.into_iter().filter_map(Result::err) {
                warn!(worker = %node, %error, "half of a worker not removed yet");
            }
            self.show(work).await;
            return Err(fail(cause.into()));
        }
        self.show(work).await;
        Ok(())
    }

    async fn restart(&self, node: &NodeId) -> Result<(), ContainersError> {
        let listed = self.shared.listed(node);
        let listed = listed.ok_or_else(|| ContainersError::NotFound(node.clone()))?;
        if listed.runs() {
            return Ok(());
        }
        let work = self.occupy(node, Some(listed))?;
        let mut made = Vec::new();
        let launched = match self.clear(node).await {
            Ok(()) => self.launch(node, StartAs::Slave, &mut made).await,
            failed => failed,
        };
        if launched.is_err() {
            // What it stored stays, and shows that it is there.
            join_all(made.iter().map(|id| self.shared.engine.remove(id))).await;
        }
        self.show(work).await;
        launched.map_err(|cause| refuse(node, cause))
    }

    async fn kill(&self, node: &NodeId) -> Result<Pid, ContainersError> {
        let pid = match self.shared.listed(node).map(|it| it.state) {
            Some(ContainerState::Running { pid }) => pid,
            _ => return Err(ContainersError::NotFound(node.clone())),
        };
        let parts = self.shared.world().of(node);
        let deadline = Instant::now() + KILL_LIMIT;
        let killed = join_all(parts.iter().map(|it| kill(&self.shared.engine, &it.id))).await;
        if let Some(error) = killed.into_iter().find_map(Result::err) {
            return Err(ContainersError::Unavailable(error.into()));
        }
        loop {
            let looked = self.shared.look(false).await;
            looked.map_err(|error| ContainersError::Unavailable(error.into()))?;
            let lives = self.shared.world().of(node).iter().any(Found::runs);
            if !lives {
                return Ok(pid);
            }
            if Instant::now() >= deadline {
                let cause = anyhow!("worker {node} is still there after a kill");
                return Err(ContainersError::Unavailable(cause));
            }
            sleep(PAUSE).await;
        }
    }

    async fn stop(&self, node: &NodeId) -> Result<(), ContainersError> {
        if self.shared.listed(node).is_none() {
            return Err(ContainersError::NotFound(node.clone()));
        }
        let runs = |it: &Found| it.node == *node && it.part == Part::Worker && it.runs();
        let Some(worker) = self.shared.world().find(runs) else { return Ok(()) };
        match self.shared.engine.signal(&worker.id, "SIGTERM").await {
            Ok(()) => {}
            Err(EngineError::NotFound(_) | EngineError::Conflict(_)) => return Ok(()),
            Err(error) => return Err(ContainersError::Unavailable(error.into())),
        }
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            sleep(shared.settings.stop_limit).await;
            let is_same = |it: &Found| it.state == worker.state && it.id == worker.id;
            if shared.world().find(is_same).is_some() {
                warn!(worker = %worker.node, "worker did not finish in time, killing it");
                let _ = kill(&shared.engine, &worker.id).await;
            }
        });
        Ok(())
    }

    async fn mark_master(&self, node: &NodeId) -> Result<(), ContainersError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.rename_master(node).await {
                Ok(()) => return Ok(()),
                Err(error) if tries >= NAMINGS => {
                    warn!(worker = %node, %error, "the master's container has not got its name");
                    return Err(ContainersError::Unavailable(error.into()));
                }
                Err(_) => sleep(NAMING_PAUSE).await,
            }
        }
    }

    async fn remove(&self, node: &NodeId) -> Result<(), ContainersError> {
        let unavailable = |error: EngineError| ContainersError::Unavailable(error.into());
        // What is not known of would be left behind.
        self.shared.look(false).await.map_err(unavailable)?;
        if self.shared.world().has_left(node) {
            return Ok(());
        }
        let listed = self.shared.listed(node);
        if listed.as_ref().is_some_and(Container::runs) {
            return Err(ContainersError::Unavailable(anyhow!("worker {node} runs")));
        }
        let work = self.occupy(node, listed)?;
        let removed = match self.clear(node).await {
            Ok(()) => self.set_volume_aside(node).await,
            failed => failed,
        };
        self.show(work).await;
        removed.map_err(unavailable)?;
        // Those that are left are tried again with the next removal.
        if let Err(error) = self.prune().await {
            warn!(%error, "volume of a removed worker not removed yet");
        }
        Ok(())
    }

    async fn set_aside(&self) -> Result<Vec<NodeId>, ContainersError> {
        let looked = self.shared.look(false).await;
        looked.map_err(|error| ContainersError::Unavailable(error.into()))?;
        Ok(self.shared.world().set_aside())
    }

    async fn bring_back(&self, node: &NodeId) -> Result<(), ContainersError> {
        if !self.set_aside().await?.contains(node) {
            return Err(ContainersError::NotFound(node.clone()));
        }
        let work = self.occupy(node, None)?;
        let Shared { engine, names, .. } = &*self.shared;
        let removed = engine.remove_volume(&names.aside(node)).await;
        self.show(work).await;
        removed.map_err(|error| ContainersError::Unavailable(error.into()))
    }
}

/// Kills a container, dead or alive.
async fn kill(engine: &Engine, id: &str) -> Result<(), EngineError> {
    match engine.signal(id, "SIGKILL").await {
        Err(EngineError::NotFound(_) | EngineError::Conflict(_)) => Ok(()),
        answer => answer,
    }
}

fn refuse(node: &NodeId, cause: EngineError) -> ContainersError {
    match cause {
        EngineError::Unavailable(cause) => ContainersError::Unavailable(cause),
        cause => ContainersError::StartFailed { node: node.clone(), source: cause.into() },
    }
}

/// Waits for an engine that is just starting, and says its version.
async fn reach(engine: &Engine) -> Result<String, EngineError> {
    let deadline = Instant::now() + OPEN_LIMIT;
    loop {
        match engine.version().await {
            Err(error) if !error.is_lasting() && Instant::now() < deadline => {
                sleep(OPEN_PAUSE).await;
            }
            answer => return answer,
        }
    }
}
