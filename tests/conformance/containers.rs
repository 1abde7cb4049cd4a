//! The conformance suite of the port `Containers`.

use std::sync::Arc;
use std::time::Duration;

use rideshare::domain::ids::{NodeId, Pid};
use rideshare::ports::containers::{
    Container, ContainerState, Containers, ContainersError, StartAs,
};
use tokio::time::timeout;

use crate::cases::BOUND;

/// Makes a runtime to test. Its workers store something as soon as they run and go on until they
/// are told to stop; one whose name starts with `fails` ends by itself with exit code 3.
pub(crate) trait ContainersFactory: Sized {
    /// A runtime without workers that keeps so many databases of removed ones.
    async fn start_keeping(databases: usize) -> Self;

    /// A runtime without workers that keeps no database.
    async fn start() -> Self {
        Self::start_keeping(0).await
    }

    /// The runtime.
    fn containers(&self) -> Arc<dyn Containers>;

    /// How many times the worker has been started on what it stored; 0 when nothing is there.
    fn stored(&self, node: &NodeId) -> usize;

    /// Ends what still runs. Not called when a case fails.
    async fn finish(self);
}

/// Makes a test of every case: `containers_suite!(tokio::test, Factory)`.
macro_rules! containers_suite {
    ($attribute:meta, $factory:ty) => {
        cases!(
            $attribute,
            containers,
            $factory,
            [
                started_worker_is_listed_with_a_pid_of_its_own,
                name_that_is_taken_is_refused_and_the_worker_goes_on,
                killed_worker_is_listed_as_exited_when_the_call_returns,
                worker_that_is_stopped_ends_with_0,
                worker_that_fails_is_listed_with_its_exit_code,
                restarted_worker_has_what_it_stored,
                restart_of_a_running_worker_changes_nothing,
                unknown_worker_is_told_as_such,
                running_worker_is_not_removed,
                removed_worker_leaves_nothing,
                last_databases_of_removed_workers_are_kept_and_can_be_brought_back,
                every_exit_wakes_the_watch,
            ]
        );
    };
}
pub(crate) use containers_suite;

/// Waits until a worker is listed as wanted.
pub(crate) async fn listed(
    containers: &Arc<dyn Containers>,
    node: &NodeId,
    what: &str,
    mut wanted: impl FnMut(&Container) -> bool,
) -> Container {
    let mut list = containers.watch();
    let found = timeout(BOUND, async {
        loop {
            let found = list.borrow_and_update().iter().find(|it| it.node == *node).cloned();
            if let Some(found) = found.filter(&mut wanted) {
                return found;
            }
            list.changed().await.unwrap();
        }
    });
    found.await.unwrap_or_else(|_| panic!("waited for {node} {what}, see {:?}", list.borrow()))
}

pub(crate) fn pid(container: &Container) -> Pid {
    match container.state {
        ContainerState::Running { pid } => pid,
        ContainerState::Exited { .. } => panic!("{container:?} does not run"),
    }
}

fn runs(container: &Container) -> bool {
    matches!(container.state, ContainerState::Running { .. })
}

fn exited(code: i32) -> impl FnMut(&Container) -> bool {
    move |container| container.state == ContainerState::Exited { code }
}

fn state(containers: &Arc<dyn Containers>, node: &NodeId) -> Option<ContainerState> {
    containers.watch().borrow().iter().find(|it| it.node == *node).map(|it| it.state)
}

