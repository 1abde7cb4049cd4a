//! `db/write`, operation by operation.

use serde_json::{Value, json};

use crate::support::System;

#[tokio::test]
async fn insert_gives_ids_and_rising_offsets() {
    let system = System::start(1).await;
    let first = system.insert("users", json!([{ "_id": "ann", "age": 3 }, { "_id": 7 }])).await;
    assert_eq!(first.status, 201);
    let offset = first.body["offset"].as_u64().unwrap();
    assert_eq!(first.body, json!({ "offset": offset, "inserted": 2, "ids": ["ann", 7] }));
    assert_eq!(first.offset, Some(offset));
    let second = system.insert("users", json!([{ "name": "no id" }])).await;
    assert!(second.body["offset"].as_u64().unwrap() > offset);
    let id = second.body["ids"][0].as_str().unwrap();
    assert_eq!(id.len(), 36, "{id} is no UUID");
    assert_eq!(id.as_bytes()[14], b'7', "{id} is not of version 7");
    assert_eq!(system.find("users", json!({ "_id": id })).await[0]["name"], "no id");
}

#[tokio::test]
async fn insert_of_a_taken_id_writes_nothing_at_all() {
    let system = System::start(1).await;
    system.insert("users", json!([{ "_id": "ann" }, { "_id": "bob" }])).await;
    let taken = json!([{ "_id": "new" }, { "_id": "bob" }, { "_id": "ann" }]);
    let answer = system.insert("users", taken).await;
    assert_eq!(answer.status, 409);
    assert_eq!(answer.body["ids"], json!(["bob", "ann"]));
    assert!(answer.content_type.starts_with("application/problem+json"));
    assert_eq!(system.find("users", json!({})).await.len(), 2);
    let twice = system.insert("users", json!([{ "_id": "eve" }, { "_id": "eve" }])).await;
    assert_eq!((twice.status.as_u16(), &twice.body["ids"]), (409, &json!(["eve"])));
}

#[tokio::test]
async fn update_answers_with_counts_and_documents() {
    let system = System::start(1).await;
    system.insert("users", json!([{ "_id": "ann", "age": 3 }, { "_id": "bob", "age": 3 }])).await;
    let update = |extra: Value| {
        let mut body = json!({
            "op": "update", "collection": "users", "filter": { "age": 3 },
            "update": { "$inc": { "age": 1 } },
        });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    let expected = |offset: &Value, matched: u64, modified: u64, documents: Value| {
        json!({
            "offset": offset, "matched": matched, "modified": modified, "upserted_id": null,
            "documents": documents,
        })
    };
    let one = system.write(&update(json!({ "return": "before" }))).await;
    assert_eq!(one.status, 200);
    let before = json!([{ "_id": "ann", "age": 3 }]);
    assert_eq!(one.body, expected(&one.body["offset"], 1, 1, before));
    let rest = system.write(&update(json!({ "many": true, "return": "after" }))).await;
    let after = json!([{ "_id": "bob", "age": 4 }]);
    assert_eq!(rest.body, expected(&rest.body["offset"], 1, 1, after));
    let none = system.write(&update(json!({}))).await;
    assert_eq!(none.body, expected(&none.body["offset"], 0, 0, json!([])));
    let upserted = system
        .write(&update(json!({ "filter": { "_id": "eve" }, "upsert": true, "return": "after" })))
        .await;
    assert_eq!(upserted.body["upserted_id"], "eve");
    assert_eq!(upserted.body["documents"], json!([{ "_id": "eve", "age": 1 }]));
    let unfit = system
        .write(&update(json!({ "filter": { "_id": "eve" }, "update": { "$push": { "age": 1 } } })))
        .await;
    assert_eq!(unfit.status, 400);
    assert!(unfit.body["detail"].as_str().unwrap().contains("age"), "{unfit:?}");
}

#[tokio::test]
async fn replace_delete_clear_and_index() {
    let system = System::start(1).await;
    let replace = |upsert: bool| {
        json!({
            "op": "replace", "collection": "users", "document": { "_id": "ann", "age": 4 },
            "upsert": upsert,
        })
    };
    let missing = system.write(&replace(false)).await;
    assert_eq!((missing.status.as_u16(), &missing.body["matched"]), (200, &json!(0)));
    assert!(system.find("users", json!({})).await.is_empty());
    let made = system.write(&replace(true)).await;
    assert_eq!(made.body["upserted_id"], "ann");
    let same = system.write(&replace(true)).await;
    assert_eq!((&same.body["matched"], &same.body["modified"]), (&json!(1), &json!(0)));

    let index = json!({ "op": "index", "collection": "users", "field": "age" });
    for _ in 0..2 {
        let answer = system.write(&index).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_object().unwrap().len()), (200, 1));
    }
    system.insert("users", json!([{ "_id": 1, "age": 1 }, { "_id": 2, "age": 1 }])).await;
    let delete = json!({
        "op": "delete", "collection": "users", "filter": { "age": { "$lt": 2 } }, "many": true,
    });
    let deleted = system.write(&delete).await;
    assert_eq!((deleted.status.as_u16(), &deleted.body["deleted"]), (200, &json!(2)));
    let clear = json!({ "op": "clear", "collections": ["users", "rides"] });
    let cleared = system.write(&clear).await;
    assert_eq!(cleared.body["cleared"], json!(["users", "rides"]));
    assert!(system.find("users", json!({})).await.is_empty());
}

