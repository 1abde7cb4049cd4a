//! Answers queries, with the results that `domain::query` defines.
//!
//! The server filters, orders, skips and limits; documents are reduced to the projection here.
//! What it orders differently, or refuses to order, is ordered here from all that match.

use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document as BsonDocument, RawDocument, RawDocumentBuf, doc};
use mongodb::error::Error;
use mongodb::raw_batch_cursor::RawBatchCursor;
use mongodb::{Collection, Database};

use super::codec::{decode, operand};
use super::error::{broken, refuses_sort, translate, unavailable, within};
use super::filter;
use crate::domain::document::{CollectionName, Document, DocumentId, FieldPath, ID_FIELD};
use crate::domain::query::{Query, SortOrder, compare_by, project};
use crate::ports::store::StoreError;

/// How many keys one command asks for, and in how many bytes.
const GET_IDS: usize = 20_000;
const GET_BYTES: usize = 8 * 1024 * 1024;

/// How many documents the server sends at once.
const BATCH: u32 = 2_000;

/// More than any collection holds.
const BOUNDLESS: u64 = 1 << 53;

/// How many paths the server orders by, `_id` besides.
const SORT_PATHS: usize = 31;

/// How many bytes of documents are held to order them here.
const SORTED_BYTES: usize = 64 * 1024 * 1024;

/// Reads of one database.
pub(super) struct Reader {
    /// The database.
    pub(super) database: Database,
    /// How long the server may work on a query.
    pub(super) query: Duration,
    /// How long to wait for each answer.
    pub(super) answer: Duration,
}

impl Reader {
    /// The documents with these keys.
    pub(super) async fn get(
        &self,
        collection: &CollectionName,
        ids: &[DocumentId],
    ) -> Result<Vec<Document>, StoreError> {
        let mut found = Vec::with_capacity(ids.len());
        for ids in chunks(ids) {
            let keys = ids.iter().map(|id| operand(&id.clone().into())).collect();
            let wanted = doc! { ID_FIELD: { "$in": Bson::Array(keys) } };
            let size = u32::try_from(ids.len() + 1).unwrap_or(BATCH);
            let collection = self.collection(collection);
            let find = collection.find(wanted).max_time(self.query);
            let cursor = within(self.answer, find.batch_size(size).batch()).await?;
            self.each(cursor, &mut |document| {
                found.push(document);
                Ok(())
            })
            .await?;
        }
        Ok(found)
    }

    /// What the query returns.
    pub(super) async fn find(
        &self,
        query: &Query,
        max_bytes: usize,
    ) -> Result<Vec<Document>, StoreError> {
        if query.limit == Some(0) || query.skip >= BOUNDLESS {
            return Ok(Vec::new());
        }
        let sort = self.server_sort(query).await?;
        let cursor = match &sort {
            Some(sort) => self.sorted(query, sort).await?,
            None => None,
        };
        let Some(cursor) = cursor else {
            return self.find_and_sort_here(query, max_bytes).await;
        };
        let mut answer = Answer::new(query, max_bytes);
        self.each(cursor, &mut |document| answer.add(&document)).await?;
        Ok(answer.documents)
    }

    /// Starts the query; `None` when the server refuses the order.
    async fn sorted(
        &self,
        query: &Query,
        sort: &BsonDocument,
    ) -> Result<Option<RawBatchCursor>, StoreError> {
        let collection = self.collection(&query.collection);
        let mut find = collection
            .find(filter::query(query.filter.expression()))
            .sort(sort.clone())
            .skip(query.skip)
            .allow_disk_use(true)
            .batch_size(BATCH)
            .max_time(self.query);
        if let Some(limit) = query.limit.filter(|limit| *limit < BOUNDLESS) {
            find = find.limit(i64::try_from(limit).unwrap_or(i64::MAX));
        }
        if let Some(projection) = server_projection(query) {
            find = find.projection(projection);
        }
        let started = async { Ok(find.batch().await) };
        match within(self.answer, Box::pin(started)).await? {
            Ok(cursor) => Ok(Some(cursor)),
            Err(error) if refuses_sort(&error) => Ok(None),
            Err(error) => Err(translate(error)),
        }
    }

