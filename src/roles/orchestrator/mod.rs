//! The orchestrator: the front of the database and, one at a time, its controller.
//!
//! `gateway` carries requests to workers and back; `roster` listens to the workers' signs of
//! life; `controller` keeps one master and the wanted number of slaves, and `autoscaler` says
//! how many that are; `control` is what people may ask of it; `journal` keeps what was decided and
//! why; `records` reads the log out; `complaints` remembers who says that it was lost, and `recovery`
//! begins a new one; `status` puts together what is known of each worker, and `sight` makes metrics
//! of it.

mod autoscaler;
mod complaints;
pub mod control;
mod controller;
mod failover;
pub mod gateway;
mod infancy;
pub mod journal;
pub mod records;
pub mod recovery;
mod roster;
mod sight;
pub mod status;
mod views;
mod vigil;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info_span};

use super::ambient::Ambient;
use super::latest;
use crate::domain::events::{Cause, Kind};
use crate::domain::ids::{NodeId, OrchestratorId, Pid};
use crate::domain::scaling::{Outlook, ScalingRules};
use crate::ports::containers::{Containers, ContainersError};
use crate::ports::coordination::Coordination;
use crate::ports::log::Log;
use crate::ports::progress::ProgressFeed;
use crate::ports::requests::RequestSender;
use crate::ports::traces::Traces;
use controller::Controller;
use gateway::Gateway;
use journal::Journal;
use roster::Roster;
use status::{Observer, WorkerStatus};
use views::{Carrier, Views};

/// How long the last events may take to be kept.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// Everything an orchestrator works with.
#[derive(Clone)]
pub struct Parts {
    /// The way to the workers.
    pub requests: Arc<dyn RequestSender>,
    /// The workers' signs of life.
    pub progress: Arc<dyn ProgressFeed>,
    /// Who is there, who leads, who controls.
    pub coordination: Arc<dyn Coordination>,
    /// What starts and ends workers.
    pub containers: Arc<dyn Containers>,
    /// What was written, to be read.
    pub log: Arc<dyn Log>,
    /// Where the way of single writes is told.
    pub traces: Arc<dyn Traces>,
    /// Clock and names.
    pub ambient: Ambient,
}

/// What an orchestrator is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name.
    pub id: OrchestratorId,
    /// The most requests under way at a time.
    pub in_flight: usize,
    /// A worker that nobody has heard of for this long is suspected.
    pub suspect_after: Duration,
    /// A worker that was chosen and is not in office after this is passed over.
    pub promotion_limit: Duration,
    /// A worker that was not heard of since its start is not suspected this soon after it.
    pub startup_grace: Duration,
    /// How the number of slaves follows the reads.
    pub scaling: ScalingRules,
}

/// A running orchestrator, to be asked things; cheap to clone.
#[derive(Clone)]
pub struct Handle {
    /// Reads and writes.
    pub gateway: Gateway,
    /// What happened.
    pub journal: Journal,
    parts: Parts,
    observer: Observer,
    views: Views,
    outlook: latest::Receiver<Option<Outlook>>,
    promotion_limit: Duration,
    scaling: ScalingRules,
}

/// Why a worker could not be crashed on request.
#[derive(Debug, thiserror::Error)]
pub enum CrashError {
    /// There is no worker of that kind at the moment.
    #[error("there is no {0} to crash")]
    Nobody(&'static str),
    /// The runtime did not do it.
    #[error(transparent)]
    Containers(#[from] ContainersError),
}

/// A part of the orchestrator ended that never should.
#[derive(Debug, thiserror::Error)]
#[error("a part of the orchestrator ended unexpectedly")]
pub struct PartEnded;

/// Which slave to crash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pick {
    /// The one with the lowest pid: the next master.
    #[default]
    Lowest,
    /// The one with the highest pid.
    Highest,
}

impl Handle {
    /// Every worker that anybody knows of, by pid.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerStatus> {
        self.observer.workers()
    }

