//! The original's form.

use super::super::original::{
    self, OriginalAnswer, OriginalRead, is_original_read, is_original_write, is_success, spoken,
};
use super::super::{
    Consistency, InvalidRequest, MAX_OPERATIONS, ReadOperation, ReadShape, Returning,
    WriteOperation,
};
use super::{assert_invalid, collection, document, filter, fresh_ids, update, value};
use crate::domain::document::DocumentId;
use crate::domain::outcome::{Outcome, Refusal};
use crate::domain::query::Query;

fn write(body: &str) -> Result<WriteOperation, InvalidRequest> {
    original::parse_write(value(body), &mut fresh_ids())
}

fn read(body: &str) -> Result<OriginalRead, InvalidRequest> {
    original::parse_read(value(body))
}

#[test]
fn every_original_write_means_one_of_our_operations() {
    let insert = |text: &str| WriteOperation::Insert {
        collection: collection("t"),
        documents: vec![document(text)],
    };
    let delete = |text: &str| WriteOperation::Delete {
        collection: collection("t"),
        filter: filter(text),
        many: false,
    };
    let change = |clause: &str, change: &str| WriteOperation::Update {
        collection: collection("t"),
        filter: filter(clause),
        update: update(change),
        many: false,
        upsert: false,
        returning: Returning::None,
        fresh_id: DocumentId::from("fresh1"),
    };
    let table = [
        (
            r#"{"insert":["ann",3],"columns":["name","age"],"table":"t"}"#,
            insert(r#"{"_id":"fresh1","name":"ann","age":3}"#),
        ),
        (
            r#"{"insert":[["x"],7],"columns":["users","_id"],"table":"t"}"#,
            insert(r#"{"_id":7,"users":["x"]}"#),
        ),
        (
            r#"{"insert":["21-03-2020:59-05-23"],"columns":["timestamp"],"table":"t"}"#,
            insert(r#"{"_id":"fresh1","timestamp":"2020-03-21T23:05:59"}"#),
        ),
        (r#"{"delete":"ann","column":"name","table":"t"}"#, delete(r#"{"name":{"$eq":"ann"}}"#)),
        (r#"{"delete":null,"column":"a.b","table":"t"}"#, delete(r#"{"a.b":{"$eq":null}}"#)),
        (
            r#"{"delete":"21-03-2020:59-05-23","column":"timestamp","table":"t"}"#,
            delete(r#"{"timestamp":{"$eq":"2020-03-21T23:05:59"}}"#),
        ),
        (
            r#"{"update":"users","table":"t","where":{"_id":1},"data":"bob","operation":"addToSet"}"#,
            change(r#"{"_id":1}"#, r#"{"$addToSet":{"users":"bob"}}"#),
        ),
        (
            r#"{"update":"a","table":"t","where":{},"data":{"x":1},"operation":"$set"}"#,
            change("{}", r#"{"$set":{"a":{"x":1}}}"#),
        ),
        (
            r#"{"update":"timestamp","table":"t","where":{"timestamp":"01-01-2020:00-00-00"},
                "data":"02-01-2020:00-00-00","operation":"set"}"#,
            change(
                r#"{"timestamp":"2020-01-01T00:00:00"}"#,
                r#"{"$set":{"timestamp":"2020-01-02T00:00:00"}}"#,
            ),
        ),
        (
            r#"{"clear":1,"collections":["users","rides"]}"#,
            WriteOperation::Clear { collections: vec![collection("users"), collection("rides")] },
        ),
        (
            r#"{"clear":true,"collections":["users"]}"#,
            WriteOperation::Clear { collections: vec![collection("users")] },
        ),
    ];
    for (body, expected) in table {
        assert_eq!(write(body), Ok(expected), "{body}");
    }
}

#[test]
fn invalid_original_write_is_refused_with_its_place() {
    let table = [
        ("[]", "body", "an object"),
        ("{}", "table", "is missing"),
        (r#"{"table":"t"}"#, "body", "has none of"),
        (r#"{"table":"$t","insert":[],"columns":[]}"#, "table", "is no name"),
        (r#"{"table":7,"insert":[],"columns":[]}"#, "table", "a string"),
        (r#"{"table":"t","insert":"a","columns":["a"]}"#, "insert", "an array"),
        (r#"{"table":"t","insert":["a"]}"#, "columns", "is missing"),
        (r#"{"table":"t","insert":["a"],"columns":"a"}"#, "columns", "an array"),
        (r#"{"table":"t","insert":["a"],"columns":[1]}"#, "columns[0]", "a string"),
        (r#"{"table":"t","insert":["a"],"columns":["a","b"]}"#, "insert", "1 values for 2 columns"),
        (r#"{"table":"t","insert":[1],"columns":["$a"]}"#, "insert", "`$a`"),
        (r#"{"table":"t","insert":[1.5],"columns":["_id"]}"#, "insert", "_id"),
        (r#"{"table":"t","insert":["now"],"columns":["timestamp"]}"#, "insert[0]", "not a real"),
        (r#"{"table":"t","insert":[1,2],"columns":["a","timestamp"]}"#, "insert[1]", "a timestamp"),
        (r#"{"table":"t","delete":1}"#, "column", "is missing"),
        (r#"{"table":"t","delete":1,"column":"a..b"}"#, "column", "empty part"),
        (r#"{"table":"t","delete":1,"column":"$where"}"#, "column", "`$where`"),
        (r#"{"table":"t","delete":[{}],"column":"$or"}"#, "column", "array"),
        (r#"{"table":"t","delete":{"$ne":null},"column":"a"}"#, "column", "`$ne`"),
        (r#"{"table":"t","delete":1,"column":"timestamp"}"#, "delete", "a timestamp"),
        (r#"{"table":"t","update":"a","data":1,"operation":"set"}"#, "where", "is missing"),
        (
            r#"{"table":"t","update":"a","where":[],"data":1,"operation":"set"}"#,
            "where",
            "an object",
        ),
        (
            r#"{"table":"t","update":"a","where":{"$where":1},"data":1,"operation":"set"}"#,
            "where",
            "`$where`",
        ),
        (r#"{"table":"t","update":"a","where":{},"operation":"set"}"#, "data", "is missing"),
        (r#"{"table":"t","update":"a","where":{},"data":1}"#, "operation", "is missing"),
        (
            r#"{"table":"t","update":"a","where":{},"data":1,"operation":"rename"}"#,
            "operation",
            "`$rename`",
        ),
        (r#"{"table":"t","update":7,"where":{},"data":1,"operation":"set"}"#, "update", "a string"),
        (
            r#"{"table":"t","update":"timestamp","where":{},"data":"x","operation":"set"}"#,
            "data",
            "not a real",
        ),
        (
            r#"{"table":"t","update":"a","where":{"timestamp":"x"},"data":1,"operation":"set"}"#,
            "where.timestamp",
            "not a real",
        ),
        (r#"{"clear":0,"collections":["a"]}"#, "clear", "expected 1"),
        (r#"{"clear":1}"#, "collections", "is missing"),
        (r#"{"clear":1,"collections":[]}"#, "collections", "is empty"),
        (r#"{"clear":1,"collections":["a",true]}"#, "collections[1]", "a string"),
    ];
    for (body, place, reason) in table {
        assert_invalid(write(body), body, place, reason);
    }
    let names = vec![r#""a""#; MAX_OPERATIONS + 1].join(",");
    let body = format!(r#"{{"clear":1,"collections":[{names}]}}"#);
    assert_invalid(write(&body), "too many", "collections", "at most 10000");
}

#[test]
fn original_reads_differ_in_shape_and_answer() {
    let operation = |clause: &str, projection: Option<&[&str]>, limit, shape| ReadOperation {
        query: Query {
            filter: filter(clause),
            projection: projection.map(|names| names.iter().map(|&name| name.to_owned()).collect()),
            limit,
            ..Query::all(collection("t"))
        },
        shape,
        consistency: Consistency::Eventual,
    };
    use ReadShape::{Count, Documents};
    let table = [
        (
            r#"{"table":"t","columns":["a","b"],"where":{"a":1}}"#,
            operation(r#"{"a":1}"#, Some(&["a", "b"]), Some(1), Documents),
            OriginalAnswer::First,
        ),
        (r#"{"table":"t"}"#, operation("{}", None, Some(1), Documents), OriginalAnswer::First),
        (
            r#"{"table":"t","columns":[],"where":{},"many":1}"#,
            operation("{}", Some(&[]), Some(10_000), Documents),
            OriginalAnswer::List,
        ),
        (
            r#"{"table":"t","columns":["a"],"where":{},"many":0}"#,
            operation("{}", Some(&["a"]), Some(1), Documents),
            OriginalAnswer::First,
        ),
        (r#"{"table":"t","count":1}"#, operation("{}", None, None, Count), OriginalAnswer::Count),
        (
            r#"{"table":"t","count":true,"many":1,"where":{"a":{"$gt":1}}}"#,
            operation(r#"{"a":{"$gt":1}}"#, None, None, Count),
            OriginalAnswer::Count,
        ),
    ];
    for (body, operation, answer) in table {
        assert_eq!(read(body), Ok(OriginalRead { operation, answer }), "{body}");
    }
}

#[test]
fn invalid_original_read_is_refused_with_its_place() {
    let table = [
        ("7", "body", "an object"),
        (r#"{"where":{}}"#, "table", "is missing"),
        (r#"{"table":"t","many":2}"#, "many", "0 or 1"),
        (r#"{"table":"t","count":"1"}"#, "count", "0 or 1"),
        (r#"{"table":"t","columns":"a"}"#, "columns", "an array"),
        (r#"{"table":"t","columns":["a",7]}"#, "columns[1]", "a string"),
        (r#"{"table":"t","columns":["a","$b"]}"#, "columns[1]", "`$b`"),
        (r#"{"table":"t","columns":[""]}"#, "columns[0]", "empty part"),
        (r#"{"table":"t","where":"a"}"#, "where", "an object"),
        (r#"{"table":"t","where":{"a":{"$where":1}}}"#, "where", "`$where`"),
        (
            r#"{"table":"t","where":{"timestamp":"31-02-2020:00-00-00"}}"#,
            "where.timestamp",
            "not a real",
        ),
    ];
    for (body, place, reason) in table {
        assert_invalid(read(body), body, place, reason);
    }
}

#[test]
fn moments_of_a_where_are_converted_wherever_they_mean_the_column() {
    let (spoken, stored) = (r#""21-03-2020:59-05-23""#, r#""2020-03-21T23:05:59""#);
    let table = [
        r#"{"timestamp":@}"#,
        r#"{"timestamp":{"$gt":@,"$lte":@}}"#,
        r#"{"timestamp":{"$in":[@,@]}}"#,
        r#"{"timestamp":{"$not":{"$lt":@}}}"#,
        r#"{"$and":[{"timestamp":@},{"a":1}]}"#,
        r#"{"$or":[{"$nor":[{"timestamp":{"$ne":@}}]}]}"#,
        r#"{"timestamp":{"$exists":true},"a":null}"#,
    ];
    for clause in table {
        let asked = format!(r#"{{"table":"t","where":{}}}"#, clause.replace('@', spoken));
        let expected = filter(&clause.replace('@', stored));
        assert_eq!(read(&asked).expect(clause).operation.query.filter, expected, "{clause}");
    }
    let other = [r#"{"a":{"timestamp":"soon"}}"#, r#"{"a":["x",{"timestamp":"soon"}]}"#];
    for clause in other {
        let asked = format!(r#"{{"table":"t","where":{clause}}}"#);
        assert_eq!(read(&asked).expect(clause).operation.query.filter, filter(clause));
    }
}

#[test]
fn timestamp_comes_back_as_it_came() {
    let table = [
        (
            r#"{"_id":1,"timestamp":"2020-03-21T23:05:59","a":2}"#,
            r#"{"_id":1,"timestamp":"21-03-2020:59-05-23","a":2}"#,
        ),
        (r#"{"timestamp":"soon"}"#, r#"{"timestamp":"soon"}"#),
        (r#"{"timestamp":7}"#, r#"{"timestamp":7}"#),
        (r#"{"at":"2020-03-21T23:05:59"}"#, r#"{"at":"2020-03-21T23:05:59"}"#),
    ];
    for (stored, expected) in table {
        assert_eq!(spoken(document(stored)), document(expected));
    }
}

#[test]
fn form_of_a_body_is_told_by_its_fields() {
    let writes = [
        ("{}", true),
        (r#"{"insert":[],"columns":[],"table":"t"}"#, true),
        (r#"{"op":"insert"}"#, false),
        (r#"{"op":null,"insert":[]}"#, false),
        ("[]", false),
    ];
    for (body, expected) in writes {
        assert_eq!(is_original_write(&value(body)), expected, "{body}");
    }
    let reads = [
        (r#"{"table":"t"}"#, true),
        ("{}", false),
        (r#"{"collection":"c"}"#, false),
        (r#"{"collection":"c","table":"t"}"#, false),
        ("7", false),
    ];
    for (body, expected) in reads {
        assert_eq!(is_original_read(&value(body)), expected, "{body}");
    }
}

#[test]
fn original_calls_a_write_that_meets_nothing_a_failure() {
    let updated = |matched| Outcome::Updated {
        matched,
        modified: 0,
        upserted_id: None,
        documents: Vec::new(),
    };
    let table = [
        (Outcome::Inserted { ids: vec![DocumentId::from(1)] }, true),
        (Outcome::Deleted { deleted: 1 }, true),
        (Outcome::Deleted { deleted: 0 }, false),
        (updated(1), true),
        (updated(0), false),
        (Outcome::Cleared { collections: Vec::new() }, true),
        (Outcome::Refused(Refusal::Forgotten), false),
        (Outcome::Refused(Refusal::Conflict { ids: Vec::new() }), false),
    ];
    for (outcome, expected) in table {
        assert_eq!(is_success(&outcome), expected, "{outcome:?}");
    }
}
