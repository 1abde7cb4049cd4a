//! What is done about a log that has lost its data.
//!
//! A worker that holds more than the log stops, and nobody takes office on less than there was. So
//! nothing is lost while the log is brought back: then all go on by themselves. Where it cannot be
//! brought back, somebody has to say whose data to go on with.

use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, timeout};

use super::Handle;
use super::control::{ControlError, Known, milliseconds};
use crate::domain::ids::{Epoch, LogId, NodeId};
use crate::ports::containers::{Container, ContainerState, ContainersError, LOG_LOST, NOT_BEGUN};
use crate::ports::coordination::{CoordinationError, LeaderRecord};

/// How long a worker may take to say that the log lacks what it holds; it is started again and again.
const COMPLAINT_LIMIT: Duration = Duration::from_secs(25);
/// How long it may take to begin anew: the pause before its next start, and the start.
const LIMIT: Duration = Duration::from_secs(40);

/// A system that goes on from one worker's data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recovery {
    /// Whose data these are; it is master.
    pub from: NodeId,
    /// Its epoch, the first one of the new log.
    pub epoch: Epoch,
    /// From the asking until it was in office, in milliseconds.
    pub took_ms: u64,
}

/// It says that the log lacks what its database holds.
pub(super) fn misses_its_log(container: &Container) -> bool {
    container.state == ContainerState::Exited { code: LOG_LOST }
}

/// Its data may be gone on with: the log lacks them, and nobody has begun with others.
fn may_begin(container: &Container) -> bool {
    misses_its_log(container) || container.state == ContainerState::Exited { code: NOT_BEGUN }
}

impl Handle {
    /// Begins a new log with what one worker holds. Writes that it does not hold are lost, and
    /// offsets from before mean nothing any more. All others copy its data.
    ///
    /// # Errors
    /// `NotNow` while there is a master, or unless that worker says that the log has lost its data;
    /// `NoWorker` where there is none of that name and none is kept; `Unfinished` when it takes too long.
    pub async fn recover(&self, from: &NodeId) -> Result<Recovery, ControlError> {
        let started = Instant::now();
        self.await_complaint(from).await?;
        if self.observer.master().is_some() {
            return Err(ControlError::NotNow("a master is in office: nothing is lost".to_owned()));
        }
        let current = self.parts.coordination.view().borrow().leader.clone();
        let nobody = || ControlError::NotNow("nobody has ever led this system".to_owned());
        let current = current.ok_or_else(nobody)?;
        let told = self.observer.workers().iter().map(|it| it.epoch).max().unwrap_or_default();
        let epoch = current.value.epoch.max(told).next();
        let record = LeaderRecord {
            base: Some(from.clone()),
            ..LeaderRecord::new(epoch, from.clone(), LogId::new(self.parts.ambient.unique()))
        };
        match self.parts.coordination.set_leader(&record, Some(current.version)).await {
            Err(CoordinationError::Conflict) => {
                let reason = "another master was named meanwhile".to_owned();
                return Err(ControlError::NotNow(reason));
            }
            written => written?,
        }
        self.journal.note_recovery(from, current.value.epoch, epoch);
        self.await_office(from, epoch, LIMIT).await?;
        Ok(Recovery { from: from.clone(), epoch, took_ms: milliseconds(started) })
    }

    /// It was removed, but what it stored may be kept.
    async fn bring_back(&self, node: &NodeId) -> Result<(), ControlError> {
        let containers = &self.parts.containers;
        match containers.bring_back(node).await {
            Err(ContainersError::NotFound(_)) => {
                let listed = containers.watch().borrow().clone();
                let listed = listed.into_iter().map(|container| container.node);
                let known = listed.chain(containers.set_aside().await?).collect();
                Err(ControlError::NoWorker { node: node.clone(), known: Known(known) })
            }
            done => Ok(done?),
        }
    }

    /// Only the worker itself can tell that the log lacks what it holds.
    async fn await_complaint(&self, node: &NodeId) -> Result<(), ControlError> {
        let mut containers = self.parts.containers.watch();
        let is_meant = |container: &Container| container.node == *node;
        let is_listed = containers.borrow().iter().any(is_meant);
        // Not what it said of a log that may have been brought back since.
        let asked_at_ms = self.parts.ambient.now_ms();
        let complains = |list: &Vec<Container>| {
            let is_new = |it: &Container| it.changed_at_ms >= asked_at_ms;
            list.iter().any(|it| is_meant(it) && may_begin(it) && is_new(it))
        };
        let silent = || {
            let reason = format!("`{node}` does not say that the log has lost its data");
            ControlError::NotNow(reason)
        };
        if self.observer.master().is_some() {
            return Err(silent());
        }
        if !is_listed {
            self.bring_back(node).await?;
        }
        let complained = timeout(COMPLAINT_LIMIT, containers.wait_for(complains)).await;
        complained.ok().and_then(Result::ok).map(drop).ok_or_else(silent)
    }
}
