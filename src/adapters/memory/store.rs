//! Databases in memory, which outlive their workers as a disk does.
//!
//! Evaluates every query by its meaning in the domain. Indexes are remembered and change nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex};

use anyhow::anyhow;
use async_trait::async_trait;
use tokio::task::yield_now;

use super::lock;
use crate::domain::document::{CollectionName, Document, DocumentId, Value};
use crate::domain::filter::Filter;
use crate::domain::ids::DatabaseAddress;
use crate::domain::log::{Change, History};
use crate::domain::message;
use crate::domain::query::{self, Query};
use crate::ports::store::{Copied, Store, StoreError, Visible};

/// How many documents a copy takes from its source at once.
const COPY_DOCUMENTS: usize = 256;

/// All databases that can be copied from each other; a clone is the same set.
#[derive(Clone, Debug, Default)]
pub struct MemoryStores {
    disks: Arc<Mutex<BTreeMap<DatabaseAddress, Arc<Disk>>>>,
}

/// A handle on one database. Dropping it keeps the data, as a stopped server does.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    address: DatabaseAddress,
    disk: Arc<Disk>,
    stores: MemoryStores,
}

#[derive(Debug, Default)]
struct Disk {
    contents: Mutex<Contents>,
}

type Collection = BTreeMap<DocumentId, Arc<Document>>;

#[derive(Debug, Default)]
struct Contents {
    collections: BTreeMap<CollectionName, Collection>,
    indexes: BTreeSet<(CollectionName, String)>,
    history: History,
}

impl MemoryStores {
    /// No databases yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the database of that name: a new, empty one, or the one that is there.
    #[must_use]
    pub fn open(&self, name: &str) -> MemoryStore {
        let address = address_of(name);
        let disk = Arc::clone(lock(&self.disks).entry(address.clone()).or_default());
        MemoryStore { address, disk, stores: self.clone() }
    }

    /// Throws a database away: nobody can copy or open it any more.
    pub fn remove(&self, name: &str) {
        lock(&self.disks).remove(&address_of(name));
    }

    fn find(&self, address: &DatabaseAddress) -> Option<Arc<Disk>> {
        lock(&self.disks).get(address).cloned()
    }
}

fn address_of(name: &str) -> DatabaseAddress {
    DatabaseAddress::new(format!("memory:{name}"))
}

impl Contents {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Put { collection, id, document } => {
                let documents = self.collections.entry(collection.clone()).or_default();
                documents.insert(id.clone(), Arc::clone(document));
            }
            Change::Delete { collection, id } => {
                if let Some(documents) = self.collections.get_mut(collection) {
                    documents.remove(id);
                }
            }
            Change::Clear { collection } => {
                self.collections.remove(collection);
            }
            Change::EnsureIndex { collection, field } => {
                self.indexes.insert((collection.clone(), field.clone()));
            }
        }
    }

    /// The documents that a filter may meet, by key.
    fn candidates(&self, collection: &CollectionName, filter: &Filter) -> Vec<Arc<Document>> {
        let Some(documents) = self.collections.get(collection) else { return Vec::new() };
        match filter.ids() {
            Some(ids) => ids.iter().filter_map(|id| documents.get(id)).cloned().collect(),
            None => documents.values().cloned().collect(),
        }
    }
}

