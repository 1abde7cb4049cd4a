//! The task that owns the client: connects, establishes sessions, keeps the view.
//!
//! One round of `attend` per connection: establish (authenticate, base paths, whose session,
//! own entries, full read), then serve (watches, entries to write, heartbeats) until the
//! connection breaks or falls silent. A client that brings no session for two session timeouts
//! is dropped, and a new one built.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use zookeeper_async::{Acl, ZkError, ZkResult};

use super::cache::Cache;
use super::client::{Client, Link};
use super::registry::{Manner, Pending, Registry};
use super::session::{Session, Trouble, ensure_paths};
use super::settings::ZookeeperSettings;
use super::znodes::Layout;
use crate::ports::coordination::CoordinationView;

const BACKOFF_START: Duration = Duration::from_millis(100);
const BACKOFF_LIMIT: Duration = Duration::from_secs(2);
const MAX_HEARTBEAT: Duration = Duration::from_secs(5);
/// Own entries written at a time.
const CONCURRENT_WRITES: usize = 4;

/// What the driver and the handle share.
pub(super) struct Shared {
    pub(super) view: watch::Sender<CoordinationView>,
    /// The session in which operations may be tried now.
    pub(super) session: watch::Sender<Option<Arc<Session>>>,
    pub(super) registry: Registry,
    pub(super) closing: CancellationToken,
}

impl Shared {
    /// Notes that the session is gone or in doubt; the view keeps what was last known.
    pub(super) fn disconnect(&self) {
        self.session.send_replace(None);
        self.registry.forget();
        self.view.send_if_modified(|view| std::mem::replace(&mut view.connected, false));
    }

    fn publish(&self, view: Option<CoordinationView>) {
        let view = view.filter(|_| !self.closing.is_cancelled());
        self.view.send_if_modified(|current| match view {
            Some(new) if *current == new => false,
            Some(new) => {
                *current = new;
                true
            }
            None => std::mem::replace(&mut current.connected, false),
        });
    }
}

/// Why a client is given up.
enum End {
    Closing,
    /// It brings no session, or confuses its answers.
    Useless(anyhow::Error),
}

/// The task's state.
pub(super) struct Driver {
    settings: ZookeeperSettings,
    layout: Layout,
    shared: Arc<Shared>,
    operation_timeout: Duration,
    backoff: Backoff,
    /// The last word in the log was that it is connected.
    said_up: bool,
    /// Why it was not since then, as the log says.
    said_down: BTreeSet<String>,
    /// When the server was last known to keep our session.
    last_good: Instant,
}

impl Driver {
    pub(super) fn new(
        settings: ZookeeperSettings,
        layout: Layout,
        shared: Arc<Shared>,
        operation_timeout: Duration,
    ) -> Self {
        Self {
            settings,
            layout,
            shared,
            operation_timeout,
            backoff: Backoff::default(),
            said_up: false,
            said_down: BTreeSet::new(),
            last_good: Instant::now(),
        }
    }

    /// Runs until the handle closes or aborts it.
    pub(super) async fn run(mut self) {
        let closing = self.shared.closing.clone();
        loop {
            let opened = tokio::select! {
                biased;
                () = closing.cancelled() => break,
                opened = Client::open(&self.settings) => opened,
            };
            let reason = match opened {
                Ok(client) => match self.attend(&client).await {
                    End::Useless(reason) => reason,
                    End::Closing => {
                        self.shared.disconnect();
                        client.close(self.operation_timeout).await;
                        info!("coordination session closed");
                        return;
                    }
                },
                Err(error) => error,
            };
            self.down(&reason);
            debug!(reason = format!("{reason:#}"), "building a new client");
            tokio::select! {
                biased;
                () = closing.cancelled() => break,
                () = self.backoff.pause() => {}
            }
        }
        self.shared.disconnect();
    }

    /// Makes the best of one client.
    async fn attend(&mut self, client: &Client) -> End {
        let closing = self.shared.closing.clone();
        let patience = self.settings.session_timeout() * 2;
        let mut link = client.link();
        self.last_good = Instant::now();
        loop {
            let deadline = self.last_good + patience;
            let up = tokio::select! {
                biased;
                () = closing.cancelled() => return End::Closing,
                up = timeout_at(deadline, await_up(&mut link)) => up,
            };
            let Ok(up) = up else {
                return End::Useless(anyhow!("no session for twice its timeout"));
            };
            let trouble = tokio::select! {
                biased;
                () = closing.cancelled() => return End::Closing,
                () = await_change(&mut link, up) => Trouble::Failed(ZkError::ConnectionLoss),
                trouble = self.hold(client) => trouble,
            };
            let mut reason = anyhow!(trouble);
            if trouble == Trouble::Failed(ZkError::NoAuth) {
                reason = reason.context("zookeeper.credentials are not those of zookeeper.root");
            }
            self.down(&reason);
            if trouble == Trouble::Confused {
                return End::Useless(reason);
            }
            tokio::select! {
                biased;
                () = closing.cancelled() => return End::Closing,
                () = self.backoff.pause() => {}
            }
        }
    }

