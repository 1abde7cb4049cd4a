//! Every arm by example: a state and an event make exactly this state and these effects.

use super::*;

const ME: &str = "me";

fn node(name: &str) -> NodeId {
    NodeId::from(name)
}

fn named(epoch: u64, master: &str) -> Leader {
    Leader::Named { epoch: Epoch(epoch), master: node(master) }
}

fn worker(state: State, leader: Leader, spent: u64) -> Worker {
    Worker { node: node(ME), founder: false, state, leader, spent: Epoch(spent) }
}

fn founder(state: State, leader: Leader, spent: u64) -> Worker {
    Worker { founder: true, ..worker(state, leader, spent) }
}

fn joining(leader: Leader, spent: u64) -> Worker {
    worker(State::Joining, leader, spent)
}

fn slave(leader: Leader, spent: u64) -> Worker {
    worker(State::Slave, leader, spent)
}

/// Promoting in the epoch that the record names it for.
fn promoting(epoch: u64) -> Worker {
    worker(State::Promoting { epoch: Epoch(epoch) }, named(epoch, ME), epoch)
}

/// In office in the epoch that the record names it for.
fn master(epoch: u64) -> Worker {
    worker(State::Master { epoch: Epoch(epoch) }, named(epoch, ME), epoch)
}

fn leader(record: Leader) -> Event {
    Event::LeaderChanged(record)
}

fn admitted(epoch: u64, master: &str) -> Event {
    Event::EpochAdmitted { epoch: Epoch(epoch), master: node(master) }
}

fn refused(epoch: u64) -> Event {
    Event::EpochRefused { epoch: Epoch(epoch) }
}

fn claim(epoch: u64) -> Effect {
    Effect::ClaimLeadership { epoch: Epoch(epoch) }
}

fn append(epoch: u64) -> Effect {
    Effect::AppendEpoch { epoch: Epoch(epoch) }
}

type Row = (Worker, Event, Worker, Vec<Effect>);

#[track_caller]
fn assert_steps(table: Vec<Row>) {
    for (before, event, after, effects) in table {
        let taken = step(before.clone(), event.clone());
        assert_eq!(taken, (after, effects), "{before:?} and {event:?}");
    }
}

use Effect::{Announce, CatchUp, Drain, ServeReads, StopReads, StopWrites};
use Event::{CaughtUp, ClaimFailed, DrainRequested, Drained, Failed, LogLost};
use Leader::{Nobody, Unknown};

#[test]
fn worker_starts_by_joining() {
    let started = Worker::new(node(ME), true, Epoch(3));
    assert_eq!(started, founder(State::Joining, Unknown, 3));
    assert_eq!(started.role(), Role::Joining);
}

#[test]
fn caught_up_worker_serves_reads_unless_it_is_called() {
    let slave_told = Announce(Role::Slave);
    assert_steps(vec![
        (joining(Unknown, 2), CaughtUp, slave(Unknown, 2), vec![slave_told.clone(), ServeReads]),
        (joining(Nobody, 0), CaughtUp, slave(Nobody, 0), vec![slave_told.clone(), ServeReads]),
        (
            joining(named(2, "other"), 2),
            CaughtUp,
            slave(named(2, "other"), 2),
            vec![slave_told.clone(), ServeReads],
        ),
        (
            joining(named(3, ME), 2),
            CaughtUp,
            promoting(3),
            vec![slave_told.clone(), StopReads, append(3)],
        ),
        (
            joining(named(3, ME), 3),
            CaughtUp,
            slave(named(3, ME), 3),
            vec![slave_told.clone(), claim(4)],
        ),
        (
            founder(State::Joining, Nobody, 0),
            CaughtUp,
            founder(State::Slave, Nobody, 0),
            vec![slave_told.clone(), claim(1)],
        ),
        (
            founder(State::Joining, Unknown, 0),
            CaughtUp,
            founder(State::Slave, Unknown, 0),
            vec![slave_told, ServeReads],
        ),
    ]);
}

#[test]
fn being_caught_up_means_nothing_to_who_does_not_join() {
    for idle in [slave(Nobody, 1), promoting(2), master(2), worker(State::Draining, Nobody, 1)] {
        assert_steps(vec![(idle.clone(), CaughtUp, idle, vec![])]);
    }
}

