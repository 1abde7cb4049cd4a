//! Everything stopped and started again.

use std::time::Duration;

use serde_json::json;

use super::verdict::Verdict;
use crate::front::signal;
use crate::load::{Load, STEADY};
use crate::servers::OwnServers;
use crate::system::System;

/// Writes for a while, stops everything, starts it again, and looks at what is there.
async fn restart(mut system: System, how: &str, stop: impl AsyncFnOnce(&mut System)) {
    system.run().await;
    system.settle(2).await;
    let load = Load::start(&system.url, STEADY, &system.history_file(how));
    let recorder = load.recorder.clone();
    tokio::time::sleep(Duration::from_secs(2)).await;
    load.finish().await;
    let before = Verdict::of(&system, &recorder).await.offset();
    let names = nodes(&system).await;
    stop(&mut system).await;
    system.run().await;
    system.settle(2).await;
    assert_eq!(nodes(&system).await, names, "the same workers, with the data they had");
    let verdict = Verdict::of(&system, &recorder).await;
    verdict.assert_sound(how);
    assert!(verdict.offset() >= before, "{} after {before}", verdict.offset());
    let body = json!({ "op": "insert", "collection": "users", "documents": [{ "_id": "ann" }] });
    let (status, answer) = system.write(&body).await;
    assert_eq!(status, 201, "{answer}");
    assert!(answer["offset"].as_u64().unwrap() > before, "offsets go on: {answer} after {before}");
    let read = json!({ "collection": "users", "consistency": "strong" });
    assert_eq!(system.read(&read).await["documents"], json!([{ "_id": "ann" }]));
    system.finish().await;
}

async fn nodes(system: &System) -> Vec<String> {
    let workers = system.workers().await;
    let mut nodes: Vec<_> =
        workers.iter().map(|worker| worker["node"].as_str().unwrap().to_owned()).collect();
    nodes.sort();
    nodes
}

#[tokio::test(flavor = "multi_thread")]
async fn all_data_is_there_after_an_orderly_stop_of_everything() {
    restart(System::prepare(2), "orderly-stop", async |system| {
        assert_eq!(system.terminate_orchestrator().await, Some(0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_data_is_there_after_everything_was_killed_at_once() {
    restart(System::prepare(2), "everything-killed", async |system| {
        let workers = system.workers().await;
        system.kill_orchestrator();
        for worker in workers {
            signal("KILL", worker["pid"].as_u64().unwrap());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_data_is_there_after_the_servers_were_stopped_too() {
    let own = OwnServers::start();
    let system = System::prepare_on(own.servers.clone(), 2);
    restart(system, "servers-stopped", async |system| {
        assert_eq!(system.terminate_orchestrator().await, Some(0));
        own.stop();
        own.start_again();
    })
    .await;
}
