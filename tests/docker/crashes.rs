//! Crashes on request, by the pids that the engine knows.

use serde_json::json;

use crate::system::{System, pid};

async fn crash(system: &System, path: &str) -> u64 {
    let (status, body) = system.post(path, &json!({})).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body.as_array().unwrap().len(), 1, "{body}");
    body[0].as_u64().unwrap()
}

/// A slave from each end, and the master.
pub(crate) async fn have_the_pids_that_the_engine_had_for_them(system: &System, slaves: usize) {
    let master = pid(&system.master().await.unwrap());
    system.is_master(master).await;
    let pids = system.pids();
    assert_eq!(pids.len(), slaves + 1);
    assert_eq!(system.get("/api/v1/worker/list").await, json!(pids));

    let lowest = slaves_of_the_engine(system, master)[0];
    assert_eq!(crash(system, "/api/v1/crash/slave").await, lowest);
    assert!(!system.pids().contains(&lowest), "it is dead once it is answered");
    system.replaced(lowest, slaves).await;

    let highest = slaves_of_the_engine(system, master).pop().unwrap();
    assert_eq!(crash(system, "/api/v1/crash/slave?pick=highest").await, highest);
    system.replaced(highest, slaves).await;

    let lowest = slaves_of_the_engine(system, master)[0];
    assert_eq!(crash(system, "/api/v1/crash/master").await, master);
    let next = system.successor(master).await;
    assert_eq!(pid(&next), lowest, "the lowest pid is next");
    system.replaced(master, slaves).await;
    system.is_master(lowest).await;
}

/// Their pids, ascending.
fn slaves_of_the_engine(system: &System, master: u64) -> Vec<u64> {
    system.pids().into_iter().filter(|pid| *pid != master).collect()
}
