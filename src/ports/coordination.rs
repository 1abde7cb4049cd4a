//! Who is there, who leads, who controls: the small shared facts that outlive any process.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::domain::events::Events;
use crate::domain::ids::{Epoch, LogId, NodeId, OrchestratorId};
use crate::domain::message::Member;

/// Why the coordination service did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum CoordinationError {
    /// It cannot be reached, and it is unknown whether the change was made; read the view, retry.
    #[error("coordination is unavailable")]
    Unavailable(#[source] anyhow::Error),
    /// Somebody else was faster; the view will show who.
    #[error("the record was changed by somebody else")]
    Conflict,
}

/// Who leads, in which epoch. Changed only by compare-and-set on its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderRecord {
    /// The term of office.
    pub epoch: Epoch,
    /// The worker that is, or is to become, master.
    pub master: NodeId,
    /// The history that it leads; drawn with the very first record, and anew where the log was lost
    /// and somebody said whose data to go on with.
    pub log_id: LogId,
    /// Whose data these were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<NodeId>,
    /// The newest epoch that is known to have begun in the log; 0 where none is. A log that lacks it
    /// has lost its data.
    #[serde(default)]
    pub admitted: Epoch,
}

impl LeaderRecord {
    /// Names the master of a history of which nothing else is known.
    #[must_use]
    pub const fn new(epoch: Epoch, master: NodeId, log_id: LogId) -> Self {
        Self { epoch, master, log_id, base: None, admitted: Epoch(0) }
    }

    /// Names another master of the same history, or the same one for another epoch.
    #[must_use]
    pub fn succeeded_by(&self, master: NodeId, epoch: Epoch) -> Self {
        Self { epoch, master, ..self.clone() }
    }
}

/// How many slaves there are to be, who is to be renewed, and whether anybody sees to it. Persistent, so that it outlives
/// the controller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScaleRecord {
    /// The wanted number of slaves.
    pub slaves: u32,
    /// Given by hand: the autoscaler keeps its hands off.
    pub manual: bool,
    /// The controller keeps its hands off everything.
    #[serde(default)]
    pub paused: bool,
    /// New workers are to take the place of these, one after another.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub renew: BTreeSet<NodeId>,
}

/// What an orchestrator tells of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrchestratorStatus {
    /// `db/read` requests that it has taken since it started.
    pub reads: u64,
}

/// The version of a record, for compare-and-set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(pub i64);

/// A value with its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The value.
    pub value: T,
    /// Changes with every change of the value.
    pub version: Version,
}

/// Everything shared, as it was known a moment ago. Immutable; a new one comes with each change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoordinationView {
    /// The session stands, and everything below was read in it. While it does not, the view
    /// shows what was last known.
    pub connected: bool,
    /// Who leads. `None` while connected means that nobody ever did.
    pub leader: Option<Versioned<LeaderRecord>>,
    /// The workers with a live session.
    pub members: BTreeMap<NodeId, Member>,
    /// The orchestrators with a live session.
    pub orchestrators: BTreeMap<OrchestratorId, OrchestratorStatus>,
    /// Who holds the controller lock.
    pub controller: Option<OrchestratorId>,
    /// The wanted number of slaves, once somebody has said.
    pub scale: Option<Versioned<ScaleRecord>>,
    /// What happened.
    pub events: Option<Versioned<Events>>,
}

/// One session with the coordination service.
///
/// Contract:
/// - What a session registered (`join`, `register`, the controller lock) vanishes some time after
///   its process died or was cut off, never while it is healthy. After an expiry the adapter opens
///   a new session and registers member and orchestrator again; it does not take the lock again.
/// - An entry of the same name left by an earlier session is replaced, not waited for.
/// - Dropping the handle ends the session by itself after its time, like a death; `close` at once.
#[async_trait]
pub trait Coordination: Send + Sync {
    /// The shared view, newest first; never blocks.
    fn view(&self) -> watch::Receiver<CoordinationView>;

    /// Enters or replaces this worker's entry. Idempotent.
    async fn join(&self, member: &Member) -> Result<(), CoordinationError>;

    /// Enters or replaces this orchestrator's entry. Idempotent.
    async fn register(
        &self,
        id: &OrchestratorId,
        status: &OrchestratorStatus,
    ) -> Result<(), CoordinationError>;

    /// Takes the controller lock if it is free. True when this session holds it now.
    async fn lock_controller(&self, id: &OrchestratorId) -> Result<bool, CoordinationError>;

    /// Writes the leader record if it still has the expected version (`None`: if there is none).
    async fn set_leader(
        &self,
        record: &LeaderRecord,
        expected: Option<Version>,
    ) -> Result<(), CoordinationError>;

    /// Writes the scale record if it still has the expected version (`None`: if there is none).
    async fn set_scale(
        &self,
        record: &ScaleRecord,
        expected: Option<Version>,
    ) -> Result<(), CoordinationError>;

    /// Writes down what happened, if the version of what stands there is the expected one; `None`
    /// expects nothing.
    ///
    /// # Errors
    /// As for [`Coordination::set_leader`].
    async fn set_events(
        &self,
        events: &Events,
        expected: Option<Version>,
    ) -> Result<(), CoordinationError>;

    /// Ends the session now: everything it registered vanishes at once.
    async fn close(&self);
}
