//! From nothing to serving, and what runs then.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::json;

use crate::engine::{self, docker, inspect, list, output};
use crate::orchestrator::{SETTLE_LIMIT, eventually};
use crate::system::{System, node, pid, ready};

const SERVICES: [&str; 6] = ["rabbitmq", "zookeeper", "orchestrator", "users", "rides", "gateway"];
/// Those with a port of their own, and how the engine calls it.
const PUBLISHED: [(&str, &str); 4] =
    [("orchestrator", "8080"), ("users", "8080"), ("rides", "8080"), ("gateway", "80")];

#[tokio::test(flavor = "multi_thread")]
async fn system_comes_up_from_nothing_and_goes_without_a_trace() {
    let system = System::prepare(1, &[]);
    start(&system, "from nothing").await;
    workers_are_those_of_the_engine(&system).await;
    healthy(&system).await;
    little_is_open(&system);
    no_password_shows(&system);
    system.assert_no_stray(1).await;

    let body = json!({ "op": "insert", "collection": "users", "documents": [{ "_id": "ann" }] });
    assert_eq!(system.write(&body).await.0, 201);
    let nodes: BTreeSet<_> = system.workers().await.iter().map(node).collect();
    system.compose(&["down"]);
    assert_eq!(system.pids(), [0; 0], "the workers stop with their orchestrator");
    start(&system, "after down").await;
    let read = json!({ "collection": "users", "consistency": "strong" });
    assert_eq!(system.read(&read).await["documents"], json!([{ "_id": "ann" }]));
    let again: BTreeSet<_> = system.workers().await.iter().map(node).collect();
    assert_eq!(again, nodes, "the same workers, on the data they had");
    if tokio::task::spawn_blocking(engine::restart).await.unwrap() {
        all_is_back(&system, &nodes).await;
    }
    purge(&system);
}

/// After the engine has gone and come back.
async fn all_is_back(system: &System, nodes: &BTreeSet<String>) {
    let begun = Instant::now();
    let serves = ready(&system.url, begun).await;
    let gateway_serves = ready(&system.gateway_url(), begun).await;
    eprintln!(
        "engine restarted     database serves after {serves:?}, gateway after {gateway_serves:?}"
    );
    system.settle(1).await;
    let again: BTreeSet<_> = system.workers().await.iter().map(node).collect();
    assert_eq!(again, *nodes, "the same workers, on the data they had");
    let read = json!({ "collection": "users", "consistency": "strong" });
    assert_eq!(system.read(&read).await["documents"], json!([{ "_id": "ann" }]));
    let body = json!({ "op": "insert", "collection": "users", "documents": [{ "_id": "bob" }] });
    assert_eq!(system.write(&body).await.0, 201);
    system.assert_no_stray(1).await;
}

/// Says how long it takes until the database serves, and until everything does.
async fn start(system: &System, what: &str) {
    let begun = Instant::now();
    // Compose waits for more than the two of them.
    let mut up = system.up_command();
    let up = tokio::task::spawn_blocking(move || output(&mut up).unwrap());
    let gateway_url = system.gateway_url();
    let (serves, all_serve) = tokio::join!(ready(&system.url, begun), ready(&gateway_url, begun));
    up.await.unwrap();
    eprintln!("{what:<20} database serves after {serves:?}, gateway after {all_serve:?}");
    system.settle(1).await;
}

async fn workers_are_those_of_the_engine(system: &System) {
    let pids = system.pids();
    assert_eq!(pids.len(), 2, "a master and a slave");
    assert_eq!(system.get("/api/v1/worker/list").await, json!(pids));
    let mut listed: Vec<u64> = Vec::new();
    for name in system.containers("worker") {
        let top = docker(&["top", &name, "-o", "pid,args"]).unwrap();
        let process = top.lines().find(|line| line.ends_with("rideshare worker")).expect("one");
        listed.push(process.split_whitespace().next().unwrap().parse().unwrap());
    }
    listed.sort_unstable();
    assert_eq!(listed, pids, "docker top and docker inspect");
    system.is_master(pid(&system.master().await.unwrap())).await;
}

async fn healthy(system: &System) {
    let mut containers: Vec<_> = SERVICES.iter().map(|it| system.service(it)).collect();
    containers.extend(system.containers("worker"));
    for container in containers {
        let is_healthy =
            async || (inspect(&container, "{{.State.Health.Status}}") == "healthy").then_some(());
        eventually(&format!("{container} healthy"), SETTLE_LIMIT, is_healthy).await;
    }
}

fn little_is_open(system: &System) {
    for service in SERVICES {
        let container = system.service(service);
        assert_eq!(inspect(&container, "{{.HostConfig.CapDrop}}"), "[ALL]", "{service}");
        assert_eq!(inspect(&container, "{{.HostConfig.Privileged}}"), "false", "{service}");
        let policy = inspect(&container, "{{.HostConfig.RestartPolicy.Name}}");
        assert_eq!(policy, "unless-stopped", "{service}");
        let bindings = inspect(
            &container,
            "{{range $port, $to := .HostConfig.PortBindings}}{{$port}} {{(index $to 0).HostIp}}\
             {{end}}",
        );
        let published = PUBLISHED.iter().find(|(name, _)| *name == service);
        let expected = published.map_or(String::new(), |(_, port)| format!("{port}/tcp 127.0.0.1"));
        assert_eq!(bindings, expected, "{service}");
        let mounts = inspect(&container, "{{range .Mounts}}{{.Destination}} {{end}}");
        assert_eq!(mounts.contains("docker.sock"), service == "orchestrator", "{service}");
        let nameless = inspect(&container, "{{range .Mounts}}{{.Name}} {{end}}");
        let is_nameless = |it: &str| it.len() == 64;
        assert!(!nameless.split_whitespace().any(is_nameless), "{service}: {nameless}");
    }
    assert_eq!(inspect(&system.service("users"), "{{.Config.User}}"), "10001:10001");
}

/// Neither in what the engine tells of a container nor in what the containers say.
fn no_password_shows(system: &System) {
    let secrets = ["rabbitmq_password", "zookeeper_credentials"].map(|name| {
        let path = format!("/run/secrets/{name}");
        let text = docker(&["exec", &system.service("orchestrator"), "cat", &path]).unwrap();
        let secret = text.rsplit(':').next().unwrap().to_owned();
        assert_eq!(secret.len(), 48, "{name}");
        secret
    });
    let project = format!("label=com.docker.compose.project={}", system.project);
    let mut containers = list(&["ps", "-aq", "--filter", &project]);
    containers.extend(system.containers("worker"));
    assert_eq!(containers.len(), SERVICES.len() + 3, "the one that made the secrets is there too");
    for container in containers {
        let told = docker(&["inspect", &container]).unwrap();
        let said = docker(&["logs", &container]).unwrap();
        for secret in &secrets {
            assert!(!told.contains(secret) && !said.contains(secret), "{container}");
        }
    }
}

/// What README.md tells to do in order to remove everything.
fn purge(system: &System) {
    system.compose(&["down"]);
    let filter = format!("label=rideshare.project={}", system.project);
    let remove = |list_of: &[&str], remove: &[&str]| {
        let found = list(&[list_of, &["--filter", &filter]].concat());
        let found: Vec<_> = found.iter().map(String::as_str).collect();
        docker(&[remove, &found].concat()).unwrap();
    };
    remove(&["ps", "-aq"], &["rm"]);
    remove(&["volume", "ls", "-q"], &["volume", "rm"]);
    // Last, since the workers' containers hold the volume of the secrets.
    system.compose(&["down", "--volumes"]);
    assert_eq!(system.remains(), [""; 0]);
}
