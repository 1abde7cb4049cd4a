//! The user collections of a database.

use std::time::Duration;

use mongodb::Database;
use mongodb::bson::{RawDocumentBuf, doc};

use super::error::within;
use super::write::indexed_field;
use crate::domain::document::CollectionName;
use crate::domain::message::Collection;
use crate::ports::store::StoreError;

/// Every user collection, empty ones too, ascending. The store's own and the server's have names
/// that no user collection can have.
pub(super) async fn all(
    database: &Database,
    limit: Duration,
) -> Result<Vec<CollectionName>, StoreError> {
    let names = within(limit, database.list_collection_names()).await?;
    let mut names: Vec<_> =
        names.iter().filter_map(|name| CollectionName::parse(name).ok()).collect();
    names.sort();
    Ok(names)
}

/// Those that hold documents, ascending.
pub(super) async fn with_documents(
    database: &Database,
    limit: Duration,
) -> Result<Vec<CollectionName>, StoreError> {
    let mut found = Vec::new();
    for name in all(database, limit).await? {
        let collection = database.collection::<RawDocumentBuf>(name.as_str());
        let any = collection.find_one(doc! {}).projection(doc! { "_id": 1 });
        if within(limit, any).await?.is_some() {
            found.push(name);
        }
    }
    Ok(found)
}

/// Those that hold documents or have an index, ascending.
pub(super) async fn catalog(
    database: &Database,
    limit: Duration,
) -> Result<Vec<Collection>, StoreError> {
    let filled = with_documents(database, limit).await?;
    let mut found = Vec::new();
    for name in all(database, limit).await? {
        let collection = database.collection::<RawDocumentBuf>(name.as_str());
        let names = within(limit, collection.list_index_names()).await?;
        let mut indexes: Vec<_> =
            names.iter().filter_map(|index| indexed_field(index)).map(str::to_owned).collect();
        indexes.sort();
        if !indexes.is_empty() || filled.contains(&name) {
            found.push(Collection { name, indexes });
        }
    }
    Ok(found)
}
