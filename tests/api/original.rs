//! The payloads of the first RideShare, request by request.

use serde_json::{Value, json};

use crate::support::System;

async fn write(system: &System, body: Value) -> (u16, String) {
    let answer = system.write(&body).await;
    let Value::String(text) = answer.body else { panic!("{body}: not empty") };
    (answer.status.as_u16(), text)
}

/// The slaves answer; the original had no other consistency, so the test waits until they agree.
async fn read(system: &System, body: Value) -> (u16, Value) {
    let last = system.write(&json!({ "op": "index", "collection": "wait", "field": "x" })).await;
    let wait = json!({
        "collection": "wait", "consistency": "session", "min_offset": last.offset,
    });
    for _ in 0..2 {
        assert_eq!(system.read(&wait).await.status, 200);
    }
    let answer = system.read(&body).await;
    (answer.status.as_u16(), answer.body)
}

fn ok() -> (u16, String) {
    (200, String::new())
}

fn failed() -> (u16, String) {
    (400, String::new())
}

#[tokio::test]
async fn users_as_the_original_service_wrote_them() {
    let system = System::start(1).await;
    let insert = json!({
        "insert": ["ann", "3d725109c7e7c0bfb9d709836735b56d943d263f"],
        "columns": ["_id", "password"], "table": "users",
    });
    assert_eq!(write(&system, insert.clone()).await, ok());
    assert_eq!(write(&system, insert).await, failed(), "the name is taken");
    let one = json!({ "table": "users", "columns": ["password"], "where": { "_id": "ann" } });
    let found = json!({ "_id": "ann", "password": "3d725109c7e7c0bfb9d709836735b56d943d263f" });
    assert_eq!(read(&system, one).await, (200, found));
    let nobody = json!({ "table": "users", "columns": ["_id"], "where": { "_id": "bob" } });
    assert_eq!(read(&system, nobody).await, (400, json!("")));
    let all = json!({ "table": "users", "columns": ["_id"], "where": {}, "many": 1 });
    assert_eq!(read(&system, all.clone()).await, (200, json!([{ "_id": "ann" }])));
    let count = json!({ "table": "users", "count": 1 });
    assert_eq!(read(&system, count).await, (200, json!([1])));
    let delete = json!({ "delete": "ann", "column": "_id", "table": "users" });
    assert_eq!(write(&system, delete.clone()).await, ok());
    assert_eq!(write(&system, delete).await, failed(), "nothing is left to delete");
    assert_eq!(read(&system, all).await, (200, json!([])));
}

#[tokio::test]
async fn rides_as_the_original_service_wrote_them() {
    let system = System::start(1).await;
    for (id, timestamp) in [(1, "02-01-2030:00-00-10"), (2, "01-02-2029:00-00-10")] {
        let insert = json!({
            "insert": [id, "ann", timestamp, "21", "22", ["ann"]],
            "columns": ["_id", "created_by", "timestamp", "source", "destination", "users"],
            "table": "rides",
        });
        assert_eq!(write(&system, insert).await, ok());
    }
    let later = json!({
        "table": "rides", "columns": ["timestamp"], "many": 1,
        "where": { "source": "21", "timestamp": { "$gt": "31-12-2029:59-59-23" } },
    });
    let expected = json!([{ "_id": 1, "timestamp": "02-01-2030:00-00-10" }]);
    assert_eq!(read(&system, later).await, (200, expected));
    let join = |ride: u64| {
        json!({
            "update": "users", "table": "rides", "where": { "_id": ride }, "data": "bob",
            "operation": "addToSet",
        })
    };
    for _ in 0..2 {
        assert_eq!(write(&system, join(1)).await, ok());
    }
    assert_eq!(write(&system, join(9)).await, failed(), "no such ride");
    let one = json!({ "table": "rides", "columns": ["users"], "where": { "_id": 1 } });
    let joined = json!({ "_id": 1, "users": ["ann", "bob"] });
    assert_eq!(read(&system, one).await, (200, joined));
    let clear = json!({ "clear": 1, "collections": ["rides"] });
    assert_eq!(write(&system, clear).await, ok());
    assert_eq!(read(&system, json!({ "table": "rides", "count": 1 })).await, (200, json!([0])));
}

#[tokio::test]
async fn any_failure_is_400_with_an_empty_body() {
    let system = System::start(1).await;
    let writes = [
        json!({}),
        json!({ "insert": [1], "columns": ["a", "b"], "table": "users" }),
        json!({ "insert": [1], "columns": ["a"] }),
        json!({ "insert": ["31-02-2030:00-00-00"], "columns": ["timestamp"], "table": "rides" }),
        json!({ "insert": [1], "columns": ["$a"], "table": "users" }),
        json!({ "delete": 1, "table": "users" }),
        json!({ "delete": { "$gt": 0 }, "column": "$where", "table": "users" }),
        json!({ "update": "a", "table": "users", "where": {}, "data": 1, "operation": "where" }),
        json!({ "clear": 1 }),
        json!({ "table": "users" }),
    ];
    for body in writes {
        assert_eq!(write(&system, body.clone()).await, failed(), "{body}");
    }
    let reads = [
        json!({ "table": "no such name" }),
        json!({ "table": "users", "where": { "$where": "1" } }),
        json!({ "table": "users", "columns": 1 }),
    ];
    for body in reads {
        let answer = system.read(&body).await;
        assert_eq!((answer.status.as_u16(), answer.body), (400, json!("")), "{body}");
    }
}
