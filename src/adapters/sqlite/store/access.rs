//! How the documents that a filter can match are found, and in which order they come.

use std::ops::ControlFlow;

use rusqlite::Connection;

use super::catalog::{self, Index};
use super::keys::{Column, KeyRange, SqlId, id_from_sql, ranges};
use super::rows::{Patience, Reader, decode};
use crate::domain::document::{Document, DocumentId, FieldPath, ID_FIELD};
use crate::domain::filter::{Expression, Filter, Predicate};
use crate::domain::query::SortOrder;
use crate::ports::store::StoreError;

/// How many entries are counted at most to find out which of several indexes narrows most.
const MAX_ESTIMATE: u32 = 1000;

/// A way to a part of a collection that holds all documents that a filter matches.
#[derive(Debug)]
pub(super) enum Access {
    /// By these keys, ascending.
    Ids(Vec<DocumentId>),
    /// By all keys in this range, which may be every key.
    IdRange(KeyRange),
    /// The documents with an entry of this index in one of these ranges.
    Entries { index: i64, ranges: Vec<KeyRange> },
}

impl Access {
    /// The way that promises the fewest documents.
    pub(super) fn choose(
        connection: &Connection,
        collection: i64,
        filter: &Filter,
    ) -> Result<Self, StoreError> {
        if let Some(ids) = filter.ids() {
            return Ok(Self::Ids(ids));
        }
        let mut conditions = Vec::new();
        collect_conditions(filter.expression(), &mut conditions);
        let of_id = conditions.iter().filter(|(path, _)| path.as_str() == ID_FIELD);
        let id_ranges = of_id.filter_map(|(_, predicate)| ranges(predicate, Column::Id));
        let id_range = id_ranges.filter_map(single).reduce(KeyRange::intersection);
        let index = best_index(connection, collection, &conditions, id_range.as_ref())?;
        Ok(match (index, id_range) {
            (Some((index, ranges)), _) => Self::Entries { index, ranges },
            (None, Some(range)) => Self::IdRange(range),
            (None, None) => Self::IdRange(KeyRange::all_ids()),
        })
    }
}

/// The conditions that must all hold.
fn collect_conditions<'a>(
    expression: &'a Expression,
    conditions: &mut Vec<(&'a FieldPath, &'a Predicate)>,
) {
    match expression {
        Expression::And(expressions) => {
            expressions.iter().for_each(|each| collect_conditions(each, conditions));
        }
        Expression::Field { path, predicate } => conditions.push((path, predicate)),
        Expression::Or(_) | Expression::Nor(_) => {}
    }
}

/// The index that narrows most, unless the range of keys narrows more.
fn best_index(
    connection: &Connection,
    collection: i64,
    conditions: &[(&FieldPath, &Predicate)],
    id_range: Option<&KeyRange>,
) -> Result<Option<(i64, Vec<KeyRange>)>, StoreError> {
    let mut candidates = Vec::new();
    if !conditions.is_empty() {
        for index in catalog::indexes(connection, collection)? {
            candidates.extend(candidates_of(&index, conditions));
        }
    }
    if candidates.is_empty() || (candidates.len() == 1 && id_range.is_none()) {
        return Ok(candidates.pop());
    }
    let mut best = None;
    let mut fewest = match id_range {
        Some(range) => estimate_ids(connection, collection, range)?,
        None => MAX_ESTIMATE,
    };
    for (index, ranges) in candidates {
        let estimate = estimate(connection, index, &ranges)?;
        // As good as a range of keys, or, when that was not counted to its end, likely better.
        if estimate < fewest || (best.is_none() && estimate == fewest) {
            fewest = estimate;
            best = Some((index, ranges));
        }
    }
    Ok(best)
}

/// The ways that one index offers. Two conditions on one field narrow together only when no
/// document has several values there: of an array, each may be satisfied by another element.
fn candidates_of(
    index: &Index,
    conditions: &[(&FieldPath, &Predicate)],
) -> Vec<(i64, Vec<KeyRange>)> {
    let of_path = conditions.iter().filter(|(path, _)| **path == index.path);
    let found = of_path.filter_map(|(_, predicate)| ranges(predicate, Column::Entry));
    let (singles, mut candidates): (Vec<_>, Vec<_>) = found.partition(|ranges| ranges.len() == 1);
    if index.is_multikey {
        candidates.extend(singles);
    } else {
        let joined = singles.into_iter().filter_map(single).reduce(KeyRange::intersection);
        candidates.extend(joined.map(|range| vec![range]));
    }
    candidates.into_iter().map(|ranges| (index.number, ranges)).collect()
}

fn single(ranges: Vec<KeyRange>) -> Option<KeyRange> {
    <[KeyRange; 1]>::try_from(ranges).ok().map(|[range]| range)
}

