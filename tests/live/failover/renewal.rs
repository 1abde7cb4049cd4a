//! All workers are renewed under load, and the system is backed up meanwhile.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::verdict::Verdict;
use crate::load::{COLLECTIONS, Load, STEADY};
use crate::system::System;

/// More than the load writes into any collection.
const MOST: u64 = 10_000;

fn nodes(workers: &[Value]) -> BTreeSet<String> {
    workers.iter().map(|it| it["node"].as_str().unwrap().to_owned()).collect()
}

async fn contents(system: &System) -> Vec<Value> {
    let mut all = Vec::new();
    for collection in COLLECTIONS {
        let read = json!({
            "collection": collection, "sort": [["_id", 1]], "limit": MOST, "consistency": "strong",
        });
        let documents = system.read(&read).await["documents"].clone();
        assert!(documents.as_array().unwrap().len() < MOST as usize, "{collection} has too many");
        all.push(documents);
    }
    all
}

/// Runs `ctl` against a system, and returns its answer.
fn ctl(system: &System, arguments: &[&str]) -> Value {
    let mut command = system.command(&["ctl", "--json", "--url", &system.url]);
    let output = command.args(arguments).stdout(Stdio::piped()).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {complaint}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_renewed_and_backed_up_under_load() {
    let system = System::start(2).await;
    let load = Load::start(&system.url, STEADY, &system.history_file("renewal"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = nodes(&system.workers().await);
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    let began = Instant::now();
    let (restarted, backup) = tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            let restart = scope.spawn(|| ctl(&system, &["restart"]));
            let backup = ctl(&system, &["backup", place]);
            (restart.join().unwrap(), backup)
        })
    });
    eprintln!("all workers are new within {:?}; {backup}", began.elapsed());
    assert_eq!(restarted["restarted"], 3);
    system.settle(2).await;
    let after = nodes(&system.workers().await);
    assert!(before.is_disjoint(&after), "{before:?} became {after:?}");
    let verdict = Verdict::reach(&system, load).await;
    verdict.assert_sound("restart of all workers");

    // What was written since is added, so that the backup ends where the load did.
    let continued = tokio::task::block_in_place(|| ctl(&system, &["backup", place]));
    assert_eq!(continued["backup"], "continued");
    assert!(continued["records"].as_u64() > backup["records"].as_u64(), "{backup} {continued}");
    let other = System::start(1).await;
    let restored = tokio::task::block_in_place(|| ctl(&other, &["restore", place]));
    eprintln!("{restored}");
    assert_eq!(contents(&other).await, contents(&system).await);
    other.finish().await;
    system.finish().await;
}
