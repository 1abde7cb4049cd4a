//! Copies another worker's database while that worker goes on.
//!
//! Documents travel as they are, a batch at a time, without being decoded. The copy is fuzzy: it
//! holds everything up to the history that was read first, and parts of what came until the one
//! that was read last; applying the log from the first on mends it.

use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt, TryStreamExt, stream};
use mongodb::bson::raw::CStr;
use mongodb::bson::{Document as BsonDocument, RawArrayBuf, RawDocumentBuf, doc};
use mongodb::raw_batch_cursor::RawBatch;
use mongodb::{Client, Database};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::time::Instant;
use tracing::info;
use uuid::Uuid;

use super::error::{DUPLICATE_KEY, broken, check_writes, translate, unavailable, within};
use super::names;
use super::read::{documents, next_batch};
use super::settings::parse_address;
use super::state::{self, State, Stored};
use super::write::{ensure_index, indexed_field};
use super::writer::Attempt;
use crate::domain::document::CollectionName;
use crate::domain::ids::DatabaseAddress;
use crate::domain::log::History;
use crate::ports::store::{Copied, StoreError};

/// How many collections are copied at the same time.
const PARALLEL_COLLECTIONS: usize = 2;

/// How many batches of a collection are written at the same time.
const PARALLEL_INSERTS: usize = 3;

/// How many documents make a batch; a batch of large ones ends at 16 MiB.
const BATCH: u32 = 2_000;

/// How much of a batch one command carries. The server takes a command of 16 MiB.
const COMMAND_BYTES: usize = 12 * 1024 * 1024;

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// The database to copy from.
pub(super) struct Source {
    database: Database,
    limit: Duration,
}

impl Source {
    /// The database at an address, with the credentials and the TLS settings of the own one.
    pub(super) fn at(
        address: &DatabaseAddress,
        mut options: mongodb::options::ClientOptions,
        limit: Duration,
    ) -> Result<Self, StoreError> {
        let (hosts, database) = parse_address(address)?;
        options.direct_connection = Some(hosts.len() == 1 && options.repl_set_name.is_none());
        options.hosts = hosts;
        options.app_name = Some("rideshare-copy".to_owned());
        // Those watch the own database.
        options.cmap_event_handler = None;
        let client = Client::with_options(options).map_err(translate)?;
        Ok(Self { database: client.database(&database), limit })
    }

    async fn history(&self) -> Result<History, StoreError> {
        match state::load(&self.database, self.limit).await? {
            State::Current(stored) => Ok(stored.history),
            State::Copying(_) => Err(unavailable("the source is being copied to itself")),
        }
    }
}

/// Replaces everything in the attempt's database by a copy of the source's.
pub(super) async fn copy(attempt: &Attempt<'_>, source: &Source) -> Result<Copied, StoreError> {
    let history = start(attempt, source).await?;
    let names = names::all(&source.database, source.limit).await?;
    let progress = Progress::new();
    let mut copying = Vec::new();
    for name in &names {
        copying.push(copy_collection(attempt, source, name, &progress));
    }
    stream::iter(copying).buffer_unordered(PARALLEL_COLLECTIONS).try_collect::<()>().await?;
    let end = source.history().await?;
    if end.log_id != history.log_id && history.log_id.is_some() {
        return Err(unavailable("the source was replaced during the copy"));
    }
    state::save(attempt, &State::Current(Stored::new(history.clone())?), true).await?;
    progress.tell("copied the database");
    Ok(Copied { history, consistent_at: end.applied })
}

/// Marks the own database as a copy in the making, and empties it.
async fn start(attempt: &Attempt<'_>, source: &Source) -> Result<History, StoreError> {
    let before = state::load(&attempt.database, attempt.limit).await?;
    let mark = State::Copying(Uuid::now_v7().to_string());
    state::save(attempt, &mark, true).await?;
    if state::load(&source.database, source.limit).await? == mark {
        state::save(attempt, &before, true).await?;
        return Err(broken("the source of the copy is the database itself"));
    }
    state::wipe(attempt).await?;
    source.history().await
}

async fn copy_collection(
    attempt: &Attempt<'_>,
    source: &Source,
    name: &CollectionName,
    progress: &Progress,
) -> Result<(), StoreError> {
    let collection = source.database.collection::<RawDocumentBuf>(name.as_str());
    let find = collection.find(doc! {}).hint(mongodb::options::Hint::Keys(doc! { "$natural": 1 }));
    let mut cursor = within(source.limit, find.batch_size(BATCH).batch()).await?;
    let mut inserts = FuturesUnordered::new();
    let mut is_read = false;
    while !is_read || !inserts.is_empty() {
        let may_read = !is_read && inserts.len() < PARALLEL_INSERTS;
        tokio::select! {
            Some(inserted) = inserts.next(), if !inserts.is_empty() => inserted?,
            batch = next_batch(&mut cursor, source.limit), if may_read => match batch? {
                Some(batch) => inserts.push(insert(attempt, name, batch, progress)),
                None => is_read = true,
            },
        }
    }
    copy_indexes(attempt, source, name).await
}

