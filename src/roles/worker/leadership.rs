//! A claim to lead, written into the leader record.

use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{info, warn};

use super::{Parts, Settings};
use crate::domain::ids::{Epoch, LogId};
use crate::domain::joining::Led;
use crate::domain::promotion::{Event, Leader};
use crate::ports::coordination::{CoordinationError, CoordinationView, LeaderRecord, Versioned};
use crate::roles::chain;

/// The pause before a claim that could not be delivered is made again.
const PAUSE: Duration = Duration::from_millis(200);

/// The leader record as the state machine wants it.
pub(super) fn leader(view: &CoordinationView) -> Leader {
    match &view.leader {
        None if !view.connected => Leader::Unknown,
        None => Leader::Nobody,
        Some(record) => {
            Leader::Named { epoch: record.value.epoch, master: record.value.master.clone() }
        }
    }
}

/// The history that is led; nothing where nobody knows of one.
pub(super) fn led(parts: &Parts) -> Option<Led> {
    let view = parts.coordination.view();
    let leader = view.borrow().leader.clone()?.value;
    Some(Led { log_id: leader.log_id, base: leader.base, admitted: leader.admitted })
}

/// The history to lead: the one that is, or a new one.
pub(super) fn log_id(parts: &Parts, own: Option<&LogId>) -> LogId {
    let view = parts.coordination.view();
    let recorded = view.borrow().leader.as_ref().map(|leader| leader.value.log_id.clone());
    own.cloned().or(recorded).unwrap_or_else(|| LogId::new(parts.ambient.unique()))
}

/// Writes this worker into the leader record, unless somebody else stands there by now. The
/// record itself tells how it went; only a failure to deliver the claim is an event.
pub(super) async fn claim(
    parts: Parts,
    settings: Settings,
    epoch: Epoch,
    own: Option<LogId>,
    events: mpsc::Sender<Event>,
) {
    let log_id = log_id(&parts, own.as_ref());
    let current = parts.coordination.view().borrow().leader.clone();
    let is_overtaken = |leader: &Versioned<LeaderRecord>| {
        leader.value.master != settings.node || leader.value.epoch >= epoch
    };
    if current.as_ref().is_some_and(is_overtaken) {
        return;
    }
    let node = settings.node.clone();
    let record = match &current {
        Some(leader) => LeaderRecord { log_id, ..leader.value.succeeded_by(node, epoch) },
        None => LeaderRecord::new(epoch, node, log_id),
    };
    let expected = current.map(|leader| leader.version);
    match parts.coordination.set_leader(&record, expected).await {
        Ok(()) => info!(%epoch, "claimed leadership"),
        Err(error) => {
            // With a conflict most likely another worker leads. Else something in the record has
            // changed that no event tells of.
            if matches!(error, CoordinationError::Conflict) {
                info!(%epoch, "the record was changed by somebody else");
            } else {
                warn!(%epoch, error = %chain(error), "claim not delivered");
            }
            tokio::time::sleep(PAUSE).await;
            // A driver that is gone has no use for the event.
            let _ = events.send(Event::ClaimFailed).await;
        }
    }
}