#[test]
fn slave_follows_the_leader_record() {
    assert_steps(vec![
        (
            slave(named(4, "other"), 4),
            leader(named(5, ME)),
            promoting(5),
            vec![StopReads, append(5)],
        ),
        (
            slave(Unknown, 4),
            leader(named(5, "other")),
            slave(named(5, "other"), 4),
            vec![ServeReads],
        ),
        (slave(Unknown, 5), leader(named(5, ME)), slave(named(5, ME), 5), vec![claim(6)]),
        (slave(Unknown, 7), leader(named(5, ME)), slave(named(5, ME), 7), vec![claim(8)]),
        (slave(Unknown, 4), leader(Nobody), slave(Nobody, 4), vec![ServeReads]),
        (
            founder(State::Slave, Unknown, 4),
            leader(Nobody),
            founder(State::Slave, Nobody, 4),
            vec![claim(5)],
        ),
    ]);
}

#[test]
fn joining_and_draining_workers_only_note_the_leader_record() {
    for state in [State::Joining, State::Draining] {
        assert_steps(vec![(
            worker(state, Unknown, 1),
            leader(named(2, ME)),
            worker(state, named(2, ME), 1),
            vec![],
        )]);
    }
}

#[test]
fn promoting_worker_takes_office_with_its_own_epoch_only() {
    let taken = vec![Effect::AcceptWrites { epoch: Epoch(5) }, Announce(Role::Master)];
    let given_up =
        |leader: Leader, spent| worker(State::Promoting { epoch: Epoch(5) }, leader, spent);
    assert_steps(vec![
        (promoting(5), admitted(5, ME), master(5), taken),
        (promoting(5), admitted(4, ME), promoting(5), vec![]),
        (promoting(5), admitted(5, "other"), given_up(named(5, ME), 5), vec![]),
        (
            promoting(5),
            admitted(6, "other"),
            slave(named(5, ME), 6),
            vec![Announce(Role::Slave), claim(7)],
        ),
        (promoting(5), refused(5), slave(named(5, ME), 5), vec![Announce(Role::Slave), claim(6)]),
        (promoting(5), refused(4), promoting(5), vec![]),
    ]);
}

#[test]
fn promoting_worker_gives_up_when_the_record_says_otherwise() {
    assert_steps(vec![
        (promoting(5), leader(named(5, ME)), promoting(5), vec![]),
        (
            promoting(5),
            leader(named(6, "other")),
            slave(named(6, "other"), 5),
            vec![Announce(Role::Slave), ServeReads],
        ),
        (
            promoting(5),
            leader(named(6, ME)),
            promoting(6),
            vec![Announce(Role::Slave), StopReads, append(6)],
        ),
        (promoting(5), leader(Nobody), slave(Nobody, 5), vec![Announce(Role::Slave), ServeReads]),
    ]);
}

#[test]
fn master_steps_down_for_a_newer_epoch_only() {
    let deposed = vec![StopWrites, Announce(Role::Slave), ServeReads];
    let in_office = |leader: Leader| worker(State::Master { epoch: Epoch(5) }, leader, 5);
    assert_steps(vec![
        (
            in_office(named(6, "other")),
            admitted(6, "other"),
            slave(named(6, "other"), 6),
            deposed.clone(),
        ),
        // The record is behind the log: the claim fails where it has moved on.
        (
            master(5),
            admitted(6, "other"),
            slave(named(5, ME), 6),
            vec![StopWrites, Announce(Role::Slave), claim(7)],
        ),
        (master(5), admitted(5, ME), master(5), vec![]),
        (master(5), refused(5), master(5), vec![]),
        (master(5), leader(named(6, "other")), slave(named(6, "other"), 5), deposed),
        (
            master(5),
            leader(named(6, ME)),
            promoting(6),
            vec![StopWrites, Announce(Role::Slave), StopReads, append(6)],
        ),
        (master(5), leader(named(5, ME)), master(5), vec![]),
        (master(5), leader(named(4, "other")), in_office(named(4, "other")), vec![]),
        (master(5), leader(Nobody), in_office(Nobody), vec![]),
    ]);
}

