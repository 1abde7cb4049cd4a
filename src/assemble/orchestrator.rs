//! `rideshare orchestrator`: the front and the controller as a process, on the real servers.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::embedded::orchestrator_settings;
use super::front::Front;
use super::listen::bind;
use super::servers;
use super::up::write_whole;
use crate::adapters::process::{ProcessContainers, ProcessSettings};
use crate::domain::ids::NodeId;
use crate::ports::containers::StartAs;
use crate::roles::ambient::Ambient;
use crate::roles::orchestrator;
use crate::settings::{Runtime, Settings};

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
    let containers = Arc::new(containers(&settings, &ambient)?);
    let coordination = Arc::new(servers::zookeeper(&settings)?);
    let rabbitmq = servers::rabbitmq(&settings)?;
    let unique = ambient.unique();
    let id = format!("orchestrator-{}", &unique[unique.len().saturating_sub(8)..]);
    let own = orchestrator_settings(&settings, id);
    let parts = orchestrator::Parts {
        requests: Arc::new(rabbitmq.request_sender()),
        progress: Arc::new(rabbitmq.progress_feed()),
        coordination,
        containers: containers.clone(),
        ambient,
    };
    let mut front = Front::start(listener, parts, &own, &settings)?;
    info!(id = %own.id, address = %front.address, "serving; waiting for a master and a slave");
    if let Some(path) = &options.addresses_file {
        let addresses = Addresses { orchestrator: format!("http://{}", front.address) };
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
    front.stop().await?;
    if containers.leave() {
        containers.stop_all(Duration::from_millis(settings.containers.drain_limit_ms)).await;
    } else {
        info!("the workers go on with another orchestrator");
    }
    rabbitmq.close().await;
    info!("stopped");
    ended
}

fn containers(settings: &Settings, ambient: &Ambient) -> anyhow::Result<ProcessContainers> {
    let Runtime::Process = settings.containers.runtime;
    let directory = &settings.containers.state_dir;
    let program = std::env::current_exe().context("finding the own binary")?;
    let variables: Vec<(String, String)> =
        settings.to_variables().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let mongodb = settings.mongodb.clone();
    ProcessContainers::open(ProcessSettings {
        directory: directory.clone(),
        command: Arc::new(move |node: &NodeId, start_as| {
            let mut command = Command::new(&program);
            let start_as = if start_as == StartAs::Master { "master" } else { "slave" };
            command.args(["worker", "--type", start_as]).stdin(Stdio::null());
            command.envs(variables.iter().map(|(name, value)| (name, value)));
            command.env("RIDESHARE_WORKER__NODE", node.as_str());
            command.env("RIDESHARE_WORKER__MANAGED", "true");
            command
        }),
        remove_database: Arc::new(move |node| {
            let mongodb = mongodb.clone();
            Box::pin(async move { servers::remove_database(&mongodb, &node).await })
        }),
        now_ms: Arc::clone(&ambient.now_ms),
    })
    .with_context(|| format!("setting `containers.state_dir`: {}", directory.display()))
}
