//! `rideshare healthcheck`: asks a service of this machine whether it lives, or is ready.
//!
//! For whoever watches a container from inside it, where there is no other client.

use std::time::Duration;

use anyhow::{Context, bail};

use super::listen::reachable;
use crate::adapters::http_client;
use crate::settings::Settings;

/// What is said on the command line alone.
#[derive(Clone, Debug)]
pub struct Options {
    /// Ask whether it is ready to serve, not only whether it lives.
    pub ready: bool,
    /// How long it may take to answer.
    pub limit: Duration,
}

/// Asks once.
///
/// # Errors
/// When there is no answer in time, or the answer is no.
pub async fn run(settings: Settings, options: Options) -> anyhow::Result<()> {
    let address = reachable(&settings.http.listen, settings.http.port)
        .with_context(|| format!("setting `http.listen`: {}", settings.http.listen))?;
    let path = if options.ready { "readyz" } else { "healthz" };
    let url = format!("{}://{address}/{path}", settings.http.scheme());
    let (status, body) = http_client::probe(&url, options.limit)
        .await
        .with_context(|| format!("{url} gives no answer"))?;
    if status != 200 {
        bail!("{url} answers {status}: {body}");
    }
    Ok(())
}
