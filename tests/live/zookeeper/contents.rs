//! What stands in the znodes: nonsense, other people's data, many entries, many changes.

use zookeeper_async::{Acl, CreateMode, ZkError};

use super::*;
use rideshare::adapters::zookeeper::Credentials;
use rideshare::ports::coordination::{ScaleRecord, Version};

async fn put(client: &ZooKeeper, path: &str, data: &[u8]) {
    let acl = Acl::open_unsafe().clone();
    client.create(path, data.to_vec(), acl, CreateMode::Persistent).await.unwrap();
}

#[tokio::test]
async fn hostile_entries_are_passed_over_and_the_rest_is_seen() {
    let settings = settings(shared_hosts());
    let session = connected(&settings).await;
    let client = plain_client(&settings.hosts).await;
    let root = &settings.root;
    let stolen = serde_json::to_vec(&member("n1", 66)).unwrap();
    let nested = "[".repeat(100_000);
    let large = vec![b'x'; 900_000];
    for (name, data) in [
        ("empty", b"".as_slice()),
        ("binary", &[0xFF, 0x00, 0xC3, 0x28]),
        ("partial", br#"{"node":"partial","#),
        ("other", br#"{"some":"thing"}"#),
        ("nested", nested.as_bytes()),
        ("large", &large),
        ("thief", &stolen),
        ("%zz", br#"{"reads":1}"#),
    ] {
        put(&client, &format!("{root}/worker/{name}"), data).await;
        put(&client, &format!("{root}/orchestrator/{name}"), data).await;
    }
    put(&client, &format!("{root}/scale"), b"{").await;
    put(&client, &format!("{root}/controller"), &[0xFF]).await;

    session.join(&member("n1", 1)).await.unwrap();
    session.register(&orchestrator("o1"), &OrchestratorStatus { reads: 1 }).await.unwrap();
    session.set_leader(&leader(1, "n1"), None).await.unwrap();
    let view = view_when(&session, "the good ones", |view| {
        has_member(view, "n1") && view.leader.is_some() && !view.orchestrators.is_empty()
    })
    .await;
    let late = connected(&settings).await;
    for view in [view, late.view().borrow().clone()] {
        assert_eq!(view.members.into_values().collect::<Vec<_>>(), [member("n1", 1)]);
        assert_eq!(view.orchestrators.into_keys().collect::<Vec<_>>(), [orchestrator("o1")]);
        assert_eq!((view.scale, view.controller), (None, None));
    }
    assert!(!session.lock_controller(&orchestrator("o1")).await.unwrap());

    // What is mended is seen.
    let mended = serde_json::to_vec(&member("large", 3)).unwrap();
    client.set_data(&format!("{root}/worker/large"), mended, None).await.unwrap();
    view_when(&session, "the mended entry", |view| has_member(view, "large")).await;
    finish(&settings, &[&session, &late]).await;
}

#[tokio::test]
async fn unreadable_leader_record_is_not_taken_for_none() {
    let settings = settings(shared_hosts());
    let session = connected(&settings).await;
    session.set_leader(&leader(1, "n1"), None).await.unwrap();
    view_when(&session, "the leader", |view| view.leader.is_some()).await;
    let client = plain_client(&settings.hosts).await;
    let path = format!("{}/leader", settings.root);
    client.set_data(&path, b"nonsense".to_vec(), None).await.unwrap();
    let view = view_when(&session, "the doubt", |view| !view.connected).await;
    assert!(view.leader.is_some(), "it shows what was last known");
    assert!(matches!(
        session.set_leader(&leader(2, "n2"), None).await,
        Err(CoordinationError::Conflict)
    ));

    let late = open(&settings);
    late.join(&member("n1", 1)).await.unwrap();
    assert!(!late.view().borrow().connected);

    client.set_data(&path, serde_json::to_vec(&leader(3, "n3")).unwrap(), None).await.unwrap();
    for session in [&session, &late] {
        let view = view_when(session, "the mended record", |view| view.connected).await;
        assert_eq!(view.leader.map(|record| record.value), Some(leader(3, "n3")));
    }
    finish(&settings, &[&session, &late]).await;
}

#[tokio::test]
async fn versions_that_no_record_can_have_are_conflicts() {
    let settings = settings(shared_hosts());
    let session = connected(&settings).await;
    session.set_leader(&leader(1, "n1"), None).await.unwrap();
    for version in [-1, i64::from(i32::MIN), i64::from(i32::MAX) + 1, i64::MAX] {
        let refused = session.set_leader(&leader(2, "n2"), Some(Version(version))).await;
        assert!(matches!(refused, Err(CoordinationError::Conflict)), "{version}: {refused:?}");
    }
    finish(&settings, &[&session]).await;
}

#[tokio::test]
async fn contended_leader_record_counts_every_success_once() {
    let settings = settings(shared_hosts());
    let sessions = [connected(&settings).await, connected(&settings).await];
    sessions[0].set_leader(&leader(0, "n0"), None).await.unwrap();
    let mut contenders = tokio::task::JoinSet::new();
    for session in sessions.clone() {
        contenders.spawn(async move {
            let mut won = 0;
            let until = Instant::now() + Duration::from_secs(2);
            while Instant::now() < until {
                let view = view_when(&session, "a leader", |view| view.leader.is_some()).await;
                let current = view.leader.expect("it was waited for");
                let next = leader(current.value.epoch.0 + 1, "n1");
                match session.set_leader(&next, Some(current.version)).await {
                    Ok(()) => won += 1,
                    Err(CoordinationError::Conflict) => {}
                    Err(error) => panic!("{error:?}"),
                }
                view_when(&session, "the change", |view| {
                    view.leader.as_ref().is_some_and(|record| record.version != current.version)
                })
                .await;
            }
            won
        });
    }
    let won: u64 = contenders.join_all().await.into_iter().sum();
    assert!(won > 20, "{won}");
    view_when(&sessions[0], "all successes", |view| {
        view.leader.as_ref().is_some_and(|record| record.value.epoch == Epoch(won))
    })
    .await;
    finish(&settings, &[&sessions[0], &sessions[1]]).await;
}

#[tokio::test]
async fn many_members_are_seen_whole_and_often_changed_ones_at_their_newest() {
    let settings = settings(shared_hosts());
    let session = connected(&settings).await;
    let mut joins = tokio::task::JoinSet::new();
    for index in 0..300 {
        let session = session.clone();
        joins.spawn(async move { session.join(&member(&format!("n{index}"), index)).await });
    }
    for joined in joins.join_all().await {
        joined.unwrap();
    }
    view_when(&session, "all members", |view| view.members.len() == 300).await;
    let late = connected(&settings).await;
    assert_eq!(late.view().borrow().members.len(), 300);

    // Nobody waits for the single changes: the newest counts.
    let mut joins = tokio::task::JoinSet::new();
    for pid in 0..1_000 {
        let session = session.clone();
        joins.spawn(async move { session.join(&member("busy", pid)).await });
    }
    for joined in joins.join_all().await {
        joined.unwrap();
    }
    session.join(&member("busy", 1_000)).await.unwrap();
    view_when(&late, "the newest", |view| {
        view.members.get(&NodeId::new("busy")) == Some(&member("busy", 1_000))
    })
    .await;
    finish(&settings, &[&session, &late]).await;
}

#[tokio::test]
async fn own_entry_that_somebody_deleted_is_put_back() {
    let settings = settings(shared_hosts());
    let session = connected(&settings).await;
    session.join(&member("n1", 1)).await.unwrap();
    let client = plain_client(&settings.hosts).await;
    let path = format!("{}/worker/n1", settings.root);
    let old = client.exists(&path, false).await.unwrap().expect("it joined");
    client.delete(&path, None).await.unwrap();
    let back = timeout(BOUND, async {
        loop {
            match client.exists(&path, false).await.unwrap() {
                Some(stat) => break stat,
                None => tokio::task::yield_now().await,
            }
        }
    });
    assert_ne!(back.await.unwrap().czxid, old.czxid);
    view_when(&session, "the member", |view| has_member(view, "n1")).await;
    finish(&settings, &[&session]).await;
}

#[tokio::test]
async fn refused_entry_does_not_keep_others_out() {
    let settings = settings(shared_hosts());
    let session = connected(&settings).await;
    let client = plain_client(&settings.hosts).await;
    let path = format!("{}/worker/n1", settings.root);
    put(&client, &path, b"a folder").await;
    put(&client, &format!("{path}/file"), b"").await;
    assert!(is_unavailable(&session.join(&member("n1", 1)).await));
    session.join(&member("n2", 2)).await.unwrap();
    view_when(&session, "the other", |view| has_member(view, "n2")).await;
    client.delete(&format!("{path}/file"), None).await.unwrap();
    view_when(&session, "the entry", |view| has_member(view, "n1")).await;
    finish(&settings, &[&session]).await;
}

#[tokio::test]
async fn removed_tree_is_built_again() {
    let settings = settings(shared_hosts());
    let session = connected(&settings).await;
    plain_client(&settings.hosts).await.delete_recursive(&settings.root).await.unwrap();
    session.join(&member("n1", 1)).await.unwrap();
    view_when(&session, "the member", |view| has_member(view, "n1")).await;
    finish(&settings, &[&session]).await;
}

#[tokio::test]
async fn two_handles_with_one_name_do_not_fight_over_it() {
    let settings = settings(shared_hosts());
    let (earlier, later) = (connected(&settings).await, connected(&settings).await);
    for round in 0..20 {
        earlier.join(&member("n1", 2 * round)).await.unwrap();
        later.join(&member("n1", 2 * round + 1)).await.unwrap();
        let newest = member("n1", 2 * round + 1);
        for session in [&earlier, &later] {
            view_when(session, "the later", |view| view.members.values().eq([&newest])).await;
        }
        let mut view = later.view();
        let unwanted = view.wait_for(|view| !view.members.values().eq([&newest]));
        assert!(timeout(Duration::from_millis(50), unwanted).await.is_err());
    }
    finish(&settings, &[&earlier, &later]).await;
}

#[tokio::test]
async fn with_credentials_only_their_owner_gets_in() {
    let user = || Some(Credentials::new("rideshare:secret"));
    let settings = ZookeeperSettings { credentials: user(), ..settings(shared_hosts()) };
    let session = connected(&settings).await;
    register_all(&session).await;
    session
        .set_scale(&ScaleRecord { slaves: 2, manual: false, ..ScaleRecord::default() }, None)
        .await
        .unwrap();
    let other = connected(&settings).await;
    view_when(&other, "the entries", is_back).await;

    let stranger = plain_client(&settings.hosts).await;
    for path in ["", "/leader", "/worker/n1", "/orchestrator/o1", "/controller", "/scale"] {
        let path = format!("{}{path}", settings.root);
        assert_eq!(stranger.get_data(&path, false).await.unwrap_err(), ZkError::NoAuth, "{path}");
    }
    let wrong = Some(Credentials::new("rideshare:wrong"));
    let intruder = open(&ZookeeperSettings { credentials: wrong, ..settings.clone() });
    assert!(is_unavailable(&intruder.set_leader(&leader(9, "x"), None).await));
    assert!(!intruder.view().borrow().connected);

    stranger.add_auth("digest", b"rideshare:secret".to_vec()).await.unwrap();
    session.close().await;
    other.close().await;
    stranger.delete_recursive(&settings.root).await.unwrap();
}

#[tokio::test]
async fn authentication_is_repeated_after_every_broken_connection() {
    let mut settings = settings(shared_hosts());
    settings.credentials = Some(Credentials::new("rideshare:secret"));
    let proxy = crate::proxy::Proxy::start(settings.hosts.parse().unwrap()).await;
    let direct = settings.clone();
    settings.hosts = proxy.address().to_string();
    let session = connected(&settings).await;
    register_all(&session).await;
    let mut view = session.view();
    view.mark_unchanged();
    proxy.reset_once();
    timeout(BOUND, view.changed()).await.unwrap().unwrap();
    view_when(&session, "everything", is_back).await;
    session.join(&member("n1", 5)).await.unwrap();
    session.close().await;
    let cleaner = plain_client(&direct.hosts).await;
    cleaner.add_auth("digest", b"rideshare:secret".to_vec()).await.unwrap();
    cleaner.delete_recursive(&direct.root).await.unwrap();
}
