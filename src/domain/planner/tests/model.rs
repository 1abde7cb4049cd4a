//! A store that can only be seen to be right, and the meaning of every operation on it, one at a
//! time: what plans are measured against.

use std::collections::BTreeMap;

use super::super::{Needs, View};
use crate::domain::document::{CollectionName, Document, DocumentId};
use crate::domain::filter::Filter;
use crate::domain::log::Change;
use crate::domain::outcome::{Outcome, Refusal};
use crate::domain::request::{Returning, WriteOperation};

/// Documents of all collections.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Store(BTreeMap<CollectionName, BTreeMap<DocumentId, Document>>);

impl Store {
    pub(super) fn with(documents: &[serde_json::Value]) -> Self {
        let mut store = Self::default();
        let changes: Vec<_> = documents.iter().cloned().map(super::put).collect();
        store.apply(&changes);
        store
    }

    pub(super) fn apply<'a>(&mut self, changes: impl IntoIterator<Item = &'a Change>) {
        for change in changes {
            match change {
                Change::Put { collection, id, document } => {
                    self.documents(collection).insert(id.clone(), (**document).clone());
                }
                Change::Delete { collection, id } => {
                    self.documents(collection).remove(id);
                }
                Change::Clear { collection } => self.documents(collection).clear(),
                Change::EnsureIndex { .. } => {}
            }
        }
        self.0.retain(|_, documents| !documents.is_empty());
    }

    /// Fetches what is named and nothing else.
    pub(super) fn view(&self, needs: &Needs) -> View {
        let mut view = View::default();
        for (collection, ids) in &needs.ids {
            let found = ids.iter().filter_map(|id| self.0.get(collection)?.get(id)).cloned();
            view.fetched(collection, ids.iter().cloned(), found.collect());
        }
        for scan in &needs.scans {
            let limit = scan.limit.map_or(usize::MAX, |limit| limit as usize);
            let documents = self.0.get(&scan.collection).into_iter().flat_map(BTreeMap::values);
            let found = documents.filter(|found| scan.filter.matches(found)).take(limit);
            view.scanned(scan.key, found.cloned().collect());
        }
        view
    }

    /// Carries out one operation: wholly, or not at all.
    pub(super) fn carry_out(&mut self, operation: &WriteOperation) -> Outcome {
        let before = self.clone();
        let outcome = self.attempt(operation).unwrap_or_else(|refusal| {
            *self = before;
            Outcome::Refused(refusal)
        });
        self.0.retain(|_, documents| !documents.is_empty());
        outcome
    }

    fn attempt(&mut self, operation: &WriteOperation) -> Result<Outcome, Refusal> {
        match operation {
            WriteOperation::Insert { collection, documents } => self.insert(collection, documents),
            WriteOperation::Update { collection, filter, many, .. } => {
                let found = self.find(collection, filter, *many);
                self.update(operation, &found)
            }
            WriteOperation::Replace { collection, document, upsert } => {
                Ok(self.replace(collection, document, *upsert))
            }
            WriteOperation::Delete { collection, filter, many } => {
                let found = self.find(collection, filter, *many);
                for id in &found {
                    self.documents(collection).remove(id);
                }
                Ok(Outcome::Deleted { deleted: found.len() as u64 })
            }
            WriteOperation::Clear { collections } => {
                for collection in collections {
                    self.documents(collection).clear();
                }
                Ok(Outcome::Cleared { collections: collections.clone() })
            }
            WriteOperation::EnsureIndex { .. } => Ok(Outcome::Indexed),
            WriteOperation::Batch { operations } => {
                let mut results = Vec::new();
                for (index, operation) in operations.iter().enumerate() {
                    results.push(self.attempt(operation).map_err(|refusal| Refusal::InBatch {
                        index,
                        refusal: Box::new(refusal),
                    })?);
                }
                Ok(Outcome::Batch { results })
            }
        }
    }

    fn insert(
        &mut self,
        collection: &CollectionName,
        documents: &[Document],
    ) -> Result<Outcome, Refusal> {
        let (mut ids, mut taken) = (Vec::new(), Vec::new());
        for document in documents {
            let id = document.id().expect("documents of requests have keys");
            ids.push(id.clone());
            if self.documents(collection).insert(id.clone(), document.clone()).is_some() {
                taken.push(id);
            }
        }
        if taken.is_empty() {
            Ok(Outcome::Inserted { ids })
        } else {
            Err(Refusal::Conflict { ids: taken })
        }
    }

    fn update(
        &mut self,
        operation: &WriteOperation,
        found: &[DocumentId],
    ) -> Result<Outcome, Refusal> {
        let WriteOperation::Update {
            collection, filter, update, upsert, returning, fresh_id, ..
        } = operation
        else {
            panic!("{operation:?} is no update");
        };
        let unfit = |error: crate::domain::update::UpdateError| Refusal::Unfit {
            detail: error.to_string(),
        };
        if found.is_empty() && *upsert {
            let made = update.upsert(filter, fresh_id.clone()).map_err(unfit)?;
            self.insert(collection, std::slice::from_ref(&made))?;
            let upserted_id = made.id();
            let documents = if *returning == Returning::After { vec![made] } else { Vec::new() };
            return Ok(Outcome::Updated { matched: 0, modified: 0, upserted_id, documents });
        }
        let (mut modified, mut documents) = (0, Vec::new());
        for id in found {
            let before = self.documents(collection).get(id).cloned().expect("was found");
            let after = update.apply(&before).map_err(unfit)?;
            modified += u64::from(before != after);
            self.documents(collection).insert(id.clone(), after.clone());
            match returning {
                Returning::None => {}
                Returning::Before => documents.push(before),
                Returning::After => documents.push(after),
            }
        }
        let matched = found.len() as u64;
        Ok(Outcome::Updated { matched, modified, upserted_id: None, documents })
    }

    fn replace(
        &mut self,
        collection: &CollectionName,
        document: &Document,
        upsert: bool,
    ) -> Outcome {
        let id = document.id().expect("documents of requests have keys");
        let before = self.documents(collection).get(&id).cloned();
        if before.is_some() || upsert {
            self.documents(collection).insert(id.clone(), document.clone());
        }
        Outcome::Updated {
            matched: u64::from(before.is_some()),
            modified: u64::from(before.as_ref().is_some_and(|before| before != document)),
            upserted_id: (before.is_none() && upsert).then_some(id),
            documents: Vec::new(),
        }
    }

    fn find(&self, collection: &CollectionName, filter: &Filter, many: bool) -> Vec<DocumentId> {
        let documents = self.0.get(collection).into_iter().flatten();
        let found = documents.filter(|(_, document)| filter.matches(document));
        found.map(|(id, _)| id.clone()).take(if many { usize::MAX } else { 1 }).collect()
    }

    fn documents(&mut self, collection: &CollectionName) -> &mut BTreeMap<DocumentId, Document> {
        self.0.entry(collection.clone()).or_default()
    }
}
