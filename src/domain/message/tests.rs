//! What is encoded comes back as it was, and hostile bytes come back as an error.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::domain::document::{CollectionName, DocumentId};
use crate::domain::filter::Filter;
use crate::domain::ids::{LogId, RequestId, Sequence};
use crate::domain::log::{Change, Entry, History, Record, RecordBody, Term};
use crate::domain::outcome::Refusal;
use crate::domain::query::{Query, SortOrder};
use crate::domain::request::{Acknowledgement, Consistency, ReadShape, Returning, WriteOperation};
use crate::domain::update::Update;

fn any_id() -> impl Strategy<Value = DocumentId> {
    prop_oneof![any::<i64>().prop_map(DocumentId::Integer), ".{0,12}".prop_map(DocumentId::String)]
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Integer),
        (0..300_i64).prop_map(Value::Integer),
        prop::num::f64::NORMAL.prop_map(Value::Double),
        Just(Value::Double(-0.0)),
        ".{0,40}".prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec(("[a-z]{1,5}", inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn any_document() -> impl Strategy<Value = Document> {
    (any_id(), prop::collection::vec(("[a-z]{1,6}", any_value()), 0..5))
        .prop_map(|(id, fields)| fields.into_iter().collect::<Document>().with_id(id))
}

fn any_collection() -> impl Strategy<Value = CollectionName> {
    "[A-Za-z][A-Za-z0-9_-]{0,9}".prop_map(|name| CollectionName::parse(&name).expect("valid"))
}

fn any_filter() -> impl Strategy<Value = Filter> {
    any_id().prop_flat_map(|id| {
        let id = serde_json::Value::from(&Value::from(id));
        let filters = [
            json!({}),
            json!({"_id": id}),
            json!({"$or": [{"a.b": {"$gt": 1.5}}, {"_id": {"$in": [id, null]}}]}),
            json!({"a": {"$elemMatch": {"$not": {"$lt": "x"}}}}),
        ];
        prop::sample::select(filters.to_vec()).prop_map(|source| {
            Filter::parse(&Value::from_json(source).expect("valid")).expect("valid")
        })
    })
}

fn any_operation() -> impl Strategy<Value = WriteOperation> {
    let update = Value::from_json(json!({"$set": {"a": {"b": 1}}, "$push": {"c": {"$each": []}}}));
    let update = Update::parse(&update.expect("valid")).expect("valid");
    let returning =
        prop::sample::select(vec![Returning::None, Returning::Before, Returning::After]);
    let plain = prop_oneof![
        (any_collection(), prop::collection::vec(any_document(), 1..3))
            .prop_map(|(collection, documents)| WriteOperation::Insert { collection, documents }),
        (any_collection(), any_filter(), any::<[bool; 2]>(), returning, any_id()).prop_map(
            move |(collection, filter, [many, upsert], returning, fresh_id)| {
                let update = update.clone();
                WriteOperation::Update {
                    collection,
                    filter,
                    update,
                    many,
                    upsert,
                    returning,
                    fresh_id,
                }
            }
        ),
        (any_collection(), any_document(), any::<bool>()).prop_map(
            |(collection, document, upsert)| WriteOperation::Replace {
                collection,
                document,
                upsert
            }
        ),
        (any_collection(), any_filter(), any::<bool>()).prop_map(|(collection, filter, many)| {
            WriteOperation::Delete { collection, filter, many }
        }),
        prop::collection::vec(any_collection(), 1..3)
            .prop_map(|collections| WriteOperation::Clear { collections }),
        (any_collection(), "[a-z]{1,5}")
            .prop_map(|(collection, field)| WriteOperation::EnsureIndex { collection, field }),
    ];
    let plain = plain.boxed();
    prop_oneof![
        4 => plain.clone(),
        1 => prop::collection::vec(plain, 1..4)
            .prop_map(|operations| WriteOperation::Batch { operations }),
    ]
}

fn any_request() -> impl Strategy<Value = Request> {
    let acknowledgement = prop_oneof![
        Just(Acknowledgement::Logged),
        Just(Acknowledgement::Applied),
        any::<u32>().prop_map(Acknowledgement::Replicas),
    ];
    let write = (".{0,40}", any::<u64>(), acknowledgement, any_operation()).prop_map(
        |(id, seen, acknowledgement, operation)| {
            let (id, seen) = (RequestId::new(id), Offset(seen));
            Request::Write(WriteRequest { id, seen, acknowledgement, operation })
        },
    );
    let shape = prop_oneof![
        Just(ReadShape::Documents),
        Just(ReadShape::Count),
        "[a-z.]{1,9}".prop_map(ReadShape::Distinct),
    ];
    let consistency = prop_oneof![
        Just(Consistency::Eventual),
        Just(Consistency::Strong),
        any::<u64>().prop_map(|offset| Consistency::Session(Offset(offset))),
    ];
    let sort = prop::sample::select(vec![SortOrder::Ascending, SortOrder::Descending]);
    let query = (any_collection(), any_filter(), sort, any::<u64>(), any::<Option<u64>>());
    let read = (query, shape, consistency).prop_map(
        |((collection, filter, order, skip, limit), shape, consistency)| {
            let sort = vec![("a.b".to_owned(), order)];
            let projection = limit.map(|_| vec!["a".to_owned()]);
            let query = Query { collection, filter, sort, projection, skip, limit };
            Request::Read(ReadOperation { query, shape, consistency })
        },
    );
    prop_oneof![4 => write, 2 => read, 1 => Just(Request::Ping)]
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    let ids = prop::collection::vec(any_id(), 0..4).boxed();
    let documents = prop::collection::vec(any_document(), 0..3);
    let leaf = prop_oneof![
        ids.clone().prop_map(|ids| Outcome::Inserted { ids }),
        (any::<[u64; 2]>(), prop::option::of(any_id()), documents).prop_map(
            |([matched, modified], upserted_id, documents)| {
                Outcome::Updated { matched, modified, upserted_id, documents }
            }
        ),
        any::<u64>().prop_map(|deleted| Outcome::Deleted { deleted }),
        prop::collection::vec(any_collection(), 0..3)
            .prop_map(|collections| Outcome::Cleared { collections }),
        Just(Outcome::Indexed),
        ids.prop_map(|ids| Outcome::Refused(Refusal::Conflict { ids })),
        Just(Outcome::Refused(Refusal::Forgotten)),
        (any::<u16>(), ".{0,40}").prop_map(|(index, detail)| {
            let refusal = Box::new(Refusal::Unfit { detail });
            Outcome::Refused(Refusal::InBatch { index: index.into(), refusal })
        }),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop::collection::vec(inner, 0..3).prop_map(|results| Outcome::Batch { results })
    })
}

fn any_reply() -> impl Strategy<Value = Reply> {
    let result = prop_oneof![
        prop::collection::vec(any_document(), 0..3).prop_map(ReadResult::Documents),
        any::<u64>().prop_map(ReadResult::Count),
        prop::collection::vec(any_value(), 0..3).prop_map(ReadResult::Values),
    ];
    prop_oneof![
        (any::<u64>(), any_outcome())
            .prop_map(|(offset, outcome)| Reply::Written { offset: Offset(offset), outcome }),
        (any::<u64>(), result)
            .prop_map(|(offset, result)| Reply::Read { offset: Offset(offset), result }),
        ".{0,40}".prop_map(|detail| Reply::ReadRefused { detail }),
        Just(Reply::Pong),
    ]
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any_collection(), any_document()).prop_map(|(collection, document)| {
            let id = document.id().expect("any document has a key");
            Change::Put { collection, id, document: Arc::new(document) }
        }),
        (any_collection(), any_id()).prop_map(|(collection, id)| Change::Delete { collection, id }),
        any_collection().prop_map(|collection| Change::Clear { collection }),
        (any_collection(), "[a-z]{1,5}")
            .prop_map(|(collection, field)| Change::EnsureIndex { collection, field }),
    ]
}

