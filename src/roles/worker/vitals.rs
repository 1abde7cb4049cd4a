//! Looks after the worker's own database: whether it answers, and still holds what was applied.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::sequencer::Order;
use super::{Parts, WorkerError};
use crate::ports::store::StoreError;
use crate::roles::latest;

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// A database that takes longer than this to answer the simplest question does not answer.
const LIMIT: Duration = Duration::from_secs(1);

/// Looks until the database has failed for as long as it may. Tells whether it is stalled, and has
/// the sequencer look for itself when something is lost.
///
/// The sequencer notices only a database that it has something to apply to; without writes a
/// worker would otherwise keep a dead database for ever. One that has not answered yet is waited
/// for: servers may be started in any order.
pub(super) async fn watch_database(
    parts: Parts,
    patience: Duration,
    stalled: latest::Sender<bool>,
    sequencer: mpsc::Sender<Order>,
) -> Result<(), WorkerError> {
    let mut has_answered = false;
    let mut failing_since = None;
    loop {
        let began = Instant::now();
        let found = look(&parts).await;
        let has_lost = matches!(found, Err(StoreError::FellBack));
        match found {
            Ok(()) | Err(StoreError::FellBack) => {
                has_answered = true;
                if failing_since.take().is_some() {
                    info!("the database answers again");
                }
            }
            Err(error) if failing_since.is_none() => {
                warn!(database = %parts.store.address(), %error, "the database does not answer");
                failing_since = Some(began);
            }
            Err(error) => {
                let failing =
                    failing_since.map_or(Duration::ZERO, |since| began.duration_since(since));
                if has_answered && failing >= patience {
                    return Err(WorkerError::Store(anyhow::Error::new(error)));
                }
            }
        }
        stalled.send_if_modified(|stalled| {
            std::mem::replace(stalled, failing_since.is_some()) != failing_since.is_some()
        });
        // Again at every look, since it may be another loss. A sequencer that is busy will look for
        // itself once for each, and one that is gone shows elsewhere.
        if has_lost {
            let _ = sequencer.try_send(Order::CheckDatabase);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// One look, bounded: a database that hangs is as good as one that is away.
async fn look(parts: &Parts) -> Result<(), StoreError> {
    timeout(LIMIT, parts.store.check()).await.unwrap_or_else(|_| {
        Err(StoreError::Unavailable(anyhow::anyhow!("the database did not answer in time")))
    })
}
