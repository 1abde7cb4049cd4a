//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tokio::runtime::Runtime;

use crate::assemble::up;
use crate::settings::{LogFormat, Profile, Settings, SettingsError};
use crate::{shutdown, telemetry};

/// A fault-tolerant, self-scaling document database as a service.
#[derive(Debug, Parser)]
#[command(name = "rideshare", version, arg_required_else_help = true)]
pub struct Cli {
    /// A file with settings, in TOML.
    #[arg(long, global = true, value_name = "FILE")]
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
    /// Write the addresses here, as JSON, once everything serves.
    #[arg(long, value_name = "FILE")]
    addresses_file: Option<PathBuf>,
}

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
    let Command::Up(args) = cli.command;
    let mut flags = vec![("scaling.min_slaves", args.slaves.to_string())];
    if let Some(format) = cli.log_format {
        let name = if format == LogFormat::Json { "json" } else { "pretty" };
        flags.push(("log.format", name.to_owned()));
    }
    if let Some(listen) = args.listen {
        flags.push(("http.listen", listen));
    }
    if let Some(port) = args.orchestrator_port {
        flags.push(("http.port", port.to_string()));
    }
    let settings = Settings::load(Profile::Embedded, cli.config, std::env::vars(), &flags)?;
    telemetry::init_logs(&settings.log)?;
    let options = up::Options { data_dir: args.data_dir, addresses_file: args.addresses_file };
    let runtime = Runtime::new().map_err(anyhow::Error::new)?;
    runtime.block_on(async {
        let shutdown = shutdown::on_signals().map_err(anyhow::Error::new)?;
        up::run(settings, options, shutdown).await
    })?;
    Ok(())
}