fn estimate(connection: &Connection, index: i64, ranges: &[KeyRange]) -> Result<u32, StoreError> {
    let sql = "SELECT count(*) FROM (SELECT 1 FROM entries
               WHERE field_index = ?1 AND key BETWEEN ?2 AND ?3 LIMIT ?4)";
    let mut statement = connection.prepare_cached(sql)?;
    let mut total = 0;
    for range in ranges {
        let limit = MAX_ESTIMATE - total;
        let parameters = (index, &range.low, &range.high, limit);
        total += statement.query_row(parameters, |row| row.get::<_, u32>(0))?;
        if total >= MAX_ESTIMATE {
            break;
        }
    }
    Ok(total)
}

fn estimate_ids(
    connection: &Connection,
    collection: i64,
    range: &KeyRange,
) -> Result<u32, StoreError> {
    let sql = "SELECT count(*) FROM (SELECT 1 FROM documents
               WHERE collection = ?1 AND id BETWEEN ?2 AND ?3 LIMIT ?4)";
    let mut statement = connection.prepare_cached(sql)?;
    let parameters = (collection, &range.low, &range.high, MAX_ESTIMATE);
    Ok(statement.query_row(parameters, |row| row.get(0))?)
}

/// In which order documents are wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wanted {
    /// By `_id`.
    ById(SortOrder),
    /// As they come fastest.
    Anyhow,
}

/// What is called with the number of each row and its document, until it says stop.
pub(super) type Visit<'a> = dyn FnMut(i64, Document) -> Result<ControlFlow<()>, StoreError> + 'a;

/// Hands out the documents of a collection that match the filter.
pub(super) fn scan(
    reader: &Reader<'_>,
    (collection, filter): (i64, &Filter),
    wanted: Wanted,
    patience: &mut Patience<'_>,
    visit: &mut Visit<'_>,
) -> Result<(), StoreError> {
    let mut visit = |number: i64, document: Document| {
        if filter.matches(&document) {
            visit(number, document)
        } else {
            Ok(ControlFlow::Continue(()))
        }
    };
    match Access::choose(reader.connection, collection, filter)? {
        Access::Ids(mut ids) => {
            if wanted == Wanted::ById(SortOrder::Descending) {
                ids.reverse();
            }
            scan_ids(reader, collection, &ids, patience, &mut visit)
        }
        Access::IdRange(range) => {
            scan_id_range(reader, collection, &range, wanted, patience, &mut visit)
        }
        Access::Entries { index, ranges } => {
            scan_entries(reader, index, &ranges, wanted, patience, &mut visit)
        }
    }
}

/// Hands out the documents with these keys, in this order.
pub(super) fn scan_ids(
    reader: &Reader<'_>,
    collection: i64,
    ids: &[DocumentId],
    patience: &mut Patience<'_>,
    visit: &mut Visit<'_>,
) -> Result<(), StoreError> {
    let sql = "SELECT number, body FROM documents WHERE collection = ?1 AND id = ?2";
    let mut statement = reader.connection.prepare_cached(sql)?;
    for id in ids {
        patience.row()?;
        let mut rows = statement.query((collection, SqlId(id)))?;
        if let Some(row) = rows.next()?
            && visit(row.get(0)?, decode(row.get_ref(1)?)?)?.is_break()
        {
            break;
        }
    }
    Ok(())
}

fn scan_id_range(
    reader: &Reader<'_>,
    collection: i64,
    range: &KeyRange,
    wanted: Wanted,
    patience: &mut Patience<'_>,
    visit: &mut Visit<'_>,
) -> Result<(), StoreError> {
    let sql = match wanted {
        Wanted::ById(SortOrder::Descending) => {
            "SELECT number, body FROM documents
             WHERE collection = ?1 AND id BETWEEN ?2 AND ?3 ORDER BY id DESC"
        }
        Wanted::ById(SortOrder::Ascending) | Wanted::Anyhow => {
            "SELECT number, body FROM documents
             WHERE collection = ?1 AND id BETWEEN ?2 AND ?3 ORDER BY id"
        }
    };
    let mut statement = reader.connection.prepare_cached(sql)?;
    let mut rows = statement.query((collection, &range.low, &range.high))?;
    while let Some(row) = rows.next()? {
        patience.row()?;
        if visit(row.get(0)?, decode(row.get_ref(1)?)?)?.is_break() {
            break;
        }
    }
    Ok(())
}

fn scan_entries(
    reader: &Reader<'_>,
    index: i64,
    ranges: &[KeyRange],
    wanted: Wanted,
    patience: &mut Patience<'_>,
    visit: &mut Visit<'_>,
) -> Result<(), StoreError> {
    let numbers = match wanted {
        Wanted::Anyhow => numbers_of_entries(reader, index, ranges, patience)?,
        Wanted::ById(order) => numbers_by_id(reader, index, ranges, order, patience)?,
    };
    for number in numbers {
        patience.row()?;
        if visit(number, reader.document(number)?)?.is_break() {
            break;
        }
    }
    Ok(())
}

