//! Coordination on ZooKeeper when the server dies, stalls, is cut off or holds nonsense.
//!
//! Tests that only add data use the shared server; those that hurt a server start their own.

mod contents;
mod outages;

use std::sync::Arc;
use std::time::Duration;

use rideshare::adapters::zookeeper::{ZookeeperCoordination, ZookeeperSettings};
use rideshare::domain::ids::{DatabaseAddress, Epoch, LogId, NodeId, Offset, OrchestratorId, Pid};
use rideshare::domain::message::{Member, Role};
use rideshare::ports::coordination::{
    Coordination, CoordinationError, CoordinationView, LeaderRecord, OrchestratorStatus,
};
use tokio::time::{Instant, timeout};
use uuid::Uuid;
use zookeeper_async::{WatchedEvent, ZooKeeper, ZooKeeperExt};

/// How long an event may take that is bound to come. Only a failing test waits as long.
const BOUND: Duration = Duration::from_secs(30);
/// How long the sessions of these tests live in silence.
const SESSION: Duration = Duration::from_secs(2);

pub(crate) fn settings(hosts: impl ToString) -> ZookeeperSettings {
    ZookeeperSettings {
        hosts: hosts.to_string(),
        root: format!("/live-{}", Uuid::now_v7().simple()),
        session_timeout_ms: SESSION.as_millis().try_into().expect("it is short"),
        credentials: None,
    }
}

pub(crate) fn shared_hosts() -> String {
    std::env::var("RIDESHARE_ZOOKEEPER__HOSTS")
        .expect("RIDESHARE_ZOOKEEPER__HOSTS says where ZooKeeper listens")
}

fn open(settings: &ZookeeperSettings) -> Arc<ZookeeperCoordination> {
    Arc::new(ZookeeperCoordination::open(settings.clone()).unwrap())
}

pub(crate) async fn connected(settings: &ZookeeperSettings) -> Arc<ZookeeperCoordination> {
    let session = open(settings);
    view_when(&session, "a connection", |view| view.connected).await;
    session
}

async fn view_when(
    session: &ZookeeperCoordination,
    what: &str,
    wanted: impl FnMut(&CoordinationView) -> bool,
) -> CoordinationView {
    let mut view = session.view();
    let seen = timeout(BOUND, view.wait_for(wanted)).await.ok();
    let seen = seen.map(|seen| seen.expect("the session stands").clone());
    seen.unwrap_or_else(|| panic!("waited for {what}, but see {:?}", session.view().borrow()))
}

/// A plain client, for what the adapter does not do.
pub(crate) async fn plain_client(hosts: &str) -> ZooKeeper {
    ZooKeeper::connect(hosts, Duration::from_secs(10), |_: WatchedEvent| {}).await.unwrap()
}

/// Closes the sessions, which would put their entries back, and removes what they left.
async fn finish(settings: &ZookeeperSettings, sessions: &[&Arc<ZookeeperCoordination>]) {
    for session in sessions {
        session.close().await;
    }
    let client = plain_client(&settings.hosts).await;
    client.delete_recursive(&settings.root).await.unwrap();
    client.close().await.unwrap();
}

fn member(node: &str, pid: u32) -> Member {
    Member {
        node: NodeId::new(node),
        role: Role::Slave,
        pid: Pid(pid),
        managed: false,
        database: DatabaseAddress::new("somewhere"),
        epoch: Epoch(1),
        applied: Some(Offset(9)),
    }
}

fn leader(epoch: u64, master: &str) -> LeaderRecord {
    LeaderRecord::new(Epoch(epoch), NodeId::new(master), LogId::new("history"))
}

fn orchestrator(id: &str) -> OrchestratorId {
    OrchestratorId::new(id)
}

fn has_member(view: &CoordinationView, node: &str) -> bool {
    view.connected && view.members.contains_key(&NodeId::new(node))
}

/// Has the session register all that a session can.
pub(crate) async fn register_all(session: &ZookeeperCoordination) {
    session.join(&member("n1", 1)).await.unwrap();
    session.register(&orchestrator("o1"), &OrchestratorStatus { reads: 3 }).await.unwrap();
    session.set_leader(&leader(7, "n1"), None).await.unwrap();
    assert!(session.lock_controller(&orchestrator("o1")).await.unwrap());
    view_when(session, "all that it registered", |view| {
        has_member(view, "n1") && view.leader.is_some() && view.controller.is_some()
    })
    .await;
}

/// True when everything but the lock is there again.
fn is_back(view: &CoordinationView) -> bool {
    has_member(view, "n1")
        && view.orchestrators.contains_key(&orchestrator("o1"))
        && view.leader.as_ref().is_some_and(|record| record.value == leader(7, "n1"))
}

fn is_unavailable<T>(result: &Result<T, CoordinationError>) -> bool {
    matches!(result, Err(CoordinationError::Unavailable(_)))
}
