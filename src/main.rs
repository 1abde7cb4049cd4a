//! Entry point: reads the command line, runs the chosen role, turns the result into an exit code.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use rideshare::cli::{self, Cli};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match cli::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("rideshare: {failure}");
            failure.exit_code()
        }
    }
}
