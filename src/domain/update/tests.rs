//! What updates promise.

use super::*;
use crate::domain::document::{MAX_DOCUMENT_BYTES, json};

fn value(text: &str) -> Value {
    json::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn document(text: &str) -> Document {
    value(text).as_document().cloned().unwrap_or_default()
}

fn update(text: &str) -> Update {
    Update::parse(&value(text)).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Rows of a document, an update and the document after it.
fn check(table: &[(&str, &str, &str)]) {
    for (before, text, after) in table {
        let result = update(text).apply(&document(before));
        assert_eq!(result, Ok(document(after)), "{text} on {before}");
    }
}

/// Rows of a document, an update and the reason why it cannot be applied.
fn check_refused(table: &[(&str, &str, &str)]) {
    for (before, text, reason) in table {
        let error = update(text).apply(&document(before)).unwrap_err().to_string();
        assert!(error.contains(reason), "{text} on {before}: {error}");
    }
}

#[test]
fn set_and_unset_follow_paths() {
    check(&[
        (r#"{"a":1,"b":2}"#, r#"{"$set":{"a":[]}}"#, r#"{"a":[],"b":2}"#),
        ("{}", r#"{"$set":{"a.b.c":1}}"#, r#"{"a":{"b":{"c":1}}}"#),
        ("{}", r#"{"$set":{"a.0":1}}"#, r#"{"a":{"0":1}}"#),
        (r#"{"a":[1]}"#, r#"{"$set":{"a.0":2}}"#, r#"{"a":[2]}"#),
        (r#"{"a":[1]}"#, r#"{"$set":{"a.3":4}}"#, r#"{"a":[1,null,null,4]}"#),
        (r#"{"a":[]}"#, r#"{"$set":{"a.1.b":4}}"#, r#"{"a":[null,{"b":4}]}"#),
        (r#"{"a":[{"b":1}]}"#, r#"{"$set":{"a.0.b":2}}"#, r#"{"a":[{"b":2}]}"#),
        (r#"{"a":1,"b":2}"#, r#"{"$unset":{"a":""}}"#, r#"{"b":2}"#),
        (r#"{"a":{"b":1,"c":2}}"#, r#"{"$unset":{"a.b":1}}"#, r#"{"a":{"c":2}}"#),
        (r#"{"a":[1,2]}"#, r#"{"$unset":{"a.0":1}}"#, r#"{"a":[null,2]}"#),
        (r#"{"a":[1]}"#, r#"{"$unset":{"a.5":1,"b.c":1,"a.x":1}}"#, r#"{"a":[1]}"#),
        (r#"{"a":1}"#, r#"{"$unset":{"a.b":1}}"#, r#"{"a":1}"#),
        (r#"{"a":1}"#, r#"{"$set":{}}"#, r#"{"a":1}"#),
    ]);
    check_refused(&[
        (r#"{"a":1}"#, r#"{"$set":{"a.b":1}}"#, "path `a.b` cannot go to `b` in an integer"),
        (r#"{"a":null}"#, r#"{"$set":{"a.b":1}}"#, "path `a.b` cannot go to `b` in null"),
        (r#"{"a":[]}"#, r#"{"$set":{"a.b":1}}"#, "path `a.b` cannot go to `b` in an array"),
        (r#"{"a":[]}"#, r#"{"$set":{"a.10001":1}}"#, "more than 10000 nulls"),
        (r#"{"a":[],"b":[]}"#, r#"{"$set":{"a.6000":1,"b.6000":1}}"#, "more than 10000 nulls"),
    ]);
}

#[test]
fn new_fields_come_in_the_order_of_their_paths() {
    check(&[
        ("{}", r#"{"$set":{"c":1,"a":1},"$inc":{"b":1}}"#, r#"{"a":1,"b":1,"c":1}"#),
        (
            "{}",
            r#"{"$set":{"x.10":1,"x.9":1,"x.a":1,"x.1a":1}}"#,
            r#"{"x":{"9":1,"10":1,"1a":1,"a":1}}"#,
        ),
        (
            r#"{"x":[]}"#,
            r#"{"$set":{"x.10":10,"x.9":9}}"#,
            r#"{"x":[null,null,null,null,null,null,null,null,null,9,10]}"#,
        ),
        (r#"{"b":0}"#, r#"{"$set":{"b":1,"a":1}}"#, r#"{"b":1,"a":1}"#),
    ]);
}

#[test]
fn arithmetic_keeps_integers_and_refuses_to_overflow() {
    check(&[
        (r#"{"a":1}"#, r#"{"$inc":{"a":2}}"#, r#"{"a":3}"#),
        (r#"{"a":1}"#, r#"{"$inc":{"a":0.5}}"#, r#"{"a":1.5}"#),
        (r#"{"a":1.5}"#, r#"{"$inc":{"a":1}}"#, r#"{"a":2.5}"#),
        ("{}", r#"{"$inc":{"a.b":2}}"#, r#"{"a":{"b":2}}"#),
        (r#"{"a":[1,2]}"#, r#"{"$inc":{"a.1":-2}}"#, r#"{"a":[1,0]}"#),
        (r#"{"a":3}"#, r#"{"$mul":{"a":-2}}"#, r#"{"a":-6}"#),
        (r#"{"a":3}"#, r#"{"$mul":{"a":0.5}}"#, r#"{"a":1.5}"#),
        ("{}", r#"{"$mul":{"a":5}}"#, r#"{"a":0}"#),
        ("{}", r#"{"$mul":{"a":5.0}}"#, r#"{"a":0.0}"#),
        (r#"{"a":9223372036854775807}"#, r#"{"$inc":{"a":-1}}"#, r#"{"a":9223372036854775806}"#),
    ]);
    check_refused(&[
        (
            r#"{"a":"x"}"#,
            r#"{"$inc":{"a":1}}"#,
            "`$inc` needs a number in field `a`, which holds a string",
        ),
        (r#"{"a":null}"#, r#"{"$inc":{"a":1}}"#, "which holds null"),
        (r#"{"a":{"b":[]}}"#, r#"{"$mul":{"a.b":1}}"#, "in field `a.b`, which holds an array"),
        (
            r#"{"a":9223372036854775807}"#,
            r#"{"$inc":{"a":1}}"#,
            "`$inc` of field `a` exceeds the range",
        ),
        (
            r#"{"a":4611686018427387904}"#,
            r#"{"$mul":{"a":2}}"#,
            "`$mul` of field `a` exceeds the range",
        ),
        (r#"{"a":1e308}"#, r#"{"$mul":{"a":10}}"#, "exceeds the range"),
        (r#"{"a":1e308}"#, r#"{"$inc":{"a":1e308}}"#, "exceeds the range"),
    ]);
}

#[test]
fn min_and_max_use_the_order_of_all_values() {
    check(&[
        (r#"{"a":5}"#, r#"{"$min":{"a":3}}"#, r#"{"a":3}"#),
        (r#"{"a":5}"#, r#"{"$min":{"a":7}}"#, r#"{"a":5}"#),
        (r#"{"a":5}"#, r#"{"$max":{"a":7.5}}"#, r#"{"a":7.5}"#),
        (r#"{"a":5}"#, r#"{"$max":{"a":5.0}}"#, r#"{"a":5}"#),
        (r#"{"a":5}"#, r#"{"$max":{"a":"x"}}"#, r#"{"a":"x"}"#),
        (r#"{"a":5}"#, r#"{"$min":{"a":null}}"#, r#"{"a":null}"#),
        ("{}", r#"{"$min":{"a":3},"$max":{"b":[1]}}"#, r#"{"a":3,"b":[1]}"#),
    ]);
}

#[test]
fn arrays_grow_and_shrink() {
    check(&[
        ("{}", r#"{"$push":{"a":1}}"#, r#"{"a":[1]}"#),
        (r#"{"a":[1]}"#, r#"{"$push":{"a":[2,3]}}"#, r#"{"a":[1,[2,3]]}"#),
        (r#"{"a":[1]}"#, r#"{"$push":{"a":{"$each":[2,1]}}}"#, r#"{"a":[1,2,1]}"#),
        ("{}", r#"{"$push":{"a":{"$each":[]}}}"#, r#"{"a":[]}"#),
        (r#"{"a":[1]}"#, r#"{"$addToSet":{"a":1.0}}"#, r#"{"a":[1]}"#),
        (r#"{"a":[1]}"#, r#"{"$addToSet":{"a":[1]}}"#, r#"{"a":[1,[1]]}"#),
        (r#"{"a":[3]}"#, r#"{"$addToSet":{"a":{"$each":[2,3,2,1]}}}"#, r#"{"a":[3,2,1]}"#),
        ("{}", r#"{"$addToSet":{"a":{"$each":[2,2.0,1]}}}"#, r#"{"a":[2,1]}"#),
        (
            r#"{"a":[{"x":1,"y":2}]}"#,
            r#"{"$addToSet":{"a":{"y":2,"x":1}}}"#,
            r#"{"a":[{"x":1,"y":2},{"y":2,"x":1}]}"#,
        ),
        (r#"{"a":[1,2,3]}"#, r#"{"$pop":{"a":1}}"#, r#"{"a":[1,2]}"#),
        (r#"{"a":[1,2,3]}"#, r#"{"$pop":{"a":-1.0}}"#, r#"{"a":[2,3]}"#),
        (r#"{"a":[]}"#, r#"{"$pop":{"a":-1,"b":1,"c.d":1}}"#, r#"{"a":[]}"#),
        (r#"{"a":[[1],[2,3]]}"#, r#"{"$push":{"a.0":9}}"#, r#"{"a":[[1,9],[2,3]]}"#),
    ]);
    check_refused(&[
        (
            r#"{"a":1}"#,
            r#"{"$push":{"a":1}}"#,
            "`$push` needs an array in field `a`, which holds an integer",
        ),
        (
            r#"{"a":null}"#,
            r#"{"$addToSet":{"a":1}}"#,
            "`$addToSet` needs an array in field `a`, which holds null",
        ),
        (r#"{"a":{}}"#, r#"{"$pull":{"a":1}}"#, "`$pull` needs an array"),
        (r#"{"a":"x"}"#, r#"{"$pop":{"a":1}}"#, "`$pop` needs an array"),
        (r#"{"a":5}"#, r#"{"$pull":{"a.b":1}}"#, "cannot go to `b`"),
    ]);
}

#[test]
fn pull_takes_a_value_or_a_condition() {
    check(&[
        (r#"{"a":[1,2,1.0,[1]]}"#, r#"{"$pull":{"a":1}}"#, r#"{"a":[2,[1]]}"#),
        (r#"{"a":[[1,2],1]}"#, r#"{"$pull":{"a":[1,2]}}"#, r#"{"a":[1]}"#),
        (r#"{"a":[1,5,9,"x"]}"#, r#"{"$pull":{"a":{"$gte":5}}}"#, r#"{"a":[1,"x"]}"#),
        (r#"{"a":[1,5,9]}"#, r#"{"$pull":{"a":{"$gt":1,"$lt":9}}}"#, r#"{"a":[1,9]}"#),
        (r#"{"a":[1,2,3]}"#, r#"{"$pull":{"a":{"$in":[1,3]}}}"#, r#"{"a":[2]}"#),
        (r#"{"a":[1,2]}"#, r#"{"$pull":{"a":{"$ne":1}}}"#, r#"{"a":[1]}"#),
        // The condition on an element that is an array looks at its elements too.
        (r#"{"a":[[0,5],[0]]}"#, r#"{"$pull":{"a":{"$gt":1}}}"#, r#"{"a":[[0]]}"#),
        // A condition of names is a filter: further fields and their order do not matter.
        (
            r#"{"a":[{"c":2,"b":1},{"b":2},1]}"#,
            r#"{"$pull":{"a":{"b":1}}}"#,
            r#"{"a":[{"b":2},1]}"#,
        ),
        (
            r#"{"a":[{"b":[1,2]},{"b":[3]}]}"#,
            r#"{"$pull":{"a":{"b":{"$gt":2}}}}"#,
            r#"{"a":[{"b":[1,2]}]}"#,
        ),
        (
            r#"{"a":[{"b":1},{"c":1},{}]}"#,
            r#"{"$pull":{"a":{"$or":[{"b":1},{"c":1}]}}}"#,
            r#"{"a":[{}]}"#,
        ),
        (
            r#"{"a":[{"b":[{"c":1}]},2]}"#,
            r#"{"$pull":{"a":{"b":{"$elemMatch":{"c":1}}}}}"#,
            r#"{"a":[2]}"#,
        ),
        ("{}", r#"{"$pull":{"a":1,"b.c":{"$gt":1}}}"#, "{}"),
    ]);
}

#[test]
fn the_key_never_changes() {
    check(&[
        (r#"{"_id":1,"a":1}"#, r#"{"$set":{"_id":1,"a":2}}"#, r#"{"_id":1,"a":2}"#),
        (r#"{"_id":1}"#, r#"{"$set":{"_id":1.0}}"#, r#"{"_id":1}"#),
        (r#"{"_id":1}"#, r#"{"$max":{"_id":0}}"#, r#"{"_id":1}"#),
    ]);
    check_refused(&[
        (r#"{"_id":1}"#, r#"{"$set":{"_id":2}}"#, "`_id` cannot be changed"),
        (r#"{"_id":1}"#, r#"{"$unset":{"_id":""}}"#, "`_id` cannot be changed"),
        (r#"{"_id":1}"#, r#"{"$inc":{"_id":1}}"#, "`_id` cannot be changed"),
        (r#"{"_id":1}"#, r#"{"$set":{"_id.a":1}}"#, "path `_id.a` cannot go to `a`"),
    ]);
}

#[test]
fn an_invalid_update_names_the_operator_and_the_place() {
    let cases = [
        ("[]", "update: must be an object of operators, not an array"),
        ("{}", "update: has no operator, such as `$set`"),
        (
            r#"{"a":1}"#,
            "update: `a` is not an operator: to store a whole new document use the operation `replace`",
        ),
        (r#"{"$set":{"a":1},"b":1}"#, "update: `b` is not an operator"),
        (r#"{"$rename":{"a":"b"}}"#, "update: operator `$rename` is not known here"),
        (r#"{"$setOnInsert":{"a":"b"}}"#, "update: operator `$setOnInsert` is not known here"),
        (r#"{"$set":1}"#, "update at `$set`: needs an object of fields, not an integer"),
        (r#"{"$inc":{"a":"1"}}"#, "update at `$inc.a`: needs a number, not a string"),
        (r#"{"$mul":{"a":null}}"#, "update at `$mul.a`: needs a number, not null"),
        (r#"{"$pop":{"a":2}}"#, "update at `$pop.a`: needs 1 or -1, not another number"),
        (r#"{"$pop":{"a":"1"}}"#, "update at `$pop.a`: needs 1 or -1, not a string"),
        (
            r#"{"$push":{"a":{"$each":1}}}"#,
            "update at `$push.a.$each`: needs an array, not an integer",
        ),
        (
            r#"{"$push":{"a":{"$each":[],"$slice":1}}}"#,
            "update at `$push.a`: operator `$slice` is not known here",
        ),
        (
            r#"{"$push":{"a":{"$sort":1,"$each":[]}}}"#,
            "update at `$push.a`: operator `$sort` is not known here",
        ),
        (r#"{"$push":{"a":{"$position":1}}}"#, "the name `$position` starts with `$`"),
        (
            r#"{"$push":{"a":{"$each":[1,{"$b":1}]}}}"#,
            "update at `$push.a.$each[1]`: document: the name `$b`",
        ),
        (r#"{"$set":{"a":{"b.c":1}}}"#, "update at `$set.a`: document: the name `b.c` holds a dot"),
        (r#"{"$set":{"a.$":1}}"#, "update at `$set`: path `a.$` has the part `$`"),
        (r#"{"$set":{"a.$[].b":1}}"#, "update at `$set`: path `a.$[].b` has the part `$[]`"),
        (r#"{"$set":{"a..b":1}}"#, "update at `$set`: path `a..b` has an empty part"),
        (r#"{"$pull":{"a":{"$regex":"x"}}}"#, "operator `$regex` is not known here"),
        (r#"{"$pull":{"a":{"b":{"$where":1}}}}"#, "operator `$where` is not known here"),
        (r#"{"$set":{"a":1},"$inc":{"a":1}}"#, "changes `a` and `a`, which conflict"),
        (r#"{"$set":{"a.b":1,"a":1}}"#, "changes `a` and `a.b`, which conflict"),
        (
            r#"{"$set":{"a":1,"a-b":1},"$unset":{"a.b.c":1}}"#,
            "changes `a` and `a.b.c`, which conflict",
        ),
    ];
    for (text, expected) in cases {
        let error = Update::parse(&value(text)).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
        assert!(serde_json::from_str::<Update>(text).is_err(), "{text}");
    }
    for text in [r#"{"$set":{"a.b":1,"a.c":1,"ab":1}}"#, r#"{"$set":{"a.1":1,"a.10":1}}"#] {
        update(text);
    }
}

#[test]
fn the_result_keeps_the_limits_of_documents() {
    let half = "x".repeat(MAX_DOCUMENT_BYTES / 2);
    let large = Document::from_iter([("a".to_owned(), Value::from(half.clone()))]);
    let set = Document::from_iter([("b".to_owned(), Value::from(half))]);
    let grow = Document::from_iter([("$set".to_owned(), Value::from(set))]);
    let error = Update::parse(&grow.into()).unwrap().apply(&large).unwrap_err();
    assert!(error.to_string().contains("more than 1048576"), "{error}");

    let levels = (0..62).fold(Value::Null, |inner, _| Value::from(vec![inner]));
    let set = Document::from_iter([("a.b.c".to_owned(), levels)]);
    let deepen = Document::from_iter([("$set".to_owned(), Value::from(set))]);
    let error = Update::parse(&deepen.into()).unwrap().apply(&Document::new()).unwrap_err();
    assert!(error.to_string().contains("deeper than 64"), "{error}");
}

#[test]
fn an_upsert_starts_from_the_filter() {
    let cases = [
        (r#"{"_id":1,"x":2}"#, r#"{"$set":{"a":3}}"#, r#"{"_id":1,"x":2,"a":3}"#),
        (r#"{"x":2,"_id":1.0}"#, r#"{"$inc":{"x":1}}"#, r#"{"_id":1,"x":3}"#),
        (r#"{"x":{"$gt":1}}"#, r#"{"$set":{"a":3}}"#, r#"{"_id":"fresh","a":3}"#),
        (r#"{"a.b":1}"#, r#"{"$set":{"a.c":3}}"#, r#"{"_id":"fresh","a":{"b":1,"c":3}}"#),
        (r#"{"x":1}"#, r#"{"$set":{"_id":"set"}}"#, r#"{"_id":"set","x":1}"#),
        (r#"{"_id":{"$in":[1,2]}}"#, r#"{"$set":{"a":1}}"#, r#"{"_id":"fresh","a":1}"#),
        (r#"{"_id":{"$eq":"k"}}"#, r#"{"$addToSet":{"a":1}}"#, r#"{"_id":"k","a":[1]}"#),
        (r#"{"_id":"k"}"#, r#"{"$unset":{"a":1}}"#, r#"{"_id":"k"}"#),
    ];
    for (filter, text, expected) in cases {
        let filter = Filter::parse(&value(filter)).unwrap();
        let inserted = update(text).upsert(&filter, "fresh".into());
        assert_eq!(inserted, Ok(document(expected)), "{text}");
    }
    let refused = [
        (r#"{"_id":1}"#, r#"{"$set":{"_id":2}}"#, "cannot be changed"),
        (r#"{"_id":null}"#, r#"{"$set":{"a":2}}"#, "must be a string or an integer, not null"),
        (r#"{"_id.x":1}"#, r#"{"$set":{"a":2}}"#, "must be a string or an integer, not an object"),
        (r#"{"a":1,"a.b":1}"#, r#"{"$set":{"c":2}}"#, "the filter fixes `a` and `a.b`"),
        (r#"{"a":1}"#, r#"{"$set":{"_id":[1]}}"#, "must be a string or an integer, not an array"),
        (r#"{"a":"x"}"#, r#"{"$inc":{"a":1}}"#, "which holds a string"),
    ];
    for (filter, text, reason) in refused {
        let filter = Filter::parse(&value(filter)).unwrap();
        let error = update(text).upsert(&filter, "fresh".into()).unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn an_update_travels_as_it_was_written() {
    let text = r#"{"$set":{"b":1.0,"a":{"x":1}},"$pull":{"c":{"$gt":2}}}"#;
    let update = update(text);
    assert_eq!(serde_json::to_string(update.source()).unwrap(), text);
    let bytes = rmp_serde::to_vec(&update).unwrap();
    assert_eq!(rmp_serde::from_slice::<Update>(&bytes).unwrap(), update);
}