fn any_record() -> impl Strategy<Value = Record> {
    let changes = prop::collection::vec(any_change(), 0..4);
    let entry = (".{0,40}", any_outcome(), changes).prop_map(|(id, outcome, changes)| Entry {
        request_id: RequestId::new(id),
        outcome,
        changes,
    });
    let body = prop_oneof![
        (".{0,12}", any::<bool>()).prop_map(|(name, on_own_data)| RecordBody::Epoch {
            master: NodeId::new(name),
            on_own_data,
        }),
        (any::<u64>(), prop::collection::vec(entry, 0..3)).prop_map(|(sequence, entries)| {
            RecordBody::Batch { sequence: Sequence(sequence), entries }
        }),
    ];
    (".{0,12}", any::<[u64; 2]>(), body).prop_map(|(log_id, [epoch, appended_at_ms], body)| {
        Record { log_id: LogId::new(log_id), epoch: Epoch(epoch), appended_at_ms, body }
    })
}

/// Decodes bytes as everything that travels or is stored; whatever comes of it, it comes back.
fn decode_as_anything(bytes: &[u8]) {
    let _ = decode::<Request>(bytes);
    let _ = decode::<Reply>(bytes);
    let _ = decode::<Record>(bytes);
    let _ = decode::<Progress>(bytes);
    let _ = decode::<Member>(bytes);
    let _ = decode::<History>(bytes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn messages_and_records_come_back_as_they_were(
        request in any_request(),
        reply in any_reply(),
        record in any_record(),
    ) {
        prop_assert_eq!(decode::<Request>(&encode(&request)), Ok(request));
        prop_assert_eq!(decode::<Reply>(&encode(&reply)), Ok(reply));
        prop_assert_eq!(decode::<Record>(&encode(&record)), Ok(record));
    }

    #[test]
    fn part_of_a_message_is_none_and_neither_is_more_than_one(
        record in any_record(),
        cut in any::<prop::sample::Index>(),
        more in prop::collection::vec(any::<u8>(), 1..4),
    ) {
        let bytes = encode(&record);
        prop_assert!(decode::<Record>(&bytes[..cut.index(bytes.len())]).is_err());
        prop_assert!(decode::<Record>(&[bytes, more].concat()).is_err());
    }

    #[test]
    fn damaged_message_never_panics(
        request in any_request(),
        record in any_record(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        for mut bytes in [encode(&request), encode(&record)] {
            for (at, byte) in &damage {
                let at = at.index(bytes.len());
                bytes[at] ^= byte;
                decode_as_anything(&bytes);
            }
        }
    }

    #[test]
    fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..200)) {
        decode_as_anything(&noise);
        decode_as_anything(&[&HEADER, noise.as_slice()].concat());
    }
}

