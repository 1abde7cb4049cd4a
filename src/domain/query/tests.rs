//! What queries promise.

use super::*;
use crate::domain::document::{Document, Value, json};

fn value(text: &str) -> Value {
    json::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn document(text: &str) -> Document {
    value(text).as_document().cloned().unwrap_or_default()
}

fn documents(text: &str) -> Vec<Document> {
    let value = value(text);
    value.as_array().unwrap_or_default().iter().filter_map(|v| v.as_document().cloned()).collect()
}

fn query(text: &str) -> Query {
    json::decode(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

type SortBy = (&'static str, SortOrder);

/// The `_id`s in the order of a sort.
fn sorted_ids(sort: &[SortBy], text: &str) -> Vec<Value> {
    let sort: Vec<_> = sort.iter().map(|(path, order)| ((*path).to_owned(), *order)).collect();
    let mut documents = documents(text);
    documents.sort_by(|a, b| compare_by(&sort, a, b));
    documents.iter().filter_map(|document| document.get("_id").cloned()).collect()
}

#[test]
fn documents_are_ordered_by_values_and_then_by_key() {
    use SortOrder::{Ascending, Descending};
    let mixed = r#"[{"_id":9,"a":2},{"_id":8},{"_id":7,"a":null},{"_id":6,"a":[]},{"_id":5,"a":"x"},
        {"_id":4,"a":[3,1]},{"_id":3,"a":2.0},{"_id":2,"a":true},{"_id":1,"a":[[0],9]}]"#;
    let nested = r#"[{"_id":1,"a":{"b":2}},{"_id":2,"a":[{"b":3},{"b":1}]},{"_id":3,"a":[{"b":5},{}]},
        {"_id":4,"a":[{"b":{"c":1}},0]},{"_id":5,"a":[1.5,{"b":0}]}]"#;
    let cases: [(&[SortBy], &str, &str); 7] = [
        (&[], mixed, "[1,2,3,4,5,6,7,8,9]"),
        (&[("a", Ascending)], mixed, "[6,7,8,4,3,9,1,5,2]"),
        (&[("a", Descending)], mixed, "[2,1,5,4,3,9,7,8,6]"),
        (&[("a", Ascending), ("_id", Descending)], mixed, "[6,8,7,4,9,3,1,5,2]"),
        (&[("a.b", Ascending)], nested, "[3,4,5,2,1]"),
        (&[("a.b", Descending)], nested, "[4,3,2,1,5]"),
        (&[("a.0", Ascending)], nested, "[1,5,2,3,4]"),
    ];
    for (sort, documents, expected) in cases {
        assert_eq!(Value::Array(sorted_ids(sort, documents)), value(expected), "{sort:?}");
    }
    assert_eq!(
        Value::Array(sorted_ids(&[], r#"[{"_id":"b"},{"_id":10},{"_id":"a"},{"_id":9}]"#)),
        value(r#"[9,10,"a","b"]"#)
    );
}

#[test]
fn a_projection_keeps_the_key_and_the_order_of_fields() {
    let cases = [
        (r#"{"_id":1,"a":1,"b":2}"#, &["b", "a"][..], r#"{"_id":1,"a":1,"b":2}"#),
        (r#"{"_id":1,"a":1,"b":2}"#, &["b", "z"], r#"{"_id":1,"b":2}"#),
        (r#"{"_id":1,"a":1}"#, &[], r#"{"_id":1}"#),
        (r#"{"_id":1,"a":{"b":1,"c":2}}"#, &["a.c"], r#"{"_id":1,"a":{"c":2}}"#),
        (r#"{"_id":1,"a":{"b":1}}"#, &["a.c"], r#"{"_id":1,"a":{}}"#),
        (r#"{"_id":1,"a":5,"ab":1}"#, &["a.c"], r#"{"_id":1}"#),
        (r#"{"_id":1,"a":{"b":1,"c":2}}"#, &["a.c", "a"], r#"{"_id":1,"a":{"b":1,"c":2}}"#),
        (
            r#"{"a":[{"b":1,"c":2},5,[{"b":3,"c":4}],{}]}"#,
            &["a.b"],
            r#"{"a":[{"b":1},[{"b":3}],{}]}"#,
        ),
        (r#"{"a":[1,2]}"#, &["a.0"], r#"{"a":[]}"#),
    ];
    for (before, paths, after) in cases {
        assert_eq!(project(&document(before), paths), document(after), "{paths:?} of {before}");
    }
}

#[test]
fn distinct_values_are_unwound_and_sorted() {
    let cases = [
        (r#"[{"a":2},{"a":1.0},{"a":1},{"a":"x"},{},{"a":null}]"#, "a", r#"[null,1,2,"x"]"#),
        (r#"[{"a":[3,1]},{"a":[]},{"a":[[1]]},{"a":1}]"#, "a", "[1,3,[1]]"),
        (r#"[{"a":[{"b":1},{"b":[2,1]},5]},{"a":{"b":3}}]"#, "a.b", "[1,2,3]"),
        (r#"[{"a":[7,8]},{"a":{"0":9}}]"#, "a.0", "[7,9]"),
        (r#"[{"a":[[1,2]]},{"a":[{"b":4}]}]"#, "a.0.b", "[4]"),
        (r#"[{"a":[1.0,5]},{"a":[[1.0,5]]},{"a":[[1,5]]}]"#, "a", "[1.0,5,[1,5]]"),
    ];
    for (text, path, expected) in cases {
        let mut documents = documents(text);
        assert_eq!(Value::Array(distinct(&documents, path)), value(expected), "{path} of {text}");
        documents.reverse();
        assert_eq!(Value::Array(distinct(&documents, path)), value(expected), "order is no matter");
    }
}

#[test]
fn a_query_filters_orders_cuts_and_projects() {
    let stored = documents(
        r#"[{"_id":3,"a":1,"b":1},{"_id":1,"a":1,"b":2},{"_id":2,"a":2,"b":3},{"_id":4,"a":1,"b":0}]"#,
    );
    let cases = [
        (r#"{"collection":"c","limit":2}"#, r#"[{"_id":1,"a":1,"b":2},{"_id":2,"a":2,"b":3}]"#),
        (
            r#"{"collection":"c","filter":{"a":1},"sort":[["b",-1]],"skip":1,"limit":1,"projection":["b"]}"#,
            r#"[{"_id":3,"b":1}]"#,
        ),
        (r#"{"collection":"c","skip":9}"#, "[]"),
        (r#"{"collection":"c","limit":0}"#, "[]"),
    ];
    for (text, expected) in cases {
        assert_eq!(evaluate(&query(text), &stored), documents(expected), "{text}");
    }
}

#[test]
fn a_query_travels_and_checks_its_paths() {
    let text = r#"{"collection":"c","filter":{"a":{"$gt":1}},"sort":[["b.c",-1]],"projection":["x"],"skip":1,"limit":2}"#;
    let asked = query(text);
    assert_eq!(serde_json::to_string(&asked).unwrap(), text);
    let bytes = rmp_serde::to_vec(&asked).unwrap();
    assert_eq!(rmp_serde::from_slice::<Query>(&bytes).unwrap(), asked);
    assert_eq!(asked.validate(), Ok(()));
    let broken = query(r#"{"collection":"c","sort":[["a",1],["b..c",1]]}"#);
    assert_eq!(
        broken.validate().unwrap_err().to_string(),
        "sort[1]: path `b..c` has an empty part"
    );
    for text in [
        r#"{"collection":"c","sort":[["b",2]]}"#,
        r#"{"collection":"1"}"#,
        r#"{"collection":"c","filter":{"$where":1}}"#,
    ] {
        assert!(serde_json::from_str::<Query>(text).is_err(), "{text}");
    }
}
