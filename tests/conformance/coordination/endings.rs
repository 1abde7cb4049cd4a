//! What becomes of entries when their session ends.

use super::*;

/// Registers everything that vanishes with its session, and waits until `other` sees it.
async fn register_all(session: &Session, other: &Session) {
    session.join(&member("n1", 1)).await.unwrap();
    session.register(&orchestrator("o1"), &OrchestratorStatus { reads: 1 }).await.unwrap();
    assert!(session.lock_controller(&orchestrator("o1")).await.unwrap());
    view_when(other, "all that was registered", |view| {
        view.members.len() == 1 && view.orchestrators.len() == 1 && view.controller.is_some()
    })
    .await;
}

fn shows_nobody(view: &CoordinationView) -> bool {
    view.members.is_empty() && view.orchestrators.is_empty() && view.controller.is_none()
}

pub(crate) async fn closing_takes_away_at_once_what_the_session_registered<
    F: CoordinationFactory,
>() {
    let service = F::start().await;
    let (closed, other) = (service.session().await, service.session().await);
    register_all(&closed, &other).await;
    let closed_at = Instant::now();
    closed.close().await;
    // "At once" is sooner than what an expiry takes at least.
    let at_once = F::EXPIRY_BOUND / 4;
    view_within(at_once, &other, "nobody", shows_nobody).await;
    assert!(closed_at.elapsed() < at_once);
    service.finish().await;
}

pub(crate) async fn dying_takes_away_what_the_session_registered<F: CoordinationFactory>() {
    let service = F::start().await;
    let (dying, other) = (service.session().await, service.session().await);
    register_all(&dying, &other).await;
    drop(dying);
    view_within(F::EXPIRY_BOUND, &other, "nobody", shows_nobody).await;
    service.finish().await;
}

pub(crate) async fn healthy_session_keeps_what_it_registered<F: CoordinationFactory>() {
    let service = F::start().await;
    let (healthy, other) = (service.session().await, service.session().await);
    register_all(&healthy, &other).await;
    stays::<F>(&other, "what a healthy session registered", |view| {
        view.members.len() == 1 && view.orchestrators.len() == 1 && view.controller.is_some()
    })
    .await;
    service.finish().await;
}

pub(crate) async fn members_entry_of_an_earlier_session_is_replaced_and_outlives_it<
    F: CoordinationFactory,
>() {
    let service = F::start().await;
    let (earlier, later) = (service.session().await, service.session().await);
    let other = service.session().await;
    earlier.join(&member("n1", 1)).await.unwrap();
    pid_when(&other, "n1", 1).await;
    drop(earlier);
    timeout(F::EXPIRY_BOUND / 4, later.join(&member("n1", 2))).await.expect("waited").unwrap();
    pid_when(&other, "n1", 2).await;
    stays::<F>(&other, "the later session's entry", |view| {
        view.members.get(&NodeId::new("n1")) == Some(&member("n1", 2))
    })
    .await;
    service.finish().await;
}

pub(crate) async fn orchestrators_entry_of_an_earlier_session_is_replaced_and_outlives_it<
    F: CoordinationFactory,
>() {
    let service = F::start().await;
    let (earlier, later) = (service.session().await, service.session().await);
    let other = service.session().await;
    let id = orchestrator("o1");
    earlier.register(&id, &OrchestratorStatus { reads: 1 }).await.unwrap();
    drop(earlier);
    let status = OrchestratorStatus { reads: 2 };
    timeout(F::EXPIRY_BOUND / 4, later.register(&id, &status)).await.expect("waited").unwrap();
    let is_replaced = |view: &CoordinationView| view.orchestrators.get(&id) == Some(&status);
    view_when(&other, "the later session's entry", is_replaced).await;
    stays::<F>(&other, "the later session's entry", is_replaced).await;
    service.finish().await;
}

pub(crate) async fn closing_an_earlier_session_leaves_the_entry_of_the_later_one<
    F: CoordinationFactory,
>() {
    let service = F::start().await;
    let (earlier, later) = (service.session().await, service.session().await);
    let other = service.session().await;
    earlier.join(&member("n1", 1)).await.unwrap();
    earlier.register(&orchestrator("o1"), &OrchestratorStatus { reads: 1 }).await.unwrap();
    later.join(&member("n1", 2)).await.unwrap();
    later.register(&orchestrator("o1"), &OrchestratorStatus { reads: 2 }).await.unwrap();
    earlier.close().await;
    // A later change is seen, so the effects of closing would be seen too.
    other.join(&member("marker", 3)).await.unwrap();
    let view = view_when(&other, "the marker", |view| {
        view.members.contains_key(&NodeId::new("marker"))
            && view.orchestrators.values().any(|status| status.reads == 2)
            && view.members.values().any(|member| member.pid == Pid(2))
    })
    .await;
    assert_eq!(view.members[&NodeId::new("n1")], member("n1", 2));
    assert_eq!(view.orchestrators[&orchestrator("o1")], OrchestratorStatus { reads: 2 });
    service.finish().await;
}
