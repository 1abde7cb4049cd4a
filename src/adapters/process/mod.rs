//! `Containers` as processes of this machine: each worker a child, with a database of its own in
//! a server that they share.
//!
//! Every worker has a record in the state directory, which is the truth about who there is: an
//! orchestrator that comes back after a crash, or a second one beside the first, finds the
//! workers there and goes on with them. A worker lives in a process group of its own and has its
//! log in a file, so that neither Ctrl-C nor the end of its parent reaches it.
//!
//! The end of a worker is an event, never polled for: of a child by waiting for it, of any other
//! process through a pidfd, which also makes sure that a signal never meets a stranger with the
//! same pid. A kill ends the worker alone; its database is but a name in the server, and nobody
//! else ever writes there.

mod identity;
mod records;
mod share;
mod workers;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use rustix::process::Signal;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use tracing::{error, warn};

use self::share::Share;
use self::workers::{Shared, StartError};
use crate::domain::ids::{NodeId, Pid};
use crate::ports::containers::{Container, Containers, ContainersError, StartAs};

/// How often the records are read for what another orchestrator did. Only such news is this late.
const LOOK_PERIOD: Duration = Duration::from_millis(200);
/// How long a killed process may take to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// Makes the command that is a worker. Its output is redirected, and it gets a group of its own.
pub type Commander = Arc<dyn Fn(&NodeId, StartAs) -> std::process::Command + Send + Sync>;

/// Removes the database of a worker that has ended. Idempotent.
pub type DatabaseRemover =
    Arc<dyn Fn(NodeId) -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync>;

/// What the runtime is made from.
#[derive(Clone)]
pub struct ProcessSettings {
    /// Where the records and the workers' logs are kept.
    pub directory: PathBuf,
    /// What a worker is.
    pub command: Commander,
    /// What ends a worker's database.
    pub remove_database: DatabaseRemover,
    /// So many databases of removed workers are kept.
    pub keep_databases: usize,
    /// The time of day, in milliseconds since 1970.
    pub now_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
}

/// Workers as processes.
pub struct ProcessContainers {
    shared: Arc<Shared>,
    remove_database: DatabaseRemover,
    keep_databases: usize,
    looking: JoinHandle<()>,
    share: Share,
}

impl ProcessContainers {
    /// A runtime on the workers that the directory tells of: those that run are taken on, the
    /// others are listed as exited. Must be called within a tokio runtime. Blocks while another
    /// process ends the workers of this directory.
    ///
    /// # Errors
    /// When the directory cannot be made or read.
    pub fn open(settings: ProcessSettings) -> std::io::Result<Self> {
        let remove_database = Arc::clone(&settings.remove_database);
        let keep_databases = settings.keep_databases;
        let shared = Arc::new(Shared::open(settings)?);
        let share = Share::take(shared.directory())?;
        shared.look()?;
        let looker = Arc::clone(&shared);
        let looking = tokio::spawn(async move {
            let mut period = interval(LOOK_PERIOD);
            period.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut failed = false;
            loop {
                period.tick().await;
                match looker.look() {
                    Ok(()) => failed = false,
                    Err(cause) if failed => drop(cause),
                    Err(cause) => {
                        error!(error = %cause, "records of the workers cannot be read");
                        failed = true;
                    }
                }
            }
        });
        Ok(Self { shared, remove_database, keep_databases, looking, share })
    }

    /// Says that this process is about to end. True if no other process works with the directory:
    /// then nobody else looks after the workers, and nobody else takes them on before this is
    /// dropped.
    pub fn leave(&self) -> bool {
        self.share.give_up().unwrap_or_else(|cause| {
            warn!(error = %cause, "it is unknown who else works here, leaving the workers alone");
            false
        })
    }

    /// Deletes the databases of removed workers that are too many.
    async fn prune(&self) -> anyhow::Result<()> {
        while let Some(surplus) = self.shared.next_surplus(self.keep_databases)? {
            (self.remove_database)(surplus.node.clone()).await?;
            surplus.forget()?;
        }
        Ok(())
    }

    /// Asks all workers to finish and waits until they have, at most `limit`; then kills.
    pub async fn stop_all(&self, limit: Duration) {
        // Nothing that is stopped here is to be taken on again.
        self.looking.abort();
        let running = self.shared.all_running();
        for (_, process) in &running {
            process.signal(Signal::TERM);
        }
        let deadline = Instant::now() + limit;
        for (node, process) in running {
            if timeout_at(deadline, process.ended()).await.is_err() {
                warn!(worker = %node, "worker did not finish in time, killing it");
                process.signal(Signal::KILL);
                let _ = timeout_at(deadline + KILL_LIMIT, process.ended()).await;
            }
        }
    }
}

impl Drop for ProcessContainers {
    fn drop(&mut self) {
        self.looking.abort();
        self.shared.forget();
    }
}

#[async_trait]
impl Containers for ProcessContainers {
    fn watch(&self) -> watch::Receiver<Vec<Container>> {
        self.shared.watch()
    }

    async fn start(&self, node: &NodeId, start_as: StartAs) -> Result<(), ContainersError> {
        self.shared.start(node, start_as).map_err(|cause| refuse(node, cause))
    }

    async fn restart(&self, node: &NodeId) -> Result<(), ContainersError> {
        self.shared.restart(node).map_err(|cause| refuse(node, cause))
    }

    async fn kill(&self, node: &NodeId) -> Result<Pid, ContainersError> {
        let process = self.shared.running(node)?;
        let process = process.ok_or_else(|| ContainersError::NotFound(node.clone()))?;
        process.signal(Signal::KILL);
        match timeout_at(Instant::now() + KILL_LIMIT, process.ended()).await {
            Ok(()) => Ok(process.pid()),
            Err(_) => {
                let cause = anyhow::anyhow!("worker {node} is still there after a kill");
                Err(ContainersError::Unavailable(cause))
            }
        }
    }

    async fn stop(&self, node: &NodeId) -> Result<(), ContainersError> {
        if let Some(process) = self.shared.running(node)? {
            process.signal(Signal::TERM);
        }
        Ok(())
    }

    async fn mark_master(&self, _node: &NodeId) -> Result<(), ContainersError> {
        Ok(())
    }

    async fn remove(&self, node: &NodeId) -> Result<(), ContainersError> {
        let Some(removal) = self.shared.begin_removal(node)? else { return Ok(()) };
        removal.finish().map_err(unavailable)?;
        // Those that are left are tried again with the next removal.
        if let Err(error) = self.prune().await {
            warn!(%error, "database of a removed worker not deleted yet");
        }
        Ok(())
    }

    async fn set_aside(&self) -> Result<Vec<NodeId>, ContainersError> {
        self.shared.set_aside().map_err(unavailable)
    }

    async fn bring_back(&self, node: &NodeId) -> Result<(), ContainersError> {
        match self.shared.bring_back(node).map_err(unavailable)? {
            true => Ok(()),
            false => Err(ContainersError::NotFound(node.clone())),
        }
    }
}

fn unavailable(cause: std::io::Error) -> ContainersError {
    ContainersError::Unavailable(cause.into())
}

fn refuse(node: &NodeId, cause: StartError) -> ContainersError {
    match cause {
        StartError::Unknown => ContainersError::NotFound(node.clone()),
        StartError::Failed(source) => ContainersError::StartFailed { node: node.clone(), source },
    }
}
