//! How the system is, again and again.

use std::time::Duration;

use console::Term;
use serde_json::{Value, json};
use tokio::signal::ctrl_c;
use tokio::time::{MissedTickBehavior, interval};

use super::client::Client;
use super::{show, status};

/// The pause between two looks.
const PERIOD: Duration = Duration::from_secs(1);
/// The newest events that are shown.
const EVENTS: usize = 8;

/// Shows it until Ctrl-C: in place on a terminal, else one text after the other; with `json`, a
/// line for each look.
pub(super) async fn watch(client: &Client, json: bool) -> anyhow::Result<()> {
    let term = Term::stdout();
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ctrl_c() => return Ok(()),
            _ = ticks.tick() => {}
        }
        // Whoever watches wants to see it come back, too.
        let seen = look(client).await;
        if json {
            let line = seen.unwrap_or_else(|error| json!({ "error": format!("{error:#}") }));
            term.write_line(&line.to_string())?;
            continue;
        }
        if term.is_term() {
            term.clear_screen()?;
        }
        match seen {
            Ok(seen) => {
                let recent = show::events(&seen["events"]);
                term.write_line(&format!("{}\n\n{recent}", show::status(&seen)))?;
            }
            Err(error) => term.write_line(&format!("{error:#}"))?,
        }
    }
}

async fn look(client: &Client) -> anyhow::Result<Value> {
    let mut seen = status(client).await?;
    let events = client.get("/api/v1/events").await?;
    let events = events.as_array().map(Vec::as_slice).unwrap_or_default();
    seen["events"] = json!(events[events.len().saturating_sub(EVENTS)..]);
    Ok(seen)
}
