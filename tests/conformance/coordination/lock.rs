//! The controller's lock.

use super::*;

pub(crate) async fn lock_is_exclusive_and_seen<F: CoordinationFactory>() {
    let service = F::start().await;
    let (first, second) = (service.session().await, service.session().await);
    assert!(first.lock_controller(&orchestrator("o1")).await.unwrap());
    assert!(!second.lock_controller(&orchestrator("o2")).await.unwrap());
    assert!(first.lock_controller(&orchestrator("o1")).await.unwrap(), "it still holds it");
    assert!(!second.lock_controller(&orchestrator("o2")).await.unwrap());
    for session in [&first, &second] {
        view_when(session, "o1 in control", |view| view.controller == Some(orchestrator("o1")))
            .await;
    }
    service.finish().await;
}

pub(crate) async fn one_of_many_competing_sessions_gets_the_lock<F: CoordinationFactory>() {
    let service = F::start().await;
    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.push(service.session().await);
    }
    let mut attempts = tokio::task::JoinSet::new();
    for (session, index) in sessions.iter().cloned().zip(0..) {
        let id = orchestrator(&format!("o{index}"));
        attempts.spawn(async move { (session.lock_controller(&id).await.unwrap(), id) });
    }
    let mut holders = attempts.join_all().await;
    holders.retain(|(holds, _)| *holds);
    let [(_, holder)] = holders.as_slice() else { panic!("not one holder: {holders:?}") };
    for session in &sessions {
        view_when(session, "the holder", |view| view.controller.as_ref() == Some(holder)).await;
    }
    service.finish().await;
}

pub(crate) async fn lock_is_released_by_close<F: CoordinationFactory>() {
    let service = F::start().await;
    let (first, second) = (service.session().await, service.session().await);
    assert!(first.lock_controller(&orchestrator("o1")).await.unwrap());
    view_when(&second, "o1 in control", |view| view.controller.is_some()).await;
    first.close().await;
    view_within(F::EXPIRY_BOUND / 4, &second, "a free lock", |view| view.controller.is_none())
        .await;
    assert!(second.lock_controller(&orchestrator("o2")).await.unwrap());
    view_when(&second, "o2 in control", |view| view.controller == Some(orchestrator("o2"))).await;
    service.finish().await;
}

pub(crate) async fn lock_is_released_by_death<F: CoordinationFactory>() {
    let service = F::start().await;
    let (first, second) = (service.session().await, service.session().await);
    assert!(first.lock_controller(&orchestrator("o1")).await.unwrap());
    view_when(&second, "o1 in control", |view| view.controller.is_some()).await;
    drop(first);
    view_within(F::EXPIRY_BOUND, &second, "a free lock", |view| view.controller.is_none()).await;
    assert!(second.lock_controller(&orchestrator("o2")).await.unwrap());
    service.finish().await;
}

pub(crate) async fn lock_of_a_healthy_session_stays<F: CoordinationFactory>() {
    let service = F::start().await;
    let (holder, other) = (service.session().await, service.session().await);
    let third = service.session().await;
    assert!(holder.lock_controller(&orchestrator("o1")).await.unwrap());
    let holds = |view: &CoordinationView| view.controller == Some(orchestrator("o1"));
    view_when(&other, "o1 in control", holds).await;
    drop(third);
    stays::<F>(&other, "the lock", holds).await;
    assert!(!other.lock_controller(&orchestrator("o2")).await.unwrap());
    service.finish().await;
}
