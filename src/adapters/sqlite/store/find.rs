//! Answers queries: gathers what matches, in order, within the bounds that the caller sets.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::access::{Wanted, scan, scan_ids};
use super::rows::{Patience, Reader};
use crate::domain::document::{CollectionName, Document, DocumentId, ID_FIELD, Value};
use crate::domain::filter::{Expression, Filter};
use crate::domain::query::{self, Query, SortKey, SortOrder};
use crate::ports::store::StoreError;

const GO_ON: Result<ControlFlow<()>, StoreError> = Ok(ControlFlow::Continue(()));
const STOP: Result<ControlFlow<()>, StoreError> = Ok(ControlFlow::Break(()));

/// How many bytes of sort keys a query may hold; only one without a small limit comes near.
const MAX_SORT_BYTES: usize = 64 * 1024 * 1024;

pub(super) fn get(
    reader: &Reader<'_>,
    collection: &CollectionName,
    mut ids: Vec<DocumentId>,
    patience: &mut Patience<'_>,
) -> Result<Vec<Document>, StoreError> {
    let mut documents = Vec::new();
    if let Some(collection) = reader.collection(collection)? {
        ids.sort_unstable();
        ids.dedup();
        scan_ids(reader, collection, &ids, patience, &mut |_, document| {
            documents.push(document);
            GO_ON
        })?;
    }
    Ok(documents)
}

pub(super) fn find(
    reader: &Reader<'_>,
    query: &Query,
    max_bytes: usize,
    patience: &mut Patience<'_>,
) -> Result<Vec<Document>, StoreError> {
    let mut answer = Answer::new(query, max_bytes);
    let collection = reader.collection(&query.collection)?;
    let (Some(collection), false) = (collection, query.limit == Some(0)) else {
        return Ok(answer.documents);
    };
    let matching = (collection, &query.filter);
    match order_by_id(&query.sort) {
        Some(order) => {
            let wanted = Wanted::ById(order);
            scan(reader, matching, wanted, patience, &mut |_, document| answer.add(document))?;
        }
        None => {
            for number in sorted(reader, collection, query, max_bytes, patience)? {
                patience.row()?;
                if answer.add(reader.document(number)?)?.is_break() {
                    break;
                }
            }
        }
    }
    Ok(answer.documents)
}

/// The order by `_id` that the sort comes to: keys are unique, so that nothing after them counts.
fn order_by_id(sort: &[(String, SortOrder)]) -> Option<SortOrder> {
    match sort.first() {
        None => Some(SortOrder::Ascending),
        Some((path, order)) if path == ID_FIELD => Some(*order),
        Some(_) => None,
    }
}

/// What is returned, as it grows.
struct Answer<'a> {
    query: &'a Query,
    max_bytes: usize,
    to_skip: u64,
    bytes: usize,
    documents: Vec<Document>,
}

impl<'a> Answer<'a> {
    fn new(query: &'a Query, max_bytes: usize) -> Self {
        Self { query, max_bytes, to_skip: query.skip, bytes: 0, documents: Vec::new() }
    }

    /// Takes the next document in the query's order; says whether there may be more.
    fn add(&mut self, document: Document) -> Result<ControlFlow<()>, StoreError> {
        if self.to_skip > 0 {
            self.to_skip -= 1;
            return GO_ON;
        }
        let returned = match &self.query.projection {
            Some(paths) => query::project(&document, paths),
            None => document,
        };
        self.bytes += returned.encoded_size();
        if self.bytes > self.max_bytes {
            return Err(StoreError::TooLarge { bytes: self.max_bytes });
        }
        self.documents.push(returned);
        let is_full = self.query.limit.is_some_and(|limit| self.documents.len() as u64 >= limit);
        if is_full { STOP } else { GO_ON }
    }
}

/// The rows of the documents that match, in the order of a sort, as far as the limit goes.
///
/// Only what documents are ordered by is held; never more than twice what can be returned.
fn sorted(
    reader: &Reader<'_>,
    collection: i64,
    query: &Query,
    max_bytes: usize,
    patience: &mut Patience<'_>,
) -> Result<Vec<i64>, StoreError> {
    let enough = query.limit.map_or(u64::MAX, |limit| limit.saturating_add(query.skip));
    let enough = usize::try_from(enough).unwrap_or(usize::MAX);
    let compare = |(a, _): &(SortKey, i64), (b, _): &(SortKey, i64)| a.compare(b, &query.sort);
    let mut rows: Vec<(SortKey, i64)> = Vec::new();
    let mut bytes = 0;
    let matching = (collection, &query.filter);
    scan(reader, matching, Wanted::Anyhow, patience, &mut |number, document| {
        let key = SortKey::of(&query.sort, &document);
        bytes += key.encoded_size();
        rows.push((key, number));
        if rows.len() >= enough.saturating_mul(2).max(64) {
            rows.select_nth_unstable_by(enough, compare);
            rows.truncate(enough);
            bytes = rows.iter().map(|(key, _)| key.encoded_size()).sum();
        }
        if bytes > MAX_SORT_BYTES {
            return Err(StoreError::TooLarge { bytes: max_bytes });
        }
        GO_ON
    })?;
    patience.check()?;
    rows.sort_unstable_by(compare);
    rows.truncate(enough);
    Ok(rows.into_iter().map(|(_, number)| number).collect())
}

pub(super) fn count(
    reader: &Reader<'_>,
    query: &Query,
    patience: &mut Patience<'_>,
) -> Result<u64, StoreError> {
    let Some(collection) = reader.collection(&query.collection)? else {
        return Ok(0);
    };
    let limit = query.limit.unwrap_or(u64::MAX);
    if *query.filter.expression() == Expression::And(Vec::new()) {
        let sql = "SELECT count(*) FROM documents WHERE collection = ?1";
        let mut statement = reader.connection.prepare_cached(sql)?;
        let total: i64 = statement.query_row([collection], |row| row.get(0))?;
        return Ok(total.unsigned_abs().saturating_sub(query.skip).min(limit));
    }
    let enough = limit.saturating_add(query.skip);
    let mut matched = 0;
    let matching = (collection, &query.filter);
    scan(reader, matching, Wanted::Anyhow, patience, &mut |_, _| {
        matched += 1;
        if matched >= enough { STOP } else { GO_ON }
    })?;
    Ok(matched.saturating_sub(query.skip).min(limit))
}

/// A value in the order of values, for a set of different ones.
struct Different(Value);

impl Ord for Different {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.compare(&other.0)
    }
}

impl PartialOrd for Different {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Different {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Different {}

pub(super) fn distinct(
    reader: &Reader<'_>,
    collection: &CollectionName,
    filter: &Filter,
    field: &str,
    max_bytes: usize,
    patience: &mut Patience<'_>,
) -> Result<Vec<Value>, StoreError> {
    let mut values: BTreeSet<Different> = BTreeSet::new();
    let mut bytes = 0;
    let Some(collection) = reader.collection(collection)? else {
        return Ok(Vec::new());
    };
    scan(reader, (collection, filter), Wanted::Anyhow, patience, &mut |_, document| {
        for value in query::distinct([&document], field) {
            let value = Different(value);
            match values.get(&value) {
                // Of equal values the domain says which one stands for all.
                Some(known) if value.0.compare_representation(&known.0).is_lt() => {
                    values.replace(value);
                }
                Some(_) => {}
                None => {
                    bytes += value.0.encoded_size();
                    values.insert(value);
                }
            }
        }
        if bytes > max_bytes { Err(StoreError::TooLarge { bytes: max_bytes }) } else { GO_ON }
    })?;
    Ok(values.into_iter().map(|Different(value)| value).collect())
}