    /// Why the system cannot take reads and writes now; empty when it can.
    #[must_use]
    pub fn unready(&self) -> Vec<&'static str> {
        let mut reasons = self.observer.unready();
        if !self.parts.requests.is_connected() {
            reasons.push("the broker is not reachable");
        }
        if !self.parts.coordination.view().borrow().connected {
            reasons.push("the coordination service is not reachable");
        }
        reasons
    }

    /// Waits until the system can take reads and writes.
    pub async fn ready(&self) {
        self.observer.ready().await;
    }

    /// Kills the master and its database with SIGKILL.
    ///
    /// # Errors
    /// When there is no master, or the runtime fails.
    pub async fn crash_master(&self) -> Result<Pid, CrashError> {
        let master = self.observer.master().ok_or(CrashError::Nobody("master"))?;
        self.crash(&master).await
    }

    /// Kills a slave and its database with SIGKILL.
    ///
    /// # Errors
    /// When there is no slave, or the runtime fails.
    pub async fn crash_slave(&self, pick: Pick) -> Result<Pid, CrashError> {
        let slaves = self.observer.slaves();
        let slave = match pick {
            Pick::Lowest => slaves.first(),
            Pick::Highest => slaves.last(),
        };
        let slave = slave.ok_or(CrashError::Nobody("slave"))?;
        self.crash(slave).await
    }

    async fn crash(&self, node: &NodeId) -> Result<Pid, CrashError> {
        let pid = match self.parts.containers.kill(node).await {
            // It died between the look and the blow.
            Err(ContainersError::NotFound(_)) => return Err(CrashError::Nobody("such worker")),
            killed => killed?,
        };
        self.journal.note(Kind::Crashed, Some(node), Cause::Asked);
        Ok(pid)
    }
}

/// An orchestrator that is ready to run.
pub struct Orchestrator {
    handle: Handle,
    carrier: Carrier,
    roster: Roster,
    controller: Controller,
}

impl Orchestrator {
    /// Puts an orchestrator together; nothing runs yet.
    #[must_use]
    pub fn new(parts: Parts, settings: &Settings) -> Self {
        sight::describe();
        let roster = Roster::new(parts.progress.subscribe());
        let carrier = Carrier::new(&parts.coordination);
        let coordination = Arc::clone(&parts.coordination);
        let journal = Journal::new(parts.ambient.clone(), coordination, carrier.views());
        let gateway = Gateway::new(&parts, &roster, settings.in_flight);
        let observer = Observer::new(&parts, roster.view(), carrier.views());
        let controller = Controller::new(
            parts.clone(),
            settings.clone(),
            &roster,
            carrier.views(),
            gateway.clone(),
            journal.clone(),
        );
        let handle = Handle {
            gateway,
            journal,
            parts,
            observer,
            views: carrier.views(),
            outlook: controller.outlook(),
            promotion_limit: settings.promotion_limit,
            scaling: settings.scaling,
        };
        Self { handle, carrier, roster, controller }
    }

    /// The way to ask it things.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs until `shutdown` is cancelled. Workers are left as they are.
    ///
    /// # Errors
    /// When a part of it ended by itself: nobody would notice the next failure.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), PartEnded> {
        let mut tasks = JoinSet::new();
        let coordination = Arc::clone(&self.handle.parts.coordination);
        let task = |name| info_span!("orchestrator", task = name);
        tasks.spawn(self.handle.gateway.clone().dispatch().instrument(task("replies")));
        tasks.spawn(self.carrier.run().instrument(task("coordination")));
        tasks.spawn(self.roster.listen().instrument(task("roster")));
        tasks.spawn(self.controller.run().instrument(task("controller")));
        tasks.spawn(self.handle.journal.clone().keep().instrument(task("journal")));
        let ended = tokio::select! {
            biased;
            () = shutdown.cancelled() => Ok(()),
            _ = tasks.join_next() => Err(PartEnded),
        };
        // The controller first: it must not act on a world that is being taken down.
        tasks.shutdown().await;
        let _ = timeout(FLUSH_LIMIT, self.handle.journal.flush()).await;
        coordination.close().await;
        ended
    }
}
