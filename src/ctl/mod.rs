//! `rideshare ctl`: looks after a running system, through the HTTP interface of an orchestrator.
//!
//! `client` asks, `show` makes tables of the answers for people. Programs are given the answers as
//! they came.

mod client;
mod show;

use serde_json::{Value, json};

use self::client::Client;
use crate::domain::access::Tokens;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// How the system is.
    Status,
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
    /// Stop healing and scaling.
    Pause,
    /// Go on with it.
    Resume,
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
    /// Print JSON, for programs.
    pub json: bool,
}

/// Asks, and prints the answer on stdout.
///
/// # Errors
/// When there is no answer, or the answer is no.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let client = Client::new(&options.url, options.tokens)?;
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
        Wish::Status => status(client).await,
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
        Wish::Pause => client.post("/api/v1/pause", None).await,
        Wish::Resume => client.post("/api/v1/resume", None).await,
    }
}

async fn status(client: &Client) -> anyhow::Result<Value> {
    let reasons = client.reasons_not_to_be_ready().await?;
    let workers = client.get("/api/v1/workers").await?;
    let scale = client.get("/api/v1/scale").await?;
    let is_ready = reasons.is_empty();
    Ok(json!({ "ready": is_ready, "reasons": reasons, "workers": workers, "scale": scale }))
}
