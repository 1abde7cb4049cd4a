//! The command line.

mod bench;
mod ctl;

use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, CommandFactory, Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use crate::assemble::apps::{self, App};
use crate::assemble::{healthcheck, orchestrator, up, worker};
use crate::roles::worker::WorkerError;
use crate::settings::{LogFormat, NeededTokens, Profile, Settings, SettingsError, WorkerType};
use crate::{settings, shutdown, telemetry};

/// A fault-tolerant, self-scaling document database as a service.
#[derive(Debug, Parser)]
#[command(name = "rideshare", version, arg_required_else_help = true)]
pub struct Cli {
    /// A file with settings, in TOML.
    #[arg(long, global = true, value_name = "FILE", env = "RIDESHARE_CONFIG")]
    config: Option<PathBuf>,
    /// The form of the log on stderr.
    #[arg(long, global = true, value_enum)]
    log_format: Option<LogFormat>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole system in this process, on embedded parts.
    Up(UpArgs),
    /// Run the front of the database and its controller, on RabbitMQ, ZooKeeper and MongoDB.
    Orchestrator(OrchestratorArgs),
    /// Run one worker, on RabbitMQ, ZooKeeper and MongoDB.
    Worker(WorkerArgs),
    /// Run one of the microservices on the database.
    #[command(subcommand)]
    App(AppCommand),
    /// Ask a role that runs on this machine whether it lives; exit code 1 if it does not.
    Healthcheck(HealthcheckArgs),
    /// Put load on a running system and tell how it bears it.
    Bench(bench::BenchArgs),
    /// Look after a running system.
    Ctl(ctl::CtlArgs),
    /// Print which settings there are, in Markdown.
    Settings,
    /// Print what completes this program's words in a shell.
    Completions {
        /// Which.
        shell: clap_complete::Shell,
    },
    /// Write the manual pages, one for each command.
    Man {
        /// The folder to write them to.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum AppCommand {
    /// Who there is.
    Users(AppArgs),
    /// Who offers a ride, and who joins it.
    Rides(AppArgs),
}

#[derive(Debug, Args)]
struct AppArgs {
    /// The address to listen on.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// The port to listen on; 0 picks one.
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Where the database is: the address of an orchestrator.
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Where the users service is.
    #[arg(long, value_name = "URL")]
    users_url: Option<String>,
    /// Write the address here, as JSON, once it listens.
    #[arg(long, value_name = "FILE")]
    addresses_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct UpArgs {
    /// The least number of slaves.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    slaves: u32,
    /// Where all data is kept.
    #[arg(long, default_value = "./data", value_name = "DIR")]
    data_dir: PathBuf,
    /// The address to listen on.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// The port of the orchestrator; 0 picks one.
    #[arg(long, value_name = "PORT")]
    orchestrator_port: Option<u16>,
    /// The port of the users service; 0 picks one.
    #[arg(long, value_name = "PORT", default_value_t = 8081)]
    users_port: u16,
    /// The port of the rides service; 0 picks one.
    #[arg(long, value_name = "PORT", default_value_t = 8082)]
    rides_port: u16,
    /// Write the addresses here, as JSON, once everything serves.
    #[arg(long, value_name = "FILE")]
    addresses_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct OrchestratorArgs {
    /// The least number of slaves.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=64))]
    slaves: Option<u32>,
    /// The address to listen on.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// The port to listen on; 0 picks one.
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Write the address here, as JSON, once it listens.
    #[arg(long, value_name = "FILE")]
    addresses_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct WorkerArgs {
    /// A master may found a history where none was begun; a slave waits to be chosen.
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    start_as: Option<WorkerType>,
}

#[derive(Debug, Args)]
struct HealthcheckArgs {
    /// The address that it listens on.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// The port that it listens on.
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Ask whether it is ready to serve, not only whether it lives.
    #[arg(long)]
    ready: bool,
    /// How long it may take to answer, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 3_000)]
    timeout_ms: u64,
}

/// Settings that were said as flags.
type Flags = Vec<(&'static str, String)>;

/// Why the program ends with an error.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A setting is wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Anything else.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

impl Failure {
    /// 2 for what the caller said wrong, that of a worker which cannot go on, 1 otherwise.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Settings(_) => ExitCode::from(2),
            Self::Failed(error) => {
                let of_worker = error.downcast_ref::<WorkerError>().map(WorkerError::exit_code);
                of_worker.and_then(|code| u8::try_from(code).ok()).unwrap_or(1).into()
            }
        }
    }
}

/// Runs the chosen command to its end.
///
/// # Errors
/// When it could not start or could not go on.
pub fn run(cli: Cli) -> Result<(), Failure> {
    let mut flags = Flags::new();
    if let Some(format) = cli.log_format {
        let name = if format == LogFormat::Json { "json" } else { "pretty" };
        flags.push(("log.format", name.to_owned()));
    }
    match cli.command {
        Command::Up(args) => run_up(args, cli.config, flags),
        Command::Orchestrator(args) => {
            add(&mut flags, "scaling.min_slaves", args.slaves);
            add(&mut flags, "http.listen", args.listen);
            add(&mut flags, "http.port", args.port);
            let options = orchestrator::Options { addresses_file: args.addresses_file };
            start(
                Profile::Process,
                cli.config,
                &flags,
                Some(NeededTokens::Both),
                |settings, stop| orchestrator::run(settings, options, stop),
            )
        }
        Command::Worker(args) => {
            add(&mut flags, "worker.type", args.start_as.map(WorkerType::as_str));
            start(Profile::Process, cli.config, &flags, None, worker::run)
        }
        Command::App(AppCommand::Users(args)) => run_app(App::Users, args, cli.config, flags),
        Command::App(AppCommand::Rides(args)) => run_app(App::Rides, args, cli.config, flags),
        Command::Healthcheck(args) => run_healthcheck(args, cli.config, flags),
        Command::Bench(args) => bench::run(args, cli.config),
        Command::Ctl(args) => ctl::run(args, cli.config),
        Command::Settings => {
            print!("{}", settings::reference());
            Ok(())
        }
        Command::Completions { shell } => {
            let mut command = Cli::command();
            clap_complete::generate(shell, &mut command, "rideshare", &mut std::io::stdout());
            Ok(())
        }
        Command::Man { directory } => {
            let written = clap_mangen::generate_to(Cli::command(), &directory);
            let place = || format!("writing to {}", directory.display());
            Ok(written.with_context(place)?)
        }
    }
}

fn add(flags: &mut Flags, key: &'static str, value: Option<impl ToString>) {
    flags.extend(value.map(|value| (key, value.to_string())));
}

fn run_up(args: UpArgs, config: Option<PathBuf>, mut flags: Flags) -> Result<(), Failure> {
    flags.push(("scaling.min_slaves", args.slaves.to_string()));
    add(&mut flags, "http.listen", args.listen);
    add(&mut flags, "http.port", args.orchestrator_port);
    let options = up::Options {
        data_dir: args.data_dir,
        users_port: args.users_port,
        rides_port: args.rides_port,
        addresses_file: args.addresses_file,
    };
    start(Profile::Embedded, config, &flags, Some(NeededTokens::Both), |settings, shutdown| {
        up::run(settings, options, shutdown)
    })
}

fn run_app(
    app: App,
    args: AppArgs,
    config: Option<PathBuf>,
    mut flags: Flags,
) -> Result<(), Failure> {
    add(&mut flags, "http.listen", args.listen);
    add(&mut flags, "http.port", args.port);
    add(&mut flags, "apps.database_url", args.database_url);
    add(&mut flags, "apps.users_url", args.users_url);
    let profile = if app == App::Users { Profile::Users } else { Profile::Rides };
    let options = apps::Options { addresses_file: args.addresses_file };
    start(profile, config, &flags, Some(NeededTokens::App), |settings, shutdown| {
        apps::run(app, settings, options, shutdown)
    })
}

/// As small as can be: it runs every few seconds beside a role.
fn run_healthcheck(
    args: HealthcheckArgs,
    config: Option<PathBuf>,
    mut flags: Flags,
) -> Result<(), Failure> {
    add(&mut flags, "http.listen", args.listen);
    add(&mut flags, "http.port", args.port);
    let settings = Settings::load(Profile::Process, config, std::env::vars(), &flags)?;
    let limit = Duration::from_millis(args.timeout_ms);
    let options = healthcheck::Options { ready: args.ready, limit };
    let runtime = Builder::new_current_thread().enable_all().build().map_err(anyhow::Error::new)?;
    runtime.block_on(healthcheck::run(settings, options))?;
    Ok(())
}

/// Tasks that wake each other across threads pay for it, and none of them is busy for long: a few
/// threads do more than many, most of all where servers run on the same machine.
fn runtime(threads: usize) -> std::io::Result<Runtime> {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = if threads == 0 { (processors / 2).max(1) } else { threads };
    Builder::new_multi_thread().worker_threads(threads).enable_all().build()
}

/// Reads the settings, starts to log, and runs a role on a runtime until a signal ends it. A role
/// that serves others says which tokens it needs.
fn start<F: Future<Output = anyhow::Result<()>>>(
    profile: Profile,
    config: Option<PathBuf>,
    flags: &Flags,
    serves: Option<NeededTokens>,
    role: impl FnOnce(Settings, CancellationToken) -> F,
) -> Result<(), Failure> {
    let settings = Settings::load(profile, config, std::env::vars(), flags)?;
    if let Some(needed) = serves {
        settings.auth.check(&settings.http.listen, needed)?;
    }
    telemetry::init_logs(&settings.log)?;
    let runtime = runtime(settings.limits.threads).map_err(anyhow::Error::new)?;
    runtime.block_on(async {
        let shutdown = shutdown::on_signals().map_err(anyhow::Error::new)?;
        role(settings, shutdown).await
    })?;
    Ok(())
}
