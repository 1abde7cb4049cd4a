//! What is measured, and that the alerts and the dashboard ask for nothing else.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::System;

async fn scrape(system: &System) -> String {
    match system.get("/metrics").await.body {
        Value::String(text) => text,
        other => panic!("metrics are text, not {other}"),
    }
}

fn value(metrics: &str, series: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series));
    let number = line.unwrap_or_else(|| panic!("no {series} in\n{metrics}"));
    number.trim().parse().unwrap()
}

#[tokio::test]
async fn metrics_say_what_can_be_seen_of_the_workers() {
    let system = System::start(2).await;
    system.settle(2).await;
    system.insert("c", json!([{ "_id": 1 }])).await;
    let text = scrape(&system).await;
    for (series, expected) in [
        ("rideshare_ready", 1.0),
        ("rideshare_in_control", 1.0),
        ("rideshare_slaves_wanted", 2.0),
        ("rideshare_paused", 0.0),
        ("rideshare_queue_messages{queue=\"read\"}", 0.0),
        ("rideshare_queue_messages{queue=\"write\"}", 0.0),
        ("rideshare_workers{role=\"master\"}", 1.0),
        ("rideshare_workers{role=\"slave\"}", 2.0),
        ("rideshare_workers{role=\"promoting\"}", 0.0),
    ] {
        assert_eq!(value(&text, &format!("{series} ")), expected, "{series}");
    }
    assert!(value(&text, "rideshare_epoch ") >= 1.0);
    for worker in system.workers().await {
        let node = worker["node"].as_str().unwrap();
        let applied = format!("rideshare_worker_applied_offset{{node=\"{node}\"}} ");
        assert!(value(&text, &applied) >= 1.0);
        assert!(text.contains(&format!("rideshare_worker_lag_records{{node=\"{node}\"}}")));
    }
    let before = value(&text, "rideshare_epoch ");
    system.post("/api/v1/crash/master", &Value::Null).await;
    system.settle(2).await;
    let text = scrape(&system).await;
    assert!(value(&text, "rideshare_epoch ") > before);
    assert!(value(&text, "rideshare_orchestrator_elections_total ") >= 1.0);
    assert_eq!(value(&text, "rideshare_orchestrator_events_total{kind=\"crashed\"} "), 1.0);
}

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let own = words.filter(|word| word.starts_with("rideshare_"));
    let whole = |word: &str| {
        let parts = ["_bucket", "_sum", "_count"];
        parts.iter().find_map(|part| word.strip_suffix(part)).unwrap_or(word).to_owned()
    };
    own.map(whole).collect()
}

#[tokio::test]
async fn alerts_and_dashboard_ask_for_metrics_that_there_are() {
    let system = System::start(1).await;
    system.settle(1).await;
    system.insert("c", json!([{ "_id": 1 }])).await;
    system.post("/api/v1/crash/master", &Value::Null).await;
    system.settle(1).await;
    let there = names(&scrape(&system).await);
    for file in ["config/alerts.yml", "config/grafana.json"] {
        let asked = names(&std::fs::read_to_string(file).unwrap());
        assert!(asked.len() > 5, "{file}: {asked:?}");
        let missing: Vec<_> = asked.difference(&there).collect();
        assert!(missing.is_empty(), "{file} asks for {missing:?}");
    }
}
