//! Carries out changes: grouped by collection, in as few commands as the server takes.
//!
//! Only the last change of a document in a batch is written, and only what follows the last
//! `Clear` of its collection, so that within one collection the order of the rest is free.
//! Invariant: every command is idempotent, so that a batch which was cut off can be repeated.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt, TryStreamExt, stream};
use indexmap::IndexMap;
use mongodb::bson::{
    Bson, Document as BsonDocument, RawArrayBuf, RawDocument, RawDocumentBuf, doc, rawdoc,
};
use tracing::{debug, warn};

use super::clear::clear;
use super::codec::{decode, encode, encode_id, operand};
use super::error::{broken, check_writes, duplicates, within};
use super::read::{documents, next_batch};
use super::writer::Attempt;
use crate::domain::document::{CollectionName, Document, DocumentId, FieldPath, ID_FIELD, Value};
use crate::domain::log::Change;
use crate::ports::store::StoreError;

/// How many bytes of documents one command carries. The server takes a command of 16 MiB.
const COMMAND_BYTES: usize = 12 * 1024 * 1024;

/// How many documents one command carries at most, so that it ends soon.
const COMMAND_DOCUMENTS: usize = 5_000;

/// How many documents are looked up together, and in how many bytes of them.
const GROUP_DOCUMENTS: usize = 1_000;
const GROUP_BYTES: usize = 4 * 1024 * 1024;

/// How many documents make it worth a question which of them are there.
const INSERT_FROM: usize = 16;

/// How many collections are written at the same time.
const PARALLEL_COLLECTIONS: usize = 4;

/// What a batch comes to in one collection.
#[derive(Debug, Default, PartialEq)]
struct Effects<'a> {
    is_cleared: bool,
    /// In the order in which they came; `None` for a document that is gone.
    documents: IndexMap<&'a DocumentId, Option<&'a Document>>,
    indexes: BTreeSet<&'a str>,
}

/// Carries out all changes.
pub(super) async fn apply(attempt: &Attempt<'_>, changes: &[Change]) -> Result<(), StoreError> {
    let mut writes = Vec::new();
    for (collection, effects) in group(changes) {
        writes.push(apply_to(attempt, collection, effects));
    }
    stream::iter(writes).buffer_unordered(PARALLEL_COLLECTIONS).try_collect().await
}

fn group(changes: &[Change]) -> BTreeMap<&CollectionName, Effects<'_>> {
    let mut collections: BTreeMap<_, Effects<'_>> = BTreeMap::new();
    for change in changes {
        match change {
            Change::Put { collection, id, document } => {
                let effects = collections.entry(collection).or_default();
                effects.documents.insert(id, Some(document));
            }
            Change::Delete { collection, id } => {
                let effects = collections.entry(collection).or_default();
                effects.documents.insert(id, None);
            }
            Change::Clear { collection } => {
                let effects = collections.entry(collection).or_default();
                effects.is_cleared = true;
                effects.documents.clear();
            }
            Change::EnsureIndex { collection, field } => {
                let effects = collections.entry(collection).or_default();
                effects.indexes.insert(field);
            }
        }
    }
    collections
}

async fn apply_to(
    attempt: &Attempt<'_>,
    collection: &CollectionName,
    effects: Effects<'_>,
) -> Result<(), StoreError> {
    if effects.is_cleared {
        clear(attempt, collection).await?;
    }
    let mut writes = Writes::new(attempt, collection, effects.is_cleared);
    for (id, document) in effects.documents {
        match document {
            Some(document) => writes.put(id, encode(document)?).await?,
            None => writes.delete(id).await?,
        }
    }
    writes.finish().await?;
    for field in effects.indexes {
        ensure_index(attempt, collection.as_str(), field).await?;
    }
    Ok(())
}

/// The writes to one collection, sorted into commands.
///
/// The server inserts a document eight times as fast as it stores one by an upsert. So where most
/// documents were new lately, all are inserted, and those that it says it has are replaced. Otherwise
/// it is asked which it has, as it tells that in a fraction of the time; a small group is not worth it.
struct Writes<'a> {
    attempt: &'a Attempt<'a>,
    collection: &'a CollectionName,
    is_empty: bool,
    group: Vec<(&'a DocumentId, RawDocumentBuf)>,
    group_bytes: usize,
    inserted: Bulk<'a>,
    replaced: Bulk<'a>,
    deleted: Bulk<'a>,
}

impl<'a> Writes<'a> {
    fn new(attempt: &'a Attempt<'a>, collection: &'a CollectionName, is_empty: bool) -> Self {
        Self {
            attempt,
            collection,
            is_empty,
            group: Vec::new(),
            group_bytes: 0,
            inserted: Bulk::new("insert", "documents", collection),
            replaced: Bulk::new("update", "updates", collection),
            deleted: Bulk::new("delete", "deletes", collection),
        }
    }

    async fn put(
        &mut self,
        id: &'a DocumentId,
        document: RawDocumentBuf,
    ) -> Result<(), StoreError> {
        self.group_bytes += document.as_bytes().len();
        self.group.push((id, document));
        if self.group.len() == GROUP_DOCUMENTS || self.group_bytes >= GROUP_BYTES {
            self.write_group().await?;
        }
        Ok(())
    }

