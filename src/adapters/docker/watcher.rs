//! Keeps the list of workers true: the engine tells of deaths at once, and is looked at now and
//! then besides, since a stream may break or go silent without a word.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::error::EngineError;
use super::shared::Shared;

/// How often everything is looked at without a reason.
const LOOK_PERIOD: Duration = Duration::from_secs(10);
/// The pause before the stream of events is opened again; doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Events from this long before the stream was opened are told again: the clocks of this machine
/// and the engine's may differ a little.
const OVERLAP_SECONDS: i64 = 5;

/// Listens for events until aborted.
pub(super) async fn listen(shared: Arc<Shared>) {
    let mut pause = FIRST_PAUSE;
    let mut is_lost = false;
    let mut since = now_seconds(&shared) - OVERLAP_SECONDS;
    loop {
        let ended = follow(&shared, since, &mut is_lost, &mut pause).await;
        since = now_seconds(&shared) - OVERLAP_SECONDS;
        if !is_lost {
            warn!(error = %ended, "events of the engine are not heard, connecting again");
        }
        is_lost = true;
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Follows one stream to its end, and says why it ended.
async fn follow(
    shared: &Arc<Shared>,
    since: i64,
    is_lost: &mut bool,
    pause: &mut Duration,
) -> EngineError {
    let mut events = shared.engine.events(&shared.names.label(), since);
    // The request is sent with the first wait for an event. What happened before is in the look
    // that follows.
    let mut next = timeout(FIRST_PAUSE, events.next()).await;
    if !matches!(next, Ok(None | Some(Err(_)))) {
        if std::mem::take(is_lost) {
            info!("events of the engine are heard again");
        }
        *pause = FIRST_PAUSE;
        shared.in_doubt.store(true, Ordering::Relaxed);
        shared.wanted.notify_one();
    }
    loop {
        match next {
            Err(_) => {}
            Ok(None) => return ended("the engine closed the stream"),
            Ok(Some(Err(error))) => return error,
            Ok(Some(Ok(event))) => {
                if event.is_death {
                    shared.note_death(&event.id, event.exit_code, event.at_ns);
                }
                shared.wanted.notify_one();
            }
        }
        tokio::select! {
            event = events.next() => next = Ok(event),
            () = shared.is_deaf.notified() => return ended("the stream is silent"),
        }
    }
}

fn ended(why: &'static str) -> EngineError {
    EngineError::Unavailable(anyhow::anyhow!(why))
}

/// Looks whenever that is wanted, and regularly, until aborted.
pub(super) async fn look(shared: Arc<Shared>) {
    let mut failed = false;
    let mut pause = FIRST_PAUSE;
    loop {
        let is_due = timeout(LOOK_PERIOD, shared.wanted.notified()).await.is_err();
        let in_doubt = shared.in_doubt.swap(false, Ordering::Relaxed);
        match shared.look(is_due || in_doubt || failed).await {
            Ok(is_news) => {
                if is_due && is_news {
                    shared.is_deaf.notify_one();
                }
                if std::mem::take(&mut failed) {
                    info!("the engine answers again");
                }
                pause = FIRST_PAUSE;
            }
            Err(error) => {
                if !std::mem::replace(&mut failed, true) {
                    warn!(%error, "the engine cannot be asked, trying again");
                }
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                shared.wanted.notify_one();
            }
        }
    }
}

fn now_seconds(shared: &Shared) -> i64 {
    i64::try_from((shared.settings.now_ms)() / 1_000).unwrap_or_default()
}