impl MemoryStore {
    /// Takes what may match under the lock; what it means is worked out without.
    fn candidates(&self, collection: &CollectionName, filter: &Filter) -> Vec<Arc<Document>> {
        lock(&self.disk.contents).candidates(collection, filter)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn history(&self) -> Result<History, StoreError> {
        Ok(lock(&self.disk.contents).history.clone())
    }

    async fn apply_telling(
        &self,
        changes: &[Change],
        history: &History,
        visible: Visible<'_>,
    ) -> Result<(), StoreError> {
        let mut contents = lock(&self.disk.contents);
        for change in changes {
            contents.apply(change);
        }
        contents.history = history.clone();
        drop(contents);
        visible();
        Ok(())
    }

    async fn get(
        &self,
        collection: &CollectionName,
        ids: &[DocumentId],
    ) -> Result<Vec<Document>, StoreError> {
        let unique: BTreeSet<&DocumentId> = ids.iter().collect();
        let contents = lock(&self.disk.contents);
        let Some(documents) = contents.collections.get(collection) else { return Ok(Vec::new()) };
        let found = unique.into_iter().filter_map(|id| documents.get(id));
        Ok(found.map(|document| Document::clone(document)).collect())
    }

    async fn find(&self, query: &Query, max_bytes: usize) -> Result<Vec<Document>, StoreError> {
        let candidates = self.candidates(&query.collection, &query.filter);
        let found = query::evaluate(query, candidates.iter().map(|document| &**document));
        let bytes: usize = found.iter().map(Document::encoded_size).sum();
        if bytes > max_bytes { Err(StoreError::TooLarge { bytes: max_bytes }) } else { Ok(found) }
    }

    async fn count(&self, query: &Query) -> Result<u64, StoreError> {
        let candidates = self.candidates(&query.collection, &query.filter);
        let matching = candidates.iter().filter(|document| query.filter.matches(document)).count();
        let unskipped = (matching as u64).saturating_sub(query.skip);
        Ok(unskipped.min(query.limit.unwrap_or(u64::MAX)))
    }

    async fn distinct(
        &self,
        collection: &CollectionName,
        filter: &Filter,
        field: &str,
        max_bytes: usize,
    ) -> Result<Vec<Value>, StoreError> {
        let candidates = self.candidates(collection, filter);
        let matching = candidates.iter().filter(|document| filter.matches(document));
        let values = query::distinct(matching.map(|document| &**document), field);
        let answer = Document::from_iter([(String::new(), Value::Array(values.clone()))]);
        if answer.encoded_size() > max_bytes {
            return Err(StoreError::TooLarge { bytes: max_bytes });
        }
        Ok(values)
    }

    async fn collections(&self) -> Result<Vec<CollectionName>, StoreError> {
        let contents = lock(&self.disk.contents);
        let filled = contents.collections.iter().filter(|(_, documents)| !documents.is_empty());
        Ok(filled.map(|(name, _)| name.clone()).collect())
    }

    async fn catalog(&self) -> Result<Vec<message::Collection>, StoreError> {
        let filled = self.collections().await?;
        let mut fields: BTreeMap<_, Vec<_>> =
            filled.into_iter().map(|name| (name, Vec::new())).collect();
        for (name, field) in &lock(&self.disk.contents).indexes {
            fields.entry(name.clone()).or_default().push(field.clone());
        }
        Ok(fields
            .into_iter()
            .map(|(name, indexes)| message::Collection { name, indexes })
            .collect())
    }

    /// A part of this process: it is there, and it does not forget.
    async fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn address(&self) -> DatabaseAddress {
        self.address.clone()
    }

    async fn copy_from(&self, source: &DatabaseAddress) -> Result<Copied, StoreError> {
        if *source == self.address {
            return Err(StoreError::Internal(anyhow!("a database cannot be a copy of itself")));
        }
        *lock(&self.disk.contents) = Contents::default();
        let Some(source) = self.stores.find(source) else {
            return Err(StoreError::Unavailable(anyhow!("there is no database at {source}")));
        };
        // Kept aside until it is whole: dropped half way, it leaves the store as empty as it is.
        let copy = copy_of(&source).await;
        let consistent_at = lock(&source.contents).history.applied;
        let copied = Copied { history: copy.history.clone(), consistent_at };
        *lock(&self.disk.contents) = copy;
        Ok(copied)
    }
}

/// Copies portion by portion, between which the source goes on.
async fn copy_of(source: &Disk) -> Contents {
    let (mut copy, names) = {
        let contents = lock(&source.contents);
        let names: Vec<_> = contents.collections.keys().cloned().collect();
        (Contents { history: contents.history.clone(), ..Contents::default() }, names)
    };
    for name in names {
        let mut documents = Collection::new();
        while let Some(portion) = next_portion(source, &name, documents.last_key_value()) {
            documents.extend(portion);
            yield_now().await;
        }
        copy.collections.insert(name, documents);
    }
    copy.indexes = lock(&source.contents).indexes.clone();
    copy
}

/// The documents after the last one that was copied; nothing when there are no more.
fn next_portion(
    source: &Disk,
    name: &CollectionName,
    last: Option<(&DocumentId, &Arc<Document>)>,
) -> Option<Vec<(DocumentId, Arc<Document>)>> {
    let contents = lock(&source.contents);
    let after = last.map_or(Bound::Unbounded, |(id, _)| Bound::Excluded(id));
    let rest = contents.collections.get(name)?.range((after, Bound::Unbounded));
    let portion: Vec<_> = rest
        .take(COPY_DOCUMENTS)
        .map(|(id, document)| (id.clone(), Arc::clone(document)))
        .collect();
    (!portion.is_empty()).then_some(portion)
}
