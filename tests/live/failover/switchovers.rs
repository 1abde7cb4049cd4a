//! The master hands over again and again, under load.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::verdict::Verdict;
use crate::load::{Load, STEADY};
use crate::system::System;

const SWITCHOVERS: usize = 10;
const MEDIAN_PAUSE: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread")]
async fn switchovers_under_load_are_nothing_to_clients() {
    let system = System::start(2).await;
    let load = Load::start(&system.url, STEADY, &system.history_file("switchovers"));
    let recorder = load.recorder.clone();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut asked_at = Vec::new();
    for round in 0..SWITCHOVERS {
        let workers = system.workers().await;
        let slaves: Vec<_> = workers.iter().filter(|it| it["role"] == "slave").collect();
        let to = slaves[round % slaves.len()];
        asked_at.push(Instant::now());
        let (status, answer) =
            system.post("/api/v1/switchover", &json!({ "to": to["node"] })).await;
        assert_eq!((status, &answer["to"]), (200, &to["node"]), "{answer}");
        system.settle(2).await;
        let after: Vec<Value> = system.workers().await;
        let pids =
            |workers: &[Value]| workers.iter().map(|it| it["pid"].clone()).collect::<Vec<_>>();
        assert_eq!(pids(&after), pids(&workers), "everybody goes on");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let verdict = Verdict::reach(&system, load).await;
    let pauses = verdict.outages(&recorder, &asked_at);
    pauses.print("write pause");
    verdict.assert_sound(&format!("{SWITCHOVERS} x switchover"));
    assert!(pauses.median() <= MEDIAN_PAUSE, "{pauses:?}");
    system.finish().await;
}
