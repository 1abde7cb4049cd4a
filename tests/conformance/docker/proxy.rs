//! An engine behind a proxy that comes and goes, as it does when the engine is started again.

use std::net::SocketAddr;
use std::time::Duration;

use rideshare::domain::ids::NodeId;
use rideshare::ports::containers::{ContainerState, ContainersError, StartAs};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, UnixStream};
use tokio::task::JoinSet;

use super::engine::docker;
use super::{Docker, is_exited};
use crate::containers::{ContainersFactory, listed, start};

const SOCKET: &str = "/var/run/docker.sock";

/// Gives the engine's socket to a port of this machine alone.
struct Proxy {
    address: SocketAddr,
    connections: Option<JoinSet<()>>,
}

impl Proxy {
    async fn start() -> Self {
        let mut proxy = Self { address: ([127, 0, 0, 1], 0).into(), connections: None };
        proxy.open().await;
        proxy
    }

    async fn open(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.address = listener.local_addr().unwrap();
        let mut connections = JoinSet::new();
        connections.spawn(accept(listener));
        self.connections = Some(connections);
    }

    /// Cuts all connections, and refuses new ones.
    async fn cut(&mut self) {
        if let Some(mut connections) = self.connections.take() {
            connections.shutdown().await;
        }
    }
}

async fn accept(listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        connections.spawn(async move {
            let mut engine = UnixStream::connect(SOCKET).await.unwrap();
            let _ = copy_bidirectional(&mut client, &mut engine).await;
        });
    }
}

async fn behind(proxy: &Proxy) -> Docker {
    let host = format!("tcp://{}", proxy.address);
    Docker::with(|settings| {
        settings.host = host;
        settings.timeout = Duration::from_secs(3);
    })
    .await
}

#[tokio::test]
async fn exit_while_the_engine_is_out_of_reach_is_listed_once_it_is_back() {
    let mut proxy = Proxy::start().await;
    let factory = behind(&proxy).await;
    let (lives, dies) = (NodeId::new("n1"), NodeId::new("n2"));
    let pid = start(&factory, &lives).await;
    start(&factory, &dies).await;
    proxy.cut().await;
    docker(&["kill", &factory.project.container("n2")]).unwrap();
    proxy.open().await;
    let containers = factory.containers();
    let dead = listed(&containers, &dies, "exited", is_exited).await;
    assert_eq!(dead.state, ContainerState::Exited { code: 137 });
    let alive = listed(&containers, &lives, "runs", |_| true).await;
    assert_eq!(alive.state, ContainerState::Running { pid });
    docker(&["kill", &factory.project.container("n1")]).unwrap();
    listed(&containers, &lives, "exited", is_exited).await;
    factory.finish().await;
}

#[tokio::test]
async fn engine_out_of_reach_is_told_as_such_and_ends_nobody() {
    let mut proxy = Proxy::start().await;
    let factory = behind(&proxy).await;
    let (node, another) = (NodeId::new("n1"), NodeId::new("n2"));
    let pid = start(&factory, &node).await;
    proxy.cut().await;
    let containers = factory.containers();
    let answers = [
        containers.kill(&node).await.map(drop),
        containers.stop(&node).await,
        containers.remove(&node).await,
        containers.mark_master(&node).await,
    ];
    for answer in answers {
        assert!(matches!(answer, Err(ContainersError::Unavailable(_))), "{answer:?}");
    }
    let error = containers.start(&another, StartAs::Slave).await.unwrap_err();
    let error = format!("{:#}", anyhow::Error::new(error));
    assert!(error.contains("RIDESHARE_DOCKER__HOST"), "{error}");
    let list = containers.watch().borrow().clone();
    assert_eq!(list.len(), 1, "{list:?}");
    assert_eq!(list[0].state, ContainerState::Running { pid });
    proxy.open().await;
    assert_eq!(containers.kill(&node).await.unwrap(), pid);
    factory.finish().await;
}