    async fn delete(&mut self, id: &DocumentId) -> Result<(), StoreError> {
        let delete = rawdoc! { "q": { "_id": encode_id(id) }, "limit": 1 };
        self.deleted.add(self.attempt, delete).await
    }

    async fn write_group(&mut self) -> Result<(), StoreError> {
        self.group_bytes = 0;
        let group = std::mem::take(&mut self.group);
        if self.attempt.habit.most_are_new() {
            return self.insert_first(group).await;
        }
        let known = if self.is_empty {
            Some(HashSet::new())
        } else if group.len() >= INSERT_FROM {
            let known = known_ids(self.attempt, self.collection, &group).await?;
            self.attempt.habit.learn(group.len() - known.len(), group.len());
            Some(known)
        } else {
            None
        };
        for (id, document) in group {
            if known.as_ref().is_some_and(|known| !known.contains(id)) {
                self.inserted.add(self.attempt, document).await?;
            } else {
                self.replace(id, document).await?;
            }
        }
        Ok(())
    }

    async fn replace(
        &mut self,
        id: &DocumentId,
        document: RawDocumentBuf,
    ) -> Result<(), StoreError> {
        let key = rawdoc! { "_id": encode_id(id) };
        let update = rawdoc! { "q": key, "u": document, "upsert": true };
        self.replaced.add(self.attempt, update).await
    }

