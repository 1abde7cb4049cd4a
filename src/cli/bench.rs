//! `rideshare bench` on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use tokio::runtime::Runtime;

use super::Failure;
use crate::bench::{self, Work};
use crate::settings::{Profile, Settings};
use crate::shutdown;

#[derive(Debug, Args)]
pub(super) struct BenchArgs {
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

pub(super) fn run(args: BenchArgs, config: Option<PathBuf>) -> Result<(), Failure> {
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
        ca_file: settings.http.ca_file,
    };
    let runtime = Runtime::new().map_err(anyhow::Error::new)?;
    runtime.block_on(async {
        let shutdown = shutdown::on_signals().map_err(anyhow::Error::new)?;
        bench::run(options, shutdown).await
    })?;
    Ok(())
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