#[test]
fn progress_member_and_history_come_back_as_they_were() {
    let node = NodeId::from("n1");
    let roles = [Role::Joining, Role::Slave, Role::Promoting, Role::Master, Role::Draining];
    for (role, applied) in roles.into_iter().zip([None, Some(Offset(u64::MAX))].into_iter().cycle())
    {
        let progress = Progress {
            node: node.clone(),
            role,
            epoch: Epoch(u64::MAX),
            applied,
            stalled: applied.is_none(),
        };
        assert_eq!(decode::<Progress>(&encode(&progress)), Ok(progress));
        let database = DatabaseAddress::from("mongodb://host/db");
        let pid = Pid(u32::MAX);
        let member = Member {
            node: node.clone(),
            role,
            pid,
            managed: false,
            database,
            epoch: Epoch(0),
            applied,
        };
        assert_eq!(decode::<Member>(&encode(&member)), Ok(member));
        let term = Term { epoch: Epoch(1), begun: Offset(0), batches: Sequence(2) };
        let history = History { log_id: Some(LogId::from("h")), terms: vec![term; 3], applied };
        assert_eq!(decode::<History>(&encode(&history)), Ok(history));
    }
}

#[test]
fn other_versions_and_strangers_are_told_apart() {
    let ping = encode(&Request::Ping);
    let of_version = |version: u8| {
        let mut bytes = ping.clone();
        bytes[2] = version;
        decode::<Request>(&bytes)
    };
    assert_eq!(of_version(1), Ok(Request::Ping));
    assert!(of_version(2).is_err_and(|error| error.newer));
    assert!(of_version(0).is_err_and(|error| !error.newer));
    for stranger in [b"".as_slice(), b"R", b"RS", b"{\"op\":1}", b"\0\0\0\0"] {
        assert!(decode::<Request>(stranger).is_err_and(|error| !error.newer), "{stranger:?}");
    }
}

