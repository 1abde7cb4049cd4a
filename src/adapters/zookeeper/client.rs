//! One instance of the client library, caged so that its oddities stay inside.
//!
//! The library's tasks go on for ever once started, even after its handle is dropped, and would
//! keep a dead owner's session alive. So each instance runs on a small runtime of its own, and
//! dropping that ends them: the connection breaks and the server lets the session expire.
//! Invariant: nothing here knows what the znodes mean.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use rand::seq::SliceRandom;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};
use zookeeper_async::{Acl, CreateMode, Stat, WatchedEvent, ZkError, ZkResult, ZkState, ZooKeeper};

use super::settings::ZookeeperSettings;

/// How long a first connection may take before other addresses are tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the library rests after a refused connection.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// How long the library's thread is put to sleep, again and again, while it is not connected.
const GOVERNOR_PAUSE: Duration = Duration::from_millis(5);
/// More changed paths than this are remembered as "anything may have changed".
const MAX_CHANGED_PATHS: usize = 4_096;
/// How long the connection stays open after the session was ended, for the server to read it.
const LINGER: Duration = Duration::from_millis(100);

/// What is known about the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// The library has not said yet.
    Unknown,
    /// Connected, for the n-th time. After each, watches and authentication are gone, and the
    /// session may be another.
    Up(u64),
    /// Not connected.
    Down,
}

/// The paths whose watches have fired since somebody last looked.
#[derive(Debug, Default)]
pub(super) struct Changes {
    paths: Mutex<Changed>,
    wake: Notify,
}

/// What may have changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Changed {
    These(BTreeSet<String>),
    Anything,
}

impl Default for Changed {
    fn default() -> Self {
        Self::These(BTreeSet::new())
    }
}

impl Changes {
    /// Waits until there may be some.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Takes what has come together.
    pub(super) fn take(&self) -> Changed {
        std::mem::take(&mut *self.paths.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, path: Option<String>) {
        let Some(path) = path.filter(|path| !path.is_empty()) else { return };
        let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        if let Changed::These(some) = &mut *paths {
            some.insert(path);
            if some.len() > MAX_CHANGED_PATHS {
                *paths = Changed::Anything;
            }
        }
        drop(paths);
        self.wake.notify_one();
    }
}

/// One instance of the library with the thread it runs on.
pub(super) struct Client {
    zookeeper: Arc<ZooKeeper>,
    link: watch::Receiver<Link>,
    changes: Arc<Changes>,
    _cage: Cage,
}

impl Client {
    /// Connects to any of the hosts; gives up after a few seconds.
    pub(super) async fn open(settings: &ZookeeperSettings) -> anyhow::Result<Self> {
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        timeout_at(deadline, Self::connect(settings)).await.context("no answer in time")?
    }

    async fn connect(settings: &ZookeeperSettings) -> anyhow::Result<Self> {
        let addresses = resolve(settings).await?;
        let cage = Cage::new()?;
        let (link_sender, link) = watch::channel(Link::Unknown);
        cage.runtime().spawn(govern(link.clone()));
        let changes = Arc::new(Changes::default());
        let watcher = {
            let changes = changes.clone();
            move |event: WatchedEvent| changes.note(event.path)
        };
        let session_timeout = settings.session_timeout();
        let connecting = cage.runtime().spawn(async move {
            ZooKeeper::connect_with_retry_time(&addresses, session_timeout, watcher, RETRY_PAUSE)
                .await
        });
        let zookeeper = connecting.await.context("the client library failed")??;
        let link_sender = Arc::new(link_sender);
        let listener = link_sender.clone();
        let ups = AtomicU64::new(1);
        zookeeper.add_listener(move |state| {
            listener.send_replace(match state {
                ZkState::Connected => Link::Up(ups.fetch_add(1, Ordering::Relaxed) + 1),
                _ => Link::Down,
            });
        });
        // Nothing tells in which state the library was before we listened. An answer does, if
        // the state has not changed since.
        zookeeper.exists("/", false).await.context("the server does not serve")?;
        link_sender.send_if_modified(|link| {
            let silent = *link == Link::Unknown;
            if silent {
                *link = Link::Up(1);
            }
            silent
        });
        Ok(Self { zookeeper: Arc::new(zookeeper), link, changes, _cage: cage })
    }

    pub(super) fn link(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }

    pub(super) fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Operations on this client that give up after a while.
    pub(super) fn operations(&self, acl: Vec<Acl>, timeout: Duration) -> Operations {
        Operations { zookeeper: self.zookeeper.clone(), acl, timeout }
    }

