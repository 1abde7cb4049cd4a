//! Ten thousand real documents go in and come back: the wards of Bangalore, users, and rides.

use serde_json::{Value, json};

use crate::support::System;

const USERS: u64 = 4_802;
const RIDES: u64 = 5_000;

/// Plain arithmetic instead of a random number generator: the same documents every time.
fn scatter(number: u64, salt: u64) -> u64 {
    (number.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(salt)) >> 33
}

fn wards() -> Vec<Value> {
    let lines = include_str!("../../config/areas.csv").lines().skip(1);
    let wards = lines.map(|line| {
        let (number, name) = line.split_once(',').unwrap();
        let number: i64 = number.parse().unwrap();
        json!({ "_id": number, "name": name, "zone": number % 8 })
    });
    wards.collect()
}

fn user(number: u64) -> Value {
    json!({
        "_id": format!("user-{number:05}"), "age": 18 + scatter(number, 1) % 60,
        "home": { "ward": 1 + scatter(number, 2) % 198 }, "name": format!("Ünal Ωmega {number}"),
    })
}

fn ride(number: u64) -> Value {
    json!({
        "_id": number, "created_by": format!("user-{:05}", scatter(number, 3) % USERS),
        "source": 1 + scatter(number, 4) % 198, "destination": 1 + scatter(number, 5) % 198,
        "fare": (scatter(number, 6) % 10_000) as f64 / 4.0,
        "users": (0..scatter(number, 7) % 4).map(|seat| format!("user-{seat:05}")).collect::<Vec<_>>(),
    })
}

async fn load(system: &System, collection: &str, documents: &[Value]) {
    for chunk in documents.chunks(500) {
        let answer = system.insert(collection, json!(chunk)).await;
        assert_eq!(answer.status, 201, "{collection}: {answer:?}");
    }
}

async fn read(system: &System, body: Value) -> Value {
    let mut body = body;
    body["consistency"] = json!("strong");
    let answer = system.read(&body).await;
    assert_eq!(answer.status, 200, "{body}: {answer:?}");
    answer.body
}

#[tokio::test]
async fn ten_thousand_documents_come_back_by_filter_sort_projection_count_and_distinct() {
    let system = System::start(2).await;
    let wards = wards();
    let users: Vec<_> = (0..USERS).map(user).collect();
    let rides: Vec<_> = (0..RIDES).map(ride).collect();
    assert_eq!(wards.len() + users.len() + rides.len(), 10_000);
    let index = json!({ "op": "index", "collection": "rides", "field": "source" });
    assert_eq!(system.write(&index).await.status, 200);
    for (collection, documents) in [("wards", &wards), ("users", &users), ("rides", &rides)] {
        load(&system, collection, documents).await;
    }

    let back = read(&system, json!({ "collection": "rides", "limit": 10_000 })).await;
    assert_eq!(back["documents"], json!(rides), "all rides, in the order of _id");
    let last = read(&system, json!({ "collection": "wards", "filter": { "_id": 198 } })).await;
    assert_eq!(last["documents"][0]["name"], "Hemmigepura");

    let from_21: Vec<_> = rides.iter().filter(|ride| ride["source"] == 21).cloned().collect();
    assert!(from_21.len() > 5);
    let filter = json!({ "source": 21 });
    let found = read(&system, json!({ "collection": "rides", "filter": filter })).await;
    assert_eq!(found["documents"], json!(from_21));
    let count =
        read(&system, json!({ "collection": "rides", "filter": filter, "count": true })).await;
    assert_eq!(count["count"], from_21.len());

    let dear = json!({
        "collection": "rides", "filter": { "fare": { "$gte": 2_000 }, "users": "user-00002" },
        "sort": [["fare", -1]], "projection": ["fare"], "limit": 20,
    });
    let mut expected: Vec<_> = rides
        .iter()
        .filter(|ride| ride["fare"].as_f64().unwrap() >= 2_000.0)
        .filter(|ride| ride["users"].as_array().unwrap().contains(&json!("user-00002")))
        .map(|ride| json!({ "_id": ride["_id"], "fare": ride["fare"] }))
        .collect();
    expected.sort_by(|a, b| b["fare"].as_f64().unwrap().total_cmp(&a["fare"].as_f64().unwrap()));
    expected.truncate(20);
    assert_eq!(read(&system, dear).await["documents"], json!(expected));

    let zones = read(&system, json!({ "collection": "wards", "distinct": "zone" })).await;
    assert_eq!(zones["values"], json!([0, 1, 2, 3, 4, 5, 6, 7]));
    let old = json!({
        "collection": "users", "filter": { "age": { "$gt": 70 }, "home.ward": { "$lt": 100 } },
        "count": true,
    });
    let expected = users
        .iter()
        .filter(|user| user["age"].as_u64() > Some(70) && user["home"]["ward"].as_u64() < Some(100))
        .count();
    assert_eq!(read(&system, old).await["count"], expected);
}
