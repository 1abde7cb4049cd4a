//! `rideshare orchestrator`: the front and the controller as a process, on the real servers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::embedded::orchestrator_settings;
use super::front::Front;
use super::listen::bind;
use super::runtime::Runtime;
use super::servers;
use super::serving::Serving;
use super::tracing::Tracing;
use super::up::write_whole;
use crate::ports::coordination::Coordination;
use crate::roles::ambient::Ambient;
use crate::roles::orchestrator;
use crate::settings::Settings;

/// What is said on the command line alone.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to write the address.
    pub addresses_file: Option<PathBuf>,
}

#[derive(Serialize)]
struct Addresses {
    orchestrator: String,
}

/// Runs until `shutdown` is cancelled. The workers started here end with it, unless another
/// orchestrator is there to go on with them.
///
/// # Errors
/// When a setting makes no sense or the port is taken; never for want of a server.
pub async fn run(
    settings: Settings,
    options: Options,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let ambient = Ambient::real();
    let listener = bind(&settings.http.listen, settings.http.port, "--port")?;
    let serving = Serving::new(&settings)?;
    let url = serving.url(&listener)?;
    let runtime = Runtime::open(&settings, &ambient).await?;
    let coordination = Arc::new(servers::zookeeper(&settings)?);
    let rabbitmq = servers::rabbitmq(&settings)?;
    let unique = ambient.unique();
    let id = format!("orchestrator-{}", &unique[unique.len().saturating_sub(8)..]);
    let own = orchestrator_settings(&settings, id);
    let tracing = Tracing::start(&settings, "rideshare-orchestrator", own.id.as_str())?;
    let parts = orchestrator::Parts {
        requests: Arc::new(rabbitmq.request_sender()),
        progress: Arc::new(rabbitmq.progress_feed()),
        coordination: coordination.clone(),
        containers: runtime.port(),
        log: Arc::new(rabbitmq.log()),
        traces: tracing.port(),
        ambient,
    };
    let mut front = Front::start(listener, parts, &own, &serving)?;
    info!(id = %own.id, address = %front.address, "serving; waiting for a master and a slave");
    if let Some(path) = &options.addresses_file {
        let addresses = Addresses { orchestrator: url };
        write_whole(path, &serde_json::to_vec(&addresses)?)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    let ready = front.handle.clone();
    let noted = async {
        ready.ready().await;
        info!("ready");
        std::future::pending::<()>().await;
    };
    let ended = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        () = noted => Ok(()),
        ended = front.ended() => ended,
    };
    let others = coordination.view().borrow().orchestrators.keys().any(|it| *it != own.id);
    front.stop().await?;
    runtime.leave(others, Duration::from_millis(settings.containers.drain_limit_ms)).await;
    rabbitmq.close().await;
    tracing.close().await;
    info!("stopped");
    ended
}
