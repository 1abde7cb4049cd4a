//! `rideshare bench`: puts load on a system over HTTP and tells how it bears it.
//!
//! Closed loop: each connection sends its next request when the last one is answered, which shows the
//! most that a system does. Open loop (`--rate`): requests are due at fixed times, and latency counts
//! from when a request was due, so that a system that stands still cannot hide those that it held up
//! (coordinated omission).

mod failover;
mod load;
mod progress;
mod report;
mod tally;
mod target;

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use load::Load;
use progress::Progress;
use report::Report;
use target::Target;

use crate::domain::access::Tokens;

/// What the requests are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Inserts of one document each.
    Write,
    /// Reads of one document each, by its id.
    Read,
    /// Both, so many of a hundred being reads.
    Mixed {
        /// Of a hundred.
        reads: u8,
    },
    /// Inserts, while the master is killed again and again.
    Failover {
        /// From kill to kill.
        every: Duration,
    },
}

impl Work {
    const fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Mixed { .. } => "mixed",
            Self::Failover { .. } => "failover",
        }
    }

    const fn reads(self) -> u8 {
        match self {
            Self::Write | Self::Failover { .. } => 0,
            Self::Read => 100,
            Self::Mixed { reads } => reads,
        }
    }
}

/// What is said on the command line.
#[derive(Clone, Debug)]
pub struct Options {
    /// Of an orchestrator.
    pub url: String,
    /// What the requests are.
    pub work: Work,
    /// How many connections send, each one request at a time.
    pub connections: usize,
    /// For how long requests are counted.
    pub duration: Duration,
    /// For how long they are sent before that.
    pub warm_up: Duration,
    /// Requests a second, of all connections together; as many as possible where nothing is said.
    pub rate: Option<f64>,
    /// How many documents there are to read.
    pub documents: u64,
    /// Bytes of text in each document.
    pub document_bytes: usize,
    /// How long a request may take.
    pub timeout: Duration,
    /// For programs instead of people.
    pub json: bool,
    /// What is shown to the system.
    pub tokens: Tokens,
    /// Whom to trust over TLS; the well-known authorities where it is empty.
    pub ca_file: PathBuf,
}

/// Runs the load to its end, or until it is told to stop, and prints what came of it.
///
/// # Errors
/// When the system is not there or does not take the documents to be read.
pub async fn run(options: Options, shutdown: CancellationToken) -> anyhow::Result<()> {
    let target = Target::new(&options)?;
    target.prepare().await?;
    let progress = Progress::start(&options);
    let begin = Instant::now() + options.warm_up;
    let load = Load::start(&options, &target, begin);
    let mut kills = Vec::new();
    let work = async {
        if let Work::Failover { every } = options.work {
            failover::kill_masters(&target, begin, every, options.duration, &mut kills).await?;
        }
        tokio::time::sleep_until(begin + options.duration).await;
        Ok(())
    };
    let worked: anyhow::Result<()> = tokio::select! {
        worked = work => worked,
        () = shutdown.cancelled() => Ok(()),
    };
    let took = begin.elapsed().min(options.duration);
    let tally = load.finish().await;
    progress.finish();
    target.clean_up().await?;
    worked?;
    let report = Report::new(&options, &tally, took, &kills);
    // What was asked for goes to stdout, everything else to stderr.
    println!("{}", if options.json { report.json() } else { report.table() });
    Ok(())
}
