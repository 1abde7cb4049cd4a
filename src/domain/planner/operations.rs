//! Carries out one operation on a view.

use std::sync::Arc;

use super::MAX_ENTRY_BYTES;
use super::needs::ScanKey;
use super::view::View;
use crate::domain::document::{CollectionName, Document, DocumentId};
use crate::domain::filter::Filter;
use crate::domain::log::Change;
use crate::domain::outcome::{Outcome, Refusal};
use crate::domain::request::{Returning, WriteOperation};
use crate::domain::update::Update;

/// What a request did.
pub(super) struct Effect {
    pub(super) outcome: Outcome,
    pub(super) changes: Vec<Change>,
    pub(super) bytes: usize,
}

/// Carries out the operation of the `request`-th request: wholly, or not at all.
pub(super) fn carry_out(operation: &WriteOperation, request: usize, view: &mut View) -> Effect {
    view.begin();
    let mut work = Work { view, changes: Vec::new(), bytes: 0 };
    match work.run(operation, ScanKey { request, operation: 0 }) {
        Ok(outcome) => Effect { outcome, changes: work.changes, bytes: work.bytes },
        Err(refusal) => {
            view.roll_back();
            Effect { outcome: Outcome::Refused(refusal), changes: Vec::new(), bytes: 0 }
        }
    }
}

struct Work<'a> {
    view: &'a mut View,
    changes: Vec<Change>,
    bytes: usize,
}

/// An update as it stands in a request.
struct UpdateOrder<'a> {
    collection: &'a CollectionName,
    filter: &'a Filter,
    update: &'a Update,
    many: bool,
    upsert: bool,
    returning: Returning,
    fresh_id: &'a DocumentId,
}

