//! A store that remembers documents, so that reads by `_id` need not ask its database.
//!
//! It is exact, since every change to the database comes through it: what a change touches is
//! forgotten before the change is made, and remembered anew, as it is now, after. So whoever reads
//! after an [`Store::apply`] has returned sees it. A read that is under way meanwhile cannot leave its
//! outdated result behind: forgetting a document also voids the place that was kept for it.

mod key;
mod lookups;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use quick_cache::sync::{Cache, DefaultLifecycle, GuardResult, PlaceholderGuard};
use quick_cache::{DefaultHashBuilder, Weighter};

use self::key::{Key, KeyRef};
use self::lookups::Lookups;
use crate::domain::document::{CollectionName, Document, DocumentId, Value};
use crate::domain::filter::Filter;
use crate::domain::ids::DatabaseAddress;
use crate::domain::log::{Change, History};
use crate::domain::message::Collection;
use crate::domain::query::{self, Query};
use crate::ports::store::{Copied, Store, StoreError, Visible};

/// Larger documents are not remembered: the way to the database is the least of their costs.
const LARGEST: usize = 64 * 1024;

/// Reads of more ids than this ask the database as they are.
const MOST_IDS: usize = 64;

/// What an entry takes beside its document and its key, in bytes, about.
const OVERHEAD: usize = 256;

/// What a field of a document takes beside its name and its value, in bytes, about.
const FIELD: usize = 96;

/// The bytes that a usual entry takes; decides what is laid out at the start, and no more.
const USUAL: usize = 512;

/// A document as it is, or that there is none.
type Entry = Option<Arc<Document>>;
type Guard<'a> =
    PlaceholderGuard<'a, Key, Entry, Weight, DefaultHashBuilder, DefaultLifecycle<Key, Entry>>;

#[derive(Clone)]
struct Weight;

impl Weighter<Key, Entry> for Weight {
    fn weight(&self, key: &Key, entry: &Entry) -> u64 {
        let document =
            entry.as_ref().map_or(0, |document| document.encoded_size() + FIELD * document.len());
        (OVERHEAD + key.size() + document) as u64
    }
}

/// A store before which documents are remembered.
pub struct CachedStore {
    inner: Arc<dyn Store>,
    cache: Cache<Key, Entry, Weight>,
    /// Part of every key: with a new one all that was remembered is out of reach.
    generation: AtomicU64,
    /// What reads ask for.
    reads: Lookups,
    /// What the worker itself asks for, which is not to wait for reads.
    plans: Lookups,
}

impl CachedStore {
    /// Remembers about so many bytes of documents.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, bytes: usize) -> Self {
        let cache = Cache::with_weighter(bytes / USUAL, bytes as u64, Weight);
        Self {
            inner,
            cache,
            generation: AtomicU64::new(0),
            reads: Lookups::new(),
            plans: Lookups::new(),
        }
    }

    fn key<'a>(&self, collection: &'a CollectionName, id: &'a DocumentId) -> KeyRef<'a> {
        KeyRef { generation: self.generation.load(Ordering::Acquire), collection, id }
    }

    fn forget_all(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        // For the sake of the memory.
        self.cache.clear();
    }

    /// Forgets what changes touch, and voids the places kept for it.
    fn forget(&self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Put { collection, id, .. } | Change::Delete { collection, id } => {
                    self.cache.remove(&self.key(collection, id));
                }
                Change::Clear { .. } => self.forget_all(),
                Change::EnsureIndex { .. } => {}
            }
        }
    }

    /// Remembers what changes have made, in their order.
    fn remember(&self, changes: &[Change]) {
        for change in changes {
            let (key, entry) = match change {
                Change::Put { collection, id, document } => {
                    (self.key(collection, id), Some(Arc::clone(document)))
                }
                Change::Delete { collection, id } => (self.key(collection, id), None),
                Change::Clear { .. } => {
                    self.forget_all();
                    continue;
                }
                Change::EnsureIndex { .. } => continue,
            };
            if is_small(&entry) {
                self.cache.insert(key.to_owned(), entry);
            } else {
                self.cache.remove(&key);
            }
        }
    }

    /// The documents with these ids; missing ones are left out.
    async fn load(
        &self,
        collection: &CollectionName,
        ids: &[DocumentId],
        lookups: &Lookups,
    ) -> Result<Vec<Arc<Document>>, StoreError> {
        let mut found = Vec::with_capacity(ids.len());
        let (mut unknown, mut places) = (Vec::new(), Vec::new());
        for id in ids {
            let key = self.key(collection, id);
            if let Some(entry) = self.cache.get(&key) {
                found.extend(entry);
                continue;
            }
            // Never waited for: whoever holds a place may wait for one that is held here.
            let place = self.cache.get_value_or_guard(&key.to_owned(), Some(Duration::ZERO));
            match place {
                GuardResult::Value(entry) => {
                    found.extend(entry);
                    continue;
                }
                GuardResult::Guard(place) => places.push((id, place)),
                GuardResult::Timeout => {}
            }
            unknown.push(id.clone());
        }
        metrics::counter!("rideshare_worker_cache_hits_total")
            .increment((ids.len() - unknown.len()) as u64);
        if !unknown.is_empty() {
            metrics::counter!("rideshare_worker_cache_misses_total")
                .increment(unknown.len() as u64);
            found.extend(self.fetch(collection, &unknown, places, lookups).await?);
        }
        Ok(found)
    }

    async fn fetch(
        &self,
        collection: &CollectionName,
        ids: &[DocumentId],
        places: Vec<(&DocumentId, Guard<'_>)>,
        lookups: &Lookups,
    ) -> Result<Vec<Arc<Document>>, StoreError> {
        let found = lookups.find(self.inner.as_ref(), collection, ids).await;
        let found = self.heed(found)?;
        for (id, place) in places {
            let entry = found.get(id).cloned();
            if is_small(&entry) {
                // Void if the document was changed meanwhile.
                let _ = place.insert(entry);
            }
        }
        Ok(ids.iter().filter_map(|id| found.get(id).cloned()).collect())
    }

    /// A database that has lost something will be brought up to date anew, step by step.
    fn heed<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if matches!(result, Err(StoreError::FellBack)) {
            self.forget_all();
        }
        result
    }
}