    async fn insert_first(
        &mut self,
        group: Vec<(&'a DocumentId, RawDocumentBuf)>,
    ) -> Result<(), StoreError> {
        let mut waiting = group.into_iter().peekable();
        while waiting.peek().is_some() {
            let mut inserts = Bulk::new("insert", "documents", self.collection);
            let mut sent = Vec::new();
            while let Some(next) = waiting.next_if(|(_, document)| inserts.has_room(document)) {
                inserts.push(&next.1);
                sent.push(next);
            }
            let reply = inserts.run(self.attempt).await?;
            let known = duplicates(reply)?;
            self.attempt.habit.learn(sent.len() - known.len(), sent.len());
            for (index, (id, document)) in sent.into_iter().enumerate() {
                if known.contains(&index) {
                    self.replace(id, document).await?;
                }
            }
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<(), StoreError> {
        self.write_group().await?;
        for bulk in [&mut self.inserted, &mut self.replaced, &mut self.deleted] {
            bulk.send(self.attempt).await?;
        }
        Ok(())
    }
}

/// Whether the documents that come are mostly new ones, as far as the last ones were.
#[derive(Debug, Default)]
pub(super) struct Habit(AtomicBool);

impl Habit {
    fn most_are_new(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn learn(&self, new: usize, of: usize) {
        self.0.store(new * 2 > of, Ordering::Relaxed);
    }
}

/// Which of these documents the collection has in some version.
async fn known_ids(
    attempt: &Attempt<'_>,
    collection: &CollectionName,
    group: &[(&DocumentId, RawDocumentBuf)],
) -> Result<HashSet<DocumentId>, StoreError> {
    let ids = group.iter().map(|(id, _)| operand(&Value::from((*id).clone()))).collect();
    let wanted = doc! { ID_FIELD: { "$in": Bson::Array(ids) } };
    let stored = attempt.database.collection::<RawDocumentBuf>(collection.as_str());
    let size = u32::try_from(group.len() + 1).unwrap_or(u32::MAX);
    let find = stored.find(wanted).projection(doc! { ID_FIELD: 1 }).batch_size(size);
    let mut cursor = within(attempt.limit, find.batch()).await?;
    let mut known = HashSet::new();
    while let Some(batch) = next_batch(&mut cursor, attempt.limit).await? {
        for document in documents(&batch)? {
            known.extend(decode(document?)?.id());
        }
    }
    Ok(known)
}

/// Writes of one kind that wait to be sent in one command.
struct Bulk<'a> {
    command: &'static str,
    list: &'static str,
    collection: &'a CollectionName,
    writes: RawArrayBuf,
    count: usize,
    bytes: usize,
}

impl<'a> Bulk<'a> {
    fn new(command: &'static str, list: &'static str, collection: &'a CollectionName) -> Self {
        let writes = RawArrayBuf::new();
        Self { command, list, collection, writes, count: 0, bytes: 0 }
    }

    async fn add(
        &mut self,
        attempt: &Attempt<'_>,
        write: RawDocumentBuf,
    ) -> Result<(), StoreError> {
        if !self.has_room(&write) {
            self.send(attempt).await?;
        }
        self.push(&write);
        Ok(())
    }

    /// Any first write has room.
    fn has_room(&self, write: &RawDocument) -> bool {
        let bytes = self.bytes + write.as_bytes().len();
        self.count == 0 || (self.count < COMMAND_DOCUMENTS && bytes <= COMMAND_BYTES)
    }

    fn push(&mut self, write: &RawDocument) {
        self.writes.push(write);
        self.count += 1;
        self.bytes += write.as_bytes().len();
    }

    async fn send(&mut self, attempt: &Attempt<'_>) -> Result<(), StoreError> {
        if self.count == 0 {
            return Ok(());
        }
        let count = self.count;
        let reply = self.run(attempt).await?;
        check_writes(&reply)?;
        if self.command == "update" {
            attempt.habit.learn(reply.get_array("upserted").map_or(0, Vec::len), count);
        }
        Ok(())
    }

    /// The server's answer, whatever it says of single writes.
    async fn run(&mut self, attempt: &Attempt<'_>) -> Result<BsonDocument, StoreError> {
        let writes = std::mem::replace(&mut self.writes, RawArrayBuf::new());
        (self.count, self.bytes) = (0, 0);
        let mut command = RawDocumentBuf::new();
        command.append(name(self.command)?, self.collection.as_str());
        command.append(name(self.list)?, writes);
        command.append(name("ordered")?, false);
        attempt.run(command).await
    }
}

fn name(text: &'static str) -> Result<&'static mongodb::bson::raw::CStr, StoreError> {
    text.try_into().map_err(|_| broken("a name holds a NUL character"))
}

/// Makes an index, if the server can: it makes queries faster, and no result depends on it.
pub(super) async fn ensure_index(
    attempt: &Attempt<'_>,
    collection: &str,
    field: &str,
) -> Result<(), StoreError> {
    if !is_indexable(field) {
        debug!(collection, "field cannot be indexed");
        return Ok(());
    }
    let command = doc! {
        "createIndexes": collection,
        "indexes": [{ "key": index_key(field), "name": index_name(field) }],
    };
    let command = RawDocumentBuf::try_from(&command).map_err(|_| broken("an index is no BSON"))?;
    match attempt.run(command).await {
        Err(StoreError::Internal(error)) => {
            warn!(collection, %error, "index was not made; queries do without");
            Ok(())
        }
        other => other.map(drop),
    }
}

/// `_id` has an index always. A part that is a number makes the server refuse documents in which
/// it could mean two things, and an index must never stop a write.
fn is_indexable(field: &str) -> bool {
    let is_number = |part: &String| part.bytes().all(|b| b.is_ascii_digit());
    FieldPath::parse(field)
        .is_ok_and(|path| path.parts()[0] != "_id" && !path.parts().iter().any(is_number))
}

/// With `_id` behind the field, the index also gives the order of a sort by the field.
fn index_key(field: &str) -> BsonDocument {
    doc! { field: 1, "_id": 1 }
}

fn index_name(field: &str) -> String {
    format!("rideshare {field}")
}

/// The field of an index that [`ensure_index`] made.
pub(super) fn indexed_field(index_name: &str) -> Option<&str> {
    index_name.strip_prefix("rideshare ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn collection(name: &str) -> CollectionName {
        CollectionName::parse(name).unwrap()
    }

    fn put(name: &str, id: i64, n: i64) -> Change {
        let document = Document::from_iter([("n".to_owned(), n.into())]).with_id(id.into());
        Change::Put { collection: collection(name), id: id.into(), document: Arc::new(document) }
    }

    fn delete(name: &str, id: i64) -> Change {
        Change::Delete { collection: collection(name), id: id.into() }
    }

    fn numbers(changes: &[Change], name: &str) -> (bool, Vec<(DocumentId, Option<i64>)>) {
        let groups = group(changes);
        let effects = &groups[&collection(name)];
        let number = |document: &Document| document.get("n").and_then(|n| n.as_integer());
        let mut numbers: Vec<_> = effects
            .documents
            .iter()
            .map(|(id, document)| ((*id).clone(), document.and_then(number)))
            .collect();
        numbers.sort();
        (effects.is_cleared, numbers)
    }

    #[test]
    fn last_change_of_a_document_in_its_collection_wins() {
        let changes = [
            put("a", 1, 1),
            put("b", 1, 7),
            delete("a", 2),
            put("a", 1, 2),
            delete("b", 1),
            put("a", 2, 3),
        ];
        assert_eq!(numbers(&changes, "a"), (false, vec![(1.into(), Some(2)), (2.into(), Some(3))]));
        assert_eq!(numbers(&changes, "b"), (false, vec![(1.into(), None)]));
    }

    #[test]
    fn clear_undoes_what_came_before_it_in_its_collection_only() {
        let clear = Change::Clear { collection: collection("a") };
        let changes = [put("a", 1, 1), put("b", 1, 1), clear, put("a", 2, 2)];
        assert_eq!(numbers(&changes, "a"), (true, vec![(2.into(), Some(2))]));
        assert_eq!(numbers(&changes, "b"), (false, vec![(1.into(), Some(1))]));
    }

    #[test]
    fn fields_whose_index_could_refuse_documents_are_not_indexed() {
        for (field, expected) in [
            ("a", true),
            ("a.b", true),
            ("a1", true),
            ("_id", false),
            ("a.0", false),
            ("0", false),
            ("", false),
            ("a..b", false),
            ("$**", false),
        ] {
            assert_eq!(is_indexable(field), expected, "{field}");
        }
    }
}
