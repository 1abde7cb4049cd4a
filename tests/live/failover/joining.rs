//! Workers that join, and redundancy that comes back, where there is much data.

use std::time::{Duration, Instant};

use serde_json::json;

use super::verdict::Verdict;
use crate::front::signal;
use crate::load::{Load, STEADY};
use crate::replicas::{Replica, Replicated, assert_equal};
use crate::system::System;

const DOCUMENTS: u64 = 100_000;
/// Documents of one request.
const AT_ONCE: u64 = 1_000;
const JOIN_LIMIT: Duration = Duration::from_secs(5);

/// Stores many documents, apart from those of the load.
async fn fill(system: &System) {
    let started = Instant::now();
    for first in (0..DOCUMENTS).step_by(AT_ONCE as usize) {
        let document = |id| json!({ "_id": id, "v": id, "text": format!("document {id}") });
        let documents: Vec<_> = (first..first + AT_ONCE).map(document).collect();
        let body = json!({ "op": "insert", "collection": "many", "documents": documents });
        let (status, answer) = system.write(&body).await;
        assert_eq!(status, 201, "{answer}");
    }
    eprintln!("stored               {DOCUMENTS} documents in {:?}", started.elapsed());
    system.level().await;
}

/// Lets a slave join under load; by its log it did so in this way.
async fn join(mut system: System, name: &str, way: &str) {
    system.run().await;
    system.settle(1).await;
    fill(&system).await;
    let load = Load::start(&system.url, STEADY, &system.history_file(name));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let started = Instant::now();
    let slave = system.worker("slave");
    slave.says("serving reads").await;
    let served_after = started.elapsed();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(slave.log().contains(way), "it joined otherwise:\n{}", slave.log());
    system.settle(2).await;
    assert!(system.slaves().await.contains(&slave.pid()));
    let verdict = Verdict::reach(&system, load).await;
    eprintln!("serves               after {served_after:?}");
    verdict.assert_sound(&format!("none; a slave joined among {DOCUMENTS} documents"));
    assert_eq!(verdict.count("many"), DOCUMENTS as usize);
    assert!(served_after <= JOIN_LIMIT, "{served_after:?}");
    assert_eq!(slave.terminate().await, Some(0));
    system.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slave_that_reads_the_whole_log_serves_soon() {
    join(System::prepare(1), "join-by-log", "catching up").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slave_that_copies_a_snapshot_serves_soon() {
    join(forgetful(), "join-by-copy", "copied the database").await;
}

/// A system that keeps so little of its log that it does not reach back to the first documents.
fn forgetful() -> System {
    let mut system = System::prepare(1);
    system.set("RIDESHARE_LOG__MAX_BYTES", "2000000");
    system.set("RIDESHARE_RABBITMQ__LOG_SEGMENT_BYTES", "1000000");
    system
}

/// What it holds is from before; what was deleted meanwhile must go from it too.
#[tokio::test(flavor = "multi_thread")]
async fn slave_that_was_away_for_longer_than_the_log_reaches_back_equals_the_master() {
    let mut system = forgetful();
    system.run().await;
    system.settle(1).await;
    let start = |system: &System| {
        let mut command = system.command(&["worker", "--type", "slave"]);
        command.env("NODE_NAME", "away");
        system.worker_of(command)
    };
    let slave = start(&system);
    slave.says("serving reads").await;
    system.settle(2).await;
    let early = json!({
        "op": "insert", "collection": "early", "documents": [{ "_id": "stays" }, { "_id": "goes" }],
    });
    assert_eq!(system.write(&early).await.0, 201);
    system.level().await;
    signal("KILL", slave.pid());
    system.forgets(slave.pid()).await;
    let delete = json!({ "op": "delete", "collection": "early", "filter": { "_id": "goes" } });
    assert_eq!(system.write(&delete).await.0, 200);
    fill(&system).await;

    let slave = start(&system);
    slave.says("serving reads").await;
    assert!(slave.log().contains("copied the database"), "{}", slave.log());
    system.settle(2).await;
    let replicas = system.replicas().await;
    assert_eq!(replicas.len(), 3);
    assert_equal(&replicas);
    let counts = |it: &Replica| (it.documents("early").len(), it.documents("many").len());
    assert_eq!(counts(&replicas[0]), (1, DOCUMENTS as usize));
    assert_eq!(slave.terminate().await, Some(0));
    system.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redundancy_is_back_soon_after_a_kill_among_many_documents() {
    let system = System::start(2).await;
    fill(&system).await;
    let load = Load::start(&system.url, STEADY, &system.history_file("many"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut settled_after = Vec::new();
    for role in ["master", "slave", "master", "slave"] {
        let workers = system.workers().await;
        let pid = workers.iter().find(|it| it["role"] == role).unwrap()["pid"].as_u64().unwrap();
        let killed_at = Instant::now();
        signal("KILL", pid);
        system.replaced(pid, 2).await;
        settled_after.push(killed_at.elapsed());
    }
    let verdict = Verdict::reach(&system, load).await;
    eprintln!("two slaves again     {settled_after:?}");
    verdict.assert_sound("2 x SIGKILL of the master, 2 x of a slave");
    assert!(settled_after.iter().all(|it| *it <= JOIN_LIMIT), "{settled_after:?}");
    system.finish().await;
}
