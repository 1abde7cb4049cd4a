//! A master that stops, neither dead nor alive, and may go on later.

use std::time::{Duration, Instant};

use super::verdict::Verdict;
use crate::front::{SETTLE_LIMIT, eventually, runs, signal};
use crate::load::{Load, STEADY, Strength};
use crate::system::System;

const MAX_OUTAGE: Duration = Duration::from_secs(5);
const FREEZES: usize = 4;
/// What a worker says then; when it steps down it has "stopped accepting writes".
const TAKES_OFFICE: &str = ": accepting writes";
const CALM: Duration = Duration::from_millis(500);
/// Longer than a client may be kept waiting, shorter than the broker bears a silent connection.
const LONG_FREEZE: Duration = Duration::from_secs(8);
/// About 600 requests a second, so that some of them take every turn that a queue can give.
const BUSY: Strength = Strength { connections: 64, think: Duration::from_millis(100) };

#[tokio::test(flavor = "multi_thread")]
async fn frozen_master_of_the_runtime_is_killed_and_replaced() {
    let system = System::start(2).await;
    let load = Load::start(&system.url, STEADY, &system.history_file("freezes"));
    let recorder = load.recorder.clone();
    let mut freezes = Vec::new();
    for _ in 0..FREEZES {
        tokio::time::sleep(CALM).await;
        let pid = system.master().await.unwrap()["pid"].as_u64().unwrap();
        let lowest = system.slaves().await[0];
        freezes.push(Instant::now());
        signal("STOP", pid);
        let next = system.successor(pid).await;
        assert!(!runs(pid), "the frozen one is dead before another is in office");
        assert_eq!(next["pid"], lowest, "the lowest pid is next");
        system.settle(2).await;
    }
    let verdict = Verdict::reach(&system, load).await;
    let outages = verdict.outages(&recorder, &freezes);
    outages.print("write outage");
    verdict.assert_sound(&format!("{FREEZES} x SIGSTOP of the master, killed by its runtime"));
    assert!(outages.most() <= MAX_OUTAGE, "{outages:?}");
    system.finish().await;
}

/// Nobody can kill a worker that was started by hand, so all depends on itself.
#[tokio::test(flavor = "multi_thread")]
async fn frozen_master_that_goes_on_steps_down_and_rejoins_as_a_slave() {
    let mut system = System::prepare(2);
    let by_hand = system.worker("master");
    system.run().await;
    system.settle(2).await;
    assert_eq!(system.master().await.unwrap()["pid"], by_hand.pid(), "it founded the system");
    by_hand.says(TAKES_OFFICE).await;
    let load = Load::start(&system.url, STEADY, &system.history_file("thaws"));
    let recorder = load.recorder.clone();
    let mut freezes = Vec::new();
    for round in 1..=FREEZES {
        tokio::time::sleep(CALM).await;
        freezes.push(Instant::now());
        signal("STOP", by_hand.pid());
        let next = system.successor(by_hand.pid()).await["pid"].as_u64().unwrap();
        let before = by_hand.log().len();
        signal("CONT", by_hand.pid());
        system.settle(2).await;
        let slaves = system.slaves().await;
        assert!(slaves.contains(&by_hand.pid()), "it is a slave among {slaves:?}");
        let said = by_hand.log().split_off(before);
        assert!(!said.contains(TAKES_OFFICE), "it was in office again:\n{said}");
        if round < FREEZES {
            // It has the lowest pid, so it is next, and may be frozen again.
            signal("KILL", next);
            assert_eq!(system.successor(next).await["pid"], by_hand.pid());
            system.settle(2).await;
        }
    }
    let verdict = Verdict::reach(&system, load).await;
    let outages = verdict.outages(&recorder, &freezes);
    outages.print("write outage");
    verdict.assert_sound(&format!("{FREEZES} x SIGSTOP, SIGCONT of a master started by hand"));
    assert!(outages.most() <= MAX_OUTAGE, "{outages:?}");
    assert_eq!(by_hand.terminate().await, Some(0));
    system.finish().await;
}

/// A frozen consumer is one to the broker for as long as its connection is thought to live, and
/// what it is handed lies with it.
async fn freeze_long(name: &str, choose: impl AsyncFnOnce(&System, u64)) {
    let mut system = System::prepare(2);
    let by_hand = system.worker("master");
    system.run().await;
    system.settle(2).await;
    choose(&system, by_hand.pid()).await;
    let load = Load::start(&system.url, BUSY, &system.history_file(name));
    tokio::time::sleep(CALM).await;
    let frozen_at = Instant::now();
    signal("STOP", by_hand.pid());
    tokio::time::sleep(LONG_FREEZE.saturating_sub(frozen_at.elapsed())).await;
    signal("CONT", by_hand.pid());
    // Another was started in its place, and one of them goes once it is back.
    let back = async || system.slaves().await.contains(&by_hand.pid()).then_some(());
    eventually("a slave that is back", SETTLE_LIMIT, back).await;
    system.settle(2).await;
    let verdict = Verdict::reach(&system, load).await;
    verdict.assert_sound(&format!("SIGSTOP for {LONG_FREEZE:?} of a {name} started by hand"));
    assert!(verdict.slowest() <= MAX_OUTAGE, "a client waited for {:?}", verdict.slowest());
    assert_eq!(by_hand.terminate().await, Some(0));
    system.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn master_that_is_frozen_for_long_keeps_no_request_of_its_successor() {
    freeze_long("frozen-master", async |system, by_hand| {
        assert_eq!(system.master().await.unwrap()["pid"], by_hand, "it founded the system");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slave_that_is_frozen_for_long_keeps_no_read_waiting() {
    freeze_long("frozen-slave", async |system, by_hand| {
        signal("STOP", by_hand);
        system.successor(by_hand).await;
        signal("CONT", by_hand);
        system.settle(2).await;
        assert!(system.slaves().await.contains(&by_hand));
    })
    .await;
}
