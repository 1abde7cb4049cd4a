//! About how many bytes a message or a record takes, without encoding it.
//!
//! Counts the documents, which are all that can be large in number, and a flat sum for the rest;
//! filters and updates are limited by the size of a request and not looked into.

use crate::domain::document::Document;
use crate::domain::log::{Change, Record, RecordBody};
use crate::domain::message::Request;
use crate::domain::request::WriteOperation;

/// What a message, an operation, an entry or a change counts besides its documents.
const FLAT_BYTES: usize = 128;

/// The size of a request.
pub(super) fn of_request(request: &Request) -> usize {
    match request {
        Request::Write(write) => of_operation(&write.operation),
        Request::Read(_) | Request::Ping | Request::Catalog { .. } => FLAT_BYTES,
    }
}

fn of_operation(operation: &WriteOperation) -> usize {
    let documents = match operation {
        WriteOperation::Insert { documents, .. } => {
            documents.iter().map(Document::encoded_size).sum()
        }
        WriteOperation::Replace { document, .. } => document.encoded_size(),
        WriteOperation::Batch { operations } => operations.iter().map(of_operation).sum(),
        WriteOperation::Update { .. }
        | WriteOperation::Delete { .. }
        | WriteOperation::Clear { .. }
        | WriteOperation::EnsureIndex { .. } => 0,
    };
    FLAT_BYTES + documents
}

/// The size of a record.
pub(super) fn of_record(record: &Record) -> usize {
    let entries = match &record.body {
        RecordBody::Epoch { .. } => 0,
        RecordBody::Batch { entries, .. } => entries
            .iter()
            .map(|entry| FLAT_BYTES + entry.changes.iter().map(of_change).sum::<usize>())
            .sum(),
    };
    FLAT_BYTES + entries
}

fn of_change(change: &Change) -> usize {
    let document = match change {
        Change::Put { document, .. } => document.encoded_size(),
        Change::Delete { .. } | Change::Clear { .. } | Change::EnsureIndex { .. } => 0,
    };
    FLAT_BYTES + document
}
