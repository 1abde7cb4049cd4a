//! The master killed again and again, under load, on the real servers.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::system::{System, signal};

const CONNECTIONS: u64 = 64;
/// Between two requests of one connection: this is about failover, not about throughput.
const THINK: Duration = Duration::from_millis(400);
const MEDIAN_OUTAGE: Duration = Duration::from_millis(150);
const MAX_OUTAGE: Duration = Duration::from_millis(500);

/// What the clients saw.
#[derive(Default)]
struct Seen {
    /// When each write was answered.
    answered: Vec<Instant>,
    slowest: Duration,
    failures: Vec<String>,
    reads: u64,
}

/// One client: every fourth request reads back what it wrote before, the others write.
async fn client(system: Arc<System>, numbers: Arc<AtomicU64>, stop: CancellationToken) -> Seen {
    let (mut seen, mut last, mut round) = (Seen::default(), None, 0_u64);
    while !stop.is_cancelled() {
        round += 1;
        let sent = Instant::now();
        if let (Some((id, offset)), true) = (last, round.is_multiple_of(4)) {
            let body = json!({
                "collection": "writes", "filter": { "_id": id }, "consistency": "session",
                "min_offset": offset,
            });
            let (status, answer) = system.post("/api/v1/db/read", &body).await;
            let found = answer["documents"].as_array().map_or(0, Vec::len);
            if (status, found) != (200, 1) {
                seen.failures.push(format!("read {id}: {status} {answer}"));
            }
            seen.reads += 1;
        } else {
            let id = numbers.fetch_add(1, Ordering::Relaxed);
            let (status, answer) = system.write(&both_or_none(id)).await;
            if status == 200 {
                seen.answered.push(Instant::now());
                last = Some((id, answer["offset"].as_u64().unwrap()));
            } else {
                seen.failures.push(format!("write {id}: {status} {answer}"));
            }
        }
        seen.slowest = seen.slowest.max(sent.elapsed());
        tokio::time::sleep(THINK).await;
    }
    seen
}

/// A document of its own and a counter that others use too.
fn both_or_none(id: u64) -> Value {
    json!({ "op": "batch", "operations": [
        { "op": "insert", "collection": "writes", "documents": [{ "_id": id }] },
        {
            "op": "update", "collection": "counters", "filter": { "_id": id % 16 },
            "update": { "$inc": { "n": 1 } }, "upsert": true,
        },
    ] })
}

/// The longest time without an answered write that overlaps the moment of a kill.
fn outage(answered: &[Instant], killed: Instant) -> Duration {
    let around = |pair: &&[Instant]| pair[1] > killed && pair[0] < killed + Duration::from_secs(2);
    let gaps = answered.windows(2).filter(around).map(|pair| pair[1] - pair[0].max(killed));
    gaps.max().unwrap()
}

fn kills() -> usize {
    std::env::var("RIDESHARE_TEST_KILLS").map_or(10, |kills| kills.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_of_the_master_under_load_fail_lose_and_double_nothing() {
    let system = Arc::new(System::start(2).await);
    let (stop, numbers) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
    let mut clients = JoinSet::new();
    for _ in 0..CONNECTIONS {
        clients.spawn(client(Arc::clone(&system), Arc::clone(&numbers), stop.clone()));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut kills_at = Vec::new();
    for _ in 0..kills() {
        let pid = system.master().await.unwrap()["pid"].as_u64().unwrap();
        kills_at.push(Instant::now());
        signal("KILL", pid);
        while system.master().await.is_none_or(|master| master["pid"] == pid) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        system.settle(2).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    stop.cancel();
    let seen = clients.join_all().await;
    let failures: Vec<_> = seen.iter().flat_map(|it| &it.failures).collect();
    let mut answered: Vec<_> = seen.iter().flat_map(|it| it.answered.clone()).collect();
    answered.sort();
    let mut outages: Vec<_> = kills_at.iter().map(|killed| outage(&answered, *killed)).collect();
    eprintln!("outages in order {outages:?}");
    outages.sort();
    let (median, most) = (outages[outages.len() / 2], outages[outages.len() - 1]);
    eprintln!(
        "{} kills, {} writes, {} reads, {} failures, slowest request {:?}; outage p50 {median:?}, \
         max {most:?}",
        kills_at.len(),
        answered.len(),
        seen.iter().map(|it| it.reads).sum::<u64>(),
        failures.len(),
        seen.iter().map(|it| it.slowest).max().unwrap(),
    );
    assert!(failures.is_empty(), "{} failed, first {}", failures.len(), failures[0]);
    check_every_worker(&system, numbers.load(Ordering::Relaxed)).await;
    assert!(median <= MEDIAN_OUTAGE && most <= MAX_OUTAGE, "p50 {median:?}, max {most:?}");
    Arc::into_inner(system).unwrap().finish().await;
}

/// Reads everything back from the master and from the slaves, who take turns.
async fn check_every_worker(system: &System, sent: u64) {
    let strong = json!({ "collection": "counters", "consistency": "strong" });
    let at = system.read(&strong).await["offset"].clone();
    let mut seen = HashSet::new();
    for round in 0..12 {
        let consistency = if round == 0 { "strong" } else { "session" };
        let read = |extra: Value| {
            let mut body = json!({ "consistency": consistency });
            if round > 0 {
                body["min_offset"] = at.clone();
            }
            body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            body
        };
        let count = read(json!({ "collection": "writes", "count": true }));
        assert_eq!(system.read(&count).await["count"], sent, "written once each");
        let counters = system.read(&read(json!({ "collection": "counters" }))).await;
        let counters = counters["documents"].as_array().unwrap();
        let sum: u64 = counters.iter().map(|counter| counter["n"].as_u64().unwrap()).sum();
        assert_eq!(sum, sent, "counted once each");
        seen.insert(json!(counters).to_string());
    }
    assert_eq!(seen.len(), 1, "all workers hold the same");
}