fn is_small(entry: &Entry) -> bool {
    entry.as_ref().is_none_or(|document| document.encoded_size() <= LARGEST)
}

#[async_trait]
impl Store for CachedStore {
    async fn history(&self) -> Result<History, StoreError> {
        // Whoever asks begins anew, from what the database says.
        self.forget_all();
        self.inner.history().await
    }

    async fn apply_telling(
        &self,
        changes: &[Change],
        history: &History,
        visible: Visible<'_>,
    ) -> Result<(), StoreError> {
        self.forget(changes);
        let told = || {
            // Whoever asked before the changes were made may have left the document as it was.
            self.forget(changes);
            visible();
        };
        let applied = self.heed(self.inner.apply_telling(changes, history, &told).await);
        match applied {
            Ok(()) => self.remember(changes),
            // Who knows what was changed, and when.
            Err(_) => self.forget_all(),
        }
        applied
    }

    async fn get(
        &self,
        collection: &CollectionName,
        ids: &[DocumentId],
    ) -> Result<Vec<Document>, StoreError> {
        if ids.len() > MOST_IDS {
            return self.heed(self.inner.get(collection, ids).await);
        }
        let mut unique = ids.to_vec();
        unique.sort_unstable();
        unique.dedup();
        let found = self.load(collection, &unique, &self.plans).await?;
        Ok(found.into_iter().map(Arc::unwrap_or_clone).collect())
    }

    async fn find(&self, query: &Query, max_bytes: usize) -> Result<Vec<Document>, StoreError> {
        let ids = query.filter.ids().filter(|ids| ids.len() <= MOST_IDS);
        let Some(ids) = ids else {
            return self.heed(self.inner.find(query, max_bytes).await);
        };
        let candidates = self.load(&query.collection, &ids, &self.reads).await?;
        let found = query::evaluate(query, candidates.iter().map(|document| &**document));
        let bytes: usize = found.iter().map(Document::encoded_size).sum();
        if bytes > max_bytes { Err(StoreError::TooLarge { bytes: max_bytes }) } else { Ok(found) }
    }

    async fn count(&self, query: &Query) -> Result<u64, StoreError> {
        self.heed(self.inner.count(query).await)
    }

    async fn distinct(
        &self,
        collection: &CollectionName,
        filter: &Filter,
        field: &str,
        max_bytes: usize,
    ) -> Result<Vec<Value>, StoreError> {
        self.heed(self.inner.distinct(collection, filter, field, max_bytes).await)
    }

    async fn collections(&self) -> Result<Vec<CollectionName>, StoreError> {
        self.heed(self.inner.collections().await)
    }

    async fn catalog(&self) -> Result<Vec<Collection>, StoreError> {
        self.heed(self.inner.catalog().await)
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.heed(self.inner.check().await)
    }

    fn address(&self) -> DatabaseAddress {
        self.inner.address()
    }

    async fn copy_from(&self, source: &DatabaseAddress) -> Result<Copied, StoreError> {
        let copied = self.inner.copy_from(source).await;
        self.forget_all();
        copied
    }
}
