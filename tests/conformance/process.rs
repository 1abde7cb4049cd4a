//! Workers as processes under the suite of their port, and what only processes have: they outlive
//! whoever started them, and are found again.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rideshare::adapters::process::{ProcessContainers, ProcessSettings};
use rideshare::domain::ids::NodeId;
use rideshare::ports::containers::{Container, ContainerState, Containers, StartAs};

use crate::containers::{ContainersFactory, containers_suite, listed, pid, start, stored};

containers_suite!(tokio::test, Processes);

/// Adds a line for each start, then waits for its end.
const WORKER: &str = r#"
echo started >> "$DATABASES/$RIDESHARE_WORKER__NODE"
case $RIDESHARE_WORKER__NODE in fails*) exit 3 ;; stubborn*) trap '' TERM ;; *) trap 'exit 0' TERM ;; esac
while :; do sleep 0.02; done
"#;

struct Processes {
    containers: Option<Arc<ProcessContainers>>,
    directory: tempfile::TempDir,
}

fn open(directory: &Path, keep_databases: usize) -> Arc<ProcessContainers> {
    let databases = directory.join("databases");
    std::fs::create_dir_all(&databases).unwrap();
    let since_1970 = || std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let (of, at) = (databases.clone(), databases);
    Arc::new(
        ProcessContainers::open(ProcessSettings {
            directory: directory.join("state"),
            command: Arc::new(move |_, _| {
                let mut command = Command::new("/bin/sh");
                command.args(["-c", WORKER]).env("DATABASES", &of);
                command
            }),
            remove_database: Arc::new(move |node| {
                let path = at.join(node.as_str());
                Box::pin(async move { Ok(std::fs::remove_file(path)?) })
            }),
            keep_databases,
            now_ms: Arc::new(move || u64::try_from(since_1970()).unwrap()),
        })
        .unwrap(),
    )
}

impl Processes {
    fn record(&self, node: &str) -> PathBuf {
        self.directory.path().join("state").join(format!("{node}.json"))
    }

    /// Forgets everything that is not on disk, as a crash does, and starts again.
    fn crash(&mut self) {
        self.containers = None;
        self.containers = Some(open(self.directory.path(), 0));
    }
}

impl ContainersFactory for Processes {
    async fn start_keeping(databases: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { containers: Some(open(directory.path(), databases)), directory }
    }

    fn containers(&self) -> Arc<dyn Containers> {
        self.containers.clone().unwrap()
    }

    fn stored(&self, node: &NodeId) -> usize {
        let path = self.directory.path().join("databases").join(node.as_str());
        std::fs::read_to_string(path).unwrap_or_default().lines().count()
    }

    async fn finish(self) {
        self.containers.as_ref().unwrap().stop_all(Duration::from_secs(5)).await;
    }
}

impl Drop for Processes {
    /// A case that failed leaves no process.
    fn drop(&mut self) {
        let Some(containers) = &self.containers else { return };
        for container in containers.watch().borrow().iter() {
            if let ContainerState::Running { pid } = container.state {
                let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
            }
        }
    }
}

fn is_exited(container: &Container) -> bool {
    matches!(container.state, ContainerState::Exited { .. })
}

#[tokio::test]
async fn workers_outlive_a_crash_and_are_taken_on_with_their_end_noticed() {
    let mut factory = Processes::start().await;
    let nodes = ["killed", "stopped", "died"].map(NodeId::new);
    let mut pids = Vec::new();
    for node in &nodes {
        pids.push(start(&factory, node).await);
    }
    factory.crash();
    let containers = factory.containers();
    let found: Vec<_> = containers.watch().borrow().iter().map(pid).collect();
    assert_eq!(found.len(), 3);
    assert!(pids.iter().all(|pid| found.contains(pid)), "{found:?}");
    assert_eq!(containers.kill(&nodes[0]).await.unwrap(), pids[0]);
    containers.stop(&nodes[1]).await.unwrap();
    Command::new("kill").args(["-KILL", &pids[2].to_string()]).status().unwrap();
    for node in &nodes {
        listed(&containers, node, "exited", is_exited).await;
        containers.restart(node).await.unwrap();
        stored(&factory, node, 2).await;
    }
    factory.finish().await;
}