#[test]
fn failed_claim_is_made_again_as_long_as_it_makes_sense() {
    assert_steps(vec![
        (slave(named(5, ME), 5), ClaimFailed, slave(named(5, ME), 5), vec![claim(6)]),
        (slave(named(5, "other"), 5), ClaimFailed, slave(named(5, "other"), 5), vec![]),
        (
            founder(State::Slave, Nobody, 0),
            ClaimFailed,
            founder(State::Slave, Nobody, 0),
            vec![claim(1)],
        ),
        (joining(named(5, ME), 5), ClaimFailed, joining(named(5, ME), 5), vec![]),
        (master(5), ClaimFailed, master(5), vec![]),
    ]);
}

#[test]
fn admitted_epochs_are_counted_in_every_state() {
    for state in [State::Joining, State::Slave, State::Draining] {
        assert_steps(vec![
            (worker(state, Unknown, 1), admitted(3, "other"), worker(state, Unknown, 3), vec![]),
            (worker(state, Unknown, 4), admitted(3, "other"), worker(state, Unknown, 4), vec![]),
        ]);
    }
}

#[test]
fn lost_log_sends_a_worker_back_to_joining() {
    let catch_up = [Announce(Role::Joining), CatchUp];
    let after = |first: &[Effect]| [first, &catch_up].concat();
    assert_steps(vec![
        (joining(Unknown, 1), LogLost, joining(Unknown, 1), after(&[])),
        (slave(Unknown, 1), LogLost, joining(Unknown, 1), after(&[StopReads])),
        (promoting(5), LogLost, joining(named(5, ME), 5), after(&[])),
        (master(5), LogLost, joining(named(5, ME), 5), after(&[StopWrites])),
    ]);
}

#[test]
fn epoch_from_before_the_log_was_lost_is_exchanged_for_a_new_one() {
    for before in [promoting(5), master(5)] {
        let (worker, _) = step(before, LogLost);
        let (worker, effects) = step(worker, CaughtUp);
        assert_eq!(effects, [Announce(Role::Slave), claim(6)]);
        let (worker, effects) = step(worker, leader(named(6, ME)));
        assert_eq!((worker, effects), (promoting(6), vec![StopReads, append(6)]));
    }
}

#[test]
fn draining_worker_finishes_and_goes() {
    let told = [Announce(Role::Draining), Drain];
    let after = |first: &[Effect]| [first, &told].concat();
    let draining = |leader: Leader, spent| worker(State::Draining, leader, spent);
    let stopped = worker(State::Stopped, Unknown, 1);
    assert_steps(vec![
        (joining(Unknown, 1), DrainRequested, draining(Unknown, 1), after(&[])),
        (slave(Unknown, 1), DrainRequested, draining(Unknown, 1), after(&[StopReads])),
        (promoting(5), DrainRequested, draining(named(5, ME), 5), after(&[])),
        (master(5), DrainRequested, draining(named(5, ME), 5), after(&[StopWrites])),
        (draining(Unknown, 1), DrainRequested, draining(Unknown, 1), vec![]),
        (draining(Unknown, 1), LogLost, draining(Unknown, 1), vec![]),
        (draining(Unknown, 1), Drained, stopped, vec![Effect::Exit { clean: true }]),
        (slave(Unknown, 1), Drained, slave(Unknown, 1), vec![]),
    ]);
}

#[test]
fn failed_worker_exits_at_once_and_not_cleanly() {
    let table = [
        joining(Unknown, 1),
        slave(Unknown, 1),
        promoting(5),
        master(5),
        worker(State::Draining, Unknown, 1),
    ];
    for before in table {
        let stopped = Worker { state: State::Stopped, ..before.clone() };
        assert_steps(vec![(before, Failed, stopped, vec![Effect::Exit { clean: false }])]);
    }
}

#[test]
fn stopped_worker_does_nothing_any_more() {
    let stopped = worker(State::Stopped, Unknown, 1);
    let events = [
        CaughtUp,
        leader(named(9, ME)),
        admitted(9, ME),
        refused(1),
        ClaimFailed,
        LogLost,
        DrainRequested,
        Drained,
        Failed,
    ];
    for event in events {
        assert_steps(vec![(stopped.clone(), event, stopped.clone(), vec![])]);
    }
}
