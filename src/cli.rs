//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use crate::assemble::apps::{self, App};
use crate::assemble::{healthcheck, orchestrator, up, worker};
use crate::bench::{self, Work};
use crate::settings::{LogFormat, NeededTokens, Profile, Settings, SettingsError, WorkerType};
use crate::{shutdown, telemetry};

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
    Bench(BenchArgs),
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

#[derive(Debug, Args)]
struct BenchArgs {
    #[command(subcommand)]
    work: BenchWork,
    /// Where the database is: the address of an orchestrator.
    #[arg(long, global = true, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// How many connections send, each one request at a time.
    #[arg(long, global = true, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    connections: u16,
    /// For how many seconds requests are counted.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    duration: u64,
    /// For how many seconds they are sent before that.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    warm_up: u64,
    /// Requests a second, due at fixed times whatever the system does; else as many as possible.
    #[arg(long, global = true, value_name = "PER_SECOND", value_parser = rate)]
    rate: Option<f64>,
    /// How many documents there are to read.
    #[arg(long, global = true, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    documents: u64,
    /// Bytes of text in each document.
    #[arg(long, global = true, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    document_bytes: u32,
    /// How long a request may take, in milliseconds.
    #[arg(long, global = true, value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    timeout_ms: u64,
    /// Print JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
}

/// A pause that is any longer could not be told from one without end.
fn rate(text: &str) -> Result<f64, &'static str> {
    let rate = text.parse().ok().filter(|rate| (0.001..=1e9).contains(rate));
    rate.ok_or("a number from 0.001 to 1000000000 is wanted")
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum BenchWork {
    /// Insert documents.
    Write,
    /// Read documents by their ids.
    Read,
    /// Do both.
    Mixed {
        /// How many of a hundred requests are reads.
        #[arg(long, value_name = "PERCENT", default_value_t = 80, value_parser = clap::value_parser!(u8).range(1..=99))]
        reads: u8,
    },
    /// Insert documents, and kill the master again and again.
    Failover {
        /// Seconds from kill to kill.
        #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=3_600))]
        every: u64,
    },
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
    /// 2 for what the caller said wrong, 1 otherwise.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Settings(_) => ExitCode::from(2),
            Self::Failed(_) => ExitCode::FAILURE,
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
        Command::Bench(args) => run_bench(args, cli.config),
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

fn run_bench(args: BenchArgs, config: Option<PathBuf>) -> Result<(), Failure> {
    let settings = Settings::load(Profile::Process, config, std::env::vars(), &[])?;
    let options = bench::Options {
        url: args.url,
        work: match args.work {
            BenchWork::Write => Work::Write,
            BenchWork::Read => Work::Read,
            BenchWork::Mixed { reads } => Work::Mixed { reads },
            BenchWork::Failover { every } => Work::Failover { every: Duration::from_secs(every) },
        },
        connections: usize::from(args.connections),
        duration: Duration::from_secs(args.duration),
        warm_up: Duration::from_secs(args.warm_up),
        rate: args.rate,
        documents: args.documents,
        document_bytes: args.document_bytes as usize,
        timeout: Duration::from_millis(args.timeout_ms),
        json: args.json,
        tokens: settings.auth.tokens()?,
    };
    let runtime = Runtime::new().map_err(anyhow::Error::new)?;
    runtime.block_on(async {
        let shutdown = shutdown::on_signals().map_err(anyhow::Error::new)?;
        bench::run(options, shutdown).await
    })?;
    Ok(())
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
    let runtime = Runtime::new().map_err(anyhow::Error::new)?;
    runtime.block_on(async {
        let shutdown = shutdown::on_signals().map_err(anyhow::Error::new)?;
        role(settings, shutdown).await
    })?;
    Ok(())
}
