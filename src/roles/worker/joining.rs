//! Brings a replica to the end of the log: from its own database, from a copy, or both.

use std::time::Duration;

use tokio::time::timeout;
use tracing::{info, warn};

use super::leadership::led;
use super::replica::Replica;
use super::{Parts, Settings, WorkerError};
use crate::domain::ids::{DatabaseAddress, Epoch, Offset};
use crate::domain::joining::{Led, Misfit, Way, way};
use crate::domain::log::History;
use crate::domain::message::Role;
use crate::domain::planner::DuplicateWindow;
use crate::ports::log::LogError;
use crate::ports::store::StoreError;
use crate::roles::chain;

/// A worker that is further behind than this copies rather than reads everything.
const COPY_BEYOND: u64 = 50_000;
/// The pause between two tries to reach the log or a source.
const PAUSE: Duration = Duration::from_millis(200);

/// Where a join ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    /// The replica has caught up once it has taken in everything before this.
    pub(super) offset: Offset,
    /// And has met this epoch by then, which had begun before.
    pub(super) admitted: Epoch,
}

/// Gives the replica a tail that starts where its database ends, and says how far to read.
///
/// Waits, with a line in the log, for whatever is not there yet: the log, or a master to copy
/// from.
pub(super) async fn join(
    parts: &Parts,
    settings: &Settings,
    replica: &mut Replica,
) -> Result<Target, WorkerError> {
    let mut complaint = Complaint::default();
    loop {
        match attempt(parts, settings, replica).await {
            Ok(target) => return Ok(target),
            Err(Obstacle::Fatal(error)) => return Err(error),
            Err(Obstacle::Passing(reason)) => complaint.say(&reason),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Says a thing once, not at every try.
#[derive(Default)]
struct Complaint(String);

impl Complaint {
    fn say(&mut self, reason: &str) {
        if self.0 != reason {
            warn!(reason, "cannot join yet, waiting");
            reason.clone_into(&mut self.0);
        }
    }
}

enum Obstacle {
    Passing(String),
    Fatal(WorkerError),
}

impl From<Misfit> for Obstacle {
    fn from(misfit: Misfit) -> Self {
        Self::Fatal(misfit.into())
    }
}

impl From<LogError> for Obstacle {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Internal(source) => Self::Fatal(WorkerError::Log(source)),
            passing => Self::Passing(chain(passing)),
        }
    }
}

impl From<StoreError> for Obstacle {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Internal(source) => Self::Fatal(WorkerError::Store(source)),
            passing => Self::Passing(chain(passing)),
        }
    }
}

async fn attempt(
    parts: &Parts,
    settings: &Settings,
    replica: &mut Replica,
) -> Result<Target, Obstacle> {
    await_view(parts).await?;
    // Before the bounds: what it says to be in the log is before their end.
    let led = led(parts);
    let stored = parts.store.history().await?;
    replica.announce(&stored);
    let bounds = parts.log.bounds().await?;
    let way = way(&settings.node, &stored, led.as_ref(), (bounds.first, bounds.next))?;
    let must_copy = way == Way::Copy || (replica.must_copy() && stored.log_id.is_none());
    let behind = bounds.next.0.saturating_sub(stored.next_offset().0);
    let source = source(parts, settings, &stored);
    let (history, offset) = match (way, led.as_ref(), source) {
        (Way::BeginAnew, Some(led), _) => {
            warn!(log_id = %led.log_id, "the log was lost: going on from what this database holds");
            let history = History::on_own_data(led.log_id.clone(), bounds.next);
            parts.store.apply(&[], &history).await?;
            (history, bounds.next)
        }
        (_, _, Some(source)) if must_copy || behind > COPY_BEYOND => {
            info!(%source, behind, "copying a snapshot");
            // Meanwhile there is nothing that a read could count on.
            replica.withdraw();
            let copied = parts.store.copy_from(&source).await?;
            check_copy(&copied.history, led.as_ref())?;
            // The log moved on meanwhile, and the source may have been far behind.
            let first = parts.log.bounds().await?.first;
            if copied.history.next_offset() < first {
                let reason = "the source of the copy is further behind than the log reaches";
                return Err(Obstacle::Passing(reason.to_owned()));
            }
            let consistent = copied.consistent_at.map_or(Offset(0), Offset::next);
            (copied.history, consistent.max(bounds.next))
        }
        _ if must_copy => {
            let reason = "the log no longer holds what this worker lacks, and no master is there \
                          to copy from";
            return Err(Obstacle::Passing(reason.to_owned()));
        }
        _ => (stored, bounds.next),
    };
    // After a mere loss of the log the window is as good as ever, unless the log was lost while it
    // was still being fed; after a start it is empty.
    let is_as_good = *replica.history() == history && replica.is_fed();
    let from = if let Some(last) = history.applied.filter(|_| is_as_good) {
        replica.announce(&history);
        // Reads the last record once more: where the log was lost, and late appends have made it as long
        // as it had been, another one stands there.
        last.max(bounds.first)
    } else {
        let early = history.next_offset().0.saturating_sub(DuplicateWindow::RECORDS);
        let from = Offset(early).max(bounds.first);
        replica.reset(history, from);
        from
    };
    let tail = parts.log.tail(from).await?;
    replica.follow(tail, from);
    Ok(Target { offset, admitted: led.map_or(Epoch(0), |led| led.admitted) })
}

/// Without a look at who leads nobody can tell which history this is.
async fn await_view(parts: &Parts) -> Result<(), Obstacle> {
    let mut view = parts.coordination.view();
    let known = view.wait_for(|view| view.connected || view.leader.is_some());
    match timeout(PAUSE, known).await {
        Ok(Ok(_)) => Ok(()),
        _ => Err(Obstacle::Passing("the coordination service is not reached yet".to_owned())),
    }
}

/// Whoever has not noticed yet that the log was lost is no source.
fn check_copy(copied: &History, led: Option<&Led>) -> Result<(), Obstacle> {
    let is_left_behind =
        |led: &Led| led.base.is_some() && copied.log_id.as_ref() != Some(&led.log_id);
    if led.is_some_and(is_left_behind) {
        let reason = "the source of the copy has not gone on with the others yet";
        return Err(Obstacle::Passing(reason.to_owned()));
    }
    Ok(())
}

/// The master's database, or that of whoever is furthest where no master is there; nobody's who
/// is behind this worker itself.
fn source(parts: &Parts, settings: &Settings, own: &History) -> Option<DatabaseAddress> {
    let view = parts.coordination.view();
    let view = view.borrow();
    let others = view.members.values().filter(|member| member.node != settings.node);
    others
        .filter(|member| matches!(member.role, Role::Master | Role::Slave | Role::Promoting))
        .filter(|member| member.applied >= own.applied)
        .max_by_key(|member| (member.role == Role::Master, member.applied))
        .map(|member| member.database.clone())
}
