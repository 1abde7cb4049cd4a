//! The records that outlive every session, changed by compare-and-set.

use rideshare::domain::events::{Cause, Event, Events, Kind};

use super::*;

async fn leader_when(session: &Session, wanted: &LeaderRecord) -> Version {
    let view = view_when(session, "the leader record", |view| {
        view.leader.as_ref().is_some_and(|record| record.value == *wanted)
    })
    .await;
    version_of(view.leader.as_ref()).expect("it was waited for")
}

async fn scale_when(session: &Session, wanted: ScaleRecord) -> Version {
    let view = view_when(session, "the scale record", |view| {
        view.scale.as_ref().is_some_and(|record| record.value == wanted)
    })
    .await;
    version_of(view.scale.as_ref()).expect("it was waited for")
}

pub(crate) async fn first_leader_record_is_written_once<F: CoordinationFactory>() {
    let service = F::start().await;
    let (first, second) = (service.session().await, service.session().await);
    let unfounded = first.set_leader(&leader(2, "n1"), Some(Version(0))).await;
    assert!(is_conflict(&unfounded), "there is none to change: {unfounded:?}");
    first.set_leader(&leader(1, "n1"), None).await.unwrap();
    for session in [&first, &second] {
        let refused = session.set_leader(&leader(1, "n2"), None).await;
        assert!(is_conflict(&refused), "{refused:?}");
        leader_when(session, &leader(1, "n1")).await;
    }
    service.finish().await;
}

pub(crate) async fn leader_record_is_changed_by_who_knows_its_version<F: CoordinationFactory>() {
    let service = F::start().await;
    let (first, second) = (service.session().await, service.session().await);
    first.set_leader(&leader(1, "n1"), None).await.unwrap();
    let old = leader_when(&second, &leader(1, "n1")).await;
    second.set_leader(&leader(2, "n2"), Some(old)).await.unwrap();
    let refused = first.set_leader(&leader(2, "n3"), Some(old)).await;
    assert!(is_conflict(&refused), "{refused:?}");
    let new = leader_when(&first, &leader(2, "n2")).await;
    assert_ne!(old, new);
    first.set_leader(&leader(3, "n3"), Some(new)).await.unwrap();
    leader_when(&second, &leader(3, "n3")).await;
    service.finish().await;
}

pub(crate) async fn leader_record_of_equal_content_gets_a_new_version<F: CoordinationFactory>() {
    let service = F::start().await;
    let session = service.session().await;
    session.set_leader(&leader(1, "n1"), None).await.unwrap();
    let old = leader_when(&session, &leader(1, "n1")).await;
    session.set_leader(&leader(1, "n1"), Some(old)).await.unwrap();
    let refused = session.set_leader(&leader(2, "n2"), Some(old)).await;
    assert!(is_conflict(&refused), "{refused:?}");
    view_when(&session, "a new version", |view| version_of(view.leader.as_ref()) != Some(old))
        .await;
    service.finish().await;
}

pub(crate) async fn one_of_many_competing_changes_of_the_leader_wins<F: CoordinationFactory>() {
    let service = F::start().await;
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(service.session().await);
    }
    let mut expected = None;
    for epoch in 1..=5 {
        let mut attempts = tokio::task::JoinSet::new();
        for (session, index) in sessions.iter().cloned().zip(0..) {
            attempts.spawn(async move {
                let record = leader(epoch, &format!("n{index}"));
                session.set_leader(&record, expected).await.map(|()| record)
            });
        }
        let (won, lost): (Vec<_>, Vec<_>) =
            attempts.join_all().await.into_iter().partition(Result::is_ok);
        assert_eq!((won.len(), lost.len()), (1, 3), "epoch {epoch}: {won:?} {lost:?}");
        let winner = won.into_iter().next().unwrap().unwrap();
        for result in lost {
            assert!(matches!(result, Err(CoordinationError::Conflict)), "{result:?}");
        }
        for session in &sessions {
            expected = Some(leader_when(session, &winner).await);
        }
    }
    service.finish().await;
}

