//! Bodies that nobody would send on purpose, or only on purpose: each gets a clear answer, and
//! nothing of the system minds.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::support::System;

const CASES: u32 = 5_000;

/// Sound requests of every kind, to be spoilt.
fn sound() -> Vec<(&'static str, Value)> {
    let write = "/api/v1/db/write";
    let read = "/api/v1/db/read";
    let document = json!({ "_id": "ann", "age": 3, "tags": ["a", { "b": -1.5e3 }], "none": null });
    vec![
        (write, json!({ "op": "insert", "collection": "users", "documents": [document] })),
        (
            write,
            json!({
                "op": "update", "collection": "users", "many": true, "upsert": false,
                "filter": { "$or": [{ "age": { "$gte": 1 } }, { "tags": { "$all": ["a"] } }] },
                "update": { "$inc": { "age": 1 }, "$push": { "tags": { "$each": [1, 2] } } },
                "return": "after",
            }),
        ),
        (write, json!({ "op": "replace", "collection": "users", "document": document })),
        (
            write,
            json!({ "op": "delete", "collection": "users", "filter": { "age": { "$lt": 2 } } }),
        ),
        (write, json!({ "op": "index", "collection": "users", "field": "age" })),
        (
            write,
            json!({ "op": "batch", "operations": [
                { "op": "insert", "collection": "users", "documents": [{ "_id": 1 }] },
                { "op": "delete", "collection": "users", "filter": { "_id": 1 } },
            ] }),
        ),
        (
            write,
            json!({ "insert": ["bob", "x"], "columns": ["_id", "password"], "table": "users" }),
        ),
        (
            write,
            json!({
                "update": "users", "table": "rides", "where": { "rideId": 1 }, "data": "ann",
                "operation": "addToSet",
            }),
        ),
        (
            read,
            json!({
                "collection": "users", "filter": { "age": { "$in": [1, 2, 3] } },
                "projection": ["age"], "sort": [["age", -1]], "limit": 3, "skip": 1,
            }),
        ),
        (read, json!({ "collection": "users", "distinct": "tags.b" })),
        (read, json!({ "table": "users", "columns": ["_id"], "where": {}, "many": 1 })),
        ("/api/v1/db/clear", json!({ "collections": ["places"] })),
    ]
}

/// What becomes of a body.
#[derive(Clone, Debug)]
enum Spoil {
    /// A byte is another.
    Change(usize, u8),
    /// Something comes between.
    Insert(usize, Vec<u8>),
    /// A part is lost.
    Cut(usize, usize),
    /// A part comes twice.
    Double(usize, usize),
}

impl Spoil {
    fn apply(&self, body: &mut Vec<u8>) {
        let part = |at: usize, long: usize| {
            let from = at % (body.len() + 1);
            from..(from + long).min(body.len())
        };
        match self {
            Self::Change(at, byte) => {
                if let Some(place) = part(*at, 1).next() {
                    body[place] = *byte;
                }
            }
            Self::Insert(at, bytes) => {
                let at = part(*at, 0).start;
                body.splice(at..at, bytes.iter().copied());
            }
            Self::Cut(at, long) => {
                let range = part(*at, *long);
                body.drain(range);
            }
            Self::Double(at, long) => {
                let range = part(*at, *long);
                let again = body[range.clone()].to_vec();
                body.splice(range.end..range.end, again);
            }
        }
    }
}

fn spoil() -> impl Strategy<Value = Spoil> {
    let words = [
        "{",
        "}",
        "[",
        "]",
        "\"",
        ",",
        ":",
        "null",
        "-",
        "1e999",
        "99999999999999999999",
        "\\u0000",
        "\\ud800",
        "$where",
        "\"$ne\":",
        "_id",
        "..",
        "\u{feff}",
        "\u{1f600}",
    ];
    let words = words.map(|word| word.as_bytes().to_vec()).to_vec();
    prop_oneof![
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Spoil::Change(at, byte)),
        (any::<usize>(), proptest::sample::select(words))
            .prop_map(|(at, bytes)| Spoil::Insert(at, bytes)),
        (any::<usize>(), 1..20_usize).prop_map(|(at, long)| Spoil::Cut(at, long)),
        (any::<usize>(), 1..60_usize).prop_map(|(at, long)| Spoil::Double(at, long)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn spoilt_body_has_a_clear_answer_and_harms_nobody() {
    let system = System::start(1).await;
    system.settle(1).await;
    let before = system.get("/api/v1/worker/list").await.body;
    let spoilt = (0..sound().len(), prop::collection::vec(spoil(), 1..4));
    let runtime = tokio::runtime::Handle::current();
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    tokio::task::block_in_place(|| {
        TestRunner::new(config).run(&spoilt, |(which, spoils)| {
            let (path, body) = &sound()[which];
            let mut body = body.to_string().into_bytes();
            spoils.iter().for_each(|spoil| spoil.apply(&mut body));
            let answer = runtime.block_on(system.post_bytes(path, body, &[]));
            let status = answer.status.as_u16();
            prop_assert!([200, 201, 400, 409, 413].contains(&status), "{status}: {answer:?}");
            // A failure in the form of the first RideShare has no body.
            if status >= 400 && answer.body != json!("") {
                let told = answer.body["detail"].as_str().map_or(0, str::len);
                prop_assert!(told > 0 && told < 4_096, "{answer:?}");
                prop_assert_eq!(&answer.body["status"], &json!(status));
            }
            Ok(())
        })
    })
    .unwrap();
    let after = system.get("/api/v1/worker/list").await.body;
    assert_eq!(after, before, "nobody died of it");
}
