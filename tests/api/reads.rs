//! `db/read`: filters, order, projection, consistency.

use serde_json::{Value, json};

use crate::support::System;

async fn with_users() -> System {
    let system = System::start(1).await;
    let users = json!([
        { "_id": "ann", "age": 30, "tags": ["a", "b"], "home": { "ward": 1 } },
        { "_id": "bob", "age": 20, "tags": ["b"], "home": { "ward": 2 } },
        { "_id": "eve", "age": 25.5, "tags": [] },
        { "_id": 4, "age": null },
    ]);
    assert_eq!(system.insert("users", users).await.status, 201);
    system
}

async fn ids(system: &System, extra: Value) -> Value {
    let mut body = json!({ "collection": "users", "consistency": "strong" });
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let answer = system.read(&body).await;
    assert_eq!(answer.status, 200, "{extra}: {answer:?}");
    answer.body["documents"].as_array().unwrap().iter().map(|it| it["_id"].clone()).collect()
}

#[tokio::test]
async fn filters_mean_what_mongodb_means() {
    let system = with_users().await;
    let table = [
        (json!({}), json!([4, "ann", "bob", "eve"])),
        (json!({ "_id": "ann" }), json!(["ann"])),
        (json!({ "home.ward": 2 }), json!(["bob"])),
        (json!({ "tags": "b" }), json!(["ann", "bob"])),
        (json!({ "age": { "$gt": 20, "$lte": 30 } }), json!(["ann", "eve"])),
        (json!({ "age": null }), json!([4])),
        (json!({ "age": { "$in": [20, 25.5] } }), json!(["bob", "eve"])),
        (json!({ "tags": { "$exists": false } }), json!([4])),
        (json!({ "age": { "$not": { "$gt": 21 } } }), json!([4, "bob"])),
        (json!({ "$or": [{ "_id": 4 }, { "home": { "ward": 1 } }] }), json!([4, "ann"])),
        (json!({ "tags": { "$all": ["a", "b"] } }), json!(["ann"])),
        (json!({ "tags": { "$size": 0 } }), json!(["eve"])),
        (json!({ "tags": { "$elemMatch": { "$gte": "b" } } }), json!(["ann", "bob"])),
        (json!({ "$nor": [{ "age": { "$type": "x" } }] }), Value::Null),
    ];
    for (filter, expected) in table {
        if expected.is_null() {
            let answer = system.read(&json!({ "collection": "users", "filter": filter })).await;
            assert_eq!(answer.status, 400);
            assert!(answer.body["detail"].as_str().unwrap().contains("$type"), "{answer:?}");
            continue;
        }
        assert_eq!(ids(&system, json!({ "filter": filter })).await, expected, "{filter}");
    }
}

#[tokio::test]
async fn sort_skip_limit_and_projection() {
    let system = with_users().await;
    let sorted = ids(&system, json!({ "sort": [["age", -1]] })).await;
    assert_eq!(sorted, json!(["ann", "eve", "bob", 4]));
    let page = ids(&system, json!({ "sort": [["age", 1]], "skip": 1, "limit": 2 })).await;
    assert_eq!(page, json!(["bob", "eve"]));
    let body = json!({
        "collection": "users", "filter": { "_id": "ann" }, "projection": ["_id", "home.ward"],
        "consistency": "strong",
    });
    let answer = system.read(&body).await;
    assert_eq!(answer.body["documents"], json!([{ "_id": "ann", "home": { "ward": 1 } }]));
}

#[tokio::test]
async fn count_and_distinct() {
    let system = with_users().await;
    let read = |extra: Value| {
        let mut body = json!({ "collection": "users", "consistency": "strong" });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    let count = system.read(&read(json!({ "count": true, "filter": { "tags": "b" } }))).await;
    assert_eq!(count.body, json!({ "count": 2, "offset": count.offset }));
    let tags = system.read(&read(json!({ "distinct": "tags" }))).await;
    assert_eq!(tags.body, json!({ "values": ["a", "b"], "offset": tags.offset }));
}

#[tokio::test]
async fn session_read_sees_the_own_write_from_any_slave() {
    let system = System::start(3).await;
    system.settle(3).await;
    for number in 0..100 {
        let written = system.insert("users", json!([{ "_id": number }])).await;
        let body = json!({
            "collection": "users", "filter": { "_id": number }, "consistency": "session",
            "min_offset": written.offset,
        });
        let answer = system.read(&body).await;
        assert_eq!(answer.body["documents"], json!([{ "_id": number }]), "{answer:?}");
        assert!(answer.offset >= written.offset);
    }
}

#[tokio::test]
async fn strong_reads_and_eventual_reads_meet_when_nothing_is_written() {
    let system = with_users().await;
    let strong = system.read(&json!({ "collection": "users", "consistency": "strong" })).await;
    let body = json!({
        "collection": "users", "consistency": "session", "min_offset": strong.offset,
    });
    let slave = system.read(&body).await;
    assert_eq!(slave.body["documents"], strong.body["documents"]);
}

#[tokio::test]
async fn session_read_of_an_offset_that_never_comes_ends_at_its_deadline() {
    let system = System::start(1).await;
    let body = json!({
        "collection": "users", "consistency": "session", "min_offset": 1_000_000,
    });
    let timeout = [("X-Request-Timeout-Ms", "300")];
    let answer = system.post_with("/api/v1/db/read", &body, &timeout).await;
    assert_eq!((answer.status.as_u16(), answer.retry_after.as_deref()), (503, Some("1")));
}
