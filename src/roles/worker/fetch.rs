//! Fetches from the database what a batch is planned from.

use std::time::Duration;

use tokio::time::Instant;

use super::WorkerError;
use super::sequencer::Interruption;
use crate::domain::document::Document;
use crate::domain::outcome::Refusal;
use crate::domain::planner::{self, Needs, Scan, View};
use crate::domain::query::Query;
use crate::ports::store::{Store, StoreError};

/// The most that a scan for an update or a delete may fetch.
const MAX_SCAN_BYTES: usize = planner::MAX_ENTRY_BYTES;
/// The pause before a database that is away is asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// Everything that `needs` names. A database that is away is asked again for as long as `patience`.
pub(super) async fn fetch(
    store: &dyn Store,
    patience: Duration,
    needs: &Needs,
) -> Result<View, Interruption> {
    let mut view = View::default();
    for (collection, ids) in &needs.ids {
        let wanted: Vec<_> = ids.iter().cloned().collect();
        let found = insist(patience, || store.get(collection, &wanted)).await?;
        view.fetched(collection, wanted, found);
    }
    for scan in &needs.scans {
        match insist(patience, || carry_out(store, scan)).await? {
            Ok(found) => view.scanned(scan.key, found),
            Err(refusal) => view.not_scanned(scan.key, refusal),
        }
    }
    Ok(view)
}

/// What a scan finds, or why its request is to be refused.
async fn carry_out(
    store: &dyn Store,
    scan: &Scan,
) -> Result<Result<Vec<Document>, Refusal>, StoreError> {
    let query = Query {
        collection: scan.collection.clone(),
        filter: scan.filter.clone(),
        sort: Vec::new(),
        projection: None,
        skip: 0,
        limit: scan.limit,
    };
    match store.find(&query, MAX_SCAN_BYTES).await {
        Ok(found) => Ok(Ok(found)),
        Err(StoreError::TimedOut) => Ok(Err(Refusal::TimedOut)),
        Err(error @ StoreError::TooLarge { .. }) => {
            Ok(Err(Refusal::Unfit { detail: error.to_string() }))
        }
        Err(error) => Err(error),
    }
}

/// Tries again while the database is away or slow, for as long as it may be.
async fn insist<T, F: Future<Output = Result<T, StoreError>>>(
    patience: Duration,
    attempt: impl Fn() -> F,
) -> Result<T, Interruption> {
    let give_up = Instant::now() + patience;
    loop {
        match attempt().await {
            Ok(found) => return Ok(found),
            Err(StoreError::Unavailable(_) | StoreError::TimedOut) if Instant::now() < give_up => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(StoreError::FellBack) => return Err(Interruption::FellBack),
            Err(error) => return Err(WorkerError::Store(anyhow::Error::new(error)).into()),
        }
    }
}
