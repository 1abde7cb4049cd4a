//! What filters promise.
//!
//! Where MongoDB's own tests (`expression_leaf_test.cpp`, `path_test.cpp`) decide a case that one
//! might expect otherwise, a comment says so.

use super::*;
use crate::domain::document::json;

fn value(text: &str) -> Value {
    json::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn document(text: &str) -> Document {
    value(text).as_document().cloned().unwrap_or_default()
}

fn filter(text: &str) -> Filter {
    Filter::parse(&value(text)).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Rows of a filter, documents that match it and documents that do not.
fn check(table: &[(&str, &[&str], &[&str])]) {
    for (text, matching, others) in table {
        let filter = filter(text);
        for document_text in *matching {
            assert!(filter.matches(&document(document_text)), "{text} matches {document_text}");
        }
        for document_text in *others {
            assert!(!filter.matches(&document(document_text)), "{text} skips {document_text}");
        }
    }
}

#[test]
fn equality_looks_at_the_whole_value_and_at_elements() {
    check(&[
        ("{}", &["{}", r#"{"a":1}"#], &[]),
        (
            r#"{"a":1}"#,
            &[r#"{"a":1.0}"#, r#"{"a":[2,1]}"#],
            &[r#"{"a":"1"}"#, r#"{"a":[[1]]}"#, "{}"],
        ),
        (r#"{"a":{"$eq":1}}"#, &[r#"{"a":1}"#], &[r#"{"a":2}"#]),
        (
            r#"{"a":[1,2]}"#,
            &[r#"{"a":[1,2]}"#, r#"{"a":[0,[1,2]]}"#],
            &[r#"{"a":[2,1]}"#, r#"{"a":[1,2,3]}"#],
        ),
        (r#"{"a":[]}"#, &[r#"{"a":[]}"#, r#"{"a":[[]]}"#], &[r#"{"a":[1]}"#, "{}"]),
        (r#"{"a":{}}"#, &[r#"{"a":{}}"#], &[r#"{"a":{"b":1}}"#, "{}"]),
        (
            r#"{"a":{"b":1,"c":2}}"#,
            &[r#"{"a":{"b":1,"c":2}}"#, r#"{"a":[{"b":1,"c":2.0}]}"#],
            &[r#"{"a":{"c":2,"b":1}}"#, r#"{"a":{"b":1}}"#, r#"{"a":{"b":1,"c":2,"d":3}}"#],
        ),
        (r#"{"a":1,"b":2}"#, &[r#"{"a":1,"b":2}"#], &[r#"{"a":1}"#, r#"{"b":2}"#]),
    ]);
}

#[test]
fn null_matches_a_missing_field() {
    // MongoDB's own table for `{"a.b": null}`, from `EqOp, MatchesNestedNull`.
    check(&[
        (
            r#"{"a":null}"#,
            &["{}", r#"{"a":null}"#, r#"{"a":[1,null]}"#],
            &[r#"{"a":[]}"#, r#"{"a":0}"#],
        ),
        (
            r#"{"a.b":null}"#,
            &[
                "{}",
                r#"{"a":{}}"#,
                r#"{"a":[{}]}"#,
                r#"{"a":{"b":null}}"#,
                r#"{"b":4}"#,
                r#"{"a":5}"#,
                r#"{"a":null}"#,
            ],
            &[
                r#"{"a":[]}"#,
                r#"{"a":[null]}"#,
                r#"{"a":[1,2]}"#,
                r#"{"a":{"b":4}}"#,
                r#"{"a":{"b":{}}}"#,
            ],
        ),
        (r#"{"a":{"$in":[null,1]}}"#, &["{}", r#"{"a":1}"#], &[r#"{"a":2}"#]),
        (r#"{"a":{"$gte":null}}"#, &["{}", r#"{"a":null}"#], &[r#"{"a":0}"#]),
        (r#"{"a":{"$lte":null}}"#, &["{}", r#"{"a":null}"#], &[r#"{"a":false}"#]),
        (r#"{"a":{"$gt":null}}"#, &[], &["{}", r#"{"a":null}"#, r#"{"a":0}"#]),
        (r#"{"a":{"$ne":null}}"#, &[r#"{"a":0}"#, r#"{"a":[]}"#], &["{}", r#"{"a":[null,1]}"#]),
    ]);
}

#[test]
fn paths_run_through_arrays() {
    check(&[
        (
            r#"{"a.b":1}"#,
            &[r#"{"a":{"b":1}}"#, r#"{"a":[{"b":2},{"b":1}]}"#, r#"{"a":[{"b":[1]}]}"#],
            &[r#"{"a":[[{"b":1}]]}"#, r#"{"a":1}"#],
        ),
        (r#"{"a.b.c":1}"#, &[r#"{"a":[{"b":[{"c":1}]}]}"#], &[r#"{"a":[{"b":{"d":1}}]}"#]),
        (
            r#"{"a.0":1}"#,
            &[r#"{"a":[1,2]}"#, r#"{"a":{"0":1}}"#, r#"{"a":[5,{"0":1}]}"#],
            // An element that the path names is not expanded: `path_test.cpp`, `ArrayIndex2`.
            &[r#"{"a":[2,1]}"#, r#"{"a":[[1,2]]}"#, r#"{"a":1}"#],
        ),
        (r#"{"a.0.b":1}"#, &[r#"{"a":[{"b":1}]}"#], &[r#"{"a":[{"b":2},{"b":1}]}"#]),
        (r#"{"a.1.0":1}"#, &[r#"{"a":[0,[1]]}"#, r#"{"a":[0,[{"0":1}]]}"#], &[r#"{"a":[[1],0]}"#]),
        (r#"{"a.00":1}"#, &[r#"{"a":{"00":1}}"#], &[r#"{"a":[1]}"#]),
        (r#"{"a.0":{"$exists":true}}"#, &[r#"{"a":[null]}"#], &[r#"{"a":[]}"#, "{}"]),
        (
            r#"{"a.0":null}"#,
            &[r#"{"a":[{"b":1}]}"#, r#"{"a":[null]}"#],
            &[r#"{"a":[1]}"#, r#"{"a":[]}"#],
        ),
    ]);
}

#[test]
fn comparisons_stay_within_a_type() {
    check(&[
        (
            r#"{"a":{"$gt":5}}"#,
            &[r#"{"a":5.5}"#, r#"{"a":[1,6]}"#],
            &[r#"{"a":5}"#, r#"{"a":"6"}"#, r#"{"a":true}"#, "{}"],
        ),
        (r#"{"a":{"$lt":5}}"#, &[r#"{"a":-1}"#], &[r#"{"a":null}"#, "{}", r#"{"a":[]}"#]),
        (
            r#"{"a":{"$gte":"b"}}"#,
            &[r#"{"a":"b"}"#, r#"{"a":"c"}"#],
            &[r#"{"a":"a"}"#, r#"{"a":[[]]}"#],
        ),
        (r#"{"a":{"$lte":5}}"#, &[r#"{"a":5.0}"#], &[r#"{"a":5.1}"#]),
        (r#"{"a":{"$gt":false}}"#, &[r#"{"a":true}"#], &[r#"{"a":false}"#, r#"{"a":1}"#]),
        (r#"{"a":{"$gt":{"b":1}}}"#, &[r#"{"a":{"b":2}}"#], &[r#"{"a":{"a":9}}"#, r#"{"a":2}"#]),
        (
            r#"{"a":{"$gt":[1]}}"#,
            &[r#"{"a":[1,0]}"#, r#"{"a":[2]}"#],
            &[r#"{"a":[0,9]}"#, r#"{"a":2}"#],
        ),
        // Each bound may hold for another element.
        (
            r#"{"a":{"$gt":1,"$lt":5}}"#,
            &[r#"{"a":3}"#, r#"{"a":[0,9]}"#],
            &[r#"{"a":[7,9]}"#, r#"{"a":1}"#],
        ),
        (
            r#"{"a":{"$gt":9007199254740992.0}}"#,
            &[r#"{"a":9007199254740993}"#],
            &[r#"{"a":9007199254740992}"#],
        ),
    ]);
}

#[test]
fn negations_hold_when_nothing_satisfies_what_they_negate() {
    check(&[
        (
            r#"{"a":{"$ne":1}}"#,
            &["{}", r#"{"a":2}"#, r#"{"a":[]}"#],
            &[r#"{"a":[2,1]}"#, r#"{"a":1.0}"#],
        ),
        (r#"{"a.b":{"$ne":1}}"#, &[r#"{"a":[{"b":2}]}"#], &[r#"{"a":[{"b":2},{"b":1}]}"#]),
        (r#"{"a":{"$nin":[1,"x"]}}"#, &["{}", r#"{"a":2}"#], &[r#"{"a":["x"]}"#, r#"{"a":1}"#]),
        (r#"{"a":{"$nin":[]}}"#, &["{}", r#"{"a":2}"#], &[]),
        (r#"{"a":{"$not":{"$gt":1}}}"#, &["{}", r#"{"a":1}"#, r#"{"a":"x"}"#], &[r#"{"a":[0,2]}"#]),
        // Not both, rather than neither.
        (r#"{"a":{"$not":{"$gt":1,"$lt":5}}}"#, &[r#"{"a":9}"#, r#"{"a":0}"#], &[r#"{"a":3}"#]),
        (r#"{"a":{"$not":{"$not":{"$gt":1}}}}"#, &[r#"{"a":2}"#], &[r#"{"a":1}"#]),
        (r#"{"a":{"$exists":false}}"#, &["{}", r#"{"b":1}"#], &[r#"{"a":null}"#, r#"{"a":[]}"#]),
        (r#"{"a":{"$exists":0}}"#, &["{}"], &[r#"{"a":1}"#]),
        (
            r#"{"a.b":{"$exists":true}}"#,
            &[r#"{"a":[1,{"b":null}]}"#],
            &[r#"{"a":[1]}"#, r#"{"a":{}}"#],
        ),
        (
            r#"{"$nor":[{"a":1},{"b":1}]}"#,
            &["{}", r#"{"a":2}"#],
            &[r#"{"a":1}"#, r#"{"b":1,"a":2}"#],
        ),
    ]);
}

#[test]
fn lists_and_logic_combine() {
    check(&[
        (r#"{"a":{"$in":[3,1,2]}}"#, &[r#"{"a":2.0}"#, r#"{"a":[9,3]}"#], &[r#"{"a":4}"#, "{}"]),
        (r#"{"a":{"$in":[[1]]}}"#, &[r#"{"a":[1]}"#, r#"{"a":[[1]]}"#], &[r#"{"a":1}"#]),
        (r#"{"a":{"$in":[]}}"#, &[], &["{}", r#"{"a":1}"#]),
        (r#"{"$or":[{"a":1},{"b":1}]}"#, &[r#"{"a":1}"#, r#"{"b":1}"#], &["{}"]),
        (r#"{"$and":[{"a":1},{"a":2}]}"#, &[r#"{"a":[1,2]}"#], &[r#"{"a":1}"#]),
        (
            r#"{"c":1,"$or":[{"a":1},{"$and":[{"b":1},{"b":2}]}]}"#,
            &[r#"{"c":1,"b":[2,1]}"#],
            &[r#"{"b":[2,1]}"#],
        ),
    ]);
}

#[test]
fn operators_on_arrays_look_at_arrays_only() {
    check(&[
        (
            r#"{"a":{"$size":2}}"#,
            &[r#"{"a":[1,2]}"#],
            &[r#"{"a":[1]}"#, r#"{"a":[[1,2]]}"#, r#"{"a":2}"#, "{}"],
        ),
        (r#"{"a.b":{"$size":0}}"#, &[r#"{"a":[{"b":[]}]}"#], &[r#"{"a":[]}"#]),
        (r#"{"a":{"$size":1.0}}"#, &[r#"{"a":[1]}"#], &[]),
        (r#"{"a":{"$all":[1,2]}}"#, &[r#"{"a":[2,3,1]}"#], &[r#"{"a":[1]}"#, r#"{"a":1}"#]),
        (r#"{"a":{"$all":[1]}}"#, &[r#"{"a":1}"#], &["{}"]),
        (r#"{"a":{"$all":[[1,2]]}}"#, &[r#"{"a":[1,2]}"#, r#"{"a":[[1,2]]}"#], &[r#"{"a":[2,1]}"#]),
        (r#"{"a":{"$all":[]}}"#, &[], &["{}", r#"{"a":[]}"#]),
        (
            r#"{"a":{"$all":[{"$elemMatch":{"x":1,"y":1}},{"$elemMatch":{"x":2}}]}}"#,
            &[r#"{"a":[{"x":2},{"x":1,"y":1}]}"#],
            &[r#"{"a":[{"x":1,"y":1}]}"#, r#"{"a":[{"x":1},{"y":1},{"x":2}]}"#],
        ),
        (
            r#"{"a":{"$elemMatch":{"b":1,"c":2}}}"#,
            &[r#"{"a":[0,{"b":1,"c":2}]}"#],
            &[r#"{"a":[{"b":1},{"c":2}]}"#, r#"{"a":{"b":1,"c":2}}"#],
        ),
        (
            r#"{"a":{"$elemMatch":{"$gt":1,"$lt":5}}}"#,
            &[r#"{"a":[0,3]}"#],
            &[r#"{"a":[0,9]}"#, r#"{"a":3}"#],
        ),
        (
            r#"{"a":{"$elemMatch":{"$ne":1}}}"#,
            &[r#"{"a":[1,2]}"#],
            &[r#"{"a":[1]}"#, r#"{"a":[]}"#],
        ),
        (r#"{"a":{"$elemMatch":{"$not":{"$gt":1}}}}"#, &[r#"{"a":[5,0]}"#], &[r#"{"a":[5]}"#]),
        (r#"{"a":{"$elemMatch":{"$nin":[5,6]}}}"#, &[r#"{"a":[5,0]}"#], &[r#"{"a":[5,6]}"#]),
        (r#"{"a":{"$elemMatch":{"$all":[5]}}}"#, &[r#"{"a":[5,0]}"#], &[r#"{"a":[0]}"#]),
        (r#"{"a":{"$elemMatch":{"$all":[5,6]}}}"#, &[], &[r#"{"a":[5,6]}"#]),
        (r#"{"a":{"$elemMatch":{"$all":[]}}}"#, &[], &[r#"{"a":[5]}"#, r#"{"a":[]}"#]),
        (
            r#"{"a":{"$elemMatch":{"$elemMatch":{"$gt":1}}}}"#,
            &[r#"{"a":[[0,2]]}"#],
            &[r#"{"a":[2]}"#],
        ),
        (
            r#"{"a":{"$elemMatch":{"$or":[{"b":1},{"c":1}]}}}"#,
            &[r#"{"a":[{"c":1}]}"#],
            &[r#"{"a":[1]}"#],
        ),
        // An array within the array is an object whose names are indexes.
        (
            r#"{"a":{"$elemMatch":{"0":1}}}"#,
            &[r#"{"a":[[1,2]]}"#, r#"{"a":[{"0":1}]}"#],
            &[r#"{"a":[1]}"#],
        ),
        (
            r#"{"a":{"$elemMatch":{}}}"#,
            &[r#"{"a":[{}]}"#, r#"{"a":[[]]}"#],
            &[r#"{"a":[1]}"#, r#"{"a":[]}"#],
        ),
        (r#"{"a.b":{"$elemMatch":{"$gt":1}}}"#, &[r#"{"a":[{"b":[2]}]}"#], &[r#"{"a":[{"b":2}]}"#]),
    ]);
}

#[test]
fn an_invalid_filter_names_the_operator_and_the_place() {
    let cases = [
        ("5", "filter: must be an object, not an integer"),
        (r#"{"$where":"1"}"#, "filter: operator `$where` is not known here"),
        (r#"{"$expr":{}}"#, "filter: operator `$expr` is not known here"),
        (r#"{"a":{"$regex":"x"}}"#, "filter at `a.$regex`: operator `$regex` is not known here"),
        (r#"{"a":{"$and":[]}}"#, "filter at `a.$and`: operator `$and` is not known here"),
        (
            r#"{"$or":[{"a":1},{"$not":{}}]}"#,
            "filter at `$or[1]`: operator `$not` is not known here",
        ),
        (
            r#"{"$and":[]}"#,
            "filter at `$and`: `$and` needs an array of conditions, not an empty one",
        ),
        (r#"{"$or":[]}"#, "filter at `$or`: `$or` needs an array of conditions, not an empty one"),
        (r#"{"$nor":{}}"#, "filter at `$nor`: `$nor` needs an array of conditions, not an object"),
        (r#"{"$or":[1]}"#, "filter at `$or[0]`: must be an object, not an integer"),
        (r#"{"a":{"$gt":1,"b":2}}"#, "filter at `a`: mixes operators and the plain name `b`"),
        (r#"{"a":{"b":2,"$gt":1}}"#, "filter at `a`: document: the name `$gt` starts with `$`"),
        (r#"{"a":{"$in":1}}"#, "filter at `a.$in`: `$in` needs an array, not an integer"),
        (
            r#"{"a":{"$in":[{"$gt":1}]}}"#,
            "filter at `a.$in[0]`: document: the name `$gt` starts with `$`",
        ),
        (
            r#"{"a":{"$not":1}}"#,
            "filter at `a.$not`: `$not` needs an object of operators, not an integer",
        ),
        (
            r#"{"a":{"$not":{}}}"#,
            "filter at `a.$not`: `$not` needs an object of operators, not an empty one",
        ),
        (r#"{"a":{"$not":{"b":1}}}"#, "filter at `a.$not`: mixes operators and the plain name `b`"),
        (
            r#"{"a":{"$size":-1}}"#,
            "filter at `a.$size`: `$size` needs a whole number from 0, not a negative one",
        ),
        (
            r#"{"a":{"$size":"1"}}"#,
            "filter at `a.$size`: `$size` needs a whole number from 0, not a string",
        ),
        (r#"{"a":{"$all":1}}"#, "filter at `a.$all`: `$all` needs an array, not an integer"),
        (
            r#"{"a":{"$all":[{"$elemMatch":{}},1]}}"#,
            "filter at `a.$all`: `$all` needs either values or only `$elemMatch` conditions, not both",
        ),
        (
            r#"{"a":{"$all":[{"$elemMatch":{}},{"x":1}]}}"#,
            "filter at `a.$all`: `$all` needs either values or only `$elemMatch` conditions, not both",
        ),
        (
            r#"{"a":{"$all":[{"$elemMatch":{},"x":1}]}}"#,
            "filter at `a.$all`: `$all` needs either values or only `$elemMatch` conditions, not both",
        ),
        (
            r#"{"a":{"$elemMatch":1}}"#,
            "filter at `a.$elemMatch`: `$elemMatch` needs an object, not an integer",
        ),
        (r#"{"a..b":1}"#, "filter at `a..b`: path `a..b` has an empty part"),
    ];
    for (text, expected) in cases {
        let error = Filter::parse(&value(text)).unwrap_err().to_string();
        assert_eq!(error, expected, "{text}");
        assert!(serde_json::from_str::<Filter>(text).is_err(), "{text}");
    }
    let infinite = Document::from_iter([("a".to_owned(), Value::Double(f64::INFINITY))]);
    assert!(Filter::parse(&infinite.into()).is_err());
}

#[test]
fn nesting_is_bounded() {
    let nested = |levels| {
        (0..levels).fold(Document::new(), |inner, _| {
            Document::from_iter([("$and".to_owned(), Value::Array(vec![inner.into()]))])
        })
    };
    assert!(Filter::parse(&nested(31).into()).is_ok());
    let error = Filter::parse(&nested(5_000).into()).unwrap_err();
    assert_eq!(error.problem, FilterProblem::TooDeep);
}

#[test]
fn a_filter_tells_the_keys_it_pins() {
    let pinned: &[(&str, &[DocumentId])] = &[
        (r#"{"_id":1}"#, &[1.into()]),
        (r#"{"_id":1.0,"a":2}"#, &[1.into()]),
        (r#"{"_id":{"$eq":"x"}}"#, &["x".into()]),
        (r#"{"_id":{"$in":["x",3,1.0,1,null,1.5]}}"#, &[1.into(), 3.into(), "x".into()]),
        (r#"{"_id":{"$in":[1,2,3],"$gt":1}}"#, &[1.into(), 2.into(), 3.into()]),
        (r#"{"$and":[{"_id":{"$in":[1,2]}},{"_id":{"$in":[2,3]}}]}"#, &[2.into()]),
        (r#"{"_id":1,"$and":[{"_id":2}]}"#, &[]),
        (r#"{"_id":null}"#, &[]),
        (r#"{"_id":[1]}"#, &[]),
        (r#"{"_id":{"$in":[]}}"#, &[]),
    ];
    for (text, expected) in pinned {
        assert_eq!(filter(text).ids().as_deref(), Some(*expected), "{text}");
    }
    for text in [
        "{}",
        r#"{"a":1}"#,
        r#"{"_id":{"$gt":1}}"#,
        r#"{"_id":{"$ne":1}}"#,
        r#"{"_id.a":1}"#,
        r#"{"$or":[{"_id":1},{"a":1}]}"#,
        r#"{"$nor":[{"_id":1}]}"#,
        r#"{"_id":{"$not":{"$eq":1}}}"#,
    ] {
        assert_eq!(filter(text).ids(), None, "{text}");
    }
    let by_id = Filter::by_id("x".into());
    assert_eq!(by_id, filter(r#"{"_id":"x"}"#));
    assert_eq!(Filter::all(), filter("{}"));
}

#[test]
fn an_upsert_takes_the_equalities_of_the_filter() {
    // MongoDB's own table, from `jstests/core/upsert_fields.js`.
    let taken = [
        (r#"{"x":1}"#, "[1]"),
        (r#"{"x":{"$eq":1}}"#, "[1]"),
        (r#"{"x":{"$in":[1]}}"#, "[1]"),
        (r#"{"x":{"$all":[1]}}"#, "[1]"),
        (r#"{"$and":[{"x":1}]}"#, "[1]"),
        (r#"{"$and":[{"x":{"$eq":1}},{"y":{"$gt":1}}]}"#, "[1]"),
        (r#"{"$or":[{"x":1}]}"#, "[1]"),
        (r#"{"x":[1,2]}"#, "[[1,2]]"),
        (r#"{"x":{"$gt":1}}"#, "[]"),
        (r#"{"x":{"$ne":1}}"#, "[]"),
        (r#"{"x":{"$in":[1,2]}}"#, "[]"),
        (r#"{"x":{"$elemMatch":{"$eq":1}}}"#, "[]"),
        (r#"{"x":{"$exists":true}}"#, "[]"),
        (r#"{"x":{"$not":{"$eq":1}}}"#, "[]"),
        (r#"{"$or":[{"x":1},{"x":1}]}"#, "[]"),
        (r#"{"$nor":[{"x":1}]}"#, "[]"),
    ];
    for (text, expected) in taken {
        let fields = filter(text).equality_fields().unwrap();
        let values: Vec<Value> = fields.into_iter().map(|(_, value)| value).collect();
        assert_eq!(Value::Array(values), value(expected), "{text}");
    }
    for text in [
        r#"{"x":{"$all":[1,2]}}"#,
        r#"{"$and":[{"x":1},{"x":1}]}"#,
        r#"{"x":1,"x.x":1}"#,
        r#"{"x.x":1,"a":0,"x":{}}"#,
    ] {
        assert!(filter(text).equality_fields().is_err(), "{text}");
    }
}

#[test]
fn a_filter_travels_as_it_was_written() {
    let filter = filter(r#"{"b":{"$in":[2,1.0]},"a":null}"#);
    let bytes = rmp_serde::to_vec(&filter).unwrap();
    assert_eq!(rmp_serde::from_slice::<Filter>(&bytes).unwrap(), filter);
    assert_eq!(serde_json::to_string(&filter).unwrap(), r#"{"b":{"$in":[2,1.0]},"a":null}"#);
}

#[test]
fn an_index_is_told_every_value_that_a_comparison_sees() {
    type Row = (&'static str, &'static str, &'static [&'static str]);
    let table: &[Row] = &[
        (r#"{"a":1}"#, "a", &["1"]),
        (r#"{"a":[1,"x"]}"#, "a", &["1", r#""x""#, r#"[1,"x"]"#]),
        (r#"{"a":[{"b":1},{"b":2},{}]}"#, "a.b", &["1", "2", "missing"]),
        (r#"{"b":1}"#, "a", &["missing"]),
    ];
    for (text, path, expected) in table {
        let document = document(text);
        let mut seen = Vec::new();
        compared_values(&document, &FieldPath::parse(path).unwrap(), &mut |found| {
            seen.push(
                found.map_or("missing".to_owned(), |found| serde_json::to_string(found).unwrap()),
            );
        });
        assert_eq!(seen, *expected, "{path} in {text}");
    }
}
