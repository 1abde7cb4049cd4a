//! What `scripts/bench.sh` compares Rideshare with, and how it shows what came of it.
//!
//! ```sh
//! cargo run --release --example performance -- load driver mongodb://127.0.0.1 write 64 10
//! cargo run --release --example performance -- load eve http://127.0.0.1:5000 read 64 10
//! cargo run --release --example performance -- components amqp://127.0.0.1 mongodb://127.0.0.1
//! cargo run --release --example performance -- broker amqp://127.0.0.1
//! cargo run --release --example performance -- report RUNS.jsonl docs
//! cargo run --release --example performance -- growth docs/performance.md docs/growth.svg
//! ```
//!
//! The loads do what `rideshare bench` does in its closed loop, with the same documents, and print
//! JSON of the same shape.

mod broker;
mod chart;
mod components;
mod growth;
mod load;
mod measure;
mod report;
mod work;

use std::path::{Path, PathBuf};

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
    /// Draws the tables of `scripts/growth.sh`.
    Growth {
        /// The document that they stand in.
        tables: PathBuf,
        chart: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Load(options) => println!("{}", wait_for(load::run(options))?),
        Command::Components(options) => wait_for(components::run(options))?,
        Command::Broker(options) => wait_for(broker::run(options))?,
        Command::Report { runs, charts } => {
            let runs = report::Runs::parse(&read(&runs)?)?;
            print!("{}", runs.tables());
            for work in report::WORKS {
                let path = charts.join(format!("performance-{work}.svg"));
                write(&path, &chart::draw(&runs, work)?)?;
            }
        }
        Command::Growth { tables, chart } => {
            write(&chart, &growth::draw(&growth::parse(&read(&tables)?)?)?)?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// With as many threads as `rideshare bench` takes.
fn wait_for<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    threads.worker_threads(1).enable_all().build()?.block_on(work)
}