/// Waits until a worker has been started so many times on what it stored.
pub(crate) async fn stored<F: ContainersFactory>(factory: &F, node: &NodeId, times: usize) {
    let waited = timeout(BOUND, async {
        while factory.stored(node) != times {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{node} has {} starts", factory.stored(node)));
}

/// Starts a worker and waits until it has stored something.
pub(crate) async fn start<F: ContainersFactory>(factory: &F, node: &NodeId) -> Pid {
    let containers = factory.containers();
    containers.start(node, StartAs::Slave).await.unwrap();
    stored(factory, node, 1).await;
    pid(&listed(&containers, node, "runs", runs).await)
}

pub(crate) async fn started_worker_is_listed_with_a_pid_of_its_own<F: ContainersFactory>() {
    let factory = F::start().await;
    let (first, second) = (NodeId::new("n2"), NodeId::new("n1"));
    let pids = [start(&factory, &first).await, start(&factory, &second).await];
    assert_ne!(pids[0], pids[1]);
    let list = factory.containers().watch().borrow().clone();
    let nodes: Vec<_> = list.iter().map(|it| it.node.as_str()).collect();
    assert_eq!(nodes, ["n1", "n2"], "by node");
    factory.finish().await;
}

pub(crate) async fn name_that_is_taken_is_refused_and_the_worker_goes_on<F: ContainersFactory>() {
    let factory = F::start().await;
    let node = NodeId::new("n1");
    let first = start(&factory, &node).await;
    let refused = factory.containers().start(&node, StartAs::Slave).await;
    assert!(matches!(refused, Err(ContainersError::StartFailed { .. })), "{refused:?}");
    assert_eq!(state(&factory.containers(), &node), Some(ContainerState::Running { pid: first }));
    factory.finish().await;
}

pub(crate) async fn killed_worker_is_listed_as_exited_when_the_call_returns<
    F: ContainersFactory,
>() {
    let factory = F::start().await;
    let node = NodeId::new("n1");
    let first = start(&factory, &node).await;
    let containers = factory.containers();
    assert_eq!(containers.kill(&node).await.unwrap(), first);
    assert_eq!(state(&containers, &node), Some(ContainerState::Exited { code: 137 }));
    assert_eq!(factory.stored(&node), 1, "what it stored is still there");
    factory.finish().await;
}

pub(crate) async fn worker_that_is_stopped_ends_with_0<F: ContainersFactory>() {
    let factory = F::start().await;
    let node = NodeId::new("n1");
    start(&factory, &node).await;
    let containers = factory.containers();
    containers.stop(&node).await.unwrap();
    listed(&containers, &node, "exited with 0", exited(0)).await;
    containers.stop(&node).await.unwrap();
    factory.finish().await;
}

pub(crate) async fn worker_that_fails_is_listed_with_its_exit_code<F: ContainersFactory>() {
    let factory = F::start().await;
    let node = NodeId::new("fails-1");
    factory.containers().start(&node, StartAs::Slave).await.unwrap();
    let ended = |it: &Container| !runs(it);
    let container = listed(&factory.containers(), &node, "exited", ended).await;
    assert!(
        matches!(container.state, ContainerState::Exited { code } if code != 0 && code != 137),
        "{container:?}"
    );
    factory.finish().await;
}

pub(crate) async fn restarted_worker_has_what_it_stored<F: ContainersFactory>() {
    let factory = F::start().await;
    let node = NodeId::new("n1");
    let first = start(&factory, &node).await;
    let containers = factory.containers();
    containers.kill(&node).await.unwrap();
    containers.restart(&node).await.unwrap();
    let second = pid(&listed(&containers, &node, "runs", runs).await);
    assert_ne!(first, second);
    stored(&factory, &node, 2).await;
    factory.finish().await;
}

pub(crate) async fn restart_of_a_running_worker_changes_nothing<F: ContainersFactory>() {
    let factory = F::start().await;
    let node = NodeId::new("n1");
    let first = start(&factory, &node).await;
    factory.containers().restart(&node).await.unwrap();
    assert_eq!(state(&factory.containers(), &node), Some(ContainerState::Running { pid: first }));
    factory.finish().await;
}

pub(crate) async fn unknown_worker_is_told_as_such<F: ContainersFactory>() {
    let factory = F::start().await;
    let containers = factory.containers();
    let node = NodeId::new("nobody");
    let answers = [
        containers.kill(&node).await.map(drop),
        containers.stop(&node).await,
        containers.restart(&node).await,
    ];
    for answer in answers {
        assert!(matches!(answer, Err(ContainersError::NotFound(_))), "{answer:?}");
    }
    containers.remove(&node).await.unwrap();
    factory.finish().await;
}

pub(crate) async fn running_worker_is_not_removed<F: ContainersFactory>() {
    let factory = F::start().await;
    let node = NodeId::new("n1");
    start(&factory, &node).await;
    assert!(factory.containers().remove(&node).await.is_err());
    assert_eq!(factory.stored(&node), 1);
    assert!(state(&factory.containers(), &node).is_some());
    factory.finish().await;
}

pub(crate) async fn removed_worker_leaves_nothing<F: ContainersFactory>() {
    let factory = F::start().await;
    let node = NodeId::new("n1");
    start(&factory, &node).await;
    let containers = factory.containers();
    containers.kill(&node).await.unwrap();
    for _ in 0..2 {
        containers.remove(&node).await.unwrap();
        assert_eq!((factory.stored(&node), state(&containers, &node)), (0, None));
    }
    start(&factory, &node).await;
    factory.finish().await;
}

pub(crate) async fn last_databases_of_removed_workers_are_kept_and_can_be_brought_back<
    F: ContainersFactory,
>() {
    let factory = F::start_keeping(2).await;
    let containers = factory.containers();
    let [n1, n2, n3] = ["n1", "n2", "n3"].map(NodeId::new);
    for node in [&n3, &n1, &n2] {
        start(&factory, node).await;
        containers.kill(node).await.unwrap();
        containers.remove(node).await.unwrap();
        containers.remove(node).await.unwrap();
        assert_eq!(state(&containers, node), None);
    }
    assert_eq!(factory.stored(&n3), 0, "it was one too many");
    assert_eq!(containers.set_aside().await.unwrap(), [n2.clone(), n1.clone()]);
    let gone = containers.bring_back(&n3).await;
    assert!(matches!(gone, Err(ContainersError::NotFound(_))), "{gone:?}");

    containers.bring_back(&n1).await.unwrap();
    listed(&containers, &n1, "is back", |it| !runs(it)).await;
    assert_eq!(containers.set_aside().await.unwrap(), [n2]);
    containers.restart(&n1).await.unwrap();
    stored(&factory, &n1, 2).await;
    factory.finish().await;
}

pub(crate) async fn every_exit_wakes_the_watch<F: ContainersFactory>() {
    let factory = F::start().await;
    let node = NodeId::new("n1");
    start(&factory, &node).await;
    let containers = factory.containers();
    let mut list = containers.watch();
    list.borrow_and_update();
    let waiting = tokio::spawn(async move {
        let gone = |list: &Vec<Container>| list.iter().any(|it| !runs(it));
        timeout(BOUND, list.wait_for(gone)).await.map(drop)
    });
    containers.kill(&node).await.unwrap();
    waiting.await.unwrap().expect("the watch wakes");
    factory.finish().await;
}
