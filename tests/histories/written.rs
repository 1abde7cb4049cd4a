//! Histories written by hand.

use serde_json::{Value, json};

use crate::consistency::violations;
use crate::history::{Kind, Operation, Outcome};

/// What an operation of the document was asked and told: kind, argument, result.
pub(crate) type Row = (Kind, Value, Value);

/// A known operation of the one document, under way between these moments.
pub(crate) fn between(sent_us: u64, answered_us: u64, (kind, argument, result): Row) -> Operation {
    Operation {
        client: sent_us,
        kind,
        key: "documents/1".to_owned(),
        argument,
        outcome: Outcome::Known,
        result,
        sent_us,
        answered_us,
        offset: None,
        min_offset: None,
        error: None,
    }
}

/// Known operations one after the other: the first is under way from 10 to 15, the second from 20
/// to 25, and so on.
pub(crate) fn in_turn(rows: impl IntoIterator<Item = Row>) -> Vec<Operation> {
    let operation = |(number, row): (u64, Row)| between(10 * number, 10 * number + 5, row);
    (1..).zip(rows).map(operation).collect()
}

/// The same, all under way at the same time.
pub(crate) fn at_once(rows: impl IntoIterator<Item = Row>) -> Vec<Operation> {
    rows.into_iter().map(|row| between(10, 15, row)).collect()
}

pub(crate) fn in_doubt(operation: Operation) -> Operation {
    Operation { outcome: Outcome::Unknown, result: Value::Null, offset: None, ..operation }
}

pub(crate) fn at_offset(offset: u64, operation: Operation) -> Operation {
    Operation { offset: Some(offset), ..operation }
}

pub(crate) fn with_token(min_offset: u64, operation: Operation) -> Operation {
    Operation { min_offset: Some(min_offset), ..operation }
}

pub(crate) fn insert(value: &str, did: bool) -> Row {
    (Kind::Insert, json!(value), json!(did))
}

pub(crate) fn increment(to: i64) -> Row {
    (Kind::Increment, json!(1), json!(to))
}

pub(crate) fn swap(value: &str, before: Option<&str>) -> Row {
    (Kind::Swap, json!(value), json!(before))
}

pub(crate) fn put(value: &str) -> Row {
    (Kind::Put, json!(value), json!(null))
}

pub(crate) fn delete(did: bool) -> Row {
    (Kind::Delete, json!(null), json!(did))
}

pub(crate) fn read(value: impl Into<Value>) -> Row {
    (Kind::Read, json!(null), value.into())
}

pub(crate) fn session_read(value: impl Into<Value>) -> Row {
    (Kind::SessionRead, json!(null), value.into())
}

#[track_caller]
pub(crate) fn assert_sound(history: &[Operation]) {
    assert_eq!(violations(history), [""; 0]);
}

#[track_caller]
pub(crate) fn assert_refused(history: &[Operation]) {
    let found = violations(history);
    assert_eq!(found.len(), 1, "{history:#?}");
    assert!(found[0].contains("no order"), "{found:?}");
}
