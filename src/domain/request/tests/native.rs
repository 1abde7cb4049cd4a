//! Our own form.

use super::super::native::{self, MAX_LIMIT};
use super::super::{
    Acknowledgement, Consistency, InvalidRequest, MAX_OPERATIONS, ReadOperation, ReadShape,
    Returning, WriteOperation,
};
use super::{assert_invalid, collection, document, filter, fresh_ids, update, value};
use crate::domain::document::{DocumentId, MAX_DOCUMENT_BYTES};
use crate::domain::ids::Offset;
use crate::domain::query::{Query, SortOrder};

fn write(body: &str) -> Result<WriteOperation, InvalidRequest> {
    native::parse_write(value(body), &mut fresh_ids())
}

fn read(body: &str) -> Result<ReadOperation, InvalidRequest> {
    native::parse_read(value(body))
}

fn plain_update() -> WriteOperation {
    WriteOperation::Update {
        collection: collection("c"),
        filter: filter(r#"{"a":1}"#),
        update: update(r#"{"$set":{"b":2}}"#),
        many: false,
        upsert: false,
        returning: Returning::None,
        fresh_id: DocumentId::from("fresh1"),
    }
}

#[test]
fn every_operation_is_read_as_it_is_written() {
    let insert = |documents: &[&str]| WriteOperation::Insert {
        collection: collection("c"),
        documents: documents.iter().map(|text| document(text)).collect(),
    };
    let delete =
        |many| WriteOperation::Delete { collection: collection("c"), filter: filter("{}"), many };
    let replace = |upsert| WriteOperation::Replace {
        collection: collection("c"),
        document: document(r#"{"_id":1,"a":2}"#),
        upsert,
    };
    let table = [
        (
            r#"{"op":"insert","collection":"c","documents":[{"_id":"x","a":null},{"_id":-3}]}"#,
            insert(&[r#"{"_id":"x","a":null}"#, r#"{"_id":-3}"#]),
        ),
        (
            r#"{"op":"insert","collection":"c","documents":[{"a":1},{"_id":7},{}]}"#,
            insert(&[r#"{"_id":"fresh1","a":1}"#, r#"{"_id":7}"#, r#"{"_id":"fresh2"}"#]),
        ),
        (
            r#"{"op":"insert","collection":"c","documents":[{"a":1,"_id":7}]}"#,
            insert(&[r#"{"_id":7,"a":1}"#]),
        ),
        (
            r#"{"op":"update","collection":"c","filter":{"a":1},"update":{"$set":{"b":2}}}"#,
            plain_update(),
        ),
        (
            r#"{"op":"update","collection":"c","filter":{"a":1},"update":{"$set":{"b":2}},
                "many":null,"upsert":false,"return":"none"}"#,
            plain_update(),
        ),
        (r#"{"op":"delete","collection":"c","filter":{}}"#, delete(false)),
        (r#"{"op":"delete","collection":"c","filter":{},"many":true}"#, delete(true)),
        (r#"{"op":"replace","collection":"c","document":{"a":2,"_id":1}}"#, replace(false)),
        (
            r#"{"op":"replace","collection":"c","document":{"_id":1,"a":2},"upsert":true}"#,
            replace(true),
        ),
        (
            r#"{"op":"clear","collections":["users","rides"]}"#,
            WriteOperation::Clear { collections: vec![collection("users"), collection("rides")] },
        ),
        (
            r#"{"op":"index","collection":"c","field":"a.b"}"#,
            WriteOperation::EnsureIndex { collection: collection("c"), field: "a.b".to_owned() },
        ),
        (
            r#"{"op":"batch","operations":[
                {"op":"update","collection":"c","filter":{"a":1},"update":{"$set":{"b":2}}},
                {"op":"insert","collection":"c","documents":[{}]},
                {"op":"replace","collection":"c","document":{"_id":1,"a":2}},
                {"op":"delete","collection":"c","filter":{}}]}"#,
            WriteOperation::Batch {
                operations: vec![
                    plain_update(),
                    insert(&[r#"{"_id":"fresh2"}"#]),
                    replace(false),
                    delete(false),
                ],
            },
        ),
    ];
    for (body, expected) in table {
        assert_eq!(write(body), Ok(expected), "{body}");
    }
}

#[test]
fn update_takes_its_options() {
    let table =
        [("none", Returning::None), ("before", Returning::Before), ("after", Returning::After)];
    for (name, expected) in table {
        let body = format!(
            r#"{{"op":"update","collection":"c","filter":{{}},"update":{{"$inc":{{"a":1}}}},
                "many":true,"upsert":true,"return":"{name}"}}"#
        );
        let Ok(WriteOperation::Update { many, upsert, returning, .. }) = write(&body) else {
            panic!("{body}");
        };
        assert_eq!((many, upsert, returning), (true, true, expected));
    }
}

#[test]
fn invalid_insert_or_update_is_refused_with_its_place() {
    let table = [
        ("[]", "body", "expected an object, found an array"),
        ("null", "body", "found null"),
        ("{}", "op", "is missing"),
        (r#"{"op":null}"#, "op", "is missing"),
        (r#"{"op":7}"#, "op", "expected a string, found an integer"),
        (r#"{"op":"drop"}"#, "op", r#""drop" is not known here"#),
        (r#"{"op":"insert"}"#, "collection", "is missing"),
        (r#"{"op":"insert","collection":"$c"}"#, "collection", "`$c` is no name"),
        (r#"{"op":"insert","collection":""}"#, "collection", "is no name"),
        (r#"{"op":"insert","collection":["c"]}"#, "collection", "expected a string"),
        (r#"{"op":"insert","collection":"c"}"#, "documents", "is missing"),
        (r#"{"op":"insert","collection":"c","documents":{}}"#, "documents", "expected an array"),
        (r#"{"op":"insert","collection":"c","documents":[]}"#, "documents", "is empty"),
        (r#"{"op":"insert","collection":"c","documents":[{},1]}"#, "documents[1]", "an object"),
        (
            r#"{"op":"insert","collection":"c","documents":[{"a":{"$b":1}}]}"#,
            "documents[0].a",
            "`$b`",
        ),
        (
            r#"{"op":"insert","collection":"c","documents":[{"a":[0,{"":1}]}]}"#,
            "documents[0].a[1]",
            "empty",
        ),
        (r#"{"op":"insert","collection":"c","documents":[{"a.b":1}]}"#, "documents[0]", "dot"),
        (
            r#"{"op":"insert","collection":"c","documents":[{"_id":null}]}"#,
            "documents[0]._id",
            "string or an integer",
        ),
        (
            r#"{"op":"insert","collection":"c","documents":[{"_id":1.5}]}"#,
            "documents[0]._id",
            "string or an integer",
        ),
        (r#"{"op":"insert","collection":"c","documents":[{}],"many":true}"#, "many", "not a field"),
        (r#"{"op":"update","collection":"c","update":{"$set":{"a":1}}}"#, "filter", "is missing"),
        (
            r#"{"op":"update","collection":"c","filter":[],"update":{}}"#,
            "filter",
            "must be an object",
        ),
        (
            r#"{"op":"update","collection":"c","filter":{"$where":"1"},"update":{"$set":{"a":1}}}"#,
            "filter",
            "`$where`",
        ),
        (
            r#"{"op":"update","collection":"c","filter":{"a":{"$regex":"x"}},"update":{"$set":{"a":1}}}"#,
            "filter",
            "`$regex`",
        ),
        (r#"{"op":"update","collection":"c","filter":{}}"#, "update", "is missing"),
        (r#"{"op":"update","collection":"c","filter":{},"update":{}}"#, "update", "no operator"),
        (
            r#"{"op":"update","collection":"c","filter":{},"update":{"a":1}}"#,
            "update",
            "`a` is not an operator",
        ),
        (
            r#"{"op":"update","collection":"c","filter":{},"update":{"$rename":{"a":"b"}}}"#,
            "update",
            "`$rename`",
        ),
        (
            r#"{"op":"update","collection":"c","filter":{},"update":{"$set":{"a":1}},"return":"new"}"#,
            "return",
            "is none of",
        ),
        (
            r#"{"op":"update","collection":"c","filter":{},"update":{"$set":{"a":1}},"return":1}"#,
            "return",
            "is none of",
        ),
        (
            r#"{"op":"update","collection":"c","filter":{},"update":{"$set":{"a":1}},"many":1}"#,
            "many",
            "true or false",
        ),
        (
            r#"{"op":"update","collection":"c","filter":{},"update":{"$set":{"a":1}},"upsert":"yes"}"#,
            "upsert",
            "true or false",
        ),
    ];
    for (body, place, reason) in table {
        assert_invalid(write(body), body, place, reason);
    }
}

#[test]
fn invalid_write_of_another_kind_is_refused_with_its_place() {
    let table = [
        (r#"{"op":"replace","collection":"c"}"#, "document", "is missing"),
        (r#"{"op":"replace","collection":"c","document":[]}"#, "document", "an object"),
        (r#"{"op":"replace","collection":"c","document":{"a":1}}"#, "document._id", "is missing"),
        (
            r#"{"op":"replace","collection":"c","document":{"_id":true}}"#,
            "document._id",
            "a boolean",
        ),
        (r#"{"op":"delete","collection":"c"}"#, "filter", "is missing"),
        (r#"{"op":"delete","collection":"c","filter":null}"#, "filter", "is missing"),
        (r#"{"op":"delete","collection":"c","filtre":{},"filter":{}}"#, "filtre", "not a field"),
        (r#"{"op":"delete","collection":"c","filter":{"$or":[]}}"#, "filter", "empty"),
        (r#"{"op":"clear"}"#, "collections", "is missing"),
        (r#"{"op":"clear","collections":[]}"#, "collections", "is empty"),
        (r#"{"op":"clear","collections":["a",2]}"#, "collections[1]", "expected a string"),
        (r#"{"op":"clear","collections":["a b"]}"#, "collections[0]", "is no name"),
        (r#"{"op":"index","collection":"c"}"#, "field", "is missing"),
        (r#"{"op":"index","collection":"c","field":""}"#, "field", "empty part"),
        (r#"{"op":"index","collection":"c","field":"a..b"}"#, "field", "empty part"),
        (r#"{"op":"index","collection":"c","field":"a.$"}"#, "field", "`$`"),
        (r#"{"op":"index","collection":"c","field":"a\u0000"}"#, "field", "NUL"),
        (r#"{"op":"index","collection":"c","field":"a","unique":true}"#, "unique", "not a field"),
        (r#"{"op":"batch"}"#, "operations", "is missing"),
        (r#"{"op":"batch","operations":[]}"#, "operations", "is empty"),
        (r#"{"op":"batch","operations":[3]}"#, "operations[0]", "an object"),
        (r#"{"op":"batch","operations":[{}]}"#, "operations[0].op", "is missing"),
        (
            r#"{"op":"batch","operations":[{"op":"clear","collections":["c"]}]}"#,
            "operations[0].op",
            "not known here",
        ),
        (
            r#"{"op":"batch","operations":[{"op":"batch","operations":[]}]}"#,
            "operations[0].op",
            "not known here",
        ),
        (
            r#"{"op":"batch","operations":[{"op":"delete","collection":"c","filter":{}},
                {"op":"delete","collection":"c","filter":{"$where":1}}]}"#,
            "operations[1].filter",
            "`$where`",
        ),
        (
            r#"{"op":"batch","operations":[{"op":"insert","collection":"c","documents":[{"a":{"b.c":1}}]}]}"#,
            "operations[0].documents[0].a",
            "dot",
        ),
        (
            r#"{"op":"batch","operations":[{"op":"delete","collection":"c","filter":{},"x":1}]}"#,
            "operations[0].x",
            "not a field",
        ),
    ];
    for (body, place, reason) in table {
        assert_invalid(write(body), body, place, reason);
    }
}

#[test]
fn lists_hold_a_bounded_number_of_elements() {
    let bodies = |count: usize| {
        let list = |element: &str| vec![element; count].join(",");
        [
            (
                "documents",
                format!(r#"{{"op":"insert","collection":"c","documents":[{}]}}"#, list("{}")),
            ),
            ("collections", format!(r#"{{"op":"clear","collections":[{}]}}"#, list(r#""c""#))),
            (
                "operations",
                format!(
                    r#"{{"op":"batch","operations":[{}]}}"#,
                    list(r#"{"op":"delete","collection":"c","filter":{}}"#)
                ),
            ),
        ]
    };
    for (_, body) in bodies(MAX_OPERATIONS) {
        assert!(write(&body).is_ok());
    }
    for (place, body) in bodies(MAX_OPERATIONS + 1) {
        assert_invalid(write(&body), place, place, "at most 10000");
    }
}

#[test]
fn read_without_options_asks_for_the_first_thousand_documents() {
    let expected = ReadOperation {
        query: Query { limit: Some(1_000), ..Query::all(collection("c")) },
        shape: ReadShape::Documents,
        consistency: Consistency::Eventual,
    };
    let bodies = [
        r#"{"collection":"c"}"#,
        r#"{"collection":"c","filter":{},"projection":null,"sort":null,"limit":null,"skip":null,
            "count":false,"distinct":null,"consistency":"eventual","min_offset":null}"#,
        r#"{"collection":"c","sort":[],"skip":0,"limit":1000}"#,
    ];
    for body in bodies {
        assert_eq!(read(body), Ok(expected.clone()), "{body}");
    }
}

#[test]
fn read_takes_every_option() {
    let operation = read(
        r#"{"collection":"rides","filter":{"source":"21"},"projection":["_id","a.b"],
            "sort":[["timestamp",1],["a",-1]],"limit":10000,"skip":5,"consistency":"session",
            "min_offset":47}"#,
    );
    let query = Query {
        collection: collection("rides"),
        filter: filter(r#"{"source":"21"}"#),
        sort: vec![
            ("timestamp".to_owned(), SortOrder::Ascending),
            ("a".to_owned(), SortOrder::Descending),
        ],
        projection: Some(vec!["_id".to_owned(), "a.b".to_owned()]),
        skip: 5,
        limit: Some(10_000),
    };
    let consistency = Consistency::Session(Offset(47));
    assert_eq!(operation, Ok(ReadOperation { query, shape: ReadShape::Documents, consistency }));
}

#[test]
fn count_and_distinct_look_at_everything_unless_limited() {
    let table = [
        (r#"{"collection":"c","count":true}"#, ReadShape::Count, None),
        (r#"{"collection":"c","count":true,"limit":3}"#, ReadShape::Count, Some(3)),
        (r#"{"collection":"c","distinct":"a.b"}"#, ReadShape::Distinct("a.b".to_owned()), None),
        (
            r#"{"collection":"c","distinct":"a","count":false}"#,
            ReadShape::Distinct("a".to_owned()),
            None,
        ),
        (r#"{"collection":"c","limit":0}"#, ReadShape::Documents, Some(0)),
    ];
    for (body, shape, limit) in table {
        let operation = read(body).expect(body);
        assert_eq!((operation.shape, operation.query.limit), (shape, limit), "{body}");
    }
}

#[test]
fn invalid_read_is_refused_with_its_place() {
    let table = [
        (r#""c""#, "body", "an object"),
        ("{}", "collection", "is missing"),
        (r#"{"collection":"1c"}"#, "collection", "is no name"),
        (r#"{"collection":"c","where":{}}"#, "where", "not a field"),
        (r#"{"collection":"c","filter":7}"#, "filter", "must be an object"),
        (r#"{"collection":"c","filter":{"a":{"$where":1}}}"#, "filter", "`$where`"),
        (r#"{"collection":"c","projection":{"a":1}}"#, "projection", "an array of field names"),
        (r#"{"collection":"c","projection":["a",1]}"#, "projection[1]", "a field name"),
        (r#"{"collection":"c","projection":["a."]}"#, "projection[0]", "empty part"),
        (r#"{"collection":"c","sort":{"a":1}}"#, "sort", "an array of"),
        (r#"{"collection":"c","sort":["a"]}"#, "sort[0]", "expected [field, 1 or -1]"),
        (r#"{"collection":"c","sort":[["a",1],["b",2]]}"#, "sort[1]", "1 or -1"),
        (r#"{"collection":"c","sort":[["a"]]}"#, "sort[0]", "1 or -1"),
        (r#"{"collection":"c","sort":[["a",1,1]]}"#, "sort[0]", "1 or -1"),
        (r#"{"collection":"c","sort":[["$a",1]]}"#, "sort[0]", "`$a`"),
        (r#"{"collection":"c","limit":-1}"#, "limit", "-1 is negative"),
        (r#"{"collection":"c","limit":10001}"#, "limit", "at most 10000"),
        (r#"{"collection":"c","limit":1.5}"#, "limit", "an integer, found a fractional number"),
        (r#"{"collection":"c","limit":"9"}"#, "limit", "an integer"),
        (r#"{"collection":"c","skip":-7}"#, "skip", "-7 is negative"),
        (r#"{"collection":"c","count":1}"#, "count", "true or false"),
        (r#"{"collection":"c","distinct":["a"]}"#, "distinct", "a field name"),
        (r#"{"collection":"c","distinct":""}"#, "distinct", "empty part"),
        (r#"{"collection":"c","distinct":"a","count":true}"#, "distinct", "cannot go with count"),
        (r#"{"collection":"c","consistency":"weak"}"#, "consistency", "is none of"),
        (r#"{"collection":"c","consistency":1}"#, "consistency", "a string"),
        (r#"{"collection":"c","consistency":"session"}"#, "min_offset", "session needs it"),
        (
            r#"{"collection":"c","consistency":"strong","min_offset":1}"#,
            "min_offset",
            "session only",
        ),
        (r#"{"collection":"c","min_offset":1}"#, "min_offset", "session only"),
        (r#"{"collection":"c","consistency":"session","min_offset":-1}"#, "min_offset", "negative"),
    ];
    for (body, place, reason) in table {
        assert_invalid(read(body), body, place, reason);
    }
}

#[test]
fn read_may_be_strong() {
    let operation = read(r#"{"collection":"c","consistency":"strong"}"#).expect("valid");
    assert_eq!(operation.consistency, Consistency::Strong);
}

#[test]
fn paths_and_sorts_have_limits() {
    let deep = vec!["a"; 65].join(".");
    let long = "a".repeat(1_025);
    let table = [
        (format!(r#"{{"collection":"c","distinct":"{deep}"}}"#), "distinct", "64 parts"),
        (format!(r#"{{"collection":"c","distinct":"{long}"}}"#), "distinct", "longer than 1024"),
        (format!(r#"{{"collection":"c","sort":[["{deep}",1]]}}"#), "sort[0]", "64 parts"),
        (format!(r#"{{"collection":"c","projection":["{deep}"]}}"#), "projection[0]", "64 parts"),
        (
            format!(r#"{{"collection":"c","sort":[{}]}}"#, vec![r#"["a",1]"#; 32].join(",")),
            "sort",
            "at most 31",
        ),
    ];
    for (body, place, reason) in &table {
        assert_invalid(read(body), body, place, reason);
    }
    let body = format!(
        r#"{{"collection":"c","distinct":"{}","limit":{MAX_LIMIT}}}"#,
        vec!["a"; 64].join(".")
    );
    assert!(read(&body).is_ok_and(|operation| operation.query.validate().is_ok()));
    let longest = "a".repeat(1_024);
    let sorts: Vec<_> = (0..31).map(|n| format!(r#"["a{n}",1]"#)).collect();
    for body in [
        format!(r#"{{"collection":"c","distinct":"{longest}"}}"#),
        format!(r#"{{"collection":"c","sort":[{}]}}"#, sorts.join(",")),
    ] {
        let operation = read(&body).expect("at its limit");
        assert_eq!(operation.check(), Ok(()), "{body}");
    }
}

#[test]
fn acknowledgement_is_one_of_three_levels() {
    let table = [
        ("logged", Some(Acknowledgement::Logged)),
        ("applied", Some(Acknowledgement::Applied)),
        ("replicas:1", Some(Acknowledgement::Replicas(1))),
        ("replicas:1000", Some(Acknowledgement::Replicas(1_000))),
        ("replicas:0", None),
        ("replicas:1001", None),
        ("replicas:-1", None),
        ("replicas:+1", None),
        ("replicas: 1", None),
        ("replicas:", None),
        ("replicas:99999999999999999999", None),
        ("Applied", None),
        ("", None),
    ];
    for (text, expected) in table {
        let parsed = native::parse_acknowledgement(text);
        assert_eq!(parsed.clone().ok(), expected, "{text:?}");
        if let Err(error) = parsed {
            assert_eq!(error.place, "X-Rideshare-Ack");
        }
    }
}

#[test]
fn drawn_id_counts_for_the_size_of_a_document() {
    let body = |bytes: usize| {
        let text = "x".repeat(bytes);
        format!(r#"{{"op":"insert","collection":"c","documents":[{{"a":"{text}"}}]}}"#)
    };
    // Braces, the field around the text, and `"_id":"fresh1",`.
    let most = MAX_DOCUMENT_BYTES - 2 - 7 - 15;
    assert!(write(&body(most)).is_ok());
    let larger = body(most + 1);
    assert_invalid(write(&larger), "one byte more", "documents[0]", "takes 1048577 bytes");
}
