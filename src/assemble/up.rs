//! `rideshare up`: everything in one process.

use std::fs::File;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::apps;
use super::embedded::{Embedded, orchestrator_settings};
use super::front::Front;
use super::listen::bind;
use super::serving::Serving;
use crate::settings::Settings;

/// How long the workers may take to finish what they hold.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// A system that is not ready after this has something to tell.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is said on the command line alone.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where all data is kept.
    pub data_dir: PathBuf,
    /// The port of the users service; 0 picks one.
    pub users_port: u16,
    /// The port of the rides service; 0 picks one.
    pub rides_port: u16,
    /// Where to write the addresses.
    pub addresses_file: Option<PathBuf>,
}

#[derive(Serialize)]
struct Addresses {
    orchestrator: String,
    users: String,
    rides: String,
}

/// The three ports, taken before anything else happens.
struct Listeners {
    orchestrator: TcpListener,
    users: TcpListener,
    rides: TcpListener,
}

impl Listeners {
    fn bind(settings: &Settings, options: &Options) -> anyhow::Result<Self> {
        let address = &settings.http.listen;
        Ok(Self {
            orchestrator: bind(address, settings.http.port, "--orchestrator-port")?,
            users: bind(address, options.users_port, "--users-port")?,
            rides: bind(address, options.rides_port, "--rides-port")?,
        })
    }

    fn addresses(&self, serving: &Serving) -> anyhow::Result<Addresses> {
        Ok(Addresses {
            orchestrator: serving.url(&self.orchestrator)?,
            users: serving.url(&self.users)?,
            rides: serving.url(&self.rides)?,
        })
    }
}

/// Runs until `shutdown` is cancelled.
///
/// # Errors
/// When a port is taken, the data cannot be opened, or another process uses it.
pub async fn run(
    mut settings: Settings,
    options: Options,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let listeners = Listeners::bind(&settings, &options)?;
    let serving = Serving::new(&settings)?;
    let addresses = listeners.addresses(&serving)?;
    settings.apps.database_url.clone_from(&addresses.orchestrator);
    settings.apps.users_url.clone_from(&addresses.users);
    let areas = apps::areas(&settings.apps.areas_file)?;
    let _lock = lock(&options.data_dir)?;
    let embedded = Embedded::open(&options.data_dir, &settings).await?;
    let id = format!("orchestrator-{}", std::process::id());
    let own = orchestrator_settings(&settings, id);
    let parts = embedded.orchestrator.clone();
    let mut front = Front::start(listeners.orchestrator, parts, &own, &serving)?;
    let users = apps::users(listeners.users, &settings, &serving)?;
    let rides = apps::rides(listeners.rides, &settings, &serving, areas)?;

    let ready = front.handle.clone();
    let announced = async {
        if timeout(PATIENCE, ready.ready()).await.is_err() {
            warn!(url = addresses.orchestrator, reasons = ?ready.unready(), "not ready yet");
            ready.ready().await;
        }
        announce(&addresses, &options)?;
        std::future::pending::<anyhow::Result<()>>().await
    };
    let ended = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        failed = announced => failed,
        ended = front.ended() => ended,
    };
    rides.stop().await?;
    users.stop().await?;
    front.stop().await?;
    embedded.containers.stop_all(DRAIN_LIMIT).await;
    embedded.close().await;
    info!("stopped");
    ended
}

/// Two processes on the same data would each be a whole system.
fn lock(data_dir: &Path) -> anyhow::Result<File> {
    let in_data_dir = || format!("data directory {}", data_dir.display());
    std::fs::create_dir_all(data_dir).with_context(in_data_dir)?;
    let file = File::create(data_dir.join("lock")).with_context(in_data_dir)?;
    file.try_lock().with_context(|| format!("{} is used by another process", in_data_dir()))?;
    Ok(file)
}

/// Says where everything is, to people on stdout and to programs in the file.
fn announce(addresses: &Addresses, options: &Options) -> anyhow::Result<()> {
    if let Some(path) = &options.addresses_file {
        write_whole(path, &serde_json::to_vec(addresses)?)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    let Addresses { orchestrator: url, users, rides } = addresses;
    let mut out = std::io::stdout();
    // Nobody may be listening any more; the system serves all the same.
    let _ = writeln!(
        out,
        "\nRideshare is up.\n\n  database   {url}\n  users      {users}\n  rides      {rides}\n\nTry:\n\n  \
         curl {url}/api/v1/db/write -d \
         '{{\"op\":\"insert\",\"collection\":\"users\",\"documents\":[{{\"_id\":\"ann\"}}]}}'\n  \
         curl {url}/api/v1/db/read -d '{{\"collection\":\"users\"}}'\n"
    );
    let _ = out.flush();
    Ok(())
}

/// Whoever waits for the file finds it whole.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    std::fs::write(&temporary, bytes)?;
    std::fs::rename(&temporary, path)
}
