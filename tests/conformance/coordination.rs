//! The conformance suite of the port `Coordination`.

use std::sync::Arc;
use std::time::Duration;

use rideshare::domain::ids::{DatabaseAddress, Epoch, LogId, NodeId, Offset, OrchestratorId, Pid};
use rideshare::domain::message::{Member, Role};
use rideshare::ports::coordination::{
    Coordination, CoordinationError, CoordinationView, LeaderRecord, OrchestratorStatus,
    ScaleRecord, Version, Versioned,
};
use tokio::time::{Instant, timeout};

use crate::cases::BOUND;

mod endings;
mod entries;
mod lock;
mod records;

pub(crate) use endings::*;
pub(crate) use entries::*;
pub(crate) use lock::*;
pub(crate) use records::*;

/// Makes sessions to test. A factory is one coordination service that is empty at first.
pub(crate) trait CoordinationFactory: Sized {
    /// How long after its death a session may still be seen, at most.
    const EXPIRY_BOUND: Duration;

    /// A new, empty service.
    async fn start() -> Self;

    /// The session of one more process, connected.
    async fn session(&self) -> Arc<dyn Coordination>;

    /// Removes what the service still holds. Not called when a case fails.
    async fn finish(self);
}

/// Makes a test of every case: `coordination_suite!(tokio::test, Factory)`.
macro_rules! coordination_suite {
    ($attribute:meta, $factory:ty) => {
        cases!(
            $attribute,
            coordination,
            $factory,
            [
                new_service_is_empty_and_connected,
                member_is_seen_by_every_session_whole,
                joining_again_replaces_the_entry,
                orchestrator_is_seen_by_every_session,
                registering_again_replaces_the_entry,
                session_that_comes_late_sees_everything,
                closing_takes_away_at_once_what_the_session_registered,
                dying_takes_away_what_the_session_registered,
                healthy_session_keeps_what_it_registered,
                members_entry_of_an_earlier_session_is_replaced_and_outlives_it,
                orchestrators_entry_of_an_earlier_session_is_replaced_and_outlives_it,
                closing_an_earlier_session_leaves_the_entry_of_the_later_one,
                first_leader_record_is_written_once,
                leader_record_is_changed_by_who_knows_its_version,
                leader_record_of_equal_content_gets_a_new_version,
                one_of_many_competing_changes_of_the_leader_wins,
                leader_record_outlives_every_session,
                first_scale_record_is_written_once,
                scale_record_is_changed_by_who_knows_its_version,
                events_are_changed_by_who_knows_their_version_and_outlive_every_session,
                records_of_leader_and_scale_are_independent,
                lock_is_exclusive_and_seen,
                one_of_many_competing_sessions_gets_the_lock,
                lock_is_released_by_close,
                lock_is_released_by_death,
                lock_of_a_healthy_session_stays,
                every_change_wakes_the_view,
                views_converge,
            ]
        );
    };
}
pub(crate) use coordination_suite;

type Session = Arc<dyn Coordination>;

fn member(node: &str, pid: u32) -> Member {
    Member {
        node: NodeId::new(node),
        role: Role::Slave,
        pid: Pid(pid),
        managed: true,
        database: DatabaseAddress::new(format!("database-of-{node}")),
        epoch: Epoch(4),
        applied: Some(Offset(7)),
    }
}

fn leader(epoch: u64, master: &str) -> LeaderRecord {
    LeaderRecord::new(Epoch(epoch), NodeId::new(master), LogId::new("history"))
}

fn orchestrator(name: &str) -> OrchestratorId {
    OrchestratorId::new(name)
}

fn scale(slaves: u32) -> ScaleRecord {
    ScaleRecord { slaves, manual: false, ..ScaleRecord::default() }
}

/// Waits until the session's view is as wanted, and returns it.
async fn view_when(
    session: &Session,
    what: &str,
    wanted: impl FnMut(&CoordinationView) -> bool,
) -> CoordinationView {
    view_within(BOUND, session, what, wanted).await
}

async fn view_within(
    bound: Duration,
    session: &Session,
    what: &str,
    wanted: impl FnMut(&CoordinationView) -> bool,
) -> CoordinationView {
    let mut view = session.view();
    let seen = match timeout(bound, view.wait_for(wanted)).await {
        Ok(seen) => Some(seen.expect("the session stands, so its view goes on").clone()),
        Err(_) => None,
    };
    seen.unwrap_or_else(|| panic!("waited for {what}, but see {:?}", session.view().borrow()))
}

async fn pid_when(session: &Session, node: &str, pid: u32) {
    let node = NodeId::new(node);
    view_when(session, &format!("{node} with pid {pid}"), |view| {
        view.members.get(&node).is_some_and(|member| member.pid == Pid(pid))
    })
    .await;
}

/// Fails when the view is not as wanted at any moment of the time in which a death must show.
async fn stays<F: CoordinationFactory>(
    session: &Session,
    what: &str,
    mut wanted: impl FnMut(&CoordinationView) -> bool,
) {
    let mut view = session.view();
    let unwanted = timeout(F::EXPIRY_BOUND, view.wait_for(|view| !wanted(view))).await;
    if let Ok(seen) = unwanted {
        panic!("{what} did not last: {:?}", seen.map(|seen| seen.clone()));
    }
}

fn version_of<T>(record: Option<&Versioned<T>>) -> Option<Version> {
    record.map(|record| record.version)
}

fn is_conflict(result: &Result<(), CoordinationError>) -> bool {
    matches!(result, Err(CoordinationError::Conflict))
}
