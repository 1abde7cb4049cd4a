//! A system that is started before its servers are.

use std::time::Duration;

use serde_json::{Value, json};

use crate::front::eventually;
use crate::servers::{OwnServers, Server};
use crate::system::System;

/// Between one server and the next. What is not there yet is waited for meanwhile.
const APART: Duration = Duration::from_millis(1_500);
/// From the start of the last server, which answers by then.
const GREEN_LIMIT: Duration = Duration::from_secs(15);
/// Red for want of a server may be noticed when something is sent to it.
const RED_LIMIT: Duration = Duration::from_secs(3);

/// What `/readyz` says for want of this server.
const fn reason(server: Server) -> &'static str {
    match server {
        Server::Rabbitmq => "the broker is not reachable",
        Server::Zookeeper => "the coordination service is not reachable",
        // The orchestrator has no database; the workers cannot join without theirs.
        Server::Mongod => "no master is in office",
    }
}

/// What a worker says of a server that is not there.
const fn complaint(server: Server) -> &'static str {
    match server {
        Server::Rabbitmq => "the broker cannot be reached, trying on",
        Server::Zookeeper => "coordination unavailable, trying again",
        Server::Mongod => "cannot join yet, waiting",
    }
}

/// What a worker says of a server that it has found; of its database, it works in it.
const fn relief(server: Server) -> &'static str {
    match server {
        Server::Rabbitmq => "connected to the broker",
        Server::Zookeeper => "coordination connected",
        Server::Mongod => "catching up",
    }
}

/// A write that is given up after so many milliseconds.
async fn write_within(system: &System, body: &Value, timeout_ms: u64) -> (u16, Value) {
    let request = system.client.post(format!("{}/api/v1/db/write", system.url));
    let request = request.header("X-Request-Timeout-Ms", timeout_ms).body(body.to_string());
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap_or_default())
}

/// Starts an orchestrator and a worker, and then one server after the other.
async fn start_in(order: [Server; 3]) {
    let own = OwnServers::prepare();
    let mut system = System::prepare_on(own.servers.clone(), 1);
    system.run().await;
    let worker = system.worker("master");
    worker.says(complaint(Server::Rabbitmq)).await;
    worker.says(complaint(Server::Zookeeper)).await;
    worker.says(complaint(Server::Mongod)).await;

    for (place, server) in order.into_iter().enumerate() {
        for missing in &order[place..] {
            let red = async || system.unready().await.filter(|it| it.contains(reason(*missing)));
            let what = format!("{order:?}: {:?} before {server:?}", reason(*missing));
            eventually(&what, RED_LIMIT, red).await;
        }
        let body = json!({ "op": "insert", "collection": "c", "documents": [{ "_id": place }] });
        let answer = write_within(&system, &body, 200).await;
        assert!([503, 504].contains(&answer.0), "{order:?} before {server:?}: {answer:?}");
        tokio::time::sleep(APART).await;
        own.start_one(server);
        if server != Server::Mongod {
            worker.says(relief(server)).await;
        }
    }
    let green = async || system.unready().await.is_none().then_some(());
    eventually(&format!("{order:?}: green"), GREEN_LIMIT, green).await;
    worker.says(relief(Server::Mongod)).await;
    let body = json!({ "op": "insert", "collection": "users", "documents": [{ "_id": "ann" }] });
    assert_eq!(system.write(&body).await.0, 201, "{order:?}");
    system.settle(1).await;
    let log = system.orchestrator_log(0);
    for server in [Server::Rabbitmq, Server::Zookeeper] {
        assert!(log.contains(complaint(server)) && log.contains(relief(server)), "{log}");
    }
    assert_eq!(worker.terminate().await, Some(0));
    system.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn coordination_broker_and_databases_may_come_after_the_system() {
    start_in([Server::Zookeeper, Server::Rabbitmq, Server::Mongod]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_broker_and_coordination_may_come_after_the_system() {
    start_in([Server::Mongod, Server::Rabbitmq, Server::Zookeeper]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broker_databases_and_coordination_may_come_after_the_system() {
    start_in([Server::Rabbitmq, Server::Mongod, Server::Zookeeper]).await;
}
