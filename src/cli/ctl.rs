//! `rideshare ctl` on the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tokio::runtime::Builder;

use super::Failure;
use crate::ctl::{self, Until, Victim, Wish};
use crate::domain::ids::Offset;
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
    /// The same, live, until Ctrl-C.
    Watch,
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
    /// Let a new worker take the place of each that there is, the master last, without a request
    /// that fails; waits until that is done.
    Restart,
    /// Stop healing and scaling: nobody is replaced, elected, started or removed.
    Pause,
    /// Go on with healing and scaling.
    Resume,
    /// Back up all documents while the system works, or add what was written since to a backup.
    Backup {
        /// A directory, or s3://BUCKET/PREFIX with the usual AWS_ variables.
        #[arg(value_name = "PLACE")]
        to: String,
    },
    /// Begin a new log with what one worker holds, after the broker has lost the old one for good.
    /// What that worker does not hold is lost. Refused unless the worker has stopped for that reason.
    Recover {
        /// Whose data to go on with: the worker that holds the most, as its last words say.
        #[arg(long, value_name = "NODE")]
        from: String,
    },
    /// Bring a backup into an empty system.
    Restore {
        /// A directory, or s3://BUCKET/PREFIX with the usual AWS_ variables.
        #[arg(value_name = "PLACE")]
        from: String,
        /// As of this offset of the log.
        #[arg(long, value_name = "OFFSET", conflicts_with = "to_time")]
        to_offset: Option<u64>,
        /// As of this time, such as 2026-11-27T06:00:00Z.
        #[arg(long, value_name = "TIME", value_parser = Until::parse_time)]
        to_time: Option<Until>,
    },
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
        CtlWish::Watch => Wish::Watch,
        CtlWish::Workers => Wish::Workers,
        CtlWish::Events => Wish::Events,
        CtlWish::Crash(CtlVictim::Master) => Wish::Crash(Victim::Master),
        CtlWish::Crash(CtlVictim::Slave { highest }) => Wish::Crash(Victim::Slave { highest }),
        CtlWish::Switchover { to } => Wish::Switchover(to),
        CtlWish::Scale { slaves: Slaves(slaves) } => Wish::Scale(slaves),
        CtlWish::Restart => Wish::Restart,
        CtlWish::Pause => Wish::Pause,
        CtlWish::Resume => Wish::Resume,
        CtlWish::Recover { from } => Wish::Recover(from),
        CtlWish::Backup { to } => Wish::Backup(to),
        CtlWish::Restore { from, to_offset, to_time } => {
            let until = to_offset.map(|offset| Until::Offset(Offset(offset))).or(to_time);
            Wish::Restore { from, until }
        }
    };
    let tokens = settings.auth.tokens()?;
    let ca_file = settings.http.ca_file;
    let options = ctl::Options { url: args.url, wish, tokens, ca_file, json: args.json };
    let runtime = Builder::new_current_thread().enable_all().build().map_err(anyhow::Error::new)?;
    runtime.block_on(ctl::run(options))?;
    Ok(())
}
