//! What the suite cannot ask of a real server: sessions that are cut off, and the file.

use futures_util::FutureExt;
use tokio::time::Instant;

use super::*;
use crate::domain::ids::{DatabaseAddress, Epoch, LogId, NodeId, Pid};
use crate::domain::message::Role;

const TIMEOUT: Duration = Duration::from_secs(6);

fn member(node: &str, pid: u32) -> Member {
    Member {
        node: NodeId::new(node),
        role: Role::Slave,
        pid: Pid(pid),
        managed: true,
        database: DatabaseAddress::new("database"),
        epoch: Epoch(0),
        applied: None,
    }
}

fn leader(epoch: u64) -> LeaderRecord {
    LeaderRecord::new(Epoch(epoch), NodeId::new("n1"), LogId::new("history"))
}

async fn register_all(session: &MemorySession) -> OrchestratorId {
    let id = OrchestratorId::new("o1");
    session.join(&member("n1", 1)).await.unwrap();
    session.register(&id, &OrchestratorStatus { reads: 3 }).await.unwrap();
    assert!(session.lock_controller(&id).await.unwrap());
    id
}

#[tokio::test(start_paused = true)]
async fn session_that_is_cut_sees_its_last_view_and_gets_nothing_done() {
    let service = MemoryCoordination::new(TIMEOUT);
    let (cut, other) = (service.session(), service.session());
    let id = register_all(&cut).await;
    let before = cut.view().borrow().clone();
    let mut view = cut.view();
    view.mark_unchanged();
    service.cut(cut.id());
    assert!(view.has_changed().unwrap());
    other.join(&member("n2", 2)).await.unwrap();
    assert_eq!(*cut.view().borrow(), CoordinationView { connected: false, ..before });

    let results = [
        cut.join(&member("n1", 9)).await,
        cut.register(&id, &OrchestratorStatus::default()).await,
        cut.lock_controller(&id).await.map(|_| ()),
        cut.set_leader(&leader(1), None).await,
        cut.set_scale(&ScaleRecord { slaves: 1, manual: false, ..ScaleRecord::default() }, None)
            .await,
    ];
    for result in results {
        assert!(matches!(result, Err(CoordinationError::Unavailable(_))), "{result:?}");
    }
    let view = other.view().borrow().clone();
    assert_eq!(view.members[&NodeId::new("n1")], member("n1", 1));
    assert_eq!((view.leader, view.scale), (None, None));
}

#[tokio::test(start_paused = true)]
async fn session_that_is_healed_in_time_loses_nothing() {
    let service = MemoryCoordination::new(TIMEOUT);
    let (cut, other) = (service.session(), service.session());
    register_all(&cut).await;
    let before = other.view().borrow().clone();
    for _ in 0..3 {
        service.cut(cut.id());
        service.cut(cut.id());
        sleep(TIMEOUT - Duration::from_millis(10)).await;
        service.heal(cut.id());
        service.heal(cut.id());
    }
    sleep(2 * TIMEOUT).await;
    assert_eq!(*other.view().borrow(), before);
    assert_eq!(*cut.view().borrow(), before);
}

