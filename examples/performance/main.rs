//! What `scripts/bench.sh` compares Rideshare with, and how it shows what came of it.
//!
//! ```sh
//! cargo run --release --example performance -- load driver mongodb://127.0.0.1 write 64 10
//! cargo run --release --example performance -- load eve http://127.0.0.1:5000 read 64 10
//! cargo run --release --example performance -- components amqp://127.0.0.1 mongodb://127.0.0.1
//! cargo run --release --example performance -- broker amqp://127.0.0.1
//! cargo run --release --example performance -- report RUNS.jsonl docs
//! ```
//!
//! The loads do what `rideshare bench` does in its closed loop, with the same documents, and print
//! JSON of the same shape.

mod broker;
mod chart;
mod components;
mod load;
mod measure;
mod report;
mod work;

use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Puts load on something else than Rideshare.
    Load(load::Options),
    /// Measures the parts that a write passes, each alone, and prints a table.
    Components(components::Options),
    /// Measures the broker with other loads and other kinds of queues, and prints a table.
    Broker(broker::Options),
    /// Makes tables (to stdout) and charts of many runs.
    Report {
        /// One run a line.
        runs: PathBuf,
        /// Where charts go.
        charts: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Load(options) => println!("{}", wait_for(load::run(options))?),
        Command::Components(options) => wait_for(components::run(options))?,
        Command::Broker(options) => wait_for(broker::run(options))?,
        Command::Report { runs, charts } => {
            let lines = std::fs::read_to_string(&runs);
            let lines = lines.with_context(|| format!("reading {}", runs.display()))?;
            let runs = report::Runs::parse(&lines)?;
            print!("{}", runs.tables());
            for work in report::WORKS {
                let path = charts.join(format!("performance-{work}.svg"));
                std::fs::write(&path, chart::draw(&runs, work)?)
                    .with_context(|| format!("writing {}", path.display()))?;
            }
        }
    }
    Ok(())
}

/// With as many threads as `rideshare bench` takes.
fn wait_for<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    threads.worker_threads(1).enable_all().build()?.block_on(work)
}
