//! What only pairs of containers have.

use std::time::{Duration, Instant};

use rideshare::adapters::docker::DockerContainers;
use rideshare::domain::ids::NodeId;
use rideshare::ports::containers::{ContainerState, Containers, StartAs};

use super::engine::docker;
use super::{Docker, is_exited};
use crate::cases::BOUND;
use crate::containers::{ContainersFactory, listed, pid, start, stored};

const RUNS: &str = "{{.State.Running}}";

/// Waits until something of the engine's is so.
async fn becomes(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < BOUND, "waited for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn pids_are_those_that_the_engine_tells() {
    let factory = Docker::start().await;
    let found = start(&factory, &NodeId::new("n1")).await;
    assert_eq!(factory.inspect("n1", "{{.State.Pid}}"), found.to_string());
    factory.finish().await;
}

#[tokio::test]
async fn containers_can_do_little() {
    let factory = Docker::start().await;
    start(&factory, &NodeId::new("n1")).await;
    let of_both = [
        ("{{.HostConfig.ReadonlyRootfs}}", "true"),
        ("{{.HostConfig.CapDrop}}", "[ALL]"),
        ("{{.HostConfig.SecurityOpt}}", "[no-new-privileges:true]"),
        ("{{.HostConfig.RestartPolicy.Name}}", "no"),
        ("{{.HostConfig.AutoRemove}}", "false"),
        ("{{.HostConfig.Memory}}", "67108864"),
        ("{{.HostConfig.Privileged}}", "false"),
        ("{{.HostConfig.LogConfig.Config}}", "map[max-file:2 max-size:1m]"),
        ("{{len .HostConfig.PortBindings}}", "0"),
    ];
    for name in ["n1", "n1-db"] {
        for (format, expected) in of_both {
            assert_eq!(factory.inspect(name, format), expected, "{name} {format}");
        }
    }
    assert_eq!(factory.inspect("n1", "{{.Config.User}}"), "10001:10001");
    assert_eq!(factory.inspect("n1-db", "{{.Config.User}}"), "999:999");
    factory.finish().await;
}

#[tokio::test]
async fn death_of_a_database_is_the_death_of_its_worker() {
    let factory = Docker::start().await;
    let node = NodeId::new("n1");
    start(&factory, &node).await;
    docker(&["kill", &factory.project.container("n1-db")]).unwrap();
    let container = listed(&factory.containers(), &node, "exited", is_exited).await;
    assert_eq!(container.state, ContainerState::Exited { code: 137 });
    assert_eq!(factory.inspect("n1", RUNS), "false", "it was killed before it was listed");
    factory.finish().await;
}

#[tokio::test]
async fn database_does_not_outlive_its_worker() {
    let factory = Docker::start().await;
    let (killed, stopped) = (NodeId::new("n1"), NodeId::new("n2"));
    start(&factory, &killed).await;
    start(&factory, &stopped).await;
    docker(&["kill", &factory.project.container("n1")]).unwrap();
    factory.containers().stop(&stopped).await.unwrap();
    for node in [&killed, &stopped] {
        listed(&factory.containers(), node, "exited", is_exited).await;
        let name = format!("{node}-db");
        becomes("its end", || factory.inspect(&name, RUNS) == "false").await;
    }
    factory.finish().await;
}

#[tokio::test]
async fn exit_is_listed_soon_after_the_kill() {
    let factory = Docker::start().await;
    let node = NodeId::new("n1");
    let begun = Instant::now();
    factory.containers().start(&node, StartAs::Slave).await.unwrap();
    let start = begun.elapsed();
    let pid = pid(&listed(&factory.containers(), &node, "runs", |it| !is_exited(it)).await);
    let begun = Instant::now();
    std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap();
    listed(&factory.containers(), &node, "exited", is_exited).await;
    let exit = begun.elapsed();
    println!("start of a pair {start:?}, from its end to the list {exit:?}");
    assert!(exit < Duration::from_secs(3), "the engine tells, nobody looks: {exit:?}");
    factory.finish().await;
}

#[tokio::test]
async fn name_of_the_master_moves_and_identifies_nobody() {
    let factory = Docker::start().await;
    let (first, second) = (NodeId::new("n1"), NodeId::new("n2"));
    let pids = [start(&factory, &first).await, start(&factory, &second).await];
    let containers = factory.containers();
    let master = || factory.inspect("master", "{{.State.Pid}}");
    for _ in 0..2 {
        containers.mark_master(&first).await.unwrap();
        assert_eq!(master(), pids[0].to_string());
    }
    containers.mark_master(&second).await.unwrap();
    assert_eq!(master(), pids[1].to_string());
    assert_eq!(
        factory.inspect("n1", "{{.State.Pid}}"),
        pids[0].to_string(),
        "it has its name back"
    );
    assert_eq!(containers.kill(&second).await.unwrap(), pids[1]);
    containers.mark_master(&first).await.unwrap();
    assert_eq!(master(), pids[0].to_string());
    containers.remove(&second).await.unwrap();
    containers.kill(&first).await.unwrap();
    containers.remove(&first).await.unwrap();
    assert!(factory.project.remains().is_empty(), "{:?}", factory.project.remains());
    factory.finish().await;
}

