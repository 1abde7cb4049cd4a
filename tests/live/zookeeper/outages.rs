//! The server is not there, not there yet, not there any more, or does not say anything.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::proxy::Proxy;
use crate::zookeeper_server::Server;

/// How long the session is left alone to be sure that it has expired.
const EXPIRED: Duration = Duration::from_secs(5);

/// A session through a proxy to the shared server, and one beside it that sees the truth.
struct Cuttable {
    proxy: Proxy,
    session: Arc<ZookeeperCoordination>,
    witness: Arc<ZookeeperCoordination>,
    direct: ZookeeperSettings,
}

impl Cuttable {
    async fn start() -> Self {
        let direct = settings(shared_hosts());
        let target = direct.hosts.parse().expect("the shared server has a numeric address");
        let proxy = Proxy::start(target).await;
        let through = ZookeeperSettings { hosts: proxy.address().to_string(), ..direct.clone() };
        let session = connected(&through).await;
        register_all(&session).await;
        let witness = connected(&direct).await;
        view_when(&witness, "the entries", is_back).await;
        Self { proxy, session, witness, direct }
    }

    async fn finish(self) {
        finish(&self.direct, &[&self.session, &self.witness]).await;
    }
}

#[tokio::test]
async fn session_resumes_when_the_server_was_killed_for_a_moment() {
    let server = Server::start().await;
    let settings = settings(server.address());
    let (session, other) = (connected(&settings).await, connected(&settings).await);
    register_all(&session).await;
    server.kill().await;
    for session in [&session, &other] {
        let view = view_when(session, "the loss", |view| !view.connected).await;
        assert!(view.leader.is_some(), "it shows what was last known");
    }
    server.start_again().await;
    for session in [&session, &other] {
        view_when(session, "everything", is_back).await;
    }
    let view = view_when(&other, "a leader", |view| view.leader.is_some()).await;
    let version = view.leader.map(|record| record.version);
    other.set_leader(&leader(8, "n2"), version).await.unwrap();
    view_when(&session, "a change", |view| {
        view.leader.as_ref().is_some_and(|record| record.value == leader(8, "n2"))
    })
    .await;
}

#[tokio::test]
async fn registrations_come_back_when_the_server_was_dead_for_long() {
    let server = Server::start().await;
    let settings = settings(server.address());
    let session = connected(&settings).await;
    register_all(&session).await;
    server.kill().await;
    view_when(&session, "the loss", |view| !view.connected).await;
    let called = Instant::now();
    assert!(is_unavailable(&session.set_leader(&leader(8, "n1"), None).await));
    assert!(called.elapsed() < Duration::from_secs(3), "{:?}", called.elapsed());
    // Longer than the session, and than the patience with one client.
    tokio::time::sleep(EXPIRED).await;
    server.start_again().await;
    view_when(&session, "everything", is_back).await;
}

#[tokio::test]
async fn connecting_starts_before_the_server_does() {
    let server = Server::absent();
    let settings = settings(server.address());
    let session = open(&settings);
    let called = Instant::now();
    assert!(is_unavailable(&session.join(&member("n1", 1)).await));
    assert!(is_unavailable(&session.lock_controller(&orchestrator("o1")).await));
    assert!(called.elapsed() < Duration::from_secs(5), "{:?}", called.elapsed());
    assert!(!session.view().borrow().connected);
    server.start_again().await;
    // The entry that was wanted in vain is still wanted.
    view_when(&session, "the member", |view| has_member(view, "n1")).await;
}

#[tokio::test]
async fn halted_server_is_noticed_within_the_session_timeout_and_resumed() {
    let server = Server::start().await;
    let settings = settings(server.address());
    let session = connected(&settings).await;
    register_all(&session).await;
    for pause in [Duration::ZERO, EXPIRED] {
        server.halt().await;
        let halted = Instant::now();
        view_when(&session, "the loss", |view| !view.connected).await;
        assert!(halted.elapsed() < SESSION + Duration::from_millis(500), "{:?}", halted.elapsed());
        tokio::time::sleep(pause).await;
        server.go_on().await;
        view_when(&session, "everything", is_back).await;
    }
}

#[tokio::test]
async fn member_is_back_and_the_lock_is_not_after_the_session_expired() {
    let parts = Cuttable::start().await;
    parts.proxy.black_hole();
    view_when(&parts.session, "the loss", |view| !view.connected).await;
    view_when(&parts.witness, "nobody", |view| {
        view.members.is_empty() && view.orchestrators.is_empty() && view.controller.is_none()
    })
    .await;
    assert!(is_unavailable(&parts.session.lock_controller(&orchestrator("o1")).await));
    parts.proxy.heal();
    for session in [&parts.session, &parts.witness] {
        let view = view_when(session, "everything", is_back).await;
        assert_eq!(view.controller, None);
    }
    assert!(parts.witness.lock_controller(&orchestrator("o2")).await.unwrap());
    assert!(!parts.session.lock_controller(&orchestrator("o1")).await.unwrap());
    parts.finish().await;
}

