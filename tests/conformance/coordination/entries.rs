//! Workers and orchestrators register, and everyone sees them.

use super::*;

pub(crate) async fn new_service_is_empty_and_connected<F: CoordinationFactory>() {
    let service = F::start().await;
    let session = service.session().await;
    let view = view_when(&session, "a connection", |view| view.connected).await;
    assert_eq!(view, CoordinationView { connected: true, ..CoordinationView::default() });
    service.finish().await;
}

pub(crate) async fn member_is_seen_by_every_session_whole<F: CoordinationFactory>() {
    let service = F::start().await;
    let (first, second) = (service.session().await, service.session().await);
    let joined = Member { role: Role::Joining, applied: None, ..member("n1", 11) };
    first.join(&joined).await.unwrap();
    second.join(&member("n2", 12)).await.unwrap();
    for session in [&first, &second] {
        let view = view_when(session, "both members", |view| view.members.len() == 2).await;
        assert_eq!(view.members[&NodeId::new("n1")], joined);
        assert_eq!(view.members[&NodeId::new("n2")], member("n2", 12));
    }
    service.finish().await;
}

pub(crate) async fn joining_again_replaces_the_entry<F: CoordinationFactory>() {
    let service = F::start().await;
    let (first, second) = (service.session().await, service.session().await);
    first.join(&member("n1", 1)).await.unwrap();
    first.join(&member("n1", 1)).await.unwrap();
    let promoted = Member { role: Role::Master, epoch: Epoch(5), ..member("n1", 1) };
    first.join(&promoted).await.unwrap();
    for session in [&first, &second] {
        let is_master = |view: &CoordinationView| {
            view.members.values().any(|member| member.role == Role::Master)
        };
        let view = view_when(session, "the master", is_master).await;
        assert!(view.members.values().eq([&promoted]), "{view:?}");
    }
    service.finish().await;
}

pub(crate) async fn orchestrator_is_seen_by_every_session<F: CoordinationFactory>() {
    let service = F::start().await;
    let (first, second) = (service.session().await, service.session().await);
    let status = OrchestratorStatus { reads: 41 };
    first.register(&orchestrator("o1"), &status).await.unwrap();
    for session in [&first, &second] {
        let view = view_when(session, "o1", |view| !view.orchestrators.is_empty()).await;
        assert_eq!(view.orchestrators[&orchestrator("o1")], status);
    }
    service.finish().await;
}

pub(crate) async fn registering_again_replaces_the_entry<F: CoordinationFactory>() {
    let service = F::start().await;
    let (first, second) = (service.session().await, service.session().await);
    for reads in [0, 0, 5, 9] {
        first.register(&orchestrator("o1"), &OrchestratorStatus { reads }).await.unwrap();
    }
    for session in [&first, &second] {
        view_when(session, "nine reads", |view| {
            view.orchestrators.get(&orchestrator("o1")) == Some(&OrchestratorStatus { reads: 9 })
        })
        .await;
    }
    service.finish().await;
}

pub(crate) async fn session_that_comes_late_sees_everything<F: CoordinationFactory>() {
    let service = F::start().await;
    let first = service.session().await;
    first.join(&member("n1", 1)).await.unwrap();
    first.register(&orchestrator("o1"), &OrchestratorStatus::default()).await.unwrap();
    assert!(first.lock_controller(&orchestrator("o1")).await.unwrap());
    first.set_leader(&leader(1, "n1"), None).await.unwrap();
    first.set_scale(&scale(3), None).await.unwrap();

    let late = service.session().await;
    let complete = |view: &CoordinationView| {
        view.connected
            && view.members.contains_key(&NodeId::new("n1"))
            && view.orchestrators.contains_key(&orchestrator("o1"))
            && view.controller == Some(orchestrator("o1"))
            && view.leader.as_ref().is_some_and(|record| record.value == leader(1, "n1"))
            && view.scale.as_ref().is_some_and(|record| record.value == scale(3))
    };
    view_when(&late, "everything", complete).await;
    service.finish().await;
}

pub(crate) async fn every_change_wakes_the_view<F: CoordinationFactory>() {
    let service = F::start().await;
    let (acting, watching) = (service.session().await, service.session().await);
    view_when(&watching, "a connection", |view| view.connected).await;
    for pid in 1..=10 {
        acting.join(&member("n1", pid)).await.unwrap();
        pid_when(&watching, "n1", pid).await;
    }
    service.finish().await;
}

pub(crate) async fn views_converge<F: CoordinationFactory>() {
    let service = F::start().await;
    let mut sessions = Vec::new();
    for index in 0..4 {
        let session = service.session().await;
        session.join(&member(&format!("n{index}"), index)).await.unwrap();
        let status = OrchestratorStatus { reads: u64::from(index) };
        session.register(&orchestrator(&format!("o{index}")), &status).await.unwrap();
        sessions.push(session);
    }
    sessions[0].set_leader(&leader(1, "n1"), None).await.unwrap();
    assert!(sessions[1].lock_controller(&orchestrator("o1")).await.unwrap());
    sessions[2].set_scale(&scale(3), None).await.unwrap();
    let gone = sessions.pop().unwrap();
    gone.close().await;

    let mut views = Vec::new();
    for session in &sessions {
        let complete = |view: &CoordinationView| {
            view.members.len() == 3
                && view.orchestrators.len() == 3
                && view.leader.is_some()
                && view.controller.is_some()
                && view.scale.is_some()
        };
        views.push(view_when(session, "three of everything", complete).await);
    }
    assert!(views.iter().all(|view| *view == views[0]), "{views:#?}");
    service.finish().await;
}
