//! Workers killed one after the other: on request, and by the engine under load.

use std::time::{Duration, Instant};

use crate::crashes;
use crate::engine::docker;
use crate::load::{Load, Strength};
use crate::system::{System, node, pid};
use crate::verdict::{Outages, Verdict};

const SLAVES: usize = 2;
const KILLS: usize = 20;
const DATABASE_KILLS: usize = 10;
/// About 40 requests a second: what keeps a new slave waiting is then the engine, not the processors
/// that it shares with the load, nor the log, which it reads from its beginning.
const LOAD: Strength = Strength { connections: 32, think: Duration::from_millis(800) };
const MEDIAN_OUTAGE: Duration = Duration::from_millis(500);
const MAX_OUTAGE: Duration = Duration::from_millis(2_000);
/// From the kill to a new slave that serves, database and all.
const MAX_REDUNDANCY: Duration = Duration::from_secs(5);
/// Between a settled system and the next kill.
const CALM: Duration = Duration::from_millis(300);

/// When each kill was, and how long it took until all slaves served again.
struct Kills {
    at: Vec<Instant>,
    settled_after: Vec<Duration>,
}

/// Kills what the suffix names of each master in turn.
async fn kill_masters(system: &System, kills: usize, suffix: &str) -> Kills {
    let (mut at, mut settled_after) = (Vec::new(), Vec::new());
    for _ in 0..kills {
        let master = system.master().await.unwrap();
        system.is_master(pid(&master)).await;
        let lowest = system.slaves().await[0];
        let container = match suffix {
            "" => system.named("master"),
            suffix => system.named(&format!("{}{suffix}", node(&master))),
        };
        let began = Instant::now();
        docker(&["kill", &container]).unwrap();
        let next = system.successor(pid(&master)).await;
        assert_eq!(next["pid"], lowest, "the lowest pid is next");
        system.replaced(pid(&master), SLAVES).await;
        at.push(began);
        settled_after.push(began.elapsed());
        system.is_master(lowest).await;
        tokio::time::sleep(CALM).await;
    }
    Kills { at, settled_after }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_masters_and_databases_fail_lose_and_double_nothing() {
    let system = System::start(SLAVES).await;
    crashes::have_the_pids_that_the_engine_had_for_them(&system, SLAVES).await;
    let load = Load::start(&system.url, LOAD, &system.history_file("kills"));
    let recorder = load.recorder.clone();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let masters = kill_masters(&system, KILLS, "").await;
    let databases = kill_masters(&system, DATABASE_KILLS, "-db").await;
    let verdict = Verdict::reach(&system, load).await;
    let mut all_settled = Vec::new();
    let mut all_outages = Vec::new();
    for (what, kills) in [("of the master", masters), ("of its database", databases)] {
        eprintln!("{} x docker kill {what}", kills.at.len());
        let outages = verdict.outages(&recorder, &kills.at);
        outages.print("write outage");
        let settled: Outages = kills.settled_after.into_iter().collect();
        settled.print("all slaves again");
        all_settled.push(settled);
        all_outages.push(outages);
    }
    verdict.assert_sound("docker kill of the master, or of its database");
    for (outages, settled) in all_outages.iter().zip(&all_settled) {
        assert!(outages.median() <= MEDIAN_OUTAGE, "{outages:?}");
        assert!(outages.most() <= MAX_OUTAGE, "{outages:?}");
        assert!(settled.most() <= MAX_REDUNDANCY, "{settled:?}");
    }
    system.assert_no_stray(SLAVES).await;
}
