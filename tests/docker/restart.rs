//! What is left after the engine's machine has gone down: every container has exited, and those
//! with a restart policy are started again.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::engine::{docker, list};
use crate::orchestrator::eventually;
use crate::system::{System, node, ready};

/// How long a write may take to reach a slave that is still starting.
const SEEN_LIMIT: Duration = Duration::from_secs(10);

/// In no order, as the engine does it.
const SERVICES: [&str; 6] = ["gateway", "rides", "users", "orchestrator", "zookeeper", "rabbitmq"];

/// Kills all containers at once and starts the services again; returns when all workers are there.
pub(crate) async fn everything(system: &System) {
    let nodes = nodes(system).await;
    let services = SERVICES.map(|name| system.service(name));
    let mut all = system.containers("worker");
    all.extend(system.containers("database"));
    all.extend(services.clone());
    let all: Vec<_> = all.iter().map(String::as_str).collect();
    docker(&[&["kill"], &all[..]].concat()).unwrap();
    let running = list(&["ps", "-q", "--filter", &format!("name={}", system.project)]);
    assert_eq!(running, [""; 0], "nothing runs");

    let begun = Instant::now();
    let services = services.each_ref().map(String::as_str);
    docker(&[&["start"], &services[..]].concat()).unwrap();
    let serving = ready(&system.url, begun).await;
    eprintln!("after the restart    database ready after {serving:?}");
    system.settle(nodes.len() - 1).await;
    assert_eq!(self::nodes(system).await, nodes, "the same workers, with the data they had");
}

/// Asserts that new data goes behind the old, and that the services on top are there too.
pub(crate) async fn goes_on(system: &System, before: u64) {
    let body = json!({ "op": "insert", "collection": "users", "documents": [{ "_id": "ann" }] });
    let (status, answer) = system.write(&body).await;
    assert_eq!(status, 201, "{answer}");
    assert!(answer["offset"].as_u64().unwrap() > before, "offsets go on: {answer} after {before}");
    ready(&system.gateway_url(), Instant::now()).await;
    let path = format!("{}/api/v1/users", system.gateway_url());
    // The service reads from a slave, which may apply the write a moment later.
    eventually("the users service sees it", SEEN_LIMIT, async || {
        let users = system.client.get(&path).send().await.unwrap();
        (users.text().await.unwrap() == r#"["ann"]"#).then_some(())
    })
    .await;
}

async fn nodes(system: &System) -> Vec<String> {
    let mut nodes: Vec<_> = system.workers().await.iter().map(node).collect();
    nodes.sort();
    nodes
}
