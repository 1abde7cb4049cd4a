//! `rideshare ctl` on the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tokio::runtime::Builder;

use super::Failure;
use crate::ctl::{self, Victim, Wish};
use crate::settings::{Profile, Settings};

#[derive(Debug, Args)]
pub(super) struct CtlArgs {
    #[command(subcommand)]
    wish: CtlWish,
    /// Where the database is: the address of an orchestrator.
    #[arg(long, global = true, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Print JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Clone, Debug, Subcommand)]
enum CtlWish {
    /// How the system is, and which workers there are.
    Status,
    /// Which workers there are.
    Workers,
    /// What happened to them: elections, replacements, scaling.
    Events,
    /// Kill a worker and its database, as a crash would.
    #[command(subcommand)]
    Crash(CtlVictim),
    /// Let a slave take the master's place, without a request that fails.
    Switchover {
        /// The slave; that with the lowest pid where none is named.
        #[arg(long, value_name = "NODE")]
        to: Option<String>,
    },
    /// Say how many slaves there are to be.
    Scale {
        /// A number, or `auto`: as many as the reads call for.
        #[arg(value_name = "N|auto", value_parser = slaves)]
        slaves: Slaves,
    },
    /// Stop healing and scaling: nobody is replaced, elected, started or removed.
    Pause,
    /// Go on with healing and scaling.
    Resume,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum CtlVictim {
    /// The master.
    Master,
    /// A slave: that with the lowest pid.
    Slave {
        /// That with the highest.
        #[arg(long)]
        highest: bool,
    },
}

/// A number of slaves; nothing for `auto`.
#[derive(Clone, Copy, Debug)]
struct Slaves(Option<u32>);

fn slaves(text: &str) -> Result<Slaves, &'static str> {
    match text {
        "auto" => Ok(Slaves(None)),
        number => number
            .parse()
            .map(|number| Slaves(Some(number)))
            .map_err(|_| "a number or \"auto\" is wanted"),
    }
}

pub(super) fn run(args: CtlArgs, config: Option<PathBuf>) -> Result<(), Failure> {
    let settings = Settings::load(Profile::Process, config, std::env::vars(), &[])?;
    let wish = match args.wish {
        CtlWish::Status => Wish::Status,
        CtlWish::Workers => Wish::Workers,
        CtlWish::Events => Wish::Events,
        CtlWish::Crash(CtlVictim::Master) => Wish::Crash(Victim::Master),
        CtlWish::Crash(CtlVictim::Slave { highest }) => Wish::Crash(Victim::Slave { highest }),
        CtlWish::Switchover { to } => Wish::Switchover(to),
        CtlWish::Scale { slaves: Slaves(slaves) } => Wish::Scale(slaves),
        CtlWish::Pause => Wish::Pause,
        CtlWish::Resume => Wish::Resume,
    };
    let tokens = settings.auth.tokens()?;
    let options = ctl::Options { url: args.url, wish, tokens, json: args.json };
    let runtime = Builder::new_current_thread().enable_all().build().map_err(anyhow::Error::new)?;
    runtime.block_on(ctl::run(options))?;
    Ok(())
}