    /// Ends the session at once, if the server can be reached.
    pub(super) async fn close(self, timeout: Duration) {
        let closed = tokio::time::timeout(timeout, self.zookeeper.close()).await;
        if matches!(closed, Ok(Ok(()))) {
            // The library says that it is done when it has sent the word, and offers no event
            // for its arrival; breaking the connection now could overtake it.
            tokio::time::sleep(LINGER).await;
        }
    }
}

/// The runtime of one client; dropping it ends the client's tasks wherever they are.
struct Cage(Option<Runtime>);

impl Cage {
    fn new() -> anyhow::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("zookeeper-client")
            .on_thread_start(silence)
            .enable_io()
            .enable_time()
            .build()
            .context("no thread for the client")?;
        Ok(Self(Some(runtime)))
    }

    fn runtime(&self) -> &Runtime {
        self.0.as_ref().expect("taken only when dropped")
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Keeps the library's own words out of the log: it says the session's password at level info,
/// and one error for every attempt to connect.
fn silence() {
    let nobody = tracing::dispatcher::set_default(&tracing::Dispatch::none());
    // Dropping the guard would end the silence; this thread's whole life is meant.
    std::mem::forget(nobody);
}

/// Slows the library down while it has no connection.
///
/// When a server, or a relay before it, accepts connections only to close them, the library
/// connects again at once and for ever. Nothing in it can be made to wait, but it shares its
/// only thread with this task, which blocks that on purpose.
async fn govern(mut link: watch::Receiver<Link>) {
    while link.wait_for(|link| !matches!(link, Link::Up(_))).await.is_ok() {
        std::thread::sleep(GOVERNOR_PAUSE);
        tokio::task::yield_now().await;
    }
}

async fn resolve(settings: &ZookeeperSettings) -> anyhow::Result<String> {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    let mut failure = None;
    for host in settings.host_list() {
        match tokio::net::lookup_host(&host).await {
            Ok(found) => addresses.extend(found),
            Err(error) => {
                failure = Some(anyhow::Error::new(error).context(format!("cannot resolve {host}")))
            }
        }
    }
    if addresses.is_empty() {
        return Err(failure.unwrap_or_else(|| anyhow::anyhow!("the hosts have no address")));
    }
    addresses.shuffle(&mut rand::rng());
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    Ok(texts.join(","))
}

/// Operations that answer within a bounded time; `OperationTimeout` is one of the answers.
///
/// An operation that failed on the way (`ConnectionLoss`, `OperationTimeout`) may have happened,
/// or may still.
#[derive(Clone)]
pub(super) struct Operations {
    zookeeper: Arc<ZooKeeper>,
    acl: Vec<Acl>,
    timeout: Duration,
}

impl Operations {
    pub(super) async fn authenticate(&self, user_and_password: &str) -> ZkResult<()> {
        let credentials = user_and_password.as_bytes().to_vec();
        self.bounded(self.zookeeper.add_auth("digest", credentials)).await
    }

    pub(super) async fn create(
        &self,
        path: &str,
        data: &[u8],
        mode: CreateMode,
    ) -> ZkResult<(String, Stat)> {
        self.bounded(self.zookeeper.create2(path, data.to_vec(), self.acl.clone(), mode)).await
    }

    pub(super) async fn set(
        &self,
        path: &str,
        data: &[u8],
        version: Option<i32>,
    ) -> ZkResult<Stat> {
        self.bounded(self.zookeeper.set_data(path, data.to_vec(), version)).await
    }

    pub(super) async fn delete(&self, path: &str, version: i32) -> ZkResult<()> {
        self.bounded(self.zookeeper.delete(path, Some(version))).await
    }

    pub(super) async fn stat(&self, path: &str) -> ZkResult<Option<Stat>> {
        self.bounded(self.zookeeper.exists(path, false)).await
    }

    /// The names below a path; the next change of that list is noted.
    pub(super) async fn watch_children(&self, path: &str) -> ZkResult<Vec<String>> {
        self.bounded(self.zookeeper.get_children(path, true)).await
    }

    /// The data at a path, if it is there; the next change of either is noted.
    pub(super) async fn watch_data(&self, path: &str) -> ZkResult<Option<(Vec<u8>, Stat)>> {
        loop {
            // Reading what is missing leaves no watch for its coming, and asking whether it is
            // there gives no data: so one after the other until they agree.
            match self.bounded(self.zookeeper.get_data(path, true)).await {
                Ok(found) => return Ok(Some(found)),
                Err(ZkError::NoNode) => {}
                Err(error) => return Err(error),
            }
            if self.bounded(self.zookeeper.exists(path, true)).await?.is_none() {
                return Ok(None);
            }
        }
    }

    /// The data at a path, without a watch.
    pub(super) async fn data(&self, path: &str) -> ZkResult<(Vec<u8>, Stat)> {
        self.bounded(self.zookeeper.get_data(path, false)).await
    }

    async fn bounded<T>(&self, operation: impl Future<Output = ZkResult<T>>) -> ZkResult<T> {
        let answer = tokio::time::timeout(self.timeout, operation).await;
        answer.unwrap_or(Err(ZkError::OperationTimeout))
    }
}
