//! `rideshare worker`: one worker as a process, on the real servers.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::caching;
use super::listen::bind;
use super::servers;
use super::serving::Serving;
use super::tracing::Tracing;
use crate::adapters::mongo::MongoStore;
use crate::domain::ids::{NodeId, Pid};
use crate::http::access::Policy;
use crate::http::server::{self, Options, Running};
use crate::http::worker as worker_routes;
use crate::roles::ambient::Ambient;
use crate::roles::worker;
use crate::settings::{Settings, WorkerType};
use crate::telemetry;

/// Runs until `shutdown` is cancelled and the worker has drained, or it cannot go on.
///
/// # Errors
/// When a setting makes no sense, or the worker cannot go on; never for want of a server.
pub async fn run(settings: Settings, shutdown: CancellationToken) -> anyhow::Result<()> {
    let ambient = Ambient::real();
    let node = node(&settings, &ambient);
    let pid = Pid(std::process::id());
    let face = settings.worker.http.then(|| face(&settings)).transpose()?;
    info!(%node, %pid, start_as = settings.worker.start_as.as_str(), "worker starts");
    let store = MongoStore::connect(servers::mongodb(&settings.mongodb, &node))
        .await
        .context("settings of MongoDB")?;
    let coordination = servers::zookeeper(&settings)?;
    let rabbitmq = servers::rabbitmq(&settings)?;
    let tracing = Tracing::start(&settings, "rideshare-worker", node.as_str())?;
    let parts = worker::Parts {
        log: Arc::new(rabbitmq.log()),
        requests: Arc::new(rabbitmq.request_receiver()),
        progress: Arc::new(rabbitmq.progress_feed()),
        coordination: Arc::new(coordination),
        store: caching::before(store, &settings.limits),
        traces: tracing.port(),
        ambient,
        // The end of the process is the end of all its tasks.
        lifeline: tokio::sync::mpsc::channel(1).0,
    };
    let own = worker::Settings {
        node,
        pid,
        managed: settings.worker.managed,
        founder: settings.worker.start_as == WorkerType::Master,
        batch_requests: settings.limits.batch_requests,
        max_lag: settings.limits.lag_records,
        store_patience: Duration::from_millis(settings.health.database_patience_ms),
    };
    let ended = worker::run(parts, own, shutdown).await;
    // The last answers are still on their way.
    rabbitmq.close().await;
    tracing.close().await;
    if let Some(face) = face {
        face.stop().await?;
    }
    ended?;
    info!("stopped");
    Ok(())
}

/// Serves those who watch this worker.
fn face(settings: &Settings) -> anyhow::Result<Running> {
    let listener = bind(&settings.http.listen, settings.http.port, "RIDESHARE_HTTP__PORT")?;
    let metrics = telemetry::init_metrics()?;
    let options = Options { threads: 1, ..Serving::new(settings)?.options(Policy::Worker) };
    server::start(listener, options, move |config| {
        worker_routes::routes(metrics.clone(), config);
    })
}

fn node(settings: &Settings, ambient: &Ambient) -> NodeId {
    if !settings.worker.node.is_empty() {
        return NodeId::new(settings.worker.node.as_str());
    }
    let unique = ambient.unique();
    NodeId::new(format!("worker-{}", &unique[unique.len().saturating_sub(8)..]))
}