#[tokio::test]
async fn batch_is_carried_out_wholly_or_not_at_all() {
    let system = System::start(1).await;
    let insert = |id: &str| json!({ "op": "insert", "collection": "users", "documents": [{ "_id": id, "n": 0 }] });
    let increment = json!({
        "op": "update", "collection": "users", "filter": { "n": 0 }, "many": true,
        "update": { "$inc": { "n": 1 } },
    });
    let body = json!({ "op": "batch", "operations": [insert("a"), insert("b"), increment] });
    let answer = system.write(&body).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body["results"][2]["modified"], 2, "{answer:?}");
    let body = json!({ "op": "batch", "operations": [insert("c"), insert("d"), insert("a")] });
    let failed = system.write(&body).await;
    assert_eq!(failed.status, 409);
    assert_eq!((&failed.body["index"], &failed.body["ids"]), (&json!(2), &json!(["a"])));
    assert_eq!(system.find("users", json!({})).await.len(), 2);
}

#[tokio::test]
async fn idempotency_key_returns_the_first_outcome_and_writes_nothing() {
    let system = System::start(1).await;
    let body = json!({
        "op": "update", "collection": "users", "filter": { "_id": "ann" }, "upsert": true,
        "update": { "$inc": { "visits": 1 } }, "return": "after",
    });
    let key = [("Idempotency-Key", "visit-1")];
    let first = system.post_with("/api/v1/db/write", &body, &key).await;
    system.post("/api/v1/crash/master", &Value::Null).await;
    let second = system.post_with("/api/v1/db/write", &body, &key).await;
    assert_eq!((first.status, &first.body), (second.status, &second.body));
    let again = system.write(&body).await;
    assert_eq!(again.body["documents"][0]["visits"], 2);
}

#[tokio::test]
async fn acknowledgement_levels_are_kept() {
    let system = System::start(2).await;
    let insert = json!({ "op": "insert", "collection": "users", "documents": [{}] });
    for level in ["logged", "applied", "replicas:1", "replicas:2"] {
        let ack = [("X-Rideshare-Ack", level)];
        let answer = system.post_with("/api/v1/db/write", &insert, &ack).await;
        assert_eq!(answer.status, 201, "{level}: {answer:?}");
    }
    let headers = [("X-Rideshare-Ack", "replicas:9"), ("X-Request-Timeout-Ms", "300")];
    let answer = system.post_with("/api/v1/db/write", &insert, &headers).await;
    assert_eq!(answer.status, 504);
    assert_eq!(answer.body["outcome"], "unknown");
}

#[tokio::test]
async fn db_clear_empties_users_rides_and_what_is_named() {
    let system = System::start(1).await;
    for collection in ["users", "rides", "places", "kept"] {
        system.insert(collection, json!([{}])).await;
    }
    let answer = system.post_bytes("/api/v1/db/clear", Vec::new(), &[]).await;
    assert_eq!((answer.status.as_u16(), answer.body), (200, json!({})));
    let named = system.post("/api/v1/db/clear", &json!({ "collections": ["places"] })).await;
    assert_eq!(named.status, 200);
    for (collection, left) in [("users", 0), ("rides", 0), ("places", 0), ("kept", 1)] {
        assert_eq!(system.find(collection, json!({})).await.len(), left, "{collection}");
    }
}