    /// The order as the server takes it; `None` when it would order differently. It does so by two
    /// paths that lead through arrays of one document: it looks at both values of each element
    /// together, or refuses.
    async fn server_sort(&self, query: &Query) -> Result<Option<BsonDocument>, StoreError> {
        let mut sort = BsonDocument::new();
        let mut paths = Vec::new();
        for (text, order) in &query.sort {
            // A text that is no path names no field, so that all documents are equal there.
            let Ok(path) = FieldPath::parse(text) else { continue };
            paths.push(path);
            if !sort.contains_key(text) {
                sort.insert(text, direction(*order));
            }
        }
        if !sort.contains_key(ID_FIELD) {
            sort.insert(ID_FIELD, 1);
        }
        if sort.len() > SORT_PATHS + 1 || self.meet_in_arrays(query, &paths).await? {
            return Ok(None);
        }
        Ok(Some(sort))
    }

    /// Whether a matching document has arrays along two of the paths.
    async fn meet_in_arrays(&self, query: &Query, paths: &[FieldPath]) -> Result<bool, StoreError> {
        if paths.len() < 2 || paths.len() > SORT_PATHS {
            return Ok(false);
        }
        let along: Vec<_> = paths.iter().map(has_array).collect();
        let mut pairs = Vec::new();
        for (index, second) in along.iter().enumerate() {
            let of_second = |first: &BsonDocument| doc! { "$and": [first.clone(), second.clone()] };
            pairs.extend(along.iter().take(index).map(of_second));
        }
        let wanted = doc! { "$and": [filter::query(query.filter.expression()), { "$or": pairs }] };
        let collection = self.collection(&query.collection);
        let any = collection.find_one(wanted).projection(doc! { ID_FIELD: 1 });
        let found = within(self.answer, any.max_time(self.query)).await?;
        Ok(found.is_some())
    }

    /// Orders all that match in memory, and keeps no more of them than the query can return.
    async fn find_and_sort_here(
        &self,
        query: &Query,
        max_bytes: usize,
    ) -> Result<Vec<Document>, StoreError> {
        let last = query.limit.map_or(u64::MAX, |limit| query.skip.saturating_add(limit));
        let last = usize::try_from(last).unwrap_or(usize::MAX);
        let mut kept: Vec<Document> = Vec::new();
        let mut bytes = 0;
        let shorten = |kept: &mut Vec<Document>| {
            kept.sort_by(|a, b| compare_by(&query.sort, a, b));
            kept.truncate(last);
            kept.iter().map(Document::encoded_size).sum::<usize>()
        };
        let collection = self.collection(&query.collection);
        let find = collection
            .find(filter::query(query.filter.expression()))
            .batch_size(BATCH)
            .max_time(self.query);
        let cursor = within(self.answer, find.batch()).await?;
        self.each(cursor, &mut |document| {
            bytes += document.encoded_size();
            kept.push(document);
            if bytes > SORTED_BYTES || kept.len() / 2 > last {
                bytes = shorten(&mut kept);
            }
            if bytes > SORTED_BYTES / 2 && kept.len() <= last {
                return Err(StoreError::TooLarge { bytes: max_bytes.min(SORTED_BYTES) });
            }
            Ok(())
        })
        .await?;
        shorten(&mut kept);
        let mut answer = Answer::new(query, max_bytes);
        let skipped = usize::try_from(query.skip).unwrap_or(usize::MAX);
        for document in kept.iter().skip(skipped) {
            answer.add(document)?;
        }
        Ok(answer.documents)
    }

    /// How many documents match.
    pub(super) async fn count(&self, query: &Query) -> Result<u64, StoreError> {
        if query.limit == Some(0) || query.skip >= BOUNDLESS {
            return Ok(0);
        }
        // Counted one by one: after a crash the server's own counters may be wrong.
        let mut stages = vec![doc! { "$match": filter::query(query.filter.expression()) }];
        if query.skip > 0 {
            stages.push(doc! { "$skip": signed(query.skip) });
        }
        if let Some(limit) = query.limit {
            stages.push(doc! { "$limit": signed(limit) });
        }
        stages.push(doc! { "$group": { "_id": null, "n": { "$sum": 1_i64 } } });
        let collection = self.collection(&query.collection);
        let counting = async {
            let aggregate = collection.aggregate(stages).max_time(self.query);
            aggregate.await?.try_next().await
        };
        match within(self.answer, Box::pin(counting)).await? {
            None => Ok(0),
            Some(counted) => counted
                .get_i64("n")
                .ok()
                .and_then(|count| u64::try_from(count).ok())
                .ok_or_else(|| broken("the server counts without a number")),
        }
    }