    /// Establishes and serves a session until something fails. May be dropped at any point.
    async fn hold(&mut self, client: &Client) -> Trouble {
        let established = match self.establish(client).await {
            Ok(established) => established,
            Err(trouble) => return trouble,
        };
        let (session, mut cache) = established;
        self.last_good = Instant::now();
        self.backoff = Backoff::default();
        self.shared.publish(cache.view());
        self.up(&session);
        self.shared.session.send_replace(Some(session.clone()));
        match self.serve(client, &session, &mut cache).await {
            Ok(never) => match never {},
            Err(error) => Trouble::Failed(error),
        }
    }

    async fn establish(&self, client: &Client) -> Result<(Arc<Session>, Cache), Trouble> {
        let acl = match self.settings.credentials {
            Some(_) => Acl::creator_all(),
            None => Acl::open_unsafe(),
        };
        let operations = client.operations(acl.clone(), self.operation_timeout);
        if let Some(credentials) = &self.settings.credentials {
            operations.authenticate(credentials.expose()).await?;
        }
        ensure_paths(&operations, &self.layout.base_paths()).await?;
        let session = Arc::new(Session::identify(operations, &self.layout).await?);
        self.register(&session).await?;
        client.changes().take();
        let cache = Cache::read(session.operations(), &self.layout, &self.shared.registry).await?;
        Ok((session, cache))
    }

    async fn serve(
        &mut self,
        client: &Client,
        session: &Arc<Session>,
        cache: &mut Cache,
    ) -> ZkResult<std::convert::Infallible> {
        let shared = self.shared.clone();
        let period = (self.settings.session_timeout() / 3).min(MAX_HEARTBEAT);
        let mut heartbeat = interval_at(Instant::now() + period, period);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = client.changes().woken() => {}
                () = shared.registry.woken() => {}
                _ = heartbeat.tick() => {
                    session.operations().stat("/").await?;
                }
            }
            let changed = client.changes().take();
            let refresh =
                cache.refresh(session.operations(), &self.layout, &shared.registry, changed);
            let (refreshed, registered) = tokio::join!(refresh, self.register(session));
            refreshed?;
            registered?;
            self.last_good = Instant::now();
            shared.publish(cache.view());
        }
    }

    /// Writes the own entries that do not stand yet. One that the server refuses is tried again
    /// with every heartbeat, and does not keep the others from standing.
    async fn register(&self, session: &Session) -> ZkResult<()> {
        let registry = &self.shared.registry;
        let writes = registry.pending().into_iter().map(async |pending| {
            match write(session, &pending).await {
                Ok(()) => registry.record(&pending),
                Err(error) if is_refusal(error) => {
                    if registry.refuse(&pending) {
                        warn!(path = pending.path, %error, "own entry was refused");
                    }
                }
                Err(error) => return Err(error),
            }
            Ok(())
        });
        stream::iter(writes).buffer_unordered(CONCURRENT_WRITES).try_collect().await
    }

    fn up(&mut self, session: &Session) {
        if !self.said_up {
            info!(session = format!("{:#x}", session.id()), "coordination connected");
            metrics::counter!("rideshare_coordination_connections_total").increment(1);
        }
        self.said_up = true;
        self.said_down.clear();
    }

    fn down(&mut self, reason: &anyhow::Error) {
        self.shared.disconnect();
        let reason = format!("{reason:#}");
        if !self.said_down.contains(&reason) {
            warn!(reason, "coordination unavailable, trying again");
            self.said_down.insert(reason);
        }
        self.said_up = false;
    }
}

async fn write(session: &Session, entry: &Pending) -> ZkResult<()> {
    let (path, data) = (&entry.path, &entry.data);
    match entry.manner {
        Manner::Enter => session.put(path, data).await,
        Manner::Update => session.update(path, data).await,
        Manner::Restore => {
            if !session.take(path, data).await? {
                warn!(path, "own entry was replaced by another session");
            }
            Ok(())
        }
    }
}

/// True for answers that are about the entry, not about the session.
fn is_refusal(error: ZkError) -> bool {
    matches!(
        error,
        ZkError::BadArguments
            | ZkError::NoAuth
            | ZkError::NoChildrenForEphemerals
            | ZkError::NodeExists
            | ZkError::NotEmpty
    )
}

async fn await_up(link: &mut watch::Receiver<Link>) -> u64 {
    let seen = link.wait_for(|link| matches!(link, Link::Up(_))).await.map(|link| *link);
    match seen {
        Ok(Link::Up(number)) => number,
        _ => std::future::pending().await,
    }
}

async fn await_change(link: &mut watch::Receiver<Link>, up: u64) {
    if link.wait_for(|link| *link != Link::Up(up)).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Pauses that double up to a limit, each shortened at random so that many do not come at once.
struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(BACKOFF_START)
    }
}

impl Backoff {
    async fn pause(&mut self) {
        let pause = self.0.mul_f64(rand::random_range(0.5..=1.0));
        self.0 = (self.0 * 2).min(BACKOFF_LIMIT);
        tokio::time::sleep(pause).await;
    }
}
