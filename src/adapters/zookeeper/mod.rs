//! `Coordination` on ZooKeeper.
//!
//! Below a root (`/rideshare` unless set otherwise) stand
//!
//! | znode | kind | data |
//! |---|---|---|
//! | `/worker/<node>` | ephemeral | JSON of `Member` |
//! | `/orchestrator/<id>` | ephemeral | JSON of `OrchestratorStatus` |
//! | `/controller` | ephemeral | the id of the orchestrator that holds the lock |
//! | `/leader` | persistent | JSON of `LeaderRecord`; its version is the record's |
//! | `/scale` | persistent | JSON of `ScaleRecord`; its version is the record's |
//! | `/events` | persistent | JSON of `Events`; its version is the record's |
//! | `/probe-<nonce>` | ephemeral | lives for a moment whenever a session is established |
//!
//! `driver` owns the client and publishes views; `client` cages the library; `session` does what
//! depends on whose a znode is; `cache` reads; `registry` remembers what we want to stand;
//! `znodes` knows paths and bytes.
//!
//! What it does not do: repair records that it cannot read. It warns with their path and passes
//! them over; while `/leader` is unreadable, the view stays disconnected.

mod cache;
mod client;
mod driver;
mod registry;
mod session;
mod settings;
mod znodes;

use std::future::Future;
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::anyhow;
use async_trait::async_trait;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use zookeeper_async::{CreateMode, ZkError, ZkResult};

use self::driver::{Driver, Shared};
use self::registry::Registry;
use self::session::Session;
pub use self::settings::{Credentials, SettingsError, ZookeeperSettings};
use self::znodes::{Layout, Place};
use crate::domain::events::Events;
use crate::domain::ids::OrchestratorId;
use crate::domain::message::Member;
use crate::ports::coordination::{
    Coordination, CoordinationError, CoordinationView, LeaderRecord, OrchestratorStatus,
    ScaleRecord, Version,
};

/// The longest that a call takes.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// The shortest time that one request is given: a slow moment is no outage.
const MIN_OPERATION_TIMEOUT: Duration = Duration::from_secs(1);
/// Calls at a time. The library has room for 64 requests and blocks for ever when it wants to
/// add its own to a full queue; with the driver's reads and writes this stays well below.
const CONCURRENT_CALLS: usize = 16;

/// A session with ZooKeeper, re-established for as long as this handle lives.
pub struct ZookeeperCoordination {
    layout: Layout,
    shared: Arc<Shared>,
    calls: Semaphore,
    driver: Mutex<Option<JoinHandle<()>>>,
}

impl ZookeeperCoordination {
    /// Starts to connect, in the background; it does not matter whether anybody listens yet.
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Settings that can never work.
    pub fn open(settings: ZookeeperSettings) -> Result<Self, SettingsError> {
        settings.validate()?;
        let layout = Layout::new(&settings.root);
        let shared = Arc::new(Shared {
            view: watch::Sender::default(),
            session: watch::Sender::default(),
            registry: Registry::default(),
            closing: CancellationToken::new(),
        });
        let operation_timeout =
            (settings.session_timeout() / 3).clamp(MIN_OPERATION_TIMEOUT, CALL_TIMEOUT);
        let driver = Driver::new(settings, layout.clone(), shared.clone(), operation_timeout);
        let task = tokio::spawn(driver.run().instrument(tracing::info_span!("coordination")));
        let calls = Semaphore::new(CONCURRENT_CALLS);
        Ok(Self { layout, shared, calls, driver: Mutex::new(Some(task)) })
    }

    /// Does something in the current session, once there is one and there is room.
    async fn call<T, F: Future<Output = ZkResult<T>>>(
        &self,
        operation: impl FnOnce(Arc<Session>) -> F,
    ) -> Result<ZkResult<T>, CoordinationError> {
        let call = async {
            let _permit = self.calls.acquire().await.map_err(|_| closed())?;
            let mut sessions = self.shared.session.subscribe();
            let session = sessions.wait_for(Option::is_some).await.map_err(|_| closed())?.clone();
            Ok(operation(session.ok_or_else(closed)?).await)
        };
        self.bounded(call).await
    }