impl Work<'_> {
    fn run(&mut self, operation: &WriteOperation, key: ScanKey) -> Result<Outcome, Refusal> {
        match operation {
            WriteOperation::Insert { collection, documents } => self.insert(collection, documents),
            WriteOperation::Update {
                collection,
                filter,
                update,
                many,
                upsert,
                returning,
                fresh_id,
            } => self.update(
                &UpdateOrder {
                    collection,
                    filter,
                    update,
                    many: *many,
                    upsert: *upsert,
                    returning: *returning,
                    fresh_id,
                },
                key,
            ),
            WriteOperation::Replace { collection, document, upsert } => {
                self.replace(collection, document, *upsert)
            }
            WriteOperation::Delete { collection, filter, many } => {
                self.delete(collection, filter, *many, key)
            }
            WriteOperation::Clear { collections } => Ok(self.clear(collections)),
            WriteOperation::EnsureIndex { collection, field } => {
                let (collection, field) = (collection.clone(), field.clone());
                self.changes.push(Change::EnsureIndex { collection, field });
                Ok(Outcome::Indexed)
            }
            WriteOperation::Batch { operations } => self.batch(operations, key),
        }
    }

    fn batch(&mut self, operations: &[WriteOperation], key: ScanKey) -> Result<Outcome, Refusal> {
        let results = operations.iter().enumerate().map(|(index, operation)| {
            self.run(operation, ScanKey { operation: index, ..key })
                .map_err(|refusal| Refusal::InBatch { index, refusal: Box::new(refusal) })
        });
        Ok(Outcome::Batch { results: results.collect::<Result<_, _>>()? })
    }

    fn insert(
        &mut self,
        collection: &CollectionName,
        documents: &[Document],
    ) -> Result<Outcome, Refusal> {
        let mut ids = Vec::with_capacity(documents.len());
        let mut taken = Vec::new();
        for document in documents {
            let id = identify(document)?;
            if self.view.get(collection, &id).is_some() {
                taken.push(id.clone());
            } else {
                self.put(collection, &id, Arc::new(document.clone()))?;
            }
            ids.push(id);
        }
        if taken.is_empty() {
            Ok(Outcome::Inserted { ids })
        } else {
            Err(Refusal::Conflict { ids: taken })
        }
    }

    fn update(&mut self, order: &UpdateOrder<'_>, key: ScanKey) -> Result<Outcome, Refusal> {
        let found = self.matches(order.collection, order.filter, order.many, key)?;
        if found.is_empty() && order.upsert {
            return self.upsert(order);
        }
        let mut modified = 0;
        let mut documents = Vec::new();
        for before in &found {
            let id = identify(before)?;
            let after = order.update.apply(before).map_err(|error| unfit(&error))?;
            let returned = match order.returning {
                Returning::None => None,
                Returning::Before => Some((**before).clone()),
                Returning::After => Some(after.clone()),
            };
            self.charge(returned.as_ref().map_or(0, Document::encoded_size))?;
            documents.extend(returned);
            if after != **before {
                modified += 1;
                self.put(order.collection, &id, Arc::new(after))?;
            }
        }
        let matched = found.len() as u64;
        Ok(Outcome::Updated { matched, modified, upserted_id: None, documents })
    }

    fn upsert(&mut self, order: &UpdateOrder<'_>) -> Result<Outcome, Refusal> {
        let made = order
            .update
            .upsert(order.filter, order.fresh_id.clone())
            .map_err(|error| unfit(&error))?;
        let id = identify(&made)?;
        if self.view.get(order.collection, &id).is_some() {
            return Err(Refusal::Conflict { ids: vec![id] });
        }
        let documents = match order.returning {
            Returning::After => vec![made.clone()],
            Returning::None | Returning::Before => Vec::new(),
        };
        self.put(order.collection, &id, Arc::new(made))?;
        Ok(Outcome::Updated { matched: 0, modified: 0, upserted_id: Some(id), documents })
    }

    fn replace(
        &mut self,
        collection: &CollectionName,
        document: &Document,
        upsert: bool,
    ) -> Result<Outcome, Refusal> {
        let id = identify(document)?;
        let (matched, modified, upserted_id) = match self.view.get(collection, &id) {
            Some(before) => (1, u64::from(**before != *document), None),
            None => (0, 0, upsert.then(|| id.clone())),
        };
        if modified > 0 || upserted_id.is_some() {
            self.put(collection, &id, Arc::new(document.clone()))?;
        }
        Ok(Outcome::Updated { matched, modified, upserted_id, documents: Vec::new() })
    }

    fn delete(
        &mut self,
        collection: &CollectionName,
        filter: &Filter,
        many: bool,
        key: ScanKey,
    ) -> Result<Outcome, Refusal> {
        let found = self.matches(collection, filter, many, key)?;
        for document in &found {
            let id = identify(document)?;
            self.charge(change_size(collection, &id))?;
            self.view.set(collection, &id, None);
            self.changes.push(Change::Delete { collection: collection.clone(), id });
        }
        Ok(Outcome::Deleted { deleted: found.len() as u64 })
    }

    fn clear(&mut self, collections: &[CollectionName]) -> Outcome {
        for collection in collections {
            self.view.clear(collection);
            self.changes.push(Change::Clear { collection: collection.clone() });
        }
        Outcome::Cleared { collections: collections.to_vec() }
    }

    fn matches(
        &self,
        collection: &CollectionName,
        filter: &Filter,
        many: bool,
        key: ScanKey,
    ) -> Result<Vec<Arc<Document>>, Refusal> {
        let mut found = match filter.ids() {
            None => self.view.scan(key, collection, filter)?,
            Some(mut ids) => {
                ids.sort();
                ids.dedup();
                let known = ids.iter().filter_map(|id| self.view.get(collection, id));
                known.filter(|document| filter.matches(document)).cloned().collect()
            }
        };
        found.truncate(if many { usize::MAX } else { 1 });
        Ok(found)
    }

    fn put(
        &mut self,
        collection: &CollectionName,
        id: &DocumentId,
        document: Arc<Document>,
    ) -> Result<(), Refusal> {
        self.charge(change_size(collection, id) + document.encoded_size())?;
        self.view.set(collection, id, Some(Arc::clone(&document)));
        self.changes.push(Change::Put { collection: collection.clone(), id: id.clone(), document });
        Ok(())
    }

    fn charge(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.bytes += bytes;
        if self.bytes > MAX_ENTRY_BYTES {
            let most = MAX_ENTRY_BYTES >> 20;
            return Err(Refusal::Unfit {
                detail: format!("one request may change {most} MiB of documents; narrow it"),
            });
        }
        Ok(())
    }
}

/// What a change takes in the log besides its document, about; never less.
pub(super) fn change_size(collection: &CollectionName, id: &DocumentId) -> usize {
    let id = match id {
        DocumentId::Integer(_) => 9,
        DocumentId::String(text) => text.len(),
    };
    32 + collection.as_str().len() + id
}

fn unfit(error: &impl ToString) -> Refusal {
    Refusal::Unfit { detail: error.to_string() }
}

/// Every stored document has an `_id`; one without is refused rather than lost.
fn identify(document: &Document) -> Result<DocumentId, Refusal> {
    document.id().ok_or_else(|| Refusal::Unfit { detail: "a document has no _id".to_owned() })
}
