//! What plans are made of, by example and against a naive reference.

mod model;
mod operations;
mod properties;
mod window;

use super::*;
use crate::domain::document::{CollectionName, Document, DocumentId, Value};
use crate::domain::filter::Filter;
use crate::domain::log::Change;
use crate::domain::request::{Acknowledgement, Returning, WriteOperation};
use crate::domain::update::Update;
use serde_json::json;

fn value(json: serde_json::Value) -> Value {
    Value::from_json(json).expect("the test's JSON is valid")
}

fn document(json: serde_json::Value) -> Document {
    match value(json) {
        Value::Object(mut document) => {
            if let Some(id) = document.id() {
                document.set_id(id);
            }
            document
        }
        other => panic!("{other:?} is no document"),
    }
}

fn filter(json: serde_json::Value) -> Filter {
    Filter::parse(&value(json)).expect("the test's filter is valid")
}

fn collection(name: &str) -> CollectionName {
    CollectionName::parse(name).expect("the test's name is valid")
}

fn insert(documents: &[serde_json::Value]) -> WriteOperation {
    let documents = documents.iter().cloned().map(document).collect();
    WriteOperation::Insert { collection: collection("c"), documents }
}

fn replace(json: serde_json::Value, upsert: bool) -> WriteOperation {
    WriteOperation::Replace { collection: collection("c"), document: document(json), upsert }
}

fn delete(json: serde_json::Value, many: bool) -> WriteOperation {
    WriteOperation::Delete { collection: collection("c"), filter: filter(json), many }
}

fn clear() -> WriteOperation {
    WriteOperation::Clear { collections: vec![collection("c")] }
}

fn batch(operations: Vec<WriteOperation>) -> WriteOperation {
    WriteOperation::Batch { operations }
}

/// `many`, `upsert` and what to return, each where it is named.
fn update(of: serde_json::Value, how: serde_json::Value, options: &str) -> WriteOperation {
    let returning = match options {
        _ if options.contains("before") => Returning::Before,
        _ if options.contains("after") => Returning::After,
        _ => Returning::None,
    };
    WriteOperation::Update {
        collection: collection("c"),
        filter: filter(of),
        update: Update::parse(&value(how)).expect("the test's update is valid"),
        many: options.contains("many"),
        upsert: options.contains("upsert"),
        returning,
        fresh_id: DocumentId::from("fresh"),
    }
}

fn request(id: &str, operation: WriteOperation) -> WriteRequest {
    WriteRequest {
        id: RequestId::from(id),
        seen: Offset(0),
        acknowledgement: Acknowledgement::Applied,
        operation,
    }
}

fn put(json: serde_json::Value) -> Change {
    let document = document(json);
    let id = document.id().expect("the test's document has a key");
    Change::Put { collection: collection("c"), id, document: document.into() }
}

fn removal(id: impl Into<DocumentId>) -> Change {
    Change::Delete { collection: collection("c"), id: id.into() }
}

fn updated(matched: u64, modified: u64, documents: &[serde_json::Value]) -> Outcome {
    let documents = documents.iter().cloned().map(document).collect();
    Outcome::Updated { matched, modified, upserted_id: None, documents }
}

fn upserted(id: impl Into<DocumentId>, documents: &[serde_json::Value]) -> Outcome {
    let documents = documents.iter().cloned().map(document).collect();
    Outcome::Updated { matched: 0, modified: 0, upserted_id: Some(id.into()), documents }
}

fn inserted(ids: &[i64]) -> Outcome {
    Outcome::Inserted { ids: ids.iter().map(|&id| DocumentId::from(id)).collect() }
}

fn conflict(ids: &[i64]) -> Refusal {
    Refusal::Conflict { ids: ids.iter().map(|&id| DocumentId::from(id)).collect() }
}