    async fn compare_and_set(
        &self,
        place: Place,
        data: Vec<u8>,
        expected: Option<Version>,
    ) -> Result<(), CoordinationError> {
        let path = self.layout.path(&place);
        // To ZooKeeper, a negative version means any; to us it is one that no record has.
        let expected = match expected.map(|Version(version)| i32::try_from(version)) {
            None => None,
            Some(Ok(version)) if version >= 0 => Some(version),
            Some(_) => return Err(CoordinationError::Conflict),
        };
        let changed = self
            .call(async |session| match expected {
                None => session
                    .operations()
                    .create(&path, &data, CreateMode::Persistent)
                    .await
                    .map(drop),
                Some(version) => {
                    session.operations().set(&path, &data, Some(version)).await.map(drop)
                }
            })
            .await?;
        changed.map_err(|error| match (error, expected) {
            (ZkError::NodeExists, None) | (ZkError::BadVersion | ZkError::NoNode, Some(_)) => {
                CoordinationError::Conflict
            }
            _ => unavailable(error),
        })
    }

    /// Has an entry written by the driver, which writes the newest only.
    async fn enter(&self, path: String, data: Vec<u8>) -> Result<(), CoordinationError> {
        let number = self.shared.registry.want(&path, data);
        self.bounded(async {
            self.shared.registry.written(&path, number).await;
            Ok(())
        })
        .await
    }

    async fn bounded<T>(
        &self,
        call: impl Future<Output = Result<T, CoordinationError>>,
    ) -> Result<T, CoordinationError> {
        tokio::select! {
            biased;
            () = self.shared.closing.cancelled() => Err(closed()),
            answer = timeout(CALL_TIMEOUT, call) => {
                answer.unwrap_or_else(|_| Err(unavailable(ZkError::OperationTimeout)))
            }
        }
    }

    fn take_driver(&self) -> Option<JoinHandle<()>> {
        self.driver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn unavailable(error: ZkError) -> CoordinationError {
    CoordinationError::Unavailable(anyhow!(error))
}

fn closed() -> CoordinationError {
    CoordinationError::Unavailable(anyhow!("the session was closed"))
}

#[async_trait]
impl Coordination for ZookeeperCoordination {
    fn view(&self) -> watch::Receiver<CoordinationView> {
        self.shared.view.subscribe()
    }

    async fn join(&self, member: &Member) -> Result<(), CoordinationError> {
        self.enter(self.layout.worker(&member.node), znodes::encode(member)).await
    }

    async fn register(
        &self,
        id: &OrchestratorId,
        status: &OrchestratorStatus,
    ) -> Result<(), CoordinationError> {
        self.enter(self.layout.orchestrator(id), znodes::encode(status)).await
    }

    async fn lock_controller(&self, id: &OrchestratorId) -> Result<bool, CoordinationError> {
        let path = self.layout.path(&Place::Controller);
        let data = id.as_str().as_bytes();
        let taken = self.call(async |session| session.take(&path, data).await).await?;
        taken.map_err(unavailable)
    }

    async fn set_leader(
        &self,
        record: &LeaderRecord,
        expected: Option<Version>,
    ) -> Result<(), CoordinationError> {
        self.compare_and_set(Place::Leader, znodes::encode(record), expected).await
    }

    async fn set_scale(
        &self,
        record: &ScaleRecord,
        expected: Option<Version>,
    ) -> Result<(), CoordinationError> {
        self.compare_and_set(Place::Scale, znodes::encode(record), expected).await
    }

    async fn set_events(
        &self,
        events: &Events,
        expected: Option<Version>,
    ) -> Result<(), CoordinationError> {
        self.compare_and_set(Place::Events, znodes::encode(events), expected).await
    }

    async fn close(&self) {
        self.shared.closing.cancel();
        if let Some(driver) = self.take_driver() {
            // It ends within bounds by itself; when it panicked there is nothing left to close.
            let _ = driver.await;
        }
    }
}

impl Drop for ZookeeperCoordination {
    fn drop(&mut self) {
        if let Some(driver) = self.take_driver() {
            driver.abort();
        }
        self.shared.closing.cancel();
        self.shared.disconnect();
    }
}
