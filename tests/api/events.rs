//! What happened, kept and told.

use std::time::{Duration, Instant};

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::support::{SETTLE_LIMIT, System};

async fn all(system: &System) -> Vec<Value> {
    system.get("/api/v1/events").await.body.as_array().unwrap().clone()
}

fn ids(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["id"].as_u64().unwrap()).collect()
}

async fn stream(system: &System, last: &str) -> Response {
    let url = format!("{}/api/v1/events", system.url);
    let request = system.client.get(url).header("Accept", "text/event-stream");
    let request = if last.is_empty() { request } else { request.header("Last-Event-ID", last) };
    request.send().await.unwrap()
}

/// Reads from a stream until an event of this kind has come; returns all that came.
async fn read_until(response: &mut Response, kind: &str) -> Vec<Value> {
    let reading = async {
        let mut text = String::new();
        while !text.contains(&format!("event: {kind}\n")) || !text.ends_with("\n\n") {
            let chunk = response.chunk().await.unwrap().expect("the stream goes on");
            text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        text
    };
    let text = tokio::time::timeout(SETTLE_LIMIT, reading).await.expect("it comes in time");
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|json| serde_json::from_str(json).unwrap()).collect()
}

#[tokio::test]
async fn events_outlive_the_process() {
    let mut system = System::start(1).await;
    system.settle(1).await;
    system.post("/api/v1/pause", &Value::Null).await;
    let before = all(&system).await;
    assert_eq!(before.last().unwrap()["kind"], "paused");
    assert_eq!(system.terminate().await, Some(0));
    system.run().await;
    let after = all(&system).await;
    assert_eq!(after[..before.len()], before, "in the same order, with the same ids");
    assert!(ids(&after).is_sorted_by(|a, b| a < b), "{after:?}");
    let resumed = after.iter().find(|event| event["kind"] == "resumed").unwrap();
    assert_eq!(resumed["cause"], "no_master", "a pause does not outlast all workers");

    // A kill may take what was noted within its last moments.
    let mut follower = stream(&system, "").await;
    let kept = read_until(&mut follower, "resumed").await;
    system.kill();
    system.run().await;
    assert_eq!(all(&system).await[..kept.len()], kept);
}

#[tokio::test]
async fn events_are_told_as_they_come_and_from_the_last_one_seen() {
    let mut system = System::start(1).await;
    system.settle(1).await;
    let mut first = stream(&system, "").await;
    assert_eq!(first.headers()["content-type"], "text/event-stream");
    let earlier = read_until(&mut first, "started").await;
    assert_eq!(earlier[0]["id"], 1);
    system.post("/api/v1/pause", &Value::Null).await;
    let paused = read_until(&mut first, "paused").await.pop().unwrap();
    assert_eq!(paused["cause"], "asked");
    system.post("/api/v1/resume", &Value::Null).await;
    let mut second = stream(&system, &paused["id"].to_string()).await;
    let missed = read_until(&mut second, "resumed").await;
    assert_eq!(missed.len(), 1, "{missed:?}");
    assert_eq!(missed[0]["id"].as_u64(), paused["id"].as_u64().map(|id| id + 1));
    for wrong in ["x", "-1"] {
        assert_eq!(stream(&system, wrong).await.status(), StatusCode::BAD_REQUEST);
    }

    let asked = Instant::now();
    assert_eq!(system.terminate().await, Some(0));
    assert!(asked.elapsed() < Duration::from_secs(5), "nobody waits for an endless answer");
    while let Some(rest) = first.chunk().await.expect("an orderly end") {
        assert!(rest.starts_with(b":") || rest.starts_with(b"id: "), "{rest:?}");
    }
    assert_eq!(paused["kind"], json!("paused"));
}