#[tokio::test]
async fn long_silence_is_survived_by_a_new_client() {
    let parts = Cuttable::start().await;
    parts.proxy.black_hole();
    view_when(&parts.witness, "nobody", |view| view.members.is_empty()).await;
    tokio::time::sleep(SESSION * 4).await;
    parts.session.join(&member("n1", 2)).await.unwrap_err();
    parts.proxy.heal();
    view_when(&parts.witness, "the newest entry", |view| {
        view.members.get(&NodeId::new("n1")) == Some(&member("n1", 2))
    })
    .await;
    parts.finish().await;
}

#[tokio::test]
async fn broken_connection_costs_neither_session_nor_lock() {
    let parts = Cuttable::start().await;
    let mut witnessed = parts.witness.view();
    witnessed.mark_unchanged();
    for _ in 0..3 {
        let mut view = parts.session.view();
        view.mark_unchanged();
        parts.proxy.reset_once();
        timeout(BOUND, view.changed()).await.unwrap().unwrap();
        let view = view_when(&parts.session, "everything", is_back).await;
        assert_eq!(view.controller, Some(orchestrator("o1")));
    }
    assert!(parts.session.lock_controller(&orchestrator("o1")).await.unwrap());
    let view = parts.witness.view();
    let view = view.borrow();
    assert_eq!((view.members.len(), &view.controller), (1, &Some(orchestrator("o1"))));
    drop(view);
    parts.finish().await;
}

#[tokio::test]
async fn server_that_hangs_up_at_once_is_not_stormed() {
    let parts = Cuttable::start().await;
    parts.proxy.hang_up();
    view_when(&parts.session, "the loss", |view| !view.connected).await;
    let before = parts.proxy.accepted();
    tokio::time::sleep(SESSION * 3).await;
    let attempts = parts.proxy.accepted() - before;
    assert!((2..600).contains(&attempts), "{attempts} attempts in {:?}", SESSION * 3);
    parts.proxy.heal();
    view_when(&parts.session, "everything", is_back).await;
    parts.finish().await;
}

#[tokio::test]
async fn session_of_a_dropped_handle_ends_though_the_process_lives() {
    let parts = Cuttable::start().await;
    let view = parts.session.view();
    drop(parts.session);
    assert!(!view.borrow().connected);
    view_when(&parts.witness, "nobody", |view| {
        view.members.is_empty() && view.controller.is_none()
    })
    .await;
    finish(&parts.direct, &[&parts.witness]).await;
}

#[tokio::test]
async fn closed_session_answers_at_once_and_stays_closed() {
    let settings = settings(shared_hosts());
    let session = connected(&settings).await;
    session.close().await;
    session.close().await;
    let called = Instant::now();
    assert!(is_unavailable(&session.join(&member("n1", 1)).await));
    assert!(is_unavailable(&session.lock_controller(&orchestrator("o1")).await));
    assert!(called.elapsed() < Duration::from_millis(100), "{:?}", called.elapsed());
    assert!(!session.view().borrow().connected);
    finish(&settings, &[&session]).await;
}

#[tokio::test]
async fn closing_does_not_wait_for_a_server_that_is_silent() {
    let parts = Cuttable::start().await;
    parts.proxy.black_hole();
    timeout(Duration::from_secs(3), parts.session.close()).await.expect("bounded");
    view_when(&parts.witness, "nobody", |view| view.members.is_empty()).await;
    finish(&parts.direct, &[&parts.witness]).await;
}

/// Relays to a server, but says the greeting of the second connection once more, in answer to
/// its first request.
async fn stutter(listener: TcpListener, target: String) {
    let mut connections = 0;
    while let Ok((mut client, _)) = listener.accept().await {
        let mut server = TcpStream::connect(&target).await.unwrap();
        connections += 1;
        let stutters = connections == 2;
        tokio::spawn(async move {
            if stutters {
                let mut greeting = [0; 64];
                let count = client.read(&mut greeting).await?;
                server.write_all(&greeting[..count]).await?;
                let length = server.read_u32().await?;
                let mut answer = length.to_be_bytes().to_vec();
                answer.resize(4 + usize::try_from(length).expect("it is short"), 0);
                server.read_exact(&mut answer[4..]).await?;
                client.write_all(&answer).await?;
                let mut request = [0; 4096];
                let count = client.read(&mut request).await?;
                client.write_all(&answer).await?;
                server.write_all(&request[..count]).await?;
            }
            tokio::io::copy_bidirectional(&mut client, &mut server).await
        });
    }
}

#[tokio::test]
async fn client_that_confuses_its_answers_is_replaced() {
    let direct = settings(shared_hosts());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap()).await;
    let relay = tokio::spawn(stutter(listener, direct.hosts.clone()));
    let through = ZookeeperSettings { hosts: proxy.address().to_string(), ..direct.clone() };
    let session = connected(&through).await;
    register_all(&session).await;
    proxy.reset_once();
    view_when(&session, "the loss", |view| !view.connected).await;
    // Sooner than a client that merely brings no session would be given up.
    let mut view = session.view();
    timeout(SESSION, view.wait_for(is_back)).await.expect("soon").unwrap();
    session.join(&member("n1", 2)).await.unwrap();
    assert!(proxy.accepted() >= 3, "the second connection was of no use");
    finish(&direct, &[&session]).await;
    relay.abort();
}
