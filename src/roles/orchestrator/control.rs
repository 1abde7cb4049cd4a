//! What people may ask of a running system: another number of slaves, another master, new workers, a
//! pause.
//!
//! Any orchestrator takes these: what is wanted stands in the coordination service, where the
//! controller, which may be another one, finds it.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, timeout};

use super::Handle;
use crate::domain::events::{Cause, Kind};
use crate::domain::ids::{Epoch, NodeId};
use crate::domain::scaling::Outlook;
use crate::ports::containers::ContainersError;
use crate::ports::coordination::{CoordinationError, ScaleRecord};

/// How often a record is read again that somebody else was faster to change.
const TRIES: u32 = 5;
/// A slave that lacks more records than this would be waited for too long.
const MOST_LAG: u64 = 10_000;

/// How many slaves there are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// As many as the reads call for.
    Auto,
    /// So many, whatever is read.
    Slaves(u32),
}

/// How many slaves are wanted, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// So many.
    pub slaves: u32,
    /// Said by hand: the reads change nothing.
    pub manual: bool,
    /// Nothing is done about anything.
    pub paused: bool,
    /// The least and the most that there may be.
    pub bounds: (u32, u32),
    /// How many reads one slave is to carry.
    pub reads_per_slave: u64,
    /// What the autoscaler would do; only the orchestrator in control knows.
    pub outlook: Option<Outlook>,
}

/// A master that handed over to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Switchover {
    /// Who was master.
    pub from: NodeId,
    /// Who is.
    pub to: NodeId,
    /// The epoch before.
    pub from_epoch: Epoch,
    /// The epoch after.
    pub to_epoch: Epoch,
    /// From the asking until the new one was in office, in milliseconds.
    pub took_ms: u64,
}

/// Workers, to be told.
#[derive(Debug)]
pub struct Known(pub Vec<NodeId>);