#[tokio::test(start_paused = true)]
async fn session_that_is_healed_late_registers_again_but_does_not_take_the_lock() {
    let service = MemoryCoordination::new(TIMEOUT);
    let (cut, other) = (service.session(), service.session());
    let id = register_all(&cut).await;
    let cut_at = Instant::now();
    service.cut(cut.id());
    other.view().wait_for(|view| view.members.is_empty()).await.unwrap();
    assert_eq!(cut_at.elapsed(), TIMEOUT);
    let view = other.view().borrow().clone();
    assert!(view.orchestrators.is_empty() && view.controller.is_none());
    assert!(!cut.view().borrow().members.is_empty(), "it keeps its last view");

    service.heal(cut.id());
    for session in [&cut, &other] {
        let view = session.view().borrow().clone();
        assert!(view.connected && view.controller.is_none());
        assert_eq!(view.members[&NodeId::new("n1")], member("n1", 1));
        assert_eq!(view.orchestrators[&id], OrchestratorStatus { reads: 3 });
    }
    assert!(cut.lock_controller(&id).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn process_that_dies_while_cut_vanishes_for_good() {
    let service = MemoryCoordination::new(TIMEOUT);
    let (cut, other) = (service.session(), service.session());
    register_all(&cut).await;
    let id = cut.id();
    service.cut(id);
    sleep(TIMEOUT / 2).await;
    cut.close().await;
    drop(cut);
    service.heal(id);
    assert!(!other.view().borrow().members.is_empty());
    sleep(TIMEOUT / 2).await;
    other.view().wait_for(|view| view.members.is_empty()).await.unwrap();
    service.heal(id);
    sleep(2 * TIMEOUT).await;
    assert!(other.view().borrow().members.is_empty());
    assert_eq!(lock(&service.service.state).link(id), None);
    assert!(lock(&service.service.timers).is_empty());
}

#[tokio::test(start_paused = true)]
async fn closed_session_gets_nothing_done_and_is_forgotten_when_dropped() {
    let service = MemoryCoordination::new(TIMEOUT);
    let (closed, other) = (service.session(), service.session());
    register_all(&closed).await;
    closed.close().await;
    closed.close().await;
    assert!(other.view().borrow().members.is_empty());
    assert!(!closed.view().borrow().connected);
    assert!(closed.join(&member("n1", 1)).await.is_err());
    let id = closed.id();
    drop(closed);
    assert_eq!(lock(&service.service.state).link(id), None);
    assert!(lock(&service.service.timers).is_empty());
}

#[tokio::test]
async fn records_outlive_the_process_and_entries_do_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("coordination.json");
    let scale = ScaleRecord { slaves: 4, manual: true, ..ScaleRecord::default() };
    let version = {
        let service = MemoryCoordination::open(TIMEOUT, &path).await.unwrap();
        let session = service.session();
        register_all(&session).await;
        session.set_leader(&leader(1), None).await.unwrap();
        session.set_leader(&leader(2), Some(Version(0))).await.unwrap();
        session.set_scale(&scale, None).await.unwrap();
        session.view().borrow().leader.clone().unwrap().version
    };
    let service = MemoryCoordination::open(TIMEOUT, &path).await.unwrap();
    let session = service.session();
    let view = session.view().borrow().clone();
    assert!(view.members.is_empty() && view.controller.is_none());
    assert_eq!(view.scale.unwrap().value, scale);
    assert_eq!(view.leader.unwrap().value, leader(2));
    session.set_leader(&leader(3), Some(version)).await.unwrap();
    let refused = session.set_leader(&leader(4), Some(version)).await;
    assert!(matches!(refused, Err(CoordinationError::Conflict)), "{refused:?}");
}

#[tokio::test]
async fn record_that_cannot_be_saved_is_not_seen() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gone").join("coordination.json");
    let service = MemoryCoordination::open(TIMEOUT, &path).await.unwrap();
    let session = service.session();
    let failed = session.set_leader(&leader(1), None).await;
    assert!(matches!(failed, Err(CoordinationError::Unavailable(_))), "{failed:?}");
    assert_eq!(session.view().borrow().leader, None);
    std::fs::create_dir(directory.path().join("gone")).unwrap();
    session.set_leader(&leader(1), None).await.unwrap();
    assert!(session.view().borrow().leader.is_some());
}

#[tokio::test]
async fn caller_that_gives_up_leaves_disk_and_view_in_agreement() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("coordination.json");
    let service = MemoryCoordination::open(TIMEOUT, &path).await.unwrap();
    let session = service.session();
    let mut view = session.view();
    let given_up = session.set_leader(&leader(1), None).now_or_never();
    assert!(given_up.is_none(), "nothing else has run yet on this thread");
    let seen = view.wait_for(|view| view.leader.is_some()).await.unwrap().leader.clone();
    let stored = MemoryCoordination::open(TIMEOUT, &path).await.unwrap();
    assert_eq!(stored.session().view().borrow().leader, seen);
}

#[tokio::test]
async fn file_that_holds_something_else_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("coordination.json");
    std::fs::write(&path, "{\"members\":[]}").unwrap();
    let refused = MemoryCoordination::open(TIMEOUT, &path).await;
    assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidData);
}
