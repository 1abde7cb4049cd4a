//! The master killed again and again, under load.

use std::time::{Duration, Instant};

use super::verdict::{Outages, Verdict};
use crate::front::signal;
use crate::load::{Load, STEADY};
use crate::system::System;

const MEDIAN_OUTAGE: Duration = Duration::from_millis(150);
const MAX_OUTAGE: Duration = Duration::from_millis(500);
const REDUNDANCY_LIMIT: Duration = Duration::from_secs(5);
/// Between a settled system and the next kill. More kills than one a second look to the controller
/// like workers that die of their start, and it pauses.
const CALM: Duration = Duration::from_millis(1_000);

fn kills() -> usize {
    std::env::var("RIDESHARE_TEST_KILLS").map_or(50, |kills| kills.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_of_the_master_under_load_fail_lose_and_double_nothing() {
    let system = System::start(2).await;
    let load = Load::start(&system.url, STEADY, &system.history_file("kills"));
    let recorder = load.recorder.clone();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (mut kills_at, mut settled_after) = (Vec::new(), Vec::new());
    for _ in 0..kills() {
        let pid = system.master().await.unwrap()["pid"].as_u64().unwrap();
        let lowest = system.slaves().await[0];
        let killed_at = Instant::now();
        signal("KILL", pid);
        let next = system.successor(pid).await;
        assert_eq!(next["pid"], lowest, "the lowest pid is next");
        system.settle(2).await;
        kills_at.push(killed_at);
        settled_after.push(killed_at.elapsed());
        tokio::time::sleep(CALM).await;
    }
    let verdict = Verdict::reach(&system, load).await;
    let outages = verdict.outages(&recorder, &kills_at);
    outages.print("write outage");
    let redundancy: Outages = settled_after.into_iter().collect();
    redundancy.print("two slaves again");
    verdict.assert_sound(&format!("{} x SIGKILL of the master", kills_at.len()));
    assert!(outages.median() <= MEDIAN_OUTAGE, "{outages:?}");
    assert!(outages.most() <= MAX_OUTAGE, "{outages:?}");
    assert!(redundancy.most() <= REDUNDANCY_LIMIT, "{redundancy:?}");
    system.finish().await;
}