#[tokio::test]
async fn workers_outlive_a_crash_and_are_taken_on() {
    let mut factory = Docker::start().await;
    let (lives, died) = (NodeId::new("n1"), NodeId::new("n2"));
    let first = start(&factory, &lives).await;
    start(&factory, &died).await;
    factory.containers().mark_master(&died).await.unwrap();
    factory.crash().await;
    docker(&["kill", &factory.project.container("master")]).unwrap();
    let containers = factory.containers();
    listed(&containers, &died, "exited", is_exited).await;
    let found = listed(&containers, &lives, "runs", |it| !is_exited(it)).await;
    assert_eq!(pid(&found), first);
    let refused = containers.start(&lives, StartAs::Slave).await;
    assert!(refused.is_err(), "its name is taken");
    containers.restart(&died).await.unwrap();
    stored(&factory, &died, 2).await;
    factory.finish().await;
}

#[tokio::test]
async fn workers_of_an_engine_that_was_stopped_come_back_with_what_they_stored() {
    let mut factory = Docker::start().await;
    let nodes = ["n1", "n2"].map(NodeId::new);
    for node in &nodes {
        start(&factory, node).await;
    }
    factory.containers.stop_all(Duration::from_secs(10)).await;
    for name in ["n1", "n1-db", "n2", "n2-db"] {
        assert_eq!(factory.inspect(name, RUNS), "false", "{name}");
    }
    // A network that was made anew under the same name is another one to the engine.
    docker(&["network", "rm", &factory.project.name]).unwrap();
    docker(&["network", "create", &factory.project.name]).unwrap();
    docker(&["rm", &factory.project.container("n2")]).unwrap();
    factory.crash().await;
    let containers = factory.containers();
    for node in &nodes {
        listed(&containers, node, "exited", is_exited).await;
        containers.restart(node).await.unwrap();
        stored(&factory, node, 2).await;
        listed(&containers, node, "runs", |it| !is_exited(it)).await;
    }
    assert_eq!(factory.project.remains().len(), 6, "two workers and nothing else");
    factory.finish().await;
}

#[tokio::test]
async fn start_that_fails_leaves_nothing() {
    let factory =
        Docker::with(|settings| settings.worker_image = "nobody/has:this".to_owned()).await;
    let node = NodeId::new("n1");
    let error = factory.containers().start(&node, StartAs::Master).await.unwrap_err();
    let error = format!("{:#}", anyhow::Error::new(error));
    assert!(error.contains("nobody/has:this"), "{error}");
    assert!(factory.containers().watch().borrow().is_empty());
    assert!(factory.project.remains().is_empty(), "{:?}", factory.project.remains());
    factory.finish().await;
}

#[tokio::test]
async fn name_that_a_stranger_has_is_refused_and_the_stranger_left_alone() {
    let factory = Docker::start().await;
    let name = factory.project.container("n1-db");
    let arguments = ["create", "--name", &name, "--label", "stranger"];
    docker(&[&arguments[..], &["debian:bookworm-slim"]].concat()).unwrap();
    let node = NodeId::new("n1");
    let error = factory.containers().start(&node, StartAs::Slave).await.unwrap_err();
    assert!(format!("{:#}", anyhow::Error::new(error)).contains("in use"));
    assert_eq!(factory.inspect("n1-db", "{{.State.Status}}"), "created");
    assert!(factory.project.remains().is_empty(), "{:?}", factory.project.remains());
    factory.finish().await;
}

#[tokio::test]
async fn runtime_beside_another_sees_what_that_one_does() {
    let factory = Docker::start().await;
    let beside: std::sync::Arc<dyn Containers> =
        std::sync::Arc::new(factory.project.open(|_| {}).await);
    let node = NodeId::new("n1");
    let started = start(&factory, &node).await;
    let seen = listed(&beside, &node, "runs", |it| !is_exited(it)).await;
    assert_eq!(pid(&seen), started);
    beside.kill(&node).await.unwrap();
    listed(&factory.containers(), &node, "exited", is_exited).await;
    factory.containers().restart(&node).await.unwrap();
    listed(&beside, &node, "runs again", |it| !is_exited(it)).await;
    factory.containers().kill(&node).await.unwrap();
    factory.containers().remove(&node).await.unwrap();
    let mut list = beside.watch();
    tokio::time::timeout(BOUND, list.wait_for(Vec::is_empty)).await.unwrap().unwrap();
    factory.finish().await;
}

#[tokio::test]
async fn worker_that_does_not_listen_is_killed_after_its_time() {
    let factory = Docker::with(|settings| settings.stop_limit = Duration::from_millis(500)).await;
    let node = NodeId::new("stubborn");
    start(&factory, &node).await;
    factory.containers().stop(&node).await.unwrap();
    let container = listed(&factory.containers(), &node, "exited", is_exited).await;
    assert_eq!(container.state, ContainerState::Exited { code: 137 });
    factory.finish().await;
}

#[tokio::test]
async fn engine_that_cannot_be_reached_is_told_with_what_to_do() {
    let factory = Docker::start().await;
    let directory = tempfile::tempdir().unwrap();
    let refusing = directory.path().join("refusing.sock");
    drop(std::os::unix::net::UnixListener::bind(&refusing).unwrap());
    let missing = directory.path().join("docker.sock");
    let table = [(&missing, "mount the socket"), (&refusing, "start Docker")];
    for (path, advice) in table {
        let host = format!("unix://{}", path.display());
        let settings = factory.project.settings(|it| it.host.clone_from(&host));
        let Err(error) = DockerContainers::open(settings).await else { panic!("opened {host}") };
        let text = format!("{error:#}");
        for expected in [path.to_str().unwrap(), advice, "RIDESHARE_DOCKER__HOST"] {
            assert!(text.contains(expected), "{text}");
        }
    }
    let settings = factory.project.settings(|it| it.network = "nowhere".to_owned());
    let Err(error) = DockerContainers::open(settings).await else { panic!("opened") };
    assert!(error.to_string().contains("docker network create nowhere"), "{error}");
    factory.finish().await;
}
