//! The write that is measured, as each part gets to see it.

use rideshare::domain::document::{CollectionName, Document, DocumentId, Value};
use rideshare::domain::ids::{Epoch, LogId, Offset, RequestId, Sequence};
use rideshare::domain::log::{Entry, History, Record, RecordBody, Term};
use rideshare::domain::planner::{DuplicateWindow, View, needs, plan};
use rideshare::domain::request::{Acknowledgement, WriteOperation, WriteRequest};

use crate::load::text;

const LOG_ID: &str = "components";

pub(crate) fn insert(number: u64) -> WriteRequest {
    let collection = CollectionName::parse("things").expect("a valid name");
    WriteRequest {
        id: RequestId::new(number.to_string()),
        seen: Offset(0),
        acknowledgement: Acknowledgement::Applied,
        operation: WriteOperation::Insert { collection, documents: vec![document(number)] },
    }
}

fn document(number: u64) -> Document {
    let text = Value::from(text().as_str());
    let id = DocumentId::from(number.to_string().as_str());
    Document::from_iter([("text".to_owned(), text)]).with_id(id)
}

/// What the master makes of requests for documents that are new.
pub(crate) fn planned(requests: &[&WriteRequest]) -> Vec<Entry> {
    let mut view = View::default();
    for (collection, ids) in needs(requests).ids {
        view.fetched(&collection, ids, Vec::new());
    }
    plan(requests, view, &DuplicateWindow::starting_at(Offset(0))).entries
}

/// So many new documents that no other round has.
pub(crate) fn entries(round: u64, count: u64) -> Vec<Entry> {
    let requests: Vec<_> = (0..count).map(|number| insert(round * count + number)).collect();
    planned(&requests.iter().collect::<Vec<_>>())
}

pub(crate) fn record(round: u64, entries: Vec<Entry>) -> Record {
    let body = RecordBody::Batch { sequence: Sequence(round), entries };
    Record { log_id: LogId::new(LOG_ID), epoch: Epoch(1), appended_at_ms: 0, body }
}

/// What a database has taken in with that round.
pub(crate) fn history(round: u64) -> History {
    let term = Term { epoch: Epoch(1), begun: Offset(0), batches: Sequence(round) };
    let log_id = Some(LogId::new(LOG_ID));
    History { log_id, terms: vec![term], applied: Some(Offset(round + 1)) }
}
