//! The different values of a field, as `domain::query::distinct` defines them.
//!
//! The server's own `distinct` returns any of several equal numbers, as it happens to meet them,
//! and no answer over 16 MiB. So it only thins out what it sends, without touching what could
//! make a difference, and the domain decides.

use mongodb::bson::{Document as BsonDocument, doc};

use super::error::within;
use super::filter;
use super::read::Reader;
use crate::domain::document::{CollectionName, Document, FieldPath, ID_FIELD, Value};
use crate::domain::filter::Filter;
use crate::domain::query;
use crate::ports::store::StoreError;

/// How many documents are looked at together at least.
const TOGETHER: usize = 2_000;

impl Reader {
    /// The different values of the field in the documents that match, ascending.
    pub(super) async fn distinct(
        &self,
        collection: &CollectionName,
        filter: &Filter,
        field: &str,
        max_bytes: usize,
    ) -> Result<Vec<Value>, StoreError> {
        let Ok(path) = FieldPath::parse(field) else {
            return Ok(Vec::new());
        };
        let stages = stages(filter, &path);
        let collection = self.collection(collection);
        let aggregate = collection.aggregate(stages);
        let aggregate = aggregate.allow_disk_use(true).max_time(self.query);
        let cursor = within(self.answer, aggregate.batch()).await?;
        let mut seen = Seen::new(field, &path, max_bytes);
        self.each(cursor, &mut |document| seen.add(document)).await?;
        seen.merge()?;
        Ok(seen.values)
    }
}

fn stages(filter: &Filter, path: &FieldPath) -> Vec<BsonDocument> {
    let matching = doc! { "$match": filter::query(filter.expression()) };
    let name = path.parts()[0].as_str();
    let field = format!("${name}");
    match path.parts() {
        [_] if name != ID_FIELD => vec![matching, once_each(&field), restore(name)],
        _ => {
            vec![matching, doc! { "$project": { ID_FIELD: i32::from(name == ID_FIELD), name: 1 } }]
        }
    }
}

/// Keeps one document of each value. Numbers of different types stay apart, and so do the two
/// zeros; an array or object is never taken for another, as equal ones can differ inside.
fn once_each(field: &str) -> BsonDocument {
    let kind = doc! { "$type": field };
    let detail = doc! { "$switch": {
        "branches": [
            { "case": { "$in": [&kind, ["array", "object"]] }, "then": "$_id" },
            { "case": { "$eq": [&kind, "double"] }, "then": { "$toString": field } },
        ],
        "default": null,
    } };
    doc! { "$group": { "_id": { "value": field, "kind": kind, "detail": detail } } }
}

/// A document with nothing but the value, under its own name.
fn restore(name: &str) -> BsonDocument {
    doc! { "$project": { "_id": 0, name: "$_id.value" } }
}

/// Values that were found so far.
struct Seen<'a> {
    field: &'a str,
    path: &'a FieldPath,
    max_bytes: usize,
    values: Vec<Value>,
    documents: Vec<Document>,
}

impl<'a> Seen<'a> {
    fn new(field: &'a str, path: &'a FieldPath, max_bytes: usize) -> Self {
        Self { field, path, max_bytes, values: Vec::new(), documents: Vec::new() }
    }

    /// Looks at more and more documents together, so that the work stays proportional to them.
    fn add(&mut self, document: Document) -> Result<(), StoreError> {
        self.documents.push(document);
        if self.documents.len() < self.values.len().max(TOGETHER) {
            return Ok(());
        }
        self.merge()
    }

    fn merge(&mut self) -> Result<(), StoreError> {
        // An array at the end of a path stands for its elements: so do the values so far.
        let values = Value::Array(std::mem::take(&mut self.values));
        let wrapped = self
            .path
            .parts()
            .iter()
            .rev()
            .fold(values, |inner, name| Document::from_iter([(name.clone(), inner)]).into());
        if let Value::Object(earlier) = wrapped {
            self.documents.push(earlier);
        }
        self.values = query::distinct(&self.documents, self.field);
        self.documents.clear();
        let answer = Document::from_iter([(String::new(), self.values.clone().into())]);
        if answer.encoded_size() > self.max_bytes {
            return Err(StoreError::TooLarge { bytes: self.max_bytes });
        }
        Ok(())
    }
}
