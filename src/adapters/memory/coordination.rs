//! Coordination within one process.
//!
//! A session expires some time after its handle was dropped, as that of a killed process does.
//! Simulations can cut a session off and heal it. With a file, the records of leader and scale
//! outlive the process: they are on the disk before anybody sees them.

mod file;
mod state;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::anyhow;
use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use self::file::RecordsFile;
use self::state::{Link, Records, State, Stored};
use super::lock;
use crate::domain::events::Events;
use crate::domain::ids::OrchestratorId;
use crate::domain::message::Member;
use crate::ports::coordination::{
    Coordination, CoordinationError, CoordinationView, LeaderRecord, OrchestratorStatus,
    ScaleRecord, Version,
};

pub use self::state::SessionId;

/// One coordination service; a clone is the same service.
#[derive(Clone, Debug)]
pub struct MemoryCoordination {
    service: Arc<Service>,
}

/// Locks are taken in this order: `state`, then `timers`.
#[derive(Debug)]
struct Service {
    session_timeout: Duration,
    state: Mutex<State>,
    /// The ends of sessions that are out of touch.
    timers: Mutex<BTreeMap<SessionId, AbortOnDropHandle<()>>>,
    durable: Option<Durable>,
}

#[derive(Debug)]
struct Durable {
    file: RecordsFile,
    /// Records are changed one after the other: each is on the disk before the next is judged.
    turn: Semaphore,
}

impl MemoryCoordination {
    /// An empty service that nothing outlives.
    #[must_use]
    pub fn new(session_timeout: Duration) -> Self {
        Self::with(session_timeout, Records::default(), None)
    }

    /// A service whose records are kept in a JSON file. Only one process may use it at a time.
    ///
    /// # Errors
    /// There is a file that cannot be read, or that holds something else.
    pub async fn open(session_timeout: Duration, path: &Path) -> io::Result<Self> {
        let file = RecordsFile::new(path);
        let records = file.load().await?;
        Ok(Self::with(session_timeout, records, Some(Durable { file, turn: Semaphore::new(1) })))
    }

    fn with(session_timeout: Duration, records: Records, durable: Option<Durable>) -> Self {
        let state = Mutex::new(State::new(records));
        let timers = Mutex::default();
        Self { service: Arc::new(Service { session_timeout, state, timers, durable }) }
    }

    /// The session of one process. Dropping it means its death.
    #[must_use]
    pub fn session(&self) -> MemorySession {
        let (id, view) = lock(&self.service.state).open_session();
        MemorySession { service: Arc::clone(&self.service), id, view }
    }

    /// Cuts a session off, as a broken network does: it keeps its last view, its calls fail, and
    /// after the session timeout what it registered vanishes.
    pub fn cut(&self, id: SessionId) {
        let mut state = lock(&self.service.state);
        if state.link(id) == Some(Link::Connected) {
            state.cut(id);
            self.service.start_timer(id);
        }
    }

    /// Heals what [`MemoryCoordination::cut`] broke. A session that has expired meanwhile
    /// registers its member and its orchestrator again, but does not take the lock.
    pub fn heal(&self, id: SessionId) {
        let mut state = lock(&self.service.state);
        if state.is_healable(id) {
            lock(&self.service.timers).remove(&id);
            state.heal(id);
        }
    }
}

impl Service {
    /// Ends a session after the session timeout. Called with the state locked.
    fn start_timer(self: &Arc<Self>, id: SessionId) {
        let Ok(runtime) = Handle::try_current() else {
            // The runtime is going down, and every session with it.
            return;
        };
        let service = Arc::downgrade(self);
        let timeout = self.session_timeout;
        let timer = runtime.spawn(async move {
            sleep(timeout).await;
            if let Some(service) = service.upgrade() {
                service.timer_fired(id);
            }
        });
        lock(&self.timers).insert(id, AbortOnDropHandle::new(timer));
    }

    /// Called in the timer's own task.
    fn timer_fired(&self, id: SessionId) {
        let mut state = lock(&self.state);
        let mut timers = lock(&self.timers);
        // A timer that was taken back while it waited for the lock must not fire after all.
        if timers.get(&id).is_some_and(|timer| timer.as_ref().id() == task::id()) {
            timers.remove(&id);
            state.expire(id);
        }
    }

