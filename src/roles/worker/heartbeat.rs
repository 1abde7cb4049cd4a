//! Tells the others what this worker is and how far it has come.
//!
//! Over the progress feed soon after it moved and at least twice a second; in the coordination
//! service when its role changes and now and then while it moves.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use super::replica::Position;
use super::{Parts, Settings};
use crate::domain::message::{Member, Progress, Role};
use crate::roles::chain;
use crate::roles::latest::{self, Closed};

/// No two messages follow each other faster.
const LEAST_GAP: Duration = Duration::from_millis(4);
/// A worker that does not move says so this often.
const BEAT: Duration = Duration::from_millis(250);
/// The entry in the coordination service is renewed this often while the worker moves.
const ENTRY_GAP: Duration = Duration::from_secs(2);
/// A failed entry is tried again after this.
const ENTRY_RETRY: Duration = Duration::from_millis(200);

/// Sends progress until the worker is gone.
pub(super) async fn beat(
    parts: Parts,
    settings: Settings,
    mut role: latest::Receiver<Role>,
    mut position: latest::Receiver<Position>,
    mut stalled: latest::Receiver<bool>,
) {
    loop {
        let at = position.borrow_and_update().clone();
        let progress = Progress {
            node: settings.node.clone(),
            role: *role.borrow_and_update(),
            epoch: at.epoch,
            applied: at.applied,
            stalled: *stalled.borrow_and_update(),
        };
        if let Err(error) = parts.progress.publish(&progress).await {
            debug!(error = %chain(error), "progress not sent");
        }
        let next = Instant::now() + LEAST_GAP;
        let moved = async {
            tokio::select! {
                biased;
                changed = role.changed() => changed,
                changed = position.changed() => changed,
                Ok(()) = stalled.changed() => Ok(()),
            }
        };
        if timeout(BEAT, moved).await == Ok(Err(Closed)) {
            return;
        }
        sleep_until(next).await;
    }
}

/// Keeps the entry in the coordination service until the worker is gone.
pub(super) async fn enter(
    parts: Parts,
    settings: Settings,
    mut role: latest::Receiver<Role>,
    position: latest::Receiver<Position>,
) {
    let mut entered: Option<Member> = None;
    loop {
        let at = position.borrow().clone();
        let member = Member {
            node: settings.node.clone(),
            role: *role.borrow_and_update(),
            pid: settings.pid,
            managed: settings.managed,
            database: parts.store.address(),
            epoch: at.epoch,
            applied: at.applied,
        };
        let mut pause = ENTRY_GAP;
        if entered.as_ref() != Some(&member) {
            match parts.coordination.join(&member).await {
                Ok(()) => entered = Some(member),
                Err(error) => {
                    debug!(error = %chain(error), "entry not written");
                    pause = ENTRY_RETRY;
                }
            }
        }
        if timeout(pause, role.changed()).await == Ok(Err(Closed)) {
            return;
        }
    }
}
