//! Empties a collection, however large it is.
//!
//! The server deletes some 50 000 documents a second; a worker that waited for a million of them would
//! be taken for broken. So an empty collection with the same indexes is put in the place of a large one,
//! which takes as long for any number of documents. A small one is emptied by deleting, as that leaves
//! alone who reads it at the moment.
//!
//! Invariant: at any moment there is a whole collection of the name, full or empty, with all indexes;
//! whoever is cut off can do it all again.

use mongodb::bson::{RawDocumentBuf, doc, rawdoc};

use super::error::{check_writes, within};
use super::write::{ensure_index, indexed_field};
use super::writer::Attempt;
use crate::domain::document::CollectionName;
use crate::ports::store::StoreError;

/// What has more documents than this is replaced.
const LARGE: u64 = 1_000;
/// What an empty collection is called until it is put in its place. No collection of a client's is.
const NEXT: &str = "_emptied";

/// Deletes every document; indexes stay.
pub(super) async fn clear(
    attempt: &Attempt<'_>,
    collection: &CollectionName,
) -> Result<(), StoreError> {
    let documents = attempt.database.collection::<RawDocumentBuf>(collection.as_str());
    if within(attempt.limit, documents.estimated_document_count()).await? > LARGE {
        return replace(attempt, collection).await;
    }
    let command = rawdoc! {
        "delete": collection.as_str(),
        "deletes": [{ "q": {}, "limit": 0 }],
        "maxTimeMS": i64::try_from(attempt.limit.as_millis() / 2).unwrap_or(i64::MAX).max(1),
    };
    match attempt.run(command).await.and_then(|reply| check_writes(&reply)) {
        // A server that was killed may have counted wrongly.
        Err(StoreError::TimedOut) => replace(attempt, collection).await,
        done => done,
    }
}

async fn replace(attempt: &Attempt<'_>, collection: &CollectionName) -> Result<(), StoreError> {
    let next = format!("{NEXT}.{collection}");
    let old = attempt.database.collection::<RawDocumentBuf>(collection.as_str());
    let indexes = within(attempt.limit, old.list_index_names()).await?;
    // One that an earlier attempt left behind.
    within(attempt.limit, attempt.database.collection::<RawDocumentBuf>(&next).drop()).await?;
    attempt.run(rawdoc! { "create": next.as_str() }).await?;
    for field in indexes.iter().filter_map(|index| indexed_field(index)) {
        ensure_index(attempt, &next, field).await?;
    }
    let within_database = |name: &str| format!("{}.{name}", attempt.database.name());
    let command = doc! {
        "renameCollection": within_database(&next),
        "to": within_database(collection.as_str()),
        "dropTarget": true,
    };
    let admin = attempt.database.client().database("admin");
    within(attempt.limit, admin.run_command(command)).await.map(drop)
}