    /// Compare-and-set on the records. `change` gives what they are to be, or `None` where the
    /// expectation is not met.
    async fn change_records(
        self: &Arc<Self>,
        id: SessionId,
        change: impl FnOnce(&Records) -> Option<Records> + Send + 'static,
    ) -> Result<(), CoordinationError> {
        if self.durable.is_none() {
            let mut state = self.reach(id)?;
            let changed = change(&state.records).ok_or(CoordinationError::Conflict)?;
            state.set_records(changed);
            return Ok(());
        }
        // In a task of its own: a caller that gives up must not leave the disk ahead of the view.
        let service = Arc::clone(self);
        let changing = tokio::spawn(async move { service.change_durably(id, change).await });
        changing.await.map_err(|error| CoordinationError::Unavailable(error.into()))?
    }

    async fn change_durably(
        &self,
        id: SessionId,
        change: impl FnOnce(&Records) -> Option<Records>,
    ) -> Result<(), CoordinationError> {
        let unavailable = |error: anyhow::Error| CoordinationError::Unavailable(error);
        let Some(Durable { file, turn }) = &self.durable else {
            return Err(unavailable(anyhow!("there is no file")));
        };
        let _turn = turn.acquire().await.map_err(|error| unavailable(error.into()))?;
        let changed = change(&self.reach(id)?.records).ok_or(CoordinationError::Conflict)?;
        file.save(&changed).await.map_err(|error| unavailable(error.into()))?;
        lock(&self.state).set_records(changed);
        Ok(())
    }

    /// The state, for a session that is in touch.
    fn reach(&self, id: SessionId) -> Result<std::sync::MutexGuard<'_, State>, CoordinationError> {
        let state = lock(&self.state);
        match state.link(id) {
            Some(Link::Connected) => Ok(state),
            link => Err(CoordinationError::Unavailable(anyhow!(
                "the session is not in touch: {link:?}"
            ))),
        }
    }
}

/// A process's session with [`MemoryCoordination`].
#[derive(Debug)]
pub struct MemorySession {
    service: Arc<Service>,
    id: SessionId,
    view: watch::Receiver<CoordinationView>,
}

impl MemorySession {
    /// Names this session to [`MemoryCoordination::cut`] and [`MemoryCoordination::heal`].
    #[must_use]
    pub const fn id(&self) -> SessionId {
        self.id
    }
}

#[async_trait]
impl Coordination for MemorySession {
    fn view(&self) -> watch::Receiver<CoordinationView> {
        self.view.clone()
    }

    async fn join(&self, member: &Member) -> Result<(), CoordinationError> {
        self.service.reach(self.id)?.join(self.id, member);
        Ok(())
    }

    async fn register(
        &self,
        id: &OrchestratorId,
        status: &OrchestratorStatus,
    ) -> Result<(), CoordinationError> {
        self.service.reach(self.id)?.register(self.id, id, status);
        Ok(())
    }

    async fn lock_controller(&self, id: &OrchestratorId) -> Result<bool, CoordinationError> {
        Ok(self.service.reach(self.id)?.lock_controller(self.id, id))
    }

    async fn set_leader(
        &self,
        record: &LeaderRecord,
        expected: Option<Version>,
    ) -> Result<(), CoordinationError> {
        let record = record.clone();
        let change = move |records: &Records| {
            let leader = Stored::replaced(records.leader.as_ref(), expected, record)?;
            Some(Records { leader: Some(leader), ..records.clone() })
        };
        self.service.change_records(self.id, change).await
    }

    async fn set_scale(
        &self,
        record: &ScaleRecord,
        expected: Option<Version>,
    ) -> Result<(), CoordinationError> {
        let record = record.clone();
        let change = move |records: &Records| {
            let scale = Stored::replaced(records.scale.as_ref(), expected, record)?;
            Some(Records { scale: Some(scale), ..records.clone() })
        };
        self.service.change_records(self.id, change).await
    }

    async fn set_events(
        &self,
        events: &Events,
        expected: Option<Version>,
    ) -> Result<(), CoordinationError> {
        let events = events.clone();
        let change = move |records: &Records| {
            let events = Stored::replaced(records.events.as_ref(), expected, events)?;
            Some(Records { events: Some(events), ..records.clone() })
        };
        self.service.change_records(self.id, change).await
    }

    async fn close(&self) {
        let mut state = lock(&self.service.state);
        // Out of touch, it cannot tell the service; its time runs out.
        if state.link(self.id) == Some(Link::Connected) {
            state.close(self.id);
        }
    }
}

impl Drop for MemorySession {
    fn drop(&mut self) {
        let mut state = lock(&self.service.state);
        state.abandon(self.id);
        if state.link(self.id) == Some(Link::Connected) {
            state.cut(self.id);
            self.service.start_timer(self.id);
        }
        state.forget_if_abandoned(self.id);
    }
}
