//! The embedded parts: one log, one broker, one coordination service, workers as tasks.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use super::caching;
use super::tracing::Tracing;
use crate::adapters::memory::{
    MemoryCoordination, MemoryProgress, MemoryRequests, RequestsSettings,
};
use crate::adapters::sqlite::{SqliteLog, SqliteStore};
use crate::adapters::tasks::{Failed, Launch, Launcher, TaskContainers};
use crate::domain::ids::OrchestratorId;
use crate::ports::containers::StartAs;
use crate::ports::traces::Traces;
use crate::roles::ambient::Ambient;
use crate::roles::{orchestrator, worker};
use crate::settings::Settings;

/// How long a killed worker's session lives on. The exit of a task is known at once; nothing
/// waits for this.
const SESSION: Duration = Duration::from_secs(1);
/// Signs of life that a slow listener may have before it.
const PROGRESS_CAPACITY: usize = 4_096;

/// Everything shared of one embedded system.
pub(super) struct Embedded {
    log: Arc<SqliteLog>,
    pub(super) containers: Arc<TaskContainers>,
    pub(super) orchestrator: orchestrator::Parts,
    tracing: Tracing,
}

impl Embedded {
    /// Opens what is in `directory`, or makes it.
    pub(super) async fn open(directory: &Path, settings: &Settings) -> anyhow::Result<Self> {
        let ambient = Ambient::real();
        let log = SqliteLog::open(directory.join("log.sqlite"), settings.log.max_bytes)
            .await
            .context("opening the log")?;
        let log = Arc::new(log);
        let coordination = MemoryCoordination::open(SESSION, &directory.join("coordination.json"))
            .await
            .context("opening the coordination record")?;
        let requests = MemoryRequests::new(RequestsSettings::default());
        let progress = Arc::new(MemoryProgress::new(PROGRESS_CAPACITY));
        let tracing = Tracing::start(settings, "rideshare", "up")?;
        let shared = Shared {
            log: Arc::clone(&log),
            coordination: coordination.clone(),
            requests: requests.clone(),
            progress: Arc::clone(&progress),
            traces: tracing.port(),
            ambient: ambient.clone(),
            settings: settings.clone(),
        };
        let containers = TaskContainers::open(
            directory.join("workers"),
            std::process::id(),
            Arc::clone(&ambient.now_ms),
            shared.launcher(),
            settings.containers.keep_databases,
        )
        .context("opening the workers' folders")?;
        let containers = Arc::new(containers);
        let orchestrator = orchestrator::Parts {
            requests: Arc::new(requests.sender()),
            progress,
            coordination: Arc::new(coordination.session()),
            containers: containers.clone(),
            log: log.clone(),
            traces: tracing.port(),
            ambient,
        };
        Ok(Self { log, containers, orchestrator, tracing })
    }

    /// Writes out what is not on disk yet.
    pub(super) async fn close(self) {
        self.log.close().await;
        self.tracing.close().await;
    }
}

/// The settings of an orchestrator.
pub(super) fn orchestrator_settings(settings: &Settings, id: String) -> orchestrator::Settings {
    orchestrator::Settings {
        id: OrchestratorId::new(id),
        in_flight: settings.limits.in_flight,
        suspect_after: settings.health.suspect_after(),
        promotion_limit: Duration::from_millis(settings.health.promotion_limit_ms),
        startup_grace: Duration::from_millis(settings.health.startup_grace_ms),
        scaling: settings.scaling.rules(),
    }
}

/// What all workers of this process share.
#[derive(Clone)]
struct Shared {
    log: Arc<SqliteLog>,
    coordination: MemoryCoordination,
    requests: MemoryRequests,
    progress: Arc<MemoryProgress>,
    traces: Arc<dyn Traces>,
    ambient: Ambient,
    settings: Settings,
}

impl Shared {
    fn launcher(self) -> Launcher {
        Arc::new(move |launch| Box::pin(self.clone().work(launch)))
    }

    async fn work(self, launch: Launch) -> Result<(), Failed> {
        let store = SqliteStore::open(launch.directory.join("documents.sqlite"))
            .await
            .context("opening the worker's database")?;
        let parts = worker::Parts {
            log: self.log,
            requests: Arc::new(self.requests.receiver()),
            progress: self.progress,
            coordination: Arc::new(self.coordination.session()),
            store: caching::before(store, &self.settings.limits),
            traces: self.traces,
            ambient: self.ambient,
            lifeline: launch.lifeline,
        };
        let settings = worker::Settings {
            node: launch.node,
            pid: launch.pid,
            managed: true,
            founder: launch.start_as == StartAs::Master,
            batch_requests: self.settings.limits.batch_requests,
            max_lag: self.settings.limits.lag_records,
            store_patience: Duration::from_millis(self.settings.health.database_patience_ms),
        };
        let ended = worker::run(parts, settings, launch.shutdown).await;
        ended.map_err(|error| Failed { code: error.exit_code(), cause: error.into() })
    }
}
