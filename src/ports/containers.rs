//! The runtime that starts, watches and ends workers together with their databases.

use async_trait::async_trait;
use tokio::sync::watch;

use crate::domain::ids::{NodeId, Pid};

/// The exit code of a worker that has stopped because the log lacks what its database holds, or what
/// had begun in it.
pub const LOG_LOST: i32 = 4;

/// The exit code of a worker that has stopped because the log is to begin anew with data that nobody
/// has begun with: another worker's, or its own, which holds none.
pub const NOT_BEGUN: i32 = 5;

/// Why the runtime did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum ContainersError {
    /// It cannot be reached; list again and retry.
    #[error("the container runtime is unavailable")]
    Unavailable(#[source] anyhow::Error),
    /// It knows no such worker.
    #[error("no worker {0}")]
    NotFound(NodeId),
    /// The worker could not be started; what was half made is removed.
    #[error("worker {node} could not be started")]
    StartFailed {
        /// Which.
        node: NodeId,
        /// Why.
        source: anyhow::Error,
    },
}

/// What a worker is started as; it stays what it becomes afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAs {
    /// May found the history: leads if nobody ever did.
    Master,
    /// Waits to be chosen.
    Slave,
}

/// Where a worker is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerState {
    /// Its process runs, as far as the runtime knows.
    Running {
        /// Its process.
        pid: Pid,
    },
    /// Its process has ended, or its database has; what it stored is still there.
    Exited {
        /// Exit code; 137 for SIGKILL.
        code: i32,
    },
}

/// One worker as the runtime sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Which.
    pub node: NodeId,
    /// Alive or not.
    pub state: ContainerState,
    /// Since when, in milliseconds since 1970.
    pub changed_at_ms: u64,
}

impl Container {
    /// Whether its process is alive, as far as the runtime knows.
    #[must_use]
    pub const fn runs(&self) -> bool {
        matches!(self.state, ContainerState::Running { .. })
    }
}

/// A runtime for workers of one project.
///
/// Contract: `kill` and `exited` are certain: once a worker is listed as exited, nothing of it
/// acts any more. Every call is idempotent where its meaning allows; nothing is left half made.
#[async_trait]
pub trait Containers: Send + Sync {
    /// All workers, running or not, by node; changes with every exit as soon as it is known.
    fn watch(&self) -> watch::Receiver<Vec<Container>>;

    /// Makes and starts a worker with a new, empty database. Its name is new or was removed.
    async fn start(&self, node: &NodeId, start_as: StartAs) -> Result<(), ContainersError>;

    /// Starts an exited worker again, on the database it had.
    async fn restart(&self, node: &NodeId) -> Result<(), ContainersError>;

    /// Ends worker and database with SIGKILL, and returns the pid that the worker had. Returns
    /// once both are dead.
    async fn kill(&self, node: &NodeId) -> Result<Pid, ContainersError>;

    /// Asks the worker to finish what it holds and stop; its exit shows in the watch.
    async fn stop(&self, node: &NodeId) -> Result<(), ContainersError>;

    /// Shows people which worker is master, where the runtime has names to show.
    async fn mark_master(&self, node: &NodeId) -> Result<(), ContainersError>;

    /// Removes an exited worker. What it stored is set aside, and deleted once as many others were
    /// set aside after it as the runtime keeps. Idempotent.
    async fn remove(&self, node: &NodeId) -> Result<(), ContainersError>;

    /// Whose databases are set aside, the last one first.
    async fn set_aside(&self) -> Result<Vec<NodeId>, ContainersError>;

    /// Lists a worker whose database is set aside as exited: it can be started again.
    async fn bring_back(&self, node: &NodeId) -> Result<(), ContainersError>;
}
