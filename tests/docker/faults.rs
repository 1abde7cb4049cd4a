//! A system that goes through one thing after another: cut off, without its orchestrator, switched
//! off. In one test, since it takes long to come up.

use std::time::Duration;

use crate::load::{Load, STEADY};
use crate::system::System;
use crate::verdict::{Outages, Verdict};
use crate::{network, orchestrators, restart};

const SLAVES: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn cuts_a_dead_orchestrator_and_a_reboot_lose_and_double_nothing() {
    let system = System::prepare(SLAVES, &[]);
    system.up();
    system.settle(SLAVES).await;

    let load = Load::start(&system.url, STEADY, &system.history_file("network"));
    let recorder = load.recorder.clone();
    network::blips(&system, SLAVES).await;
    let cut = network::cut(&system, SLAVES).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let verdict = Verdict::reach(&system, load).await;
    let outages = verdict.outages(&recorder, &[cut]);
    outages.print("write outage");
    verdict.assert_sound("docker network disconnect of the master, 1 s three times, then 20 s");
    assert!(outages.most() <= network::MAX_OUTAGE, "{outages:?}");
    system.assert_no_stray(SLAVES).await;
    clear(&system).await;

    let load = Load::start(&system.url, STEADY, &system.history_file("orchestrator"));
    let recorder = load.recorder.clone();
    let (killed_at, settled_after) = orchestrators::die_in_failovers(&system, SLAVES).await;
    let verdict = Verdict::reach(&system, load).await;
    verdict.outages(&recorder, &killed_at).print("write outage");
    settled_after.into_iter().collect::<Outages>().print("all slaves again");
    // Nobody takes requests while the only orchestrator is away.
    verdict.assert_exact("docker kill of the master, then of the orchestrator");

    restart::everything(&system).await;
    let after = Verdict::of(&system, &recorder).await;
    after.assert_exact("docker kill of all containers at once");
    restart::goes_on(&system, after.offset().max(verdict.offset())).await;
    system.assert_no_stray(SLAVES).await;
}

/// The next load begins on nothing.
pub(crate) async fn clear(system: &System) {
    let body = serde_json::json!({ "op": "clear", "collections": crate::load::COLLECTIONS });
    let (status, answer) = system.write(&body).await;
    assert_eq!(status, 200, "{answer}");
}
