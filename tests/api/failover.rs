//! The master killed again and again, under load.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::support::System;

const KILLS: usize = 10;
const WRITES_PER_SECOND: u64 = 200;
/// The longest time without a successful write around a kill.
const MAX_OUTAGE: Duration = Duration::from_millis(100);

pub(crate) struct Load {
    /// When each write was sent and answered.
    answered: Vec<(Instant, Instant)>,
    /// What each counter was told it became, and how often.
    pub(crate) failures: Vec<String>,
}

/// A steady load, sent on time whether or not earlier writes were answered.
pub(crate) async fn load(
    system: Arc<System>,
    stop: tokio_util::sync::CancellationToken,
) -> (Load, u64) {
    let shared = Arc::new(Mutex::new(Load { answered: Vec::new(), failures: Vec::new() }));
    let mut tick = tokio::time::interval(Duration::from_micros(1_000_000 / WRITES_PER_SECOND));
    let (mut number, mut calls) = (0, tokio::task::JoinSet::new());
    while !stop.is_cancelled() {
        tick.tick().await;
        let (system, shared) = (Arc::clone(&system), Arc::clone(&shared));
        let body = json!({ "op": "batch", "operations": [
            { "op": "insert", "collection": "writes", "documents": [{ "_id": number }] },
            {
                "op": "update", "collection": "counters", "filter": { "_id": number % 16 },
                "update": { "$inc": { "n": 1 } }, "upsert": true,
            },
        ] });
        number += 1;
        calls.spawn(async move {
            let sent = Instant::now();
            let answer = system.write(&body).await;
            let mut load = shared.lock().await;
            if answer.status == 200 {
                load.answered.push((sent, Instant::now()));
            } else {
                load.failures.push(format!("{answer:?}"));
            }
        });
    }
    while calls.join_next().await.is_some() {}
    let load = Arc::into_inner(shared).unwrap().into_inner();
    (load, number)
}

/// The longest gap between answers that overlaps the moment of a kill.
pub(crate) fn outage(load: &Load, killed: Instant) -> Duration {
    let mut ends: Vec<_> = load.answered.iter().map(|(_, answered)| *answered).collect();
    ends.sort();
    let around = |pair: &&[Instant]| pair[1] > killed && pair[0] < killed + Duration::from_secs(2);
    ends.windows(2).filter(around).map(|pair| pair[1] - pair[0].max(killed)).max().unwrap()
}

