//! The suites on ZooKeeper.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use rideshare::adapters::zookeeper::{ZookeeperCoordination, ZookeeperSettings};
use rideshare::ports::coordination::Coordination;
use tokio::time::timeout;
use uuid::Uuid;
use zookeeper_async::{ZooKeeper, ZooKeeperExt};

use crate::cases::BOUND;
use crate::coordination::{CoordinationFactory, coordination_suite};

coordination_suite!(tokio::test, OnZookeeper);

/// A root of its own on the shared server, and the sessions that use it.
struct OnZookeeper {
    settings: ZookeeperSettings,
    sessions: Mutex<Vec<Weak<ZookeeperCoordination>>>,
}

impl CoordinationFactory for OnZookeeper {
    /// The session timeout, rounded up by the server, and a slow moment.
    const EXPIRY_BOUND: Duration = Duration::from_secs(6);

    async fn start() -> Self {
        let hosts = std::env::var("RIDESHARE_ZOOKEEPER__HOSTS")
            .expect("RIDESHARE_ZOOKEEPER__HOSTS says where ZooKeeper listens");
        let root = format!("/conformance-{}", Uuid::now_v7().simple());
        let settings =
            ZookeeperSettings { hosts, root, session_timeout_ms: 2_000, credentials: None };
        Self { settings, sessions: Mutex::default() }
    }

    async fn session(&self) -> Arc<dyn Coordination> {
        let session = Arc::new(ZookeeperCoordination::open(self.settings.clone()).unwrap());
        self.sessions.lock().unwrap().push(Arc::downgrade(&session));
        let mut view = session.view();
        timeout(BOUND, view.wait_for(|view| view.connected)).await.unwrap().unwrap();
        session
    }

    async fn finish(self) {
        // Sessions that go on would put their entries back.
        let sessions = self.sessions.into_inner().unwrap();
        for session in sessions.iter().filter_map(Weak::upgrade) {
            session.close().await;
        }
        let nobody = |_: zookeeper_async::WatchedEvent| {};
        let patience = Duration::from_secs(10);
        let cleaner = ZooKeeper::connect(&self.settings.hosts, patience, nobody).await.unwrap();
        cleaner.delete_recursive(&self.settings.root).await.unwrap();
        cleaner.close().await.unwrap();
    }
}
