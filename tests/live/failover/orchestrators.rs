//! More than one orchestrator, and orchestrators that crash.

use std::time::{Duration, Instant};

use super::verdict::Verdict;
use crate::front::{eventually, runs, signal};
use crate::load::{Load, STEADY};
use crate::system::System;

/// Nothing happens to clients while only an orchestrator of others dies, and little while a master
/// does.
const MAX_OUTAGE: Duration = Duration::from_millis(500);
/// The session of the dead holder of the lock has to expire, then the failover begins.
const LONG_OUTAGE: Duration = Duration::from_secs(9);
/// How long the lock may stay with the dead.
const CONTROL_LIMIT: Duration = Duration::from_secs(20);

async fn in_control(system: &System, number: u32) {
    let said = async || system.orchestrator_log(number).contains("in control").then_some(());
    eventually("the controller's lock", CONTROL_LIMIT, said).await;
}

fn pids(workers: &[serde_json::Value]) -> Vec<u64> {
    workers.iter().map(|worker| worker["pid"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn death_of_the_controller_is_nothing_to_clients_of_the_other_orchestrator() {
    let mut system = System::start(2).await;
    in_control(&system, 0).await;
    let second = system.orchestrator().await;
    second.settle(2).await;
    let load = Load::start(&second.url, STEADY, &system.history_file("controllers"));
    let recorder = load.recorder.clone();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = pids(&second.workers().await);
    assert!(!system.orchestrator_log(1).contains("in control"), "one of them controls");
    let killed_at = Instant::now();
    system.kill_orchestrator();
    in_control(&system, 1).await;
    let moved_after = killed_at.elapsed();
    assert_eq!(pids(&second.workers().await), before, "all workers go on");
    tokio::time::sleep(Duration::from_millis(500)).await;

    let master = second.master().await.unwrap()["pid"].as_u64().unwrap();
    let master_killed_at = Instant::now();
    signal("KILL", master);
    second.successor(master).await;
    second.settle(2).await;
    system.adopt(second);
    let verdict = Verdict::reach(&system, load).await;
    let outages = verdict.outages(&recorder, &[killed_at, master_killed_at]);
    outages.print("write outages");
    eprintln!("controller moved     after {moved_after:?}");
    verdict.assert_sound("SIGKILL of the controlling orchestrator, then of the master");
    assert!(outages.most() <= MAX_OUTAGE, "{outages:?}");
    system.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn master_that_dies_with_the_controller_is_replaced() {
    let mut system = System::start(2).await;
    in_control(&system, 0).await;
    let second = system.orchestrator().await;
    second.settle(2).await;
    let load = Load::start(&second.url, STEADY, &system.history_file("controller-and-master"));
    let recorder = load.recorder.clone();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let master = second.master().await.unwrap()["pid"].as_u64().unwrap();
    let killed_at = Instant::now();
    system.kill_orchestrator();
    signal("KILL", master);
    second.successor(master).await;
    second.settle(2).await;
    system.adopt(second);
    let verdict = Verdict::reach(&system, load).await;
    let outages = verdict.outages(&recorder, &[killed_at]);
    outages.print("write outage");
    verdict.assert_sound("SIGKILL of the controlling orchestrator and of the master at once");
    assert!(outages.most() <= LONG_OUTAGE, "{outages:?}");
    system.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_outlive_the_crash_of_their_orchestrator_and_are_found_again() {
    let mut system = System::start(2).await;
    let load = Load::start(&system.url, STEADY, &system.history_file("crash"));
    let recorder = load.recorder.clone();
    tokio::time::sleep(Duration::from_secs(1)).await;
    load.finish().await;
    let before = pids(&system.workers().await);
    let master = system.master().await.unwrap()["pid"].clone();
    system.kill_orchestrator();
    assert!(before.iter().all(|pid| runs(*pid)), "they do not end with it");
    system.run().await;
    system.settle(2).await;
    assert_eq!(pids(&system.workers().await), before, "nobody was started or killed");
    assert_eq!(system.master().await.unwrap()["pid"], master, "nobody was deposed");
    Verdict::of(&system, &recorder).await.assert_sound("SIGKILL of the orchestrator");
    assert_eq!(system.terminate_orchestrator().await, Some(0));
    assert!(!before.iter().any(|pid| runs(*pid)), "they end with its orderly end");
    system.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orderly_end_of_one_orchestrator_leaves_the_workers_to_the_other() {
    let mut system = System::start(1).await;
    let second = system.orchestrator().await;
    second.settle(1).await;
    let before = pids(&second.workers().await);
    assert_eq!(system.terminate_orchestrator().await, Some(0));
    in_control(&system, 1).await;
    second.settle(1).await;
    assert_eq!(pids(&second.workers().await), before);
    system.adopt(second);
    assert_eq!(system.terminate_orchestrator().await, Some(0));
    assert!(!before.iter().any(|pid| runs(*pid)), "the last one ends them");
    system.finish().await;
}