async fn insert(
    attempt: &Attempt<'_>,
    name: &CollectionName,
    batch: RawBatch,
    progress: &Progress,
) -> Result<(), StoreError> {
    let whole = batch.doc_slices().map_err(translate)?;
    if whole.is_empty() {
        return Ok(());
    }
    let mut count = 0;
    let mut part = RawArrayBuf::new();
    let is_small = whole.as_bytes().len() <= COMMAND_BYTES;
    for document in documents(&batch)? {
        let document = document?;
        count += 1;
        if is_small {
            continue;
        }
        if part.as_bytes().len() + document.as_bytes().len() > COMMAND_BYTES {
            let full = std::mem::replace(&mut part, RawArrayBuf::new());
            insert_part(attempt, name, full).await?;
        }
        part.push(document);
    }
    if is_small {
        part = whole.to_owned();
    }
    insert_part(attempt, name, part).await?;
    progress.add(count, whole.as_bytes().len());
    Ok(())
}

async fn insert_part(
    attempt: &Attempt<'_>,
    name: &CollectionName,
    documents: RawArrayBuf,
) -> Result<(), StoreError> {
    let mut command = RawDocumentBuf::new();
    let fields = ["insert", "documents", "ordered"];
    let [insert, list, ordered] = fields.map(<&CStr>::try_from);
    let refuse = |_| broken("a name holds a NUL character");
    command.append(insert.map_err(refuse)?, name.as_str());
    command.append(list.map_err(refuse)?, documents);
    command.append(ordered.map_err(refuse)?, false);
    let mut reply = attempt.run(command).await?;
    forget_duplicates(&mut reply);
    check_writes(&reply)
}

/// A document that was deleted and stored again during the copy can be met twice. Which of them
/// stays does not matter, as the log has both changes.
fn forget_duplicates(reply: &mut BsonDocument) {
    if let Ok(errors) = reply.get_array_mut("writeErrors") {
        let is_duplicate =
            |error: &BsonDocument| matches!(error.get_i32("code"), Ok(DUPLICATE_KEY));
        errors.retain(|error| !error.as_document().is_some_and(is_duplicate));
    }
}

async fn copy_indexes(
    attempt: &Attempt<'_>,
    source: &Source,
    name: &CollectionName,
) -> Result<(), StoreError> {
    let collection = source.database.collection::<BsonDocument>(name.as_str());
    for index in within(source.limit, collection.list_index_names()).await? {
        if let Some(field) = indexed_field(&index) {
            ensure_index(attempt, name.as_str(), field).await?;
        }
    }
    Ok(())
}

/// How far a copy has come.
struct Progress {
    started: Instant,
    documents: AtomicU64,
    bytes: AtomicU64,
    /// Milliseconds after the start.
    told: AtomicU64,
}

impl Progress {
    fn new() -> Self {
        Self {
            started: Instant::now(),
            documents: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            told: AtomicU64::new(0),
        }
    }

    fn add(&self, documents: u64, bytes: usize) {
        self.documents.fetch_add(documents, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let now = self.started.elapsed().as_millis() as u64;
        if now.saturating_sub(self.told.load(Ordering::Relaxed)) >= TELL_EVERY.as_millis() as u64 {
            self.told.store(now, Ordering::Relaxed);
            self.tell("copying the database");
        }
    }

    fn tell(&self, what: &'static str) {
        let documents = self.documents.load(Ordering::Relaxed);
        let bytes = self.bytes.load(Ordering::Relaxed);
        let elapsed_ms = self.started.elapsed().as_millis() as u64;
        info!(documents, bytes, elapsed_ms, "{what}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document_met_twice_is_no_failure_and_any_other_error_is() {
        let mut reply = doc! { "writeErrors": [{ "code": DUPLICATE_KEY }] };
        forget_duplicates(&mut reply);
        assert!(check_writes(&reply).is_ok());
        let mut reply = doc! { "writeErrors": [{ "code": DUPLICATE_KEY }, { "code": 2 }] };
        forget_duplicates(&mut reply);
        assert!(check_writes(&reply).is_err());
    }
}
