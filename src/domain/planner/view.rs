//! The documents that a plan works on: fetched ones, and what the plan has made of them so far.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::needs::ScanKey;
use crate::domain::document::{CollectionName, Document, DocumentId};
use crate::domain::filter::Filter;
use crate::domain::outcome::Refusal;

/// Documents as they are at one moment of planning. `None` is known to be absent.
#[derive(Debug, Default)]
pub struct View {
    collections: HashMap<CollectionName, Collection>,
    scans: HashMap<ScanKey, Result<Vec<Arc<Document>>, Refusal>>,
    undo: Vec<Undo>,
}

#[derive(Debug, Default)]
struct Collection {
    /// Whatever the store still holds of it is gone in this view.
    cleared: bool,
    documents: HashMap<DocumentId, Option<Arc<Document>>>,
}

#[derive(Debug)]
struct Undo {
    collection: CollectionName,
    id: DocumentId,
    before: Option<Option<Arc<Document>>>,
}

impl View {
    /// Takes in what the store returned for ids of a collection; the others are absent.
    pub fn fetched(
        &mut self,
        collection: &CollectionName,
        ids: impl IntoIterator<Item = DocumentId>,
        found: Vec<Document>,
    ) {
        let known = &mut self.collections.entry(collection.clone()).or_default().documents;
        known.extend(ids.into_iter().map(|id| (id, None)));
        known.extend(
            found.into_iter().filter_map(|document| Some((document.id()?, Some(document.into())))),
        );
    }

    /// Takes in what the store returned for a scan.
    pub fn scanned(&mut self, key: ScanKey, found: Vec<Document>) {
        self.scans.insert(key, Ok(found.into_iter().map(Arc::new).collect()));
    }

    /// Notes that the store would not carry out a scan: its request is refused with this reason.
    pub fn not_scanned(&mut self, key: ScanKey, refusal: Refusal) {
        self.scans.insert(key, Err(refusal));
    }

    pub(super) fn get(
        &self,
        collection: &CollectionName,
        id: &DocumentId,
    ) -> Option<&Arc<Document>> {
        let known = self.collections.get(collection)?.documents.get(id);
        debug_assert!(
            known.is_some() || self.collections.get(collection).is_some_and(|c| c.cleared),
            "document {id} of {collection} was not fetched"
        );
        known?.as_ref()
    }

    /// The documents that match, by `_id`: what the store found, corrected by what was changed.
    pub(super) fn scan(
        &self,
        key: ScanKey,
        collection: &CollectionName,
        filter: &Filter,
    ) -> Result<Vec<Arc<Document>>, Refusal> {
        let known = self.collections.get(collection);
        let mut matches = BTreeMap::new();
        let stored = match self.scans.get(&key) {
            Some(Err(refusal)) => return Err(refusal.clone()),
            Some(Ok(stored)) if !known.is_some_and(|known| known.cleared) => stored.as_slice(),
            _ => &[],
        };
        for document in stored {
            let Some(id) = document.id() else { continue };
            if !known.is_some_and(|known| known.documents.contains_key(&id)) {
                matches.insert(id, Arc::clone(document));
            }
        }
        for (id, document) in known.into_iter().flat_map(|known| &known.documents) {
            if let Some(document) = document.as_ref().filter(|found| filter.matches(found)) {
                matches.insert(id.clone(), Arc::clone(document));
            }
        }
        Ok(matches.into_values().collect())
    }

    pub(super) fn set(
        &mut self,
        collection: &CollectionName,
        id: &DocumentId,
        document: Option<Arc<Document>>,
    ) {
        let known = &mut self.collections.entry(collection.clone()).or_default().documents;
        let before = known.insert(id.clone(), document);
        self.undo.push(Undo { collection: collection.clone(), id: id.clone(), before });
    }

    pub(super) fn clear(&mut self, collection: &CollectionName) {
        let known = self.collections.entry(collection.clone()).or_default();
        known.cleared = true;
        known.documents.clear();
    }

    /// From here on [`View::roll_back`] goes back to this moment.
    pub(super) fn begin(&mut self) {
        self.undo.clear();
    }

    /// Takes back every `set` since [`View::begin`].
    pub(super) fn roll_back(&mut self) {
        while let Some(Undo { collection, id, before }) = self.undo.pop() {
            let Some(known) = self.collections.get_mut(&collection) else {
                continue;
            };
            match before {
                Some(document) => known.documents.insert(id, document),
                None => known.documents.remove(&id),
            };
        }
    }
}