pub(crate) async fn leader_record_outlives_every_session<F: CoordinationFactory>() {
    let service = F::start().await;
    let first = service.session().await;
    first.set_leader(&leader(1, "n1"), None).await.unwrap();
    first
        .set_scale(&ScaleRecord { slaves: 2, manual: true, ..ScaleRecord::default() }, None)
        .await
        .unwrap();
    first.close().await;
    drop(first);
    let second = service.session().await;
    leader_when(&second, &leader(1, "n1")).await;
    scale_when(&second, ScaleRecord { slaves: 2, manual: true, ..ScaleRecord::default() }).await;
    service.finish().await;
}

pub(crate) async fn first_scale_record_is_written_once<F: CoordinationFactory>() {
    let service = F::start().await;
    let (first, second) = (service.session().await, service.session().await);
    let unfounded = first.set_scale(&scale(1), Some(Version(0))).await;
    assert!(is_conflict(&unfounded), "there is none to change: {unfounded:?}");
    first.set_scale(&scale(1), None).await.unwrap();
    let refused = second.set_scale(&scale(2), None).await;
    assert!(is_conflict(&refused), "{refused:?}");
    scale_when(&second, scale(1)).await;
    service.finish().await;
}

pub(crate) async fn scale_record_is_changed_by_who_knows_its_version<F: CoordinationFactory>() {
    let service = F::start().await;
    let (first, second) = (service.session().await, service.session().await);
    first.set_scale(&scale(1), None).await.unwrap();
    let old = scale_when(&second, scale(1)).await;
    let by_hand = ScaleRecord { slaves: 5, manual: true, ..ScaleRecord::default() };
    second.set_scale(&by_hand, Some(old)).await.unwrap();
    let refused = first.set_scale(&scale(3), Some(old)).await;
    assert!(is_conflict(&refused), "{refused:?}");
    let new = scale_when(&first, by_hand).await;
    assert_ne!(old, new);
    first.set_scale(&scale(3), Some(new)).await.unwrap();
    scale_when(&second, scale(3)).await;
    service.finish().await;
}

pub(crate) async fn events_are_changed_by_who_knows_their_version_and_outlive_every_session<
    F: CoordinationFactory,
>() {
    let service = F::start().await;
    let (first, second) = (service.session().await, service.session().await);
    let one = Events::default().with(&[event(1)]);
    first.set_events(&one, None).await.unwrap();
    let refused = second.set_events(&one, None).await;
    assert!(is_conflict(&refused), "{refused:?}");
    let version = events_when(&second, &one).await;
    let two = one.with(&[event(2)]);
    second.set_events(&two, Some(version)).await.unwrap();
    let refused = first.set_events(&one, Some(version)).await;
    assert!(is_conflict(&refused), "{refused:?}");
    first.set_leader(&leader(1, "n1"), None).await.unwrap();
    for session in [&first, &second] {
        events_when(session, &two).await;
        session.close().await;
    }
    drop((first, second));
    events_when(&service.session().await, &two).await;
    service.finish().await;
}

async fn events_when(session: &Session, wanted: &Events) -> Version {
    let view = view_when(session, "the events", |view| {
        view.events.as_ref().is_some_and(|record| record.value == *wanted)
    })
    .await;
    version_of(view.events.as_ref()).expect("it was waited for")
}

fn event(at_ms: u64) -> Event {
    Event {
        id: 0,
        at_ms,
        kind: Kind::Elected,
        node: Some(NodeId::new("n1")),
        cause: Cause::NoMaster,
        took_ms: Some(3),
        from_epoch: Some(Epoch(1)),
        to_epoch: Some(Epoch(2)),
        slaves: None,
    }
}

pub(crate) async fn records_of_leader_and_scale_are_independent<F: CoordinationFactory>() {
    let service = F::start().await;
    let session = service.session().await;
    session.set_leader(&leader(1, "n1"), None).await.unwrap();
    let version = leader_when(&session, &leader(1, "n1")).await;
    session.set_scale(&scale(1), None).await.unwrap();
    let first = scale_when(&session, scale(1)).await;
    session.set_scale(&scale(2), Some(first)).await.unwrap();
    scale_when(&session, scale(2)).await;
    session.set_leader(&leader(2, "n2"), Some(version)).await.unwrap();
    leader_when(&session, &leader(2, "n2")).await;
    scale_when(&session, scale(2)).await;
    service.finish().await;
}