fn numbers_of_entries(
    reader: &Reader<'_>,
    index: i64,
    ranges: &[KeyRange],
    patience: &mut Patience<'_>,
) -> Result<Vec<i64>, StoreError> {
    let sql = "SELECT document FROM entries WHERE field_index = ?1 AND key BETWEEN ?2 AND ?3";
    let mut statement = reader.connection.prepare_cached(sql)?;
    let mut numbers = Vec::new();
    for range in ranges {
        let mut rows = statement.query((index, &range.low, &range.high))?;
        while let Some(row) = rows.next()? {
            patience.row()?;
            numbers.push(row.get(0)?);
        }
    }
    // A document has an entry for each of its values.
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

fn numbers_by_id(
    reader: &Reader<'_>,
    index: i64,
    ranges: &[KeyRange],
    order: SortOrder,
    patience: &mut Patience<'_>,
) -> Result<Vec<i64>, StoreError> {
    let sql = "SELECT documents.id, documents.number FROM entries
               JOIN documents ON documents.number = entries.document
               WHERE field_index = ?1 AND key BETWEEN ?2 AND ?3";
    let mut statement = reader.connection.prepare_cached(sql)?;
    let mut found: Vec<(DocumentId, i64)> = Vec::new();
    for range in ranges {
        let mut rows = statement.query((index, &range.low, &range.high))?;
        while let Some(row) = rows.next()? {
            patience.row()?;
            found.push((id_from_sql(row.get_ref(0)?)?, row.get(1)?));
        }
    }
    found.sort_unstable();
    found.dedup();
    if order == SortOrder::Descending {
        found.reverse();
    }
    Ok(found.into_iter().map(|(_, number)| number).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::schema;
    use super::super::writer::Writer;
    use super::*;
    use crate::adapters::sqlite::connection::{open_reader, open_writer};
    use crate::domain::document::{CollectionName, json};
    use crate::domain::log::{Change, History};

    fn document(n: i64) -> Document {
        let text = format!(r#"{{"_id":{n},"group":{},"rare":{},"tags":[{n},1]}}"#, n % 2, n % 500);
        json::parse(text.as_bytes()).unwrap().as_document().unwrap().clone()
    }

    #[test]
    fn filters_take_the_way_that_narrows_most() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("store");
        let mut writer = Writer::open(open_writer(&path, &schema::FORMAT).unwrap()).unwrap();
        let collection = CollectionName::parse("users").unwrap();
        let index = |field: &str| Change::EnsureIndex {
            collection: collection.clone(),
            field: field.to_owned(),
        };
        let put = |n: i64| Change::Put {
            collection: collection.clone(),
            id: n.into(),
            document: Arc::new(document(n)),
        };
        let mut changes: Vec<Change> = (0..3000).map(put).collect();
        changes.extend(["group", "rare", "tags"].map(index));
        writer.apply(&changes, &History::default()).unwrap();
        let connection = open_reader(&path, &schema::FORMAT).unwrap();

        let table = [
            ("{}", "ids", 0),
            (r#"{"other":1}"#, "ids", 0),
            (r#"{"$or":[{"rare":1},{"group":1}]}"#, "ids", 0),
            (r#"{"rare":{"$ne":1}}"#, "ids", 0),
            (r#"{"_id":{"$in":[1,2]},"rare":1}"#, "keys", 0),
            (r#"{"rare":1}"#, "rare", 1),
            (r#"{"group":1,"rare":1}"#, "rare", 1),
            (r#"{"rare":{"$in":[1,2,3]},"group":1}"#, "rare", 3),
            (r#"{"rare":{"$gte":1,"$lt":4}}"#, "rare", 1),
            (r#"{"tags":{"$all":[7,1]}}"#, "tags", 1),
            (r#"{"_id":{"$gt":5},"group":1}"#, "group", 1),
            (r#"{"_id":{"$gt":5,"$lt":9},"group":1}"#, "ids", 0),
            (r#"{"_id":{"$gt":5},"rare":1}"#, "rare", 1),
        ];
        for (text, expected, expected_ranges) in table {
            let filter = Filter::parse(&json::parse(text.as_bytes()).unwrap()).unwrap();
            let (way, ranges) = match Access::choose(&connection, 1, &filter).unwrap() {
                Access::Ids(_) => ("keys".to_owned(), 0),
                Access::IdRange(_) => ("ids".to_owned(), 0),
                Access::Entries { index, ranges } => {
                    let sql = "SELECT field FROM indexes WHERE number = ?1";
                    (connection.query_row(sql, [index], |row| row.get(0)).unwrap(), ranges.len())
                }
            };
            assert_eq!((way.as_str(), ranges), (expected, expected_ranges), "{text}");
        }
    }
}
