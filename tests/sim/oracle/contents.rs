//! The documents as the log makes them, with every version that each of them had.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use rideshare::adapters::memory::MemoryStore;
use rideshare::domain::document::{CollectionName, Document, DocumentId};
use rideshare::domain::ids::Offset;
use rideshare::domain::log::{Change, Entry};
use rideshare::domain::message::encode;
use rideshare::domain::planner::{self, View};
use rideshare::domain::query::Query;
use rideshare::domain::request::WriteRequest;
use rideshare::ports::store::{Store, StoreError};

use super::plan_alone;

pub(super) type Key = (CollectionName, DocumentId);

/// Documents with the collections that they are in.
pub(crate) type Documents = Vec<(CollectionName, Document)>;

/// One version of a document, from an offset on; `None` where it is absent.
pub(super) type Version = (Offset, Option<Arc<Document>>);

#[derive(Debug, Default)]
pub(crate) struct Contents {
    versions: BTreeMap<Key, Vec<Version>>,
    collections: BTreeMap<CollectionName, BTreeMap<DocumentId, Arc<Document>>>,
    /// What there was before the first record.
    base: BTreeMap<Key, Arc<Document>>,
    /// The sum of the hashes of all documents, so that order does not matter.
    sum: u64,
}

fn hash(collection: &CollectionName, document: &Document) -> u64 {
    let mut hasher = DefaultHasher::new();
    (collection.as_str(), encode(document)).hash(&mut hasher);
    hasher.finish()
}

/// The same number for a database as for [`Contents`] with the same documents.
pub(crate) async fn digest(store: &MemoryStore) -> Result<u64, StoreError> {
    let hashes = documents(store).await?;
    let hashes = hashes.iter().map(|(collection, document)| hash(collection, document));
    Ok(hashes.fold(0, u64::wrapping_add))
}

/// All that a database holds.
pub(crate) async fn documents(store: &MemoryStore) -> Result<Documents, StoreError> {
    let mut all = Vec::new();
    for collection in store.collections().await? {
        let found = store.find(&Query::all(collection.clone()), usize::MAX).await?;
        all.extend(found.into_iter().map(|document| (collection.clone(), document)));
    }
    Ok(all)
}

impl Contents {
    /// Contents that begin with these documents.
    pub(super) fn on(documents: &Documents) -> Self {
        let mut contents = Self::default();
        for (collection, document) in documents {
            let Some(id) = document.id() else { continue };
            contents.sum = contents.sum.wrapping_add(hash(collection, document));
            let document = Arc::new(document.clone());
            let documents = contents.collections.entry(collection.clone()).or_default();
            documents.insert(id.clone(), Arc::clone(&document));
            contents.base.insert((collection.clone(), id), document);
        }
        contents
    }

    /// What a document was before the first record.
    pub(super) fn base(&self, key: &Key) -> Option<&Arc<Document>> {
        self.base.get(key)
    }

    pub(super) fn digest(&self) -> u64 {
        self.sum
    }

    /// Every version that a document had since, oldest first.
    pub(super) fn versions(&self, key: &Key) -> &[Version] {
        self.versions.get(key).map_or(&[], Vec::as_slice)
    }

    /// Every document that there ever was in a collection.
    pub(super) fn ids(&self, collection: &CollectionName) -> BTreeSet<DocumentId> {
        let keys = self.versions.keys().chain(self.base.keys());
        let keys = keys.filter(|(name, _)| name == collection);
        keys.map(|(_, id)| id.clone()).collect()
    }

    pub(super) fn apply(&mut self, offset: Offset, change: &Change) {
        match change {
            Change::Put { collection, id, document } => {
                self.set(offset, collection, id, Some(Arc::clone(document)));
            }
            Change::Delete { collection, id } => self.set(offset, collection, id, None),
            Change::Clear { collection } => {
                let documents = self.collections.get(collection);
                let ids: Vec<_> = documents.into_iter().flat_map(|it| it.keys()).cloned().collect();
                for id in ids {
                    self.set(offset, collection, &id, None);
                }
            }
            Change::EnsureIndex { .. } => {}
        }
    }

    fn set(
        &mut self,
        offset: Offset,
        collection: &CollectionName,
        id: &DocumentId,
        document: Option<Arc<Document>>,
    ) {
        let documents = self.collections.entry(collection.clone()).or_default();
        let before = match &document {
            Some(document) => documents.insert(id.clone(), Arc::clone(document)),
            None => documents.remove(id),
        };
        if let Some(before) = before {
            self.sum = self.sum.wrapping_sub(hash(collection, &before));
        }
        if let Some(document) = &document {
            self.sum = self.sum.wrapping_add(hash(collection, document));
        }
        let versions = self.versions.entry((collection.clone(), id.clone())).or_default();
        versions.push((offset, document));
    }

    /// What a request means here and now.
    pub(super) fn carry_out(&self, request: &WriteRequest) -> Option<Entry> {
        let needs = planner::needs(&[request]);
        let mut view = View::default();
        for (collection, ids) in needs.ids {
            let documents = self.collections.get(&collection);
            let found = ids.iter().filter_map(|id| documents?.get(id));
            let found = found.map(|document| Document::clone(document)).collect();
            view.fetched(&collection, ids, found);
        }
        for scan in needs.scans {
            let documents = self.collections.get(&scan.collection);
            let all = documents.into_iter().flat_map(|documents| documents.values());
            let matching = all.filter(|document| scan.filter.matches(document));
            let most = scan.limit.map_or(usize::MAX, |limit| limit as usize);
            let found = matching.take(most).map(|document| Document::clone(document)).collect();
            view.scanned(scan.key, found);
        }
        plan_alone(request, view)
    }
}