#[tokio::test]
async fn worker_that_died_while_nobody_watched_is_listed_as_exited() {
    let mut factory = Processes::start().await;
    let node = NodeId::new("n1");
    let first = start(&factory, &node).await;
    factory.containers = None;
    Command::new("kill").args(["-KILL", &first.to_string()]).status().unwrap();
    factory.containers = Some(open(factory.directory.path(), 0));
    let containers = factory.containers();
    listed(&containers, &node, "exited", is_exited).await;
    containers.remove(&node).await.unwrap();
    assert!(containers.watch().borrow().is_empty() && !factory.record("n1").exists());
    factory.finish().await;
}

#[tokio::test]
async fn stranger_with_the_pid_of_a_dead_worker_is_left_alone() {
    let factory = Processes::start().await;
    let node = NodeId::new("n1");
    start(&factory, &node).await;
    factory.containers().kill(&node).await.unwrap();
    // Start times are told in ticks of 10 ms.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut stranger = Command::new("sleep").arg("60").spawn().unwrap();
    let text = std::fs::read_to_string(factory.record("n1")).unwrap();
    let mut record: serde_json::Value = serde_json::from_str(&text).unwrap();
    record["process"]["pid"] = stranger.id().into();
    record["exit"] = serde_json::Value::Null;
    std::fs::write(factory.record("n1"), record.to_string()).unwrap();
    let after = open(factory.directory.path(), 0);
    assert!(is_exited(&after.watch().borrow()[0]));
    assert!(after.kill(&node).await.is_err());
    after.stop_all(Duration::from_secs(1)).await;
    assert!(stranger.try_wait().unwrap().is_none(), "the stranger lives");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    factory.finish().await;
}

#[tokio::test]
async fn worker_whose_pid_nobody_wrote_down_is_found_by_its_environment() {
    let mut factory = Processes::start().await;
    let node = NodeId::new("n1");
    let first = start(&factory, &node).await;
    factory.containers = None;
    let text = std::fs::read_to_string(factory.record("n1")).unwrap();
    let mut record: serde_json::Value = serde_json::from_str(&text).unwrap();
    record["process"] = serde_json::Value::Null;
    record["changed_at_ms"] = 0.into();
    std::fs::write(factory.record("n1"), record.to_string()).unwrap();
    factory.containers = Some(open(factory.directory.path(), 0));
    assert_eq!(pid(&factory.containers().watch().borrow()[0]), first);
    factory.finish().await;
}

#[tokio::test]
async fn runtime_beside_another_sees_what_that_one_does() {
    let factory = Processes::start().await;
    let (first, second) = (factory.containers(), open(factory.directory.path(), 0));
    let beside: Arc<dyn Containers> = second.clone();
    let node = NodeId::new("n1");
    let started = start(&factory, &node).await;
    let seen = listed(&beside, &node, "runs", |it| !is_exited(it)).await;
    assert_eq!(pid(&seen), started);
    beside.kill(&node).await.unwrap();
    listed(&first, &node, "exited", is_exited).await;
    first.restart(&node).await.unwrap();
    listed(&beside, &node, "runs again", |it| !is_exited(it)).await;
    first.kill(&node).await.unwrap();
    listed(&beside, &node, "exited again", is_exited).await;
    first.remove(&node).await.unwrap();
    let mut list = beside.watch();
    tokio::time::timeout(crate::cases::BOUND, list.wait_for(Vec::is_empty)).await.unwrap().unwrap();
    factory.finish().await;
}

#[tokio::test]
async fn stop_of_all_asks_first_and_kills_who_does_not_listen() {
    let factory = Processes::start().await;
    let (willing, stubborn) = (NodeId::new("willing"), NodeId::new("stubborn"));
    start(&factory, &willing).await;
    start(&factory, &stubborn).await;
    factory.containers.as_ref().unwrap().stop_all(Duration::from_millis(500)).await;
    let list = factory.containers().watch().borrow().clone();
    let codes: Vec<_> = list.iter().map(|it| it.state).collect();
    let exited = |code| ContainerState::Exited { code };
    assert_eq!(codes, [exited(137), exited(0)]);
    factory.finish().await;
}

#[tokio::test]
async fn command_that_cannot_be_started_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let containers = ProcessContainers::open(ProcessSettings {
        directory: directory.path().to_owned(),
        command: Arc::new(|_, _| Command::new("/nowhere/worker")),
        remove_database: Arc::new(|_| Box::pin(async { Ok(()) })),
        keep_databases: 0,
        now_ms: Arc::new(|| 0),
    })
    .unwrap();
    let node = NodeId::new("n1");
    assert!(containers.start(&node, StartAs::Slave).await.is_err());
    assert!(containers.watch().borrow().is_empty());
    assert!(!directory.path().join("n1.json").exists());
}
