//! Workers as tasks under the suite of their port.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rideshare::adapters::tasks::{Failed, Launch, Launcher, TaskContainers};
use rideshare::domain::ids::NodeId;
use rideshare::ports::containers::Containers;

use crate::containers::{ContainersFactory, containers_suite};

containers_suite!(tokio::test, Tasks);

struct Tasks {
    containers: Arc<TaskContainers>,
    directory: tempfile::TempDir,
}

/// Adds a line for each start.
async fn work(launch: Launch) -> Result<(), Failed> {
    let path = launch.directory.join("starts");
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    std::fs::write(&path, before + "started\n").unwrap();
    if launch.node.as_str().starts_with("fails") {
        return Err(anyhow::anyhow!("as its name says").into());
    }
    launch.shutdown.cancelled().await;
    Ok(())
}

impl ContainersFactory for Tasks {
    async fn start_keeping(databases: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = AtomicU64::new(0);
        let now_ms = Arc::new(move || clock.fetch_add(1, Ordering::Relaxed));
        let launcher: Launcher = Arc::new(|launch| Box::pin(work(launch)));
        let path = directory.path().to_owned();
        let containers = TaskContainers::open(path, 100, now_ms, launcher, databases).unwrap();
        Self { containers: Arc::new(containers), directory }
    }

    fn containers(&self) -> Arc<dyn Containers> {
        self.containers.clone()
    }

    fn stored(&self, node: &NodeId) -> usize {
        let path = self.directory.path().join(node.as_str()).join("starts");
        std::fs::read_to_string(path).unwrap_or_default().lines().count()
    }

    async fn finish(self) {
        self.containers.stop_all(Duration::from_secs(5)).await;
        self.directory.close().unwrap();
    }
}
