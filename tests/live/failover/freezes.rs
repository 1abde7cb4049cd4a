//! A master that stops, neither dead nor alive, and may go on later.

use std::time::{Duration, Instant};

use super::verdict::Verdict;
use crate::front::{runs, signal};
use crate::load::{Load, STEADY};
use crate::system::System;

const MAX_OUTAGE: Duration = Duration::from_secs(5);
const FREEZES: usize = 4;
const CALM: Duration = Duration::from_millis(500);

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
        assert!(!said.contains("accepting writes"), "it was in office again:\n{said}");
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
