//! Says which documents a plan will look at, before it is made.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::document::{CollectionName, DocumentId};
use crate::domain::filter::Filter;
use crate::domain::request::{WriteOperation, WriteRequest};

/// Names one scan: the place of the request among those planned, and of the operation in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScanKey {
    /// From 0.
    pub request: usize,
    /// From 0; 0 for what is no batch.
    pub operation: usize,
}

/// A query for documents that cannot be named by `_id`.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    /// To find it again.
    pub key: ScanKey,
    /// Where.
    pub collection: CollectionName,
    /// Which.
    pub filter: Filter,
    /// How many suffice, in the order of `_id`; all where `None`.
    pub limit: Option<u64>,
}

/// What to fetch from one state of the store.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Needs {
    /// Documents by `_id`.
    pub ids: BTreeMap<CollectionName, BTreeSet<DocumentId>>,
    /// Queries.
    pub scans: Vec<Scan>,
}

/// How many of the first requests can be planned together: all up to the next one that scans,
/// which begins a batch of its own. At least one.
#[must_use]
pub fn together(requests: &[&WriteRequest]) -> usize {
    let rest = requests.get(1..).unwrap_or_default();
    let plain = rest.iter().take_while(|request| !scans(&request.operation)).count();
    (1 + plain).min(requests.len())
}

fn scans(operation: &WriteOperation) -> bool {
    match operation {
        WriteOperation::Update { filter, .. } | WriteOperation::Delete { filter, .. } => {
            filter.ids().is_none()
        }
        WriteOperation::Batch { operations } => operations.iter().any(scans),
        _ => false,
    }
}

/// What the plan of these requests will look at.
#[must_use]
pub fn needs(requests: &[&WriteRequest]) -> Needs {
    let mut needs = Needs::default();
    let mut reach = Reach::default();
    for (request, wanted) in requests.iter().enumerate() {
        match &wanted.operation {
            WriteOperation::Batch { operations } => {
                for (operation, inner) in operations.iter().enumerate() {
                    reach.extend(&mut needs, ScanKey { request, operation }, inner);
                }
            }
            single => reach.extend(&mut needs, ScanKey { request, operation: 0 }, single),
        }
    }
    needs
}

/// How many documents the operations before one may have changed: so many more must be fetched
/// for a scan that wants the first match only, in case those no longer match.
#[derive(Default)]
struct Reach {
    documents: u64,
    unbounded: bool,
}

impl Reach {
    fn extend(&mut self, needs: &mut Needs, key: ScanKey, operation: &WriteOperation) {
        match operation {
            WriteOperation::Insert { collection, documents } => {
                self.by_id(needs, collection, documents.iter().filter_map(|found| found.id()));
            }
            WriteOperation::Replace { collection, document, .. } => {
                self.by_id(needs, collection, document.id());
            }
            WriteOperation::Update {
                collection, filter, update, many, upsert, fresh_id, ..
            } => {
                self.by_filter(needs, key, collection, filter, *many);
                if *upsert {
                    let made = update.upsert(filter, fresh_id.clone()).ok();
                    self.by_id(needs, collection, made.and_then(|made| made.id()));
                }
            }
            WriteOperation::Delete { collection, filter, many } => {
                self.by_filter(needs, key, collection, filter, *many);
            }
            WriteOperation::Clear { .. }
            | WriteOperation::EnsureIndex { .. }
            | WriteOperation::Batch { .. } => {}
        }
    }

    fn by_id(
        &mut self,
        needs: &mut Needs,
        collection: &CollectionName,
        ids: impl IntoIterator<Item = DocumentId>,
    ) {
        for id in ids {
            self.documents += 1;
            needs.ids.entry(collection.clone()).or_default().insert(id);
        }
    }

    fn by_filter(
        &mut self,
        needs: &mut Needs,
        key: ScanKey,
        collection: &CollectionName,
        filter: &Filter,
        many: bool,
    ) {
        if let Some(ids) = filter.ids() {
            return self.by_id(needs, collection, ids);
        }
        let limit = (!many && !self.unbounded).then_some(1 + self.documents);
        self.unbounded |= many;
        self.documents += 1;
        let (collection, filter) = (collection.clone(), filter.clone());
        needs.scans.push(Scan { key, collection, filter, limit });
    }
}
