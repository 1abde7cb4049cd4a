//! `rideshare ctl`: looks after a running system, through the HTTP interface of an orchestrator.
//!
//! `client` asks, `backup` makes and restores backups, `show` makes tables of the answers for people. Programs are given the answers as
//! they came.

mod backup;
mod client;
mod show;
mod watch;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use self::client::Client;
use crate::domain::access::Tokens;
use crate::domain::ids::Offset;

const RESTART: &str = "/api/v1/restart";
/// The pause between two looks at something that takes long.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// A worker whose place nobody takes within this time needs somebody to look after it. It goes on
/// all the same.
const MOST_QUIET: Duration = Duration::from_secs(600);

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// How the system is.
    Status,
    /// How the system is from now on.
    Watch,
    /// Which workers there are.
    Workers,
    /// What happened.
    Events,
    /// Kill a worker and its database, as a crash would.
    Crash(Victim),
    /// Let a slave take the master's place; that with the lowest pid where none is named.
    Switchover(Option<String>),
    /// Say how many slaves there are to be; as many as the reads call for where it is nothing.
    Scale(Option<u32>),
    /// Let a new worker take the place of each that there is.
    Restart,
    /// Stop healing and scaling.
    Pause,
    /// Go on with it.
    Resume,
    /// Begin a new log with what this worker holds.
    Recover(String),
    /// Make a backup in this place, or carry on the one that is there.
    Backup(String),
    /// Bring the backup of this place into an empty database.
    Restore {
        /// Where it lies.
        from: String,
        /// As of when; the end of the backup where it is nothing.
        until: Option<Until>,
    },
}

/// A moment of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Up to this offset.
    Offset(Offset),
    /// Up to this time, in milliseconds since 1970.
    Time(u64),
}

impl Until {
    /// A time from its text, such as `2026-11-27T06:00:00Z`.
    ///
    /// # Errors
    /// Says what is wanted.
    pub fn parse_time(text: &str) -> Result<Self, String> {
        backup::parse_time(text).map(Self::Time)
    }
}

/// Whom to kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// The master.
    Master,
    /// The slave with the lowest pid, or the highest.
    Slave {
        /// Whether it is the highest.
        highest: bool,
    },
}

/// What is said on the command line.
#[derive(Clone, Debug)]
pub struct Options {
    /// Of an orchestrator.
    pub url: String,
    /// What is asked for.
    pub wish: Wish,
    /// What is shown to it.
    pub tokens: Tokens,
    /// Whom to trust over TLS; the well-known authorities where it is empty.
    pub ca_file: PathBuf,
    /// Print JSON, for programs.
    pub json: bool,
}

/// Asks, and prints the answer on stdout.
///
/// # Errors
/// When there is no answer, or the answer is no.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let client = Client::new(&options.url, options.tokens, &options.ca_file)?;
    if options.wish == Wish::Watch {
        return watch::watch(&client, options.json).await;
    }
    let answer = ask(&client, &options.wish).await?;
    let text = if options.json {
        serde_json::to_string_pretty(&answer)?
    } else {
        show::text(&options.wish, &answer)
    };
    println!("{text}");
    Ok(())
}

async fn ask(client: &Client, wish: &Wish) -> anyhow::Result<Value> {
    match wish {
        Wish::Status | Wish::Watch => status(client).await,
        Wish::Workers => client.get("/api/v1/workers").await,
        Wish::Events => client.get("/api/v1/events").await,
        Wish::Crash(Victim::Master) => client.post("/api/v1/crash/master", None).await,
        Wish::Crash(Victim::Slave { highest }) => {
            let pick = if *highest { "highest" } else { "lowest" };
            client.post(&format!("/api/v1/crash/slave?pick={pick}"), None).await
        }
        Wish::Switchover(to) => {
            let body = to.as_ref().map(|to| json!({ "to": to }));
            client.post("/api/v1/switchover", body).await
        }
        Wish::Scale(slaves) => {
            let slaves = slaves.map_or(json!("auto"), |slaves| json!(slaves));
            client.put("/api/v1/scale", json!({ "slaves": slaves })).await
        }
        Wish::Restart => restart(client).await,
        Wish::Pause => client.post("/api/v1/pause", None).await,
        Wish::Resume => client.post("/api/v1/resume", None).await,
        Wish::Recover(from) => client.post("/api/v1/recover", Some(json!({ "from": from }))).await,
        Wish::Backup(location) => backup::take(client, location).await,
        Wish::Restore { from, until } => backup::restore(client, from, *until).await,
    }
}

/// Waits until it is done, and says how many there were.
async fn restart(client: &Client) -> anyhow::Result<Value> {
    let count = |answer: &Value| answer["remaining"].as_array().map_or(0, Vec::len);
    let workers = count(&client.post(RESTART, None).await?);
    let mut remaining = workers;
    let progress = ProgressBar::new(workers as u64).with_style(ProgressStyle::with_template(
        "{bar:30} {pos} of {len} workers are new, {elapsed}",
    )?);
    let mut quiet_since = Instant::now();
    while remaining > 0 {
        sleep(LOOK_PAUSE).await;
        let now = count(&client.get(RESTART).await?);
        if now != remaining {
            (remaining, quiet_since) = (now, Instant::now());
        }
        progress.set_position((workers - remaining.min(workers)) as u64);
        if quiet_since.elapsed() > MOST_QUIET {
            bail!(
                "no worker was replaced for {MOST_QUIET:?}; {remaining} are left, see `ctl status`"
            );
        }
    }
    progress.finish_and_clear();
    Ok(json!({ "restarted": workers }))
}

async fn status(client: &Client) -> anyhow::Result<Value> {
    let reasons = client.reasons_not_to_be_ready().await?;
    let workers = client.get("/api/v1/workers").await?;
    let scale = client.get("/api/v1/scale").await?;
    let is_ready = reasons.is_empty();
    Ok(json!({ "ready": is_ready, "reasons": reasons, "workers": workers, "scale": scale }))
}