#[test]
fn deepest_document_travels() {
    let nested = (1..64).fold(Value::Null, |inner, _| {
        Value::Object(std::iter::once(("a".to_owned(), inner)).collect())
    });
    let mut document: Document = std::iter::once(("a".to_owned(), nested)).collect();
    document.set_id(DocumentId::from(1));
    document.validate().expect("64 levels are allowed");
    let collection = CollectionName::parse("c").expect("valid");
    let change =
        Change::Put { collection, id: DocumentId::from(1), document: document.clone().into() };
    let updated =
        Outcome::Updated { matched: 1, modified: 1, upserted_id: None, documents: vec![document] };
    let outcome = Outcome::Batch { results: vec![updated] };
    let entry = Entry { request_id: RequestId::from("r"), outcome, changes: vec![change] };
    let body = RecordBody::Batch { sequence: Sequence(0), entries: vec![entry] };
    let record = Record { log_id: LogId::from("h"), epoch: Epoch(1), appended_at_ms: 0, body };
    assert_eq!(decode::<Record>(&encode(&record)), Ok(record));
}

#[test]
fn roles_are_called_what_they_are_written_as() {
    for role in [Role::Joining, Role::Slave, Role::Promoting, Role::Master, Role::Draining] {
        assert_eq!(serde_json::to_value(role).expect("a word"), role.as_str());
    }
}

#[test]
fn request_that_no_orchestrator_could_have_sent_is_refused() {
    assert!(Request::Ping.check().is_ok());
    let write = |id: &str| WriteRequest {
        id: RequestId::from(id),
        acknowledgement: Acknowledgement::default(),
        seen: Offset(0),
        operation: WriteOperation::Clear { collections: Vec::new() },
    };
    assert!(Request::Write(write("r")).check().is_ok());
    assert!(Request::Write(write(&"r".repeat(100_000))).check().is_err());
}

#[test]
fn reason_is_shortened_beyond_its_limit_and_not_at_it() {
    let limit = "r".repeat(MAX_REASON_BYTES);
    assert_eq!(shortened(limit.clone()), limit);
    assert_eq!(shortened(format!("{limit}r")), format!("{limit}…"));
}

#[test]
fn reason_quotes_little_of_a_hostile_message() {
    let variant = encode(&std::collections::BTreeMap::from([("é".repeat(1 << 20), 1)]));
    let error = decode::<Request>(&variant).expect_err("no such request").to_string();
    assert!(error.contains("éé") && error.len() < 400, "{} bytes", error.len());
}

#[test]
fn hostile_nesting_and_lengths_are_refused() {
    let nested =
        (0..400).fold(Outcome::Indexed, |inner, _| Outcome::Batch { results: vec![inner] });
    let reply = Reply::Written { offset: Offset(0), outcome: nested };
    assert!(decode::<Reply>(&encode(&reply)).is_err());
    let deep = [HEADER.as_slice(), &[0x91; 100_000]].concat();
    decode_as_anything(&deep);
    // Text, arrays and maps that claim four thousand million elements.
    for marker in [0xdb, 0xdd, 0xdf, 0xc6] {
        for prefix in [[].as_slice(), &[0x91], &[0x94], &[0x81, 0xa5, b'W', b'r', b'i', b't', b'e']]
        {
            let lie = [HEADER.as_slice(), prefix, &[marker, 0xff, 0xff, 0xff, 0xff, 0]].concat();
            decode_as_anything(&lie);
        }
    }
}
