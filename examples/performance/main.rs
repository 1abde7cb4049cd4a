//! What `scripts/bench.sh` compares Rideshare with, and how it shows what came of it.
//!
//! ```sh
//! cargo run --release --example performance -- load driver mongodb://127.0.0.1 write 64 10
//! cargo run --release --example performance -- load eve http://127.0.0.1:5000 read 64 10
//! cargo run --release --example performance -- components amqp://127.0.0.1 mongodb://127.0.0.1
//! cargo run --release --example performance -- report RUNS.jsonl docs
//! ```
//!
//! The loads do what `rideshare bench` does in its closed loop, with the same documents, and print
//! JSON of the same shape.

mod chart;
mod components;
mod load;
mod report;

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
        Command::Load(options) => {
            // As many threads as `rideshare bench` takes.
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            println!("{}", runtime?.block_on(load::run(options))?);
        }
        Command::Components(options) => {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            runtime?.block_on(components::run(options))?;
        }
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
