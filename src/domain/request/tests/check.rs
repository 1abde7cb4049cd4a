//! Requests from a queue that anybody may have written to.

use super::super::native;
use super::super::{
    Acknowledgement, Consistency, InvalidRequest, ReadOperation, ReadShape, WriteOperation,
    WriteRequest,
};
use super::{collection, document, fresh_ids, value};
use crate::domain::ids::{Offset, RequestId};
use crate::domain::query::{Query, SortOrder};

fn check(operation: WriteOperation) -> Result<(), InvalidRequest> {
    let id = RequestId::new("r");
    WriteRequest { id, seen: Offset(0), acknowledgement: Acknowledgement::Applied, operation }
        .check()
}

fn insert(text: &str) -> WriteOperation {
    WriteOperation::Insert { collection: collection("c"), documents: vec![document(text)] }
}

#[track_caller]
fn assert_refused(checked: Result<(), InvalidRequest>, place: &str, reason: &str) {
    let error = checked.expect_err("must not pass");
    assert_eq!(error.place, place, "{error}");
    assert!(error.reason.contains(reason), "{error}");
}

#[test]
fn what_a_body_can_ask_for_passes() {
    for body in [
        r#"{"op":"insert","collection":"c","documents":[{"a":1},{"_id":7,"b":{"c":[1]}}]}"#,
        r#"{"op":"update","collection":"c","filter":{"a":1},"update":{"$set":{"b":2}},"upsert":true}"#,
        r#"{"op":"replace","collection":"c","document":{"_id":1}}"#,
        r#"{"op":"delete","collection":"c","filter":{}}"#,
        r#"{"op":"clear","collections":["c"]}"#,
        r#"{"op":"index","collection":"c","field":"a.b"}"#,
        r#"{"op":"batch","operations":[{"op":"insert","collection":"c","documents":[{}]}]}"#,
    ] {
        let operation = native::parse_write(value(body), &mut fresh_ids()).expect("valid");
        assert_eq!(check(operation), Ok(()), "{body}");
    }
}

#[test]
fn document_that_no_database_takes_is_refused() {
    for (text, reason) in [
        (r#"{"a":1}"#, "has no _id"),
        (r#"{"_id":1,"$a":1}"#, "starts with `$`"),
        (r#"{"_id":1,"a\u0000":1}"#, "NUL"),
        (r#"{"_id":1,"a":{"b.c":1}}"#, "dot"),
        (r#"{"_id":{"a":1}}"#, "_id"),
    ] {
        assert_refused(check(insert(text)), "documents[0]", reason);
        let (collection, document) = (collection("c"), document(text));
        let replace = WriteOperation::Replace { collection, document, upsert: true };
        assert_refused(check(replace), "document", reason);
    }
}

#[test]
fn batch_holds_nothing_but_operations_on_documents() {
    let batch = |operation| WriteOperation::Batch { operations: vec![operation] };
    let clear = WriteOperation::Clear { collections: vec![collection("c")] };
    assert_refused(check(batch(clear)), "operations[0].op", "batch");
    assert_refused(check(batch(batch(insert(r#"{"_id":1}"#)))), "operations[0].op", "batch");
    assert_refused(check(batch(insert("{}"))), "operations[0].documents[0]", "_id");
}

#[test]
fn name_that_takes_memory_in_every_worker_is_refused() {
    let request = |bytes| WriteRequest {
        id: RequestId::new("x".repeat(bytes)),
        seen: Offset(0),
        acknowledgement: Acknowledgement::Applied,
        operation: insert(r#"{"_id":1}"#),
    };
    assert_eq!(request(1_024).check(), Ok(()));
    assert_refused(request(1_025).check(), "id", "1025 bytes");
}

#[test]
fn read_by_what_is_no_path_is_refused() {
    let read =
        |query: Query, shape| ReadOperation { query, shape, consistency: Consistency::Strong };
    let all = || Query::all(collection("c"));
    assert_eq!(read(all(), ReadShape::Count).check(), Ok(()));
    let distinct = read(all(), ReadShape::Distinct("a..b".to_owned()));
    assert_refused(distinct.check(), "distinct", "empty part");
    let key = |path: &str| (path.to_owned(), SortOrder::Ascending);
    // Each number may name a field or an element: the time would double with each.
    let sorted = Query { sort: vec![key(&["0"; 40].join("."))], ..all() };
    assert_refused(read(sorted, ReadShape::Documents).check(), "sort[0]", "numeric parts");
    let sorted = Query { sort: vec![key("a"); 32], ..all() };
    assert_refused(read(sorted, ReadShape::Documents).check(), "sort", "32 fields");
    let projected = Query { projection: Some(vec!["$a".to_owned()]), ..all() };
    assert_refused(read(projected, ReadShape::Documents).check(), "projection[0]", "$");
}