impl fmt::Display for Known {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, node) in self.0.iter().enumerate() {
            write!(formatter, "{}`{node}`", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// Why something that was asked for was not done.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The system cannot do it as it is now.
    #[error("{0}")]
    NotNow(String),
    /// There is no such slave.
    #[error("there is no slave `{0}`")]
    Unknown(NodeId),
    /// There is no such worker.
    #[error("there is no worker `{node}`, only {known}")]
    NoWorker {
        /// Who was asked for.
        node: NodeId,
        /// Who there is, or was.
        known: Known,
    },
    /// The runtime of the workers did not do it.
    #[error(transparent)]
    Containers(#[from] ContainersError),
    /// It makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The coordination service did not take it.
    #[error(transparent)]
    Coordination(#[from] CoordinationError),
    /// The new master is not in office yet; it, or else another one, will be.
    #[error("`{0}` was named master and is not in office yet")]
    Unfinished(NodeId),
}

/// So many have passed since then.
pub(super) fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Handle {
    /// How many slaves are wanted, and why.
    #[must_use]
    pub fn scale(&self) -> Scale {
        let view = self.parts.coordination.view();
        let record =
            view.borrow().scale.as_ref().map_or(self.default_scale(), |it| it.value.clone());
        let (least, most) = self.bounds();
        Scale {
            slaves: record.slaves.clamp(least, most),
            manual: record.manual,
            paused: record.paused,
            bounds: (least, most),
            reads_per_slave: self.scaling.reads_per_slave,
            outlook: *self.outlook.borrow(),
        }
    }

    /// Says how many slaves there are to be.
    ///
    /// # Errors
    /// `Invalid` outside the bounds of the settings; `Coordination` when it could not be noted.
    pub async fn set_scale(&self, wanted: Wanted) -> Result<Scale, ControlError> {
        let (least, most) = self.bounds();
        if let Wanted::Slaves(slaves) = wanted
            && !(least..=most).contains(&slaves)
        {
            let bounds = format!("slaves is a number from {least} to {most}, or \"auto\"");
            return Err(ControlError::Invalid(bounds));
        }
        let changed = self
            .change_scale(|record| match wanted {
                Wanted::Auto => record.manual = false,
                Wanted::Slaves(slaves) => (record.slaves, record.manual) = (slaves, true),
            })
            .await?;
        self.journal.note_scale(changed.slaves, Cause::Asked);
        Ok(Scale { slaves: changed.slaves, manual: changed.manual, ..self.scale() })
    }

    /// Lets the controller keep its hands off everything, or go on.
    ///
    /// # Errors
    /// When it could not be noted.
    pub async fn set_paused(&self, paused: bool) -> Result<(), ControlError> {
        self.change_scale(|record| record.paused = paused).await?;
        let kind = if paused { Kind::Paused } else { Kind::Resumed };
        self.journal.note(kind, None, Cause::Asked);
        Ok(())
    }

    /// Lets a slave, the one with the lowest pid where none is named, take the master's place. The
    /// master goes on as a slave. What is under way meanwhile is carried out by either of them.
    ///
    /// # Errors
    /// `NotNow` without a master or a slave that is near it, `Unknown` where no slave has the name,
    /// `Unfinished` when it takes too long.
    pub async fn switch_over(&self, to: Option<&NodeId>) -> Result<Switchover, ControlError> {
        let started = Instant::now();
        let from = self.observer.master();
        let from = from.ok_or_else(|| ControlError::NotNow("no master is in office".to_owned()))?;
        let (to, from_epoch, to_epoch) = self.name_successor(&from, to).await?;
        self.journal.note_election(&to, from_epoch, to_epoch, Cause::Asked);
        self.await_office(&to, to_epoch, self.promotion_limit).await?;
        Ok(Switchover { from, to, from_epoch, to_epoch, took_ms: milliseconds(started) })
    }

    /// Waits until a worker that was named is in office.
    pub(super) async fn await_office(
        &self,
        node: &NodeId,
        epoch: Epoch,
        limit: Duration,
    ) -> Result<(), ControlError> {
        match timeout(limit, self.observer.in_office(node, epoch)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(ControlError::Unfinished(node.clone())),
        }
    }

    /// Lets a new worker take the place of each that there is now, one after another and the master
    /// last, and without a request that fails. Returns whose places these are; the controller goes
    /// on with it when this has returned, and after its own death.
    ///
    /// # Errors
    /// `NotNow` while that is under way already, or where there is no worker that was started here.
    pub async fn renew(&self) -> Result<Vec<NodeId>, ControlError> {
        let not_now = |reason: &str| ControlError::NotNow(reason.to_owned());
        if !self.renewing().is_empty() {
            return Err(not_now("the workers are being renewed already"));
        }
        let containers = self.parts.containers.watch().borrow().clone();
        let nodes: Vec<_> = containers.iter().map(|container| container.node.clone()).collect();
        if nodes.is_empty() {
            return Err(not_now("there is no worker that could be renewed"));
        }
        self.change_scale(|record| record.renew = nodes.iter().cloned().collect()).await?;
        self.journal.note(Kind::Renewing, None, Cause::Asked);
        Ok(nodes)
    }

    /// Who is still to be renewed.
    #[must_use]
    pub fn renewing(&self) -> Vec<NodeId> {
        let record = self.parts.coordination.view().borrow().scale.clone();
        let renew = record.map(|record| record.value.renew).unwrap_or_default();
        let containers = self.parts.containers.watch().borrow().clone();
        let nodes = containers.iter().map(|container| container.node.clone());
        nodes.filter(|node| renew.contains(node)).collect()
    }

    /// Writes it into the leader record. Returns it, and the epochs before and after.
    async fn name_successor(
        &self,
        from: &NodeId,
        named: Option<&NodeId>,
    ) -> Result<(NodeId, Epoch, Epoch), ControlError> {
        let not_now = || ControlError::NotNow("another master is being elected".to_owned());
        let mut views = self.views.clone();
        for _ in 0..TRIES {
            drop(views.borrow_and_update());
            let leader = self.parts.coordination.view().borrow().leader.clone();
            let leader = leader.filter(|it| it.value.master == *from).ok_or_else(not_now)?;
            let (to, told) = self.successor(named)?;
            let to_epoch = told.max(leader.value.epoch.next());
            let record = leader.value.succeeded_by(to.clone(), to_epoch);
            match self.parts.coordination.set_leader(&record, Some(leader.version)).await {
                Ok(()) => return Ok((to, leader.value.epoch, to_epoch)),
                // Another master, or more about the same one; the view will show which.
                Err(CoordinationError::Conflict) => {
                    let _ = timeout(self.promotion_limit, views.changed()).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(not_now())
    }

    /// Who is to take over, and the first epoch that nobody has told of.
    fn successor(&self, named: Option<&NodeId>) -> Result<(NodeId, Epoch), ControlError> {
        let slaves = self.observer.slaves();
        let node = match named {
            Some(node) if slaves.contains(node) => node,
            Some(node) => return Err(ControlError::Unknown(node.clone())),
            None => slaves
                .first()
                .ok_or_else(|| ControlError::NotNow("no slave is there to take over".to_owned()))?,
        };
        let workers = self.observer.workers();
        let lag = workers.iter().find(|it| it.node == *node).and_then(|it| it.lag);
        if lag.is_none_or(|lag| lag > MOST_LAG) {
            let reason = format!("`{node}` is too far behind the master to take over");
            return Err(ControlError::NotNow(reason));
        }
        let told = workers.iter().map(|it| it.epoch).max().unwrap_or_default();
        Ok((node.clone(), told.next()))
    }

    fn bounds(&self) -> (u32, u32) {
        let least = self.scaling.min_slaves.max(1);
        (least, self.scaling.max_slaves.max(least))
    }

    fn default_scale(&self) -> ScaleRecord {
        ScaleRecord { slaves: self.bounds().0, ..ScaleRecord::default() }
    }

    /// Changes what stands in the record, again where somebody else was faster.
    async fn change_scale(
        &self,
        change: impl Fn(&mut ScaleRecord),
    ) -> Result<ScaleRecord, ControlError> {
        let mut views = self.views.clone();
        for _ in 0..TRIES {
            drop(views.borrow_and_update());
            let current = self.parts.coordination.view().borrow().scale.clone();
            let mut record = current.as_ref().map_or(self.default_scale(), |it| it.value.clone());
            change(&mut record);
            let expected = current.map(|it| it.version);
            match self.parts.coordination.set_scale(&record, expected).await {
                Ok(()) => return Ok(record),
                // The view follows what was written; then there is another version to expect.
                Err(CoordinationError::Conflict) => {
                    let _ = timeout(self.promotion_limit, views.changed()).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(CoordinationError::Conflict.into())
    }
}
