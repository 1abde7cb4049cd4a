//! Workers as containers under the suite of their port, on the machine's own engine, and what only
//! containers have: two halves, names that move, and an engine that may be out of reach.
//!
//! The workers and their databases are shells in an image made from `debian:bookworm-slim`.

#[path = "docker/engine.rs"]
mod engine;
#[path = "docker/halves.rs"]
mod halves;
#[path = "docker/proxy.rs"]
mod proxy;
#[path = "docker/tls.rs"]
mod tls;

use std::sync::Arc;
use std::time::Duration;

use rideshare::adapters::docker::{DockerContainers, DockerSettings};
use rideshare::domain::ids::NodeId;
use rideshare::ports::containers::{Container, ContainerState, Containers};

use self::engine::{Project, docker};
use crate::containers::{ContainersFactory, containers_suite};

containers_suite!(tokio::test, Docker);

/// The runtime of a project that is its alone.
struct Docker {
    containers: Arc<DockerContainers>,
    project: Project,
}

impl Docker {
    async fn with(change: impl FnOnce(&mut DockerSettings)) -> Self {
        let project = Project::new();
        let containers = Arc::new(project.open(change).await);
        Self { containers, project }
    }

    /// Forgets everything, as a crash does, and starts again.
    async fn crash(&mut self) {
        self.containers = Arc::new(self.project.open(|_| {}).await);
    }

    /// What is inside the part of a worker of this suffix.
    fn inspect(&self, name: &str, format: &str) -> String {
        docker(&["inspect", "--format", format, &self.project.container(name)]).unwrap_or_default()
    }
}

impl ContainersFactory for Docker {
    async fn start_keeping(databases: usize) -> Self {
        Self::with(|settings| settings.keep_databases = databases).await
    }

    fn containers(&self) -> Arc<dyn Containers> {
        self.containers.clone()
    }

    fn stored(&self, node: &NodeId) -> usize {
        self.project.stored(node)
    }

    async fn finish(self) {
        self.containers.stop_all(Duration::from_secs(5)).await;
    }
}

fn is_exited(container: &Container) -> bool {
    matches!(container.state, ContainerState::Exited { .. })
}