    /// Hands every document to the visitor, batch by batch.
    pub(super) async fn each(
        &self,
        mut cursor: RawBatchCursor,
        visit: &mut (dyn FnMut(Document) -> Result<(), StoreError> + Send),
    ) -> Result<(), StoreError> {
        while let Some(batch) = next_batch(&mut cursor, self.answer).await? {
            for document in documents(&batch)? {
                visit(decode(document?)?)?;
            }
        }
        Ok(())
    }

    /// A collection of raw documents.
    pub(super) fn collection(&self, name: &CollectionName) -> Collection<RawDocumentBuf> {
        self.database.collection(name.as_str())
    }
}

type RawBatch = mongodb::raw_batch_cursor::RawBatch;

/// The next documents of a cursor.
pub(super) async fn next_batch(
    cursor: &mut RawBatchCursor,
    limit: Duration,
) -> Result<Option<RawBatch>, StoreError> {
    within::<_>(limit, cursor.try_next()).await
}

/// The documents of a batch.
pub(super) fn documents(
    batch: &RawBatch,
) -> Result<impl Iterator<Item = Result<&RawDocument, StoreError>>, StoreError> {
    let elements = batch.doc_slices().map_err(|_: Error| damaged())?;
    Ok(elements.into_iter().map(|element| {
        let element = element.map_err(|_| damaged())?;
        element.as_document().ok_or_else(damaged)
    }))
}

fn damaged() -> StoreError {
    unavailable("an answer of the server is damaged")
}

/// Documents to return, up to a number of bytes.
struct Answer<'a> {
    query: &'a Query,
    max_bytes: usize,
    bytes: usize,
    documents: Vec<Document>,
}

impl<'a> Answer<'a> {
    fn new(query: &'a Query, max_bytes: usize) -> Self {
        Self { query, max_bytes, bytes: 0, documents: Vec::new() }
    }

    fn add(&mut self, document: &Document) -> Result<(), StoreError> {
        let projected = match &self.query.projection {
            Some(paths) => project(document, paths),
            None => document.clone(),
        };
        self.bytes += projected.encoded_size();
        if self.bytes > self.max_bytes {
            return Err(StoreError::TooLarge { bytes: self.max_bytes });
        }
        self.documents.push(projected);
        Ok(())
    }
}

/// The fields that the projection needs, so that others are not sent: whole, as the server's own
/// projection treats arrays differently.
fn server_projection(query: &Query) -> Option<BsonDocument> {
    let mut fields = doc! { ID_FIELD: 1 };
    for path in query.projection.as_ref()? {
        fields.insert(FieldPath::parse(path).ok()?.parts()[0].clone(), 1);
    }
    Some(fields)
}

/// An array stands at the path or on the way to it.
fn has_array(path: &FieldPath) -> BsonDocument {
    let parts = path.parts();
    let prefixes = (1..=parts.len()).map(|length| parts[..length].join("."));
    let is_array = prefixes.map(|prefix| doc! { prefix: { "$type": "array" } });
    doc! { "$or": is_array.collect::<Vec<_>>() }
}

fn direction(order: SortOrder) -> i32 {
    match order {
        SortOrder::Ascending => 1,
        SortOrder::Descending => -1,
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number.min(BOUNDLESS)).unwrap_or(i64::MAX)
}

/// Splits keys into what one command takes.
fn chunks(ids: &[DocumentId]) -> Vec<&[DocumentId]> {
    let mut chunks = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, id) in ids.iter().enumerate() {
        let size = match id {
            DocumentId::Integer(_) => 16,
            DocumentId::String(text) => 16 + text.len(),
        };
        if index - start == GET_IDS || bytes + size > GET_BYTES {
            chunks.push(&ids[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += size;
    }
    chunks.push(&ids[start..]);
    chunks.retain(|chunk| !chunk.is_empty());
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_split_by_number_and_by_size_and_none_is_lost() {
        let many: Vec<_> = (0..50_001).map(DocumentId::from).collect();
        let long: Vec<_> =
            (0..5).map(|n| format!("{n}{}", "x".repeat(GET_BYTES / 2)).into()).collect();
        for ids in [many, long, Vec::new()] {
            let chunks = chunks(&ids);
            assert_eq!(chunks.concat(), ids);
            assert!(chunks.iter().all(|chunk| chunk.len() <= GET_IDS));
            assert!(chunks.len() >= ids.len().min(3), "{}", chunks.len());
        }
    }
}
