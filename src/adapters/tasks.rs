//! `Containers` without containers: each worker is a task of this process, with a folder.
//!
//! A kill aborts the task at whatever await point it is: nothing of it runs any more, and its
//! session with the coordination service expires by itself, as a killed process's would.

mod aside;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinError};
use tokio::time::{timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use self::aside::Aside;
use crate::domain::ids::{NodeId, Pid};
use crate::ports::containers::{Container, ContainerState, Containers, ContainersError, StartAs};

/// What a killed process's exit code is.
const KILLED: i32 = 137;
const FAILED: i32 = 1;
/// How long the parts of a worker may take to end once it has.
const PARTS_LIMIT: Duration = Duration::from_secs(5);

/// What a worker's task is made from.
#[derive(Debug)]
pub struct Launch {
    /// Its name.
    pub node: NodeId,
    /// What it is started as.
    pub start_as: StartAs,
    /// Its pid; no other worker of this runtime ever has the same.
    pub pid: Pid,
    /// The folder that is its alone, and is there.
    pub directory: PathBuf,
    /// Cancelled when it is to finish and stop.
    pub shutdown: CancellationToken,
    /// To be held by everything that acts for the worker: its end is the worker's.
    pub lifeline: mpsc::Sender<Infallible>,
}

/// Makes the future that is a worker.
pub type Launcher = Arc<dyn Fn(Launch) -> BoxFuture<'static, Result<(), Failed>> + Send + Sync>;

/// A worker that could not go on.
#[derive(Debug)]
pub struct Failed {
    /// What its process would exit with.
    pub code: i32,
    /// Why.
    pub cause: anyhow::Error,
}

impl From<anyhow::Error> for Failed {
    fn from(cause: anyhow::Error) -> Self {
        Self { code: FAILED, cause }
    }
}

/// Workers as tasks.
pub struct TaskContainers {
    directory: PathBuf,
    aside: Aside,
    launcher: Launcher,
    now_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
    workers: Arc<Mutex<Workers>>,
    list: watch::Sender<Vec<Container>>,
}

#[derive(Default)]
struct Workers {
    last_pid: u32,
    by_node: BTreeMap<NodeId, Worker>,
}

struct Worker {
    container: Container,
    /// Present while it runs.
    running: Option<Running>,
}

struct Running {
    shutdown: CancellationToken,
    abort: AbortHandle,
    /// Changes when the task has ended and all that it held is dropped.
    ended: watch::Receiver<bool>,
}

impl TaskContainers {
    /// A runtime whose workers live in folders below `directory`. Folders from an earlier run are
    /// listed as exited workers. Pids count up from `first_pid`.
    ///
    /// # Errors
    /// When the directory cannot be made or read.
    pub fn open(
        directory: PathBuf,
        first_pid: u32,
        now_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
        launcher: Launcher,
        keep_databases: usize,
    ) -> std::io::Result<Self> {
        std::fs::create_dir_all(&directory)?;
        let aside = Aside::open(&directory, keep_databases)?;
        let mut workers = Workers { last_pid: first_pid, by_node: BTreeMap::new() };
        for entry in std::fs::read_dir(&directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let (Some(name), true) = (name.to_str(), entry.file_type()?.is_dir()) else { continue };
            if Aside::is_one(name) {
                continue;
            }
            workers.add_exited(NodeId::from(name), now_ms());
        }
        let (list, _) = watch::channel(workers.list());
        let workers = Arc::new(Mutex::new(workers));
        Ok(Self { directory, aside, launcher, now_ms, workers, list })
    }

    /// Asks all workers to finish and waits until they have, at most `limit`; then aborts.
    pub async fn stop_all(&self, limit: Duration) {
        let running: Vec<_> = {
            let workers = self.lock();
            let all = workers.by_node.values().filter_map(|worker| worker.running.as_ref());
            all.map(|it| (it.shutdown.clone(), it.abort.clone(), it.ended.clone())).collect()
        };
        for (shutdown, ..) in &running {
            shutdown.cancel();
        }
        let deadline = tokio::time::Instant::now() + limit;
        for (_, abort, mut ended) in running {
            let waited = ended.wait_for(|ended| *ended);
            if timeout_at(deadline, waited).await.is_err() {
                abort.abort();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Workers> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn folder(&self, node: &NodeId) -> PathBuf {
        self.directory.join(node.as_str())
    }

    fn run(&self, node: &NodeId, start_as: StartAs) -> Result<(), ContainersError> {
        let directory = self.folder(node);
        std::fs::create_dir_all(&directory).map_err(|source| ContainersError::StartFailed {
            node: node.clone(),
            source: source.into(),
        })?;
        let shutdown = CancellationToken::new();
        let (ended_sender, ended) = watch::channel(false);
        let (lifeline, mut cut) = mpsc::channel(1);
        let mut workers = self.lock();
        workers.last_pid += 1;
        let pid = Pid(workers.last_pid);
        let worker = (self.launcher)(Launch {
            node: node.clone(),
            start_as,
            pid,
            directory,
            shutdown: shutdown.clone(),
            lifeline,
        });
        let task = tokio::spawn(worker);
        let abort = task.abort_handle();
        let state = ContainerState::Running { pid };
        let container = Container { node: node.clone(), state, changed_at_ms: (self.now_ms)() };
        let running = Some(Running { shutdown, abort, ended });
        workers.by_node.insert(node.clone(), Worker { container, running });
        self.list.send_replace(workers.list());
        drop(workers);
        let end = async move {
            let end = task.await;
            // Its own tasks are aborted with it, but end a moment later.
            if timeout(PARTS_LIMIT, cut.recv()).await.is_err() {
                warn!("parts of a worker outlive it");
            }
            end
        };
        self.attend(node.clone(), end, ended_sender);
        Ok(())
    }

    /// Takes an exited worker out of the list, which is told when its folder is set aside.
    fn take_out(&self, node: &NodeId) -> Result<Option<Worker>, ContainersError> {
        let mut workers = self.lock();
        if workers.by_node.get(node).is_some_and(|worker| worker.running.is_some()) {
            return Err(ContainersError::Unavailable(anyhow::anyhow!("worker {node} runs")));
        }
        Ok(workers.by_node.remove(node))
    }

    /// Notes the end of a worker's task, whatever kind of end that is.
    fn attend(
        &self,
        node: NodeId,
        end: impl Future<Output = Result<Result<(), Failed>, JoinError>> + Send + 'static,
        ended: watch::Sender<bool>,
    ) {
        let (workers, list, now_ms) =
            (Arc::clone(&self.workers), self.list.clone(), Arc::clone(&self.now_ms));
        tokio::spawn(async move {
            let code = match end.await {
                Ok(Ok(())) => 0,
                Ok(Err(Failed { code, cause })) => {
                    error!(worker = %node, error = %format!("{cause:#}"), "worker failed");
                    code
                }
                Err(stopped) if stopped.is_cancelled() => KILLED,
                Err(_) => {
                    error!(worker = %node, "worker panicked");
                    FAILED
                }
            };
            info!(worker = %node, code, "worker exited");
            let mut workers = workers.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(worker) = workers.by_node.get_mut(&node) {
                worker.running = None;
                worker.container.state = ContainerState::Exited { code };
                worker.container.changed_at_ms = now_ms();
            }
            list.send_replace(workers.list());
            drop(workers);
            ended.send_replace(true);
        });
    }
}

impl Workers {
    fn add_exited(&mut self, node: NodeId, changed_at_ms: u64) {
        let state = ContainerState::Exited { code: KILLED };
        let container = Container { node: node.clone(), state, changed_at_ms };
        self.by_node.insert(node, Worker { container, running: None });
    }

    fn list(&self) -> Vec<Container> {
        self.by_node.values().map(|worker| worker.container.clone()).collect()
    }
}

#[async_trait]
impl Containers for TaskContainers {
    fn watch(&self) -> watch::Receiver<Vec<Container>> {
        self.list.subscribe()
    }

    async fn start(&self, node: &NodeId, start_as: StartAs) -> Result<(), ContainersError> {
        if self.lock().by_node.contains_key(node) {
            return Err(ContainersError::StartFailed {
                node: node.clone(),
                source: anyhow::anyhow!("there is a worker of this name"),
            });
        }
        self.run(node, start_as)
    }

    async fn restart(&self, node: &NodeId) -> Result<(), ContainersError> {
        match self.lock().by_node.get(node).map(|worker| worker.running.is_some()) {
            None => return Err(ContainersError::NotFound(node.clone())),
            Some(true) => return Ok(()),
            Some(false) => {}
        }
        self.run(node, StartAs::Slave)
    }

    async fn kill(&self, node: &NodeId) -> Result<Pid, ContainersError> {
        let (pid, mut ended) = {
            let workers = self.lock();
            let worker = workers.by_node.get(node);
            let running = worker.and_then(|worker| Some((worker, worker.running.as_ref()?)));
            let (ContainerState::Running { pid }, running) = running
                .map(|(worker, running)| (worker.container.state, running))
                .ok_or_else(|| ContainersError::NotFound(node.clone()))?
            else {
                return Err(ContainersError::NotFound(node.clone()));
            };
            running.abort.abort();
            (pid, running.ended.clone())
        };
        // The sender is dropped only after it has said so.
        let _ = ended.wait_for(|ended| *ended).await;
        Ok(pid)
    }

    async fn stop(&self, node: &NodeId) -> Result<(), ContainersError> {
        let workers = self.lock();
        let worker =
            workers.by_node.get(node).ok_or_else(|| ContainersError::NotFound(node.clone()))?;
        if let Some(running) = &worker.running {
            running.shutdown.cancel();
        }
        Ok(())
    }

    async fn mark_master(&self, _node: &NodeId) -> Result<(), ContainersError> {
        Ok(())
    }

    async fn remove(&self, node: &NodeId) -> Result<(), ContainersError> {
        // Taken out first, so that nobody starts it meanwhile.
        let Some(worker) = self.take_out(node)? else { return Ok(()) };
        let (aside, of, now_ms) = (self.aside.clone(), node.clone(), (self.now_ms)());
        let put = blocking(move || aside.put(&of, now_ms)).await;
        let mut workers = self.lock();
        if put.is_err() {
            workers.by_node.insert(node.clone(), worker);
        }
        self.list.send_replace(workers.list());
        put
    }

    async fn set_aside(&self) -> Result<Vec<NodeId>, ContainersError> {
        let aside = self.aside.clone();
        blocking(move || aside.nodes()).await
    }

    async fn bring_back(&self, node: &NodeId) -> Result<(), ContainersError> {
        let (aside, of) = (self.aside.clone(), node.clone());
        if !blocking(move || aside.bring_back(&of)).await? {
            return Err(ContainersError::NotFound(node.clone()));
        }
        let mut workers = self.lock();
        workers.add_exited(node.clone(), (self.now_ms)());
        self.list.send_replace(workers.list());
        Ok(())
    }
}

/// Works on folders, which may take long.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, ContainersError> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|error| ContainersError::Unavailable(error.into()))?;
    done.map_err(|error| ContainersError::Unavailable(error.into()))
}
