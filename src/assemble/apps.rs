//! The users and rides services, each on its own or as a part of `up`.

use std::collections::HashMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::listen::{bind, cores};
use super::serving::Serving;
use super::up::write_whole;
use crate::adapters::http_client::{self, HttpDatabase, HttpUsers};
use crate::domain::rides::Areas;
use crate::http::access::Policy;
use crate::http::apps::Common;
use crate::http::server::{self, Running};
use crate::http::{rides as rides_routes, users as users_routes};
use crate::roles::ambient::Ambient;
use crate::roles::apps::Session;
use crate::roles::passwords::Passwords;
use crate::roles::rides::Rides;
use crate::roles::users::Users;
use crate::settings::Settings;

/// One of the two services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum App {
    /// Who there is.
    Users,
    /// Who offers a ride, and who joins it.
    Rides,
}

impl App {
    fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Rides => "rides",
        }
    }
}

/// What is said on the command line alone.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where the service's address is written once it listens.
    pub addresses_file: Option<PathBuf>,
}

/// Runs one service until `shutdown` is cancelled.
///
/// # Errors
/// When its port is taken or its areas cannot be read.
pub async fn run(
    app: App,
    settings: Settings,
    options: Options,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let listener = bind(&settings.http.listen, settings.http.port, "--port")?;
    let serving = Serving::new(&settings)?;
    let address = serving.url(&listener)?;
    let mut running = match app {
        App::Users => users(listener, &settings, &serving)?,
        App::Rides => rides(listener, &settings, &serving, areas(&settings.apps.areas_file)?)?,
    };
    running.attend(serving.follow());
    info!(?app, address, "serving");
    if let Some(path) = &options.addresses_file {
        let addresses = HashMap::from([(app.name(), &address)]);
        write_whole(path, &serde_json::to_vec(&addresses)?)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    shutdown.cancelled().await;
    running.stop().await?;
    info!("stopped");
    Ok(())
}

/// Reads the list of areas from a file, or takes the built-in one for an empty path.
pub(super) fn areas(file: &Path) -> anyhow::Result<Areas> {
    if file.as_os_str().is_empty() {
        return Ok(Areas::bangalore()?);
    }
    let named = || format!("setting `apps.areas_file`: {}", file.display());
    let text = std::fs::read_to_string(file).with_context(named)?;
    Areas::parse(&text).with_context(named)
}

/// Starts the users service.
pub(super) fn users(
    listener: TcpListener,
    settings: &Settings,
    serving: &Serving,
) -> anyhow::Result<Running> {
    let session = session(settings, serving)?;
    let passwords = Passwords::new(Ambient::real(), cores());
    let users = Users::new(Arc::clone(&session), Arc::new(passwords));
    let common = common(session, settings, serving);
    server::start(listener, serving.options(Policy::App), move |config| {
        users_routes::routes(users.clone(), common.clone(), config);
    })
}

/// Starts the rides service.
pub(super) fn rides(
    listener: TcpListener,
    settings: &Settings,
    serving: &Serving,
    areas: Areas,
) -> anyhow::Result<Running> {
    let origin = serving.url(&listener)?;
    let session = session(settings, serving)?;
    let client = http_client::client(serving.ca_file())?;
    let directory = HttpUsers::new(client, &settings.apps.users_url, &origin);
    let rides = Rides::new(Arc::clone(&session), Arc::new(directory));
    let state = rides_routes::State { rides: rides.clone(), areas: Arc::new(areas) };
    let common = common(session, settings, serving);
    let mut running = server::start(listener, serving.options(Policy::App), move |config| {
        rides_routes::routes(state.clone(), common.clone(), config);
    })?;
    running.attend(async move { rides.prepare().await });
    Ok(running)
}

fn session(settings: &Settings, serving: &Serving) -> anyhow::Result<Arc<Session>> {
    let (client, tokens) = (http_client::client(serving.ca_file())?, serving.tokens());
    let database = HttpDatabase::new(client, &settings.apps.database_url, tokens);
    Ok(Arc::new(Session::new(Arc::new(database), Ambient::real())))
}

fn common(session: Arc<Session>, settings: &Settings, serving: &Serving) -> Common {
    Common::new(session, settings.limits.in_flight, serving.body_limits())
}