#[tokio::test]
async fn ten_kills_of_the_master_fail_lose_and_double_nothing() {
    let system = Arc::new(System::start(2).await);
    system.settle(2).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let loading = tokio::spawn(load(Arc::clone(&system), stop.clone()));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut kills = Vec::new();
    for _ in 0..KILLS {
        let workers = system.workers().await;
        let lowest = workers
            .iter()
            .filter(|worker| worker["role"] == "slave")
            .map(|worker| worker["pid"].as_u64().unwrap())
            .min();
        let master = workers.iter().find(|worker| worker["role"] == "master").unwrap();
        let killed = Instant::now();
        let answer = system.post("/api/v1/crash/master", &Value::Null).await;
        assert_eq!((answer.status.as_u16(), &answer.body), (200, &json!([master["pid"]])));
        system.settle(2).await;
        let workers = system.workers().await;
        let master = workers.iter().find(|worker| worker["role"] == "master").unwrap();
        assert_eq!(master["pid"].as_u64(), lowest, "the lowest pid is next");
        kills.push(killed);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    stop.cancel();
    let (load, sent) = loading.await.unwrap();
    assert!(load.failures.is_empty(), "{} failed: {:?}", load.failures.len(), load.failures[0]);
    let mut outages: Vec<_> = kills.iter().map(|killed| outage(&load, *killed)).collect();
    outages.sort();
    eprintln!("{sent} writes, {KILLS} kills; outages {outages:?}");
    check_every_worker(&system, sent).await;
    assert!(outages.iter().all(|outage| *outage <= MAX_OUTAGE), "{outages:?}");
}

/// Reads everything back from the master and from every slave.
pub(crate) async fn check_every_worker(system: &System, sent: u64) {
    let strong = json!({ "collection": "counters", "consistency": "strong" });
    let at = system.read(&strong).await.offset.unwrap();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for round in 0..20 {
        let consistency = if round == 0 { json!("strong") } else { json!("session") };
        let min_offset = if round == 0 { Value::Null } else { json!(at) };
        let read = |extra: Value| {
            let mut body = json!({ "consistency": consistency, "min_offset": min_offset });
            body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            body
        };
        let writes = read(json!({ "collection": "writes", "count": true }));
        assert_eq!(system.read(&writes).await.body["count"], sent, "written once each");
        let counters = system.read(&read(json!({ "collection": "counters" }))).await;
        let sum: u64 = counters.body["documents"]
            .as_array()
            .unwrap()
            .iter()
            .map(|counter| counter["n"].as_u64().unwrap())
            .sum();
        assert_eq!(sum, sent, "counted once each");
        *seen.entry(counters.body["documents"].to_string()).or_default() += 1;
    }
    assert_eq!(seen.len(), 1, "all workers hold the same");
}

#[tokio::test]
async fn killed_slaves_are_replaced_and_nobody_notices() {
    let system = System::start(2).await;
    system.settle(2).await;
    system.insert("users", json!([{ "_id": "ann" }])).await;
    for pick in ["", "?pick=lowest", "?pick=highest"] {
        let slaves: Vec<_> = system
            .workers()
            .await
            .iter()
            .filter(|worker| worker["role"] == "slave")
            .map(|worker| worker["pid"].as_u64().unwrap())
            .collect();
        let path = format!("/api/v1/crash/slave{pick}");
        let killed = system.post(&path, &Value::Null).await.body[0].as_u64().unwrap();
        let expected =
            if pick == "?pick=highest" { slaves.iter().max() } else { slaves.iter().min() };
        assert_eq!(Some(&killed), expected);
        for _ in 0..10 {
            assert_eq!(system.read(&json!({ "collection": "users" })).await.status, 200);
        }
        system.settle(2).await;
        let list = system.get("/api/v1/worker/list").await.body;
        let pids: Vec<_> = list.as_array().unwrap().iter().map(|it| it.as_u64().unwrap()).collect();
        assert!(!pids.contains(&killed) && pids.is_sorted() && pids.len() == 3, "{pids:?}");
    }
    let wrong = system.post("/api/v1/crash/slave?pick=any", &Value::Null).await;
    assert_eq!(wrong.status, 400);
}

#[tokio::test]
async fn master_and_slave_killed_at_once_come_back_with_all_data() {
    let system = System::start(1).await;
    for round in 0..3 {
        system.settle(1).await;
        let written = system.insert("users", json!([{ "_id": round }])).await;
        assert_eq!(written.status, 201);
        let (master, slave) = tokio::join!(
            system.post("/api/v1/crash/slave", &Value::Null),
            system.post("/api/v1/crash/master", &Value::Null),
        );
        assert_eq!((master.status.as_u16(), slave.status.as_u16()), (200, 200));
        assert_eq!(system.find("users", json!({})).await.len(), round + 1);
    }
}

#[tokio::test]
async fn events_tell_of_each_election() {
    let system = System::start(1).await;
    system.settle(1).await;
    system.post("/api/v1/crash/master", &Value::Null).await;
    system.settle(1).await;
    let events = system.get("/api/v1/events").await.body;
    let events = events.as_array().unwrap();
    let of = |kind: &str| events.iter().filter(|event| event["kind"] == kind).collect::<Vec<_>>();
    assert_eq!(of("crashed").len(), 1, "{events:?}");
    let elected = of("elected");
    let last = elected.last().unwrap();
    assert!(last["to_epoch"].as_u64() > last["from_epoch"].as_u64(), "{last}");
    assert!(of("in_office").last().unwrap()["took_ms"].is_u64(), "{events:?}");
}
