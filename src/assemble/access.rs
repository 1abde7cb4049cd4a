//! The tokens of the services in this process, read again whenever their files change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::domain::access::Tokens;
use crate::http::access::{Guard, Policy};
use crate::settings::{Auth, AuthMode};

/// How often the files are read. They are looked at rather than watched, since mounted secrets
/// change by a link above them.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// More than any file of tokens has.
const MOST_BYTES: u64 = 64 * 1024;

/// The tokens that count; cheap to clone.
#[derive(Clone)]
pub(super) struct Access {
    auth: Auth,
    tokens: watch::Sender<Arc<Tokens>>,
}

impl Access {
    /// The tokens of the settings, which are checked already.
    pub(super) fn new(auth: &Auth) -> anyhow::Result<Self> {
        let tokens = watch::Sender::new(Arc::new(auth.tokens()?));
        Ok(Self { auth: auth.clone(), tokens })
    }

    /// What stands before the routes of a service.
    pub(super) fn guard(&self, policy: Policy) -> Guard {
        let is_closed = self.auth.mode == AuthMode::Token;
        Guard::new(policy, is_closed.then(|| self.tokens.subscribe()))
    }

    /// The tokens to show to others.
    pub(super) fn tokens(&self) -> watch::Receiver<Arc<Tokens>> {
        self.tokens.subscribe()
    }

    /// Reads the files again and again. A file that cannot be read or holds no tokens changes
    /// nothing: locking everybody out would be worse than a token that counts for too long.
    pub(super) async fn follow(self) {
        if [&self.auth.app_token_file, &self.auth.admin_token_file].iter().all(|it| is_none(it)) {
            return std::future::pending().await;
        }
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut complaint = String::new();
        loop {
            ticks.tick().await;
            match self.read().await {
                Ok(tokens) => {
                    complaint.clear();
                    self.take(tokens);
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    if error != complaint {
                        warn!(error, "tokens not read, the last ones go on to count");
                        complaint = error;
                    }
                }
            }
        }
    }

    fn take(&self, tokens: Tokens) {
        let is_new = self.tokens.send_if_modified(|current| {
            let is_new = **current != tokens;
            if is_new {
                *current = Arc::new(tokens);
            }
            is_new
        });
        if is_new {
            info!(tokens = ?*self.tokens.borrow(), "tokens changed");
        }
    }

    async fn read(&self) -> anyhow::Result<Tokens> {
        let app = current(&self.auth.app_token_file, self.auth.app_token.expose()).await?;
        let admin = current(&self.auth.admin_token_file, self.auth.admin_token.expose()).await?;
        Ok(self.auth.tokens_of(&app, &admin)?)
    }
}

fn is_none(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

/// What a file says now; what was given at the start where there is no file.
async fn current(file: &PathBuf, given: &str) -> anyhow::Result<String> {
    if is_none(file) {
        return Ok(given.to_owned());
    }
    let named = || format!("{}", file.display());
    let length = tokio::fs::metadata(file).await.with_context(named)?.len();
    ensure!(length <= MOST_BYTES, "{} is larger than {MOST_BYTES} bytes", file.display());
    let text = tokio::fs::read_to_string(file).await.with_context(named)?;
    ensure!(!text.trim().is_empty(), "{} is empty", file.display());
    Ok(text)
}
