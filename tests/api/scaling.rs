//! Slaves come and go with the reads.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{SETTLE_LIMIT, System};

async fn await_slaves(system: &System, wanted: usize) {
    let started = Instant::now();
    while system.count_role("slave").await != wanted || system.workers().await.len() != wanted + 1 {
        assert!(started.elapsed() < SETTLE_LIMIT, "{:?}", system.workers().await);
        let answer = system.read(&json!({ "collection": "users", "count": true })).await;
        assert_eq!(answer.status, 200);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn reads_bring_slaves_and_their_absence_drains_them_without_a_failed_read() {
    let environment = [
        ("RIDESHARE_SCALING__WINDOW_SECS", "3"),
        ("RIDESHARE_SCALING__READS_PER_SLAVE", "40"),
        ("RIDESHARE_SCALING__MAX_SLAVES", "3"),
    ];
    let system = System::start_with(1, &environment).await;
    system.settle(1).await;
    system.insert("users", json!([{ "_id": "ann" }])).await;
    let first = system.workers().await;
    let lowest = first.iter().find(|worker| worker["role"] == "slave").unwrap()["pid"].clone();
    let started = Instant::now();
    while system.count_role("slave").await < 3 {
        assert!(started.elapsed() < SETTLE_LIMIT, "{:?}", system.workers().await);
        for _ in 0..20 {
            assert_eq!(system.read(&json!({ "collection": "users" })).await.status, 200);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The reads of this loop are few enough for one slave.
    await_slaves(&system, 1).await;
    let left = system.workers().await;
    let slave = left.iter().find(|worker| worker["role"] == "slave").unwrap();
    assert_eq!(slave["pid"], lowest, "the lowest pid stays");
    let events = system.get("/api/v1/events").await.body;
    let kinds: Vec<_> =
        events.as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "drained").count(), 2, "{kinds:?}");
}
