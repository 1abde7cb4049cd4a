//! The worker: one process with one database, a slave that may become master.
//!
//! `driver` feeds the pure state machine of `domain::promotion` and executes its effects;
//! `sequencer` owns the replica, tails the log and, while master, sequences the writes;
//! `course` tells of single writes; `reader` answers reads; `heartbeat` tells the others how far this worker is, and `vitals` looks
//! after its database.

mod course;
mod driver;
mod fetch;
mod heartbeat;
mod joining;
mod leadership;
mod leading;
mod reader;
mod replica;
mod sequencer;
mod strong_reads;
mod suspects;
mod vitals;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::ambient::Ambient;
use crate::domain::ids::{LogId, NodeId, Offset, Pid};
use crate::domain::joining::Misfit;
use crate::ports::containers::{LOG_LOST, NOT_BEGUN};
use crate::ports::coordination::Coordination;
use crate::ports::log::Log;
use crate::ports::progress::ProgressFeed;
use crate::ports::requests::RequestReceiver;
use crate::ports::store::Store;
use crate::ports::traces::Traces;

/// Everything a worker works with.
#[derive(Clone)]
pub struct Parts {
    /// The log that all workers share.
    pub log: Arc<dyn Log>,
    /// Where reads and writes come from.
    pub requests: Arc<dyn RequestReceiver>,
    /// Where this worker tells how far it is.
    pub progress: Arc<dyn ProgressFeed>,
    /// Who is there and who leads.
    pub coordination: Arc<dyn Coordination>,
    /// This worker's own database.
    pub store: Arc<dyn Store>,
    /// Where the way of single writes is told.
    pub traces: Arc<dyn Traces>,
    /// Clock and names.
    pub ambient: Ambient,
    /// Held by every task of the worker: once its receiver ends, nothing of the worker acts any
    /// more, however it ended.
    pub lifeline: Lifeline,
}

/// See [`Parts::lifeline`]; nothing is ever sent.
pub type Lifeline = tokio::sync::mpsc::Sender<std::convert::Infallible>;

/// What a worker is told about itself.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name; the same for as long as it has its database.
    pub node: NodeId,
    /// The pid that it tells of itself.
    pub pid: Pid,
    /// A container runtime started it and watches over it.
    pub managed: bool,
    /// It was started as master: it may found the history.
    pub founder: bool,
    /// The most requests in one batch.
    pub batch_requests: usize,
    /// The most records that a serving slave may lag behind the master.
    pub max_lag: u64,
    /// How long its database may fail before it gives up.
    pub store_patience: Duration,
}

/// Why a worker ended other than by request. Its process is to exit with an error.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The database failed for longer than the bound, or for good.
    #[error("the database of this worker failed")]
    Store(#[source] anyhow::Error),
    /// The log lacks what it held when this worker's database was made from it.
    #[error(transparent)]
    LogLost(#[from] Misfit),
    /// The log belongs to another history than this worker's database.
    #[error(
        "the log at offset {offset} belongs to history {log_id}, this database to another: give this \
         worker an empty database, or the log its old data"
    )]
    ForeignLog {
        /// Where that shows.
        offset: Offset,
        /// The history of the log.
        log_id: LogId,
    },
    /// The log cannot be read by this build.
    #[error("the log failed")]
    Log(#[source] anyhow::Error),
    /// A part of the worker ended unexpectedly.
    #[error("{0} ended unexpectedly")]
    PartEnded(&'static str),
}

impl WorkerError {
    /// What the worker's process is to exit with.
    #[must_use]
    pub const fn exit_code(&self) -> i32 {
        match self {
            Self::LogLost(Misfit::Shorter { .. } | Misfit::Cut { .. } | Misfit::Changed { .. }) => {
                LOG_LOST
            }
            Self::LogLost(Misfit::NotBegun { .. } | Misfit::Empty) => NOT_BEGUN,
            Self::LogLost(Misfit::LeftBehind { .. } | Misfit::Another { .. })
            | Self::ForeignLog { .. }
            | Self::Store(_)
            | Self::Log(_)
            | Self::PartEnded(_) => 1,
        }
    }
}

/// Runs a worker until `shutdown` is cancelled and it has drained, or it cannot go on.
///
/// Dropping the future is a crash: whatever it held is given back by the carriers.
///
/// # Errors
/// When the worker cannot go on; see [`WorkerError`].
pub async fn run(
    parts: Parts,
    settings: Settings,
    shutdown: CancellationToken,
) -> Result<(), WorkerError> {
    driver::Driver::new(parts, settings).run(shutdown).await
}
