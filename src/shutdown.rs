//! Signals: the first one asks for an orderly end, the second one ends the process at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The exit code of a process that was told twice.
const AT_ONCE: i32 = 1;

/// Listens for SIGTERM and Ctrl-C from now on. The token is cancelled by the first.
///
/// # Errors
/// When the signals cannot be listened for.
pub fn on_signals() -> std::io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let asked = token.clone();
    tokio::spawn(async move {
        for times in 1.. {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if times == 1 {
                info!("stopping; a second signal stops at once");
                asked.cancel();
            } else {
                warn!("stopping at once");
                std::process::exit(AT_ONCE);
            }
        }
    });
    Ok(token)
}
