//! Every rule by example.

use super::*;

fn node(name: &str) -> NodeId {
    NodeId::from(name)
}

fn running(name: &str, pid: u32, role: Role) -> ObservedWorker {
    ObservedWorker {
        node: node(name),
        process: Process::Running { pid: Pid(pid) },
        role: Some(role),
        epoch: Epoch(3),
        suspected: false,
        draining: false,
        passed_over: false,
        backing_off: false,
        misses_log: false,
    }
}

fn wanted(slaves: u32) -> Desired {
    Desired { slaves, ..Desired::default() }
}

fn master(name: &str, pid: u32) -> ObservedWorker {
    running(name, pid, Role::Master)
}

fn slave(name: &str, pid: u32) -> ObservedWorker {
    running(name, pid, Role::Slave)
}

fn joining(name: &str, pid: u32) -> ObservedWorker {
    running(name, pid, Role::Joining)
}

fn silent(name: &str, pid: u32) -> ObservedWorker {
    ObservedWorker { role: None, ..slave(name, pid) }
}

fn exited(name: &str) -> ObservedWorker {
    ObservedWorker { process: Process::Exited, role: None, ..slave(name, 0) }
}

fn suspected(worker: ObservedWorker) -> ObservedWorker {
    ObservedWorker { suspected: true, ..worker }
}

fn draining(worker: ObservedWorker) -> ObservedWorker {
    ObservedWorker { draining: true, ..worker }
}

fn passed_over(worker: ObservedWorker) -> ObservedWorker {
    ObservedWorker { passed_over: true, ..worker }
}

fn backing_off(worker: ObservedWorker) -> ObservedWorker {
    ObservedWorker { backing_off: true, ..worker }
}

fn misses_log(worker: ObservedWorker) -> ObservedWorker {
    ObservedWorker { misses_log: true, ..worker }
}

fn unmanaged(worker: ObservedWorker) -> ObservedWorker {
    let pid = worker.pid().unwrap_or_default();
    ObservedWorker { process: Process::Unmanaged { pid }, ..worker }
}

fn seen(leader: Option<&str>, workers: &[ObservedWorker]) -> Observed {
    let leader = leader.map(|name| ObservedLeader { epoch: Epoch(3), master: node(name) });
    Observed { leader, workers: workers.to_vec() }
}

fn fence(name: &str) -> Action {
    Action::Fence(node(name))
}

fn elect(name: &str) -> Action {
    Action::Elect { node: node(name), epoch: Epoch(4) }
}

fn restart(name: &str) -> Action {
    Action::Restart(node(name))
}

fn remove(name: &str) -> Action {
    Action::Remove(node(name))
}

fn drain(name: &str) -> Action {
    Action::Drain(node(name))
}

type Row = (&'static str, u32, Observed, Vec<Action>);

#[track_caller]
fn assert_plans(table: Vec<Row>) {
    for (case, slaves, observed, expected) in table {
        assert_eq!(plan(&wanted(slaves), &observed), expected, "{case}: {observed:?}");
    }
}

use Action::{StartFounder, StartSlave};

#[test]
fn who_holds_more_than_the_log_is_neither_led_by_less_nor_removed() {
    let waits = backing_off(misses_log(exited("a")));
    assert_plans(vec![
        (
            "a slave holds less",
            1,
            seen(Some("m"), &[misses_log(exited("m")), slave("b", 2)]),
            vec![restart("m")],
        ),
        (
            "nobody knows yet of one that was started again",
            1,
            seen(Some("m"), &[misses_log(joining("m", 3)), slave("b", 2)]),
            vec![],
        ),
        ("its time has not come", 1, seen(Some("m"), &[waits.clone(), slave("b", 2)]), vec![]),
        (
            "somebody leads",
            1,
            seen(Some("m"), &[master("m", 1), misses_log(exited("a")), slave("b", 2)]),
            vec![restart("a")],
        ),
        (
            "it keeps its place",
            2,
            seen(Some("m"), &[master("m", 1), misses_log(exited("a")), slave("b", 2)]),
            vec![restart("a")],
        ),
        (
            "somebody was named by hand",
            1,
            seen(
                Some("m"),
                &[running("m", 1, Role::Promoting), misses_log(exited("a")), slave("b", 2)],
            ),
            vec![],
        ),
    ]);
}

#[test]
fn pause_ends_when_nobody_is_left() {
    let suspected = ObservedWorker { suspected: true, ..slave("b", 3) };
    for (workers, ends) in [
        (vec![], true),
        (vec![exited("m"), suspected.clone()], true),
        (vec![exited("m"), slave("a", 2)], false),
        (vec![joining("a", 2)], false),
    ] {
        assert_eq!(seen(Some("m"), &workers).ends_a_pause(), ends, "{workers:?}");
    }
}

#[test]
fn nothing_is_done_while_it_is_paused() {
    let suspected = ObservedWorker { suspected: true, ..slave("b", 3) };
    for observed in [
        seen(None, &[]),
        seen(Some("m"), &[slave("a", 2)]),
        seen(Some("m"), &[master("m", 1), slave("a", 2), suspected]),
    ] {
        assert_ne!(plan(&wanted(3), &observed), [], "{observed:?}");
        assert_eq!(plan(&Desired { paused: true, ..wanted(3) }, &observed), [], "{observed:?}");
    }
}

#[test]
fn all_is_well_with_a_master_and_the_desired_slaves() {
    assert_plans(vec![
        ("one slave", 1, seen(Some("m"), &[master("m", 1), slave("a", 2)]), vec![]),
        ("none is never desired", 0, seen(Some("m"), &[master("m", 1), slave("a", 2)]), vec![]),
        (
            "new ones may still join",
            2,
            seen(Some("m"), &[master("m", 1), silent("a", 2), joining("b", 3)]),
            vec![],
        ),
        (
            "who drains is no slave any more",
            1,
            seen(Some("m"), &[master("m", 1), slave("a", 2), draining(slave("b", 3))]),
            vec![],
        ),
    ]);
}

#[test]
fn first_worker_is_made_only_where_there_is_none() {
    assert_plans(vec![
        ("nothing at all", 3, seen(None, &[]), vec![StartFounder]),
        ("everything was removed by hand", 3, seen(Some("gone"), &[]), vec![StartFounder]),
        ("the founder is on its way", 3, seen(None, &[silent("f", 1)]), vec![]),
        ("the founder joins", 3, seen(None, &[joining("f", 1)]), vec![]),
        ("the founder died early", 3, seen(None, &[exited("f")]), vec![restart("f")]),
        ("the founder dies again and again", 3, seen(None, &[backing_off(exited("f"))]), vec![]),
        (
            "a stranger was there and is missed",
            3,
            seen(None, &[suspected(unmanaged(silent("u", 1)))]),
            vec![StartFounder],
        ),
        ("a stranger joins", 3, seen(None, &[unmanaged(joining("u", 1))]), vec![]),
        ("a slave was there first", 3, seen(None, &[slave("a", 1)]), vec![elect("a")]),
    ]);
}

#[test]
fn dead_master_is_succeeded_by_the_slave_with_the_lowest_pid() {
    let slaves = [slave("b", 7), slave("a", 9), joining("c", 2)];
    let with = |leader: ObservedWorker| [&[leader], slaves.as_slice()].concat();
    assert_plans(vec![
        ("it exited", 3, seen(Some("m"), &with(exited("m"))), vec![elect("b")]),
        ("it is gone altogether", 3, seen(Some("m"), &slaves), vec![elect("b")]),
        (
            "it is missed and not ours to kill",
            3,
            seen(Some("m"), &with(suspected(unmanaged(master("m", 1))))),
            vec![elect("b")],
        ),
        ("it leaves", 3, seen(Some("m"), &with(running("m", 1, Role::Draining))), vec![elect("b")]),
        (
            "it was asked to go",
            3,
            seen(Some("m"), &with(draining(joining("m", 1)))),
            vec![elect("b")],
        ),
        (
            "it took too long",
            3,
            seen(Some("m"), &with(passed_over(joining("m", 1)))),
            vec![elect("b")],
        ),
        (
            "a slave took too long",
            3,
            seen(Some("m"), &with(passed_over(slave("m", 1)))),
            vec![elect("b")],
        ),
        ("there is no record", 3, seen(None, &slaves), vec![elect("b")]),
    ]);
}

#[test]
fn only_caught_up_slaves_that_nothing_speaks_against_are_elected() {
    let others =
        [joining("j", 1), silent("n", 2), draining(slave("d", 3)), passed_over(slave("p", 4))];
    let all = [&[exited("m"), slave("a", 9)], others.as_slice()].concat();
    assert_plans(vec![
        ("the highest pid is the only fit one", 4, seen(Some("m"), &all), vec![elect("a")]),
        (
            "it need not be ours",
            4,
            seen(Some("m"), &[exited("m"), unmanaged(slave("u", 3)), slave("a", 9)]),
            vec![elect("u")],
        ),
    ]);
}

#[test]
fn elected_epoch_is_newer_than_any_that_is_known() {
    let told = ObservedWorker { epoch: Epoch(9), ..slave("a", 1) };
    let observed = seen(Some("m"), &[told, exited("m")]);
    let expected = Action::Elect { node: node("a"), epoch: Epoch(10) };
    assert_eq!(plan(&wanted(1), &observed), [expected]);
    let fresh = ObservedWorker { epoch: Epoch(0), ..slave("a", 1) };
    let expected = Action::Elect { node: node("a"), epoch: Epoch(1) };
    assert_eq!(plan(&wanted(1), &seen(None, &[fresh])), [expected]);
}

#[test]
fn suspected_worker_is_killed_before_anybody_takes_its_place() {
    let slow = suspected(slave("a", 2));
    assert_plans(vec![
        (
            "the master",
            1,
            seen(Some("m"), &[suspected(master("m", 1)), slave("a", 2)]),
            vec![fence("m")],
        ),
        (
            "a master on its way",
            1,
            seen(Some("m"), &[suspected(passed_over(joining("m", 1))), slave("a", 2)]),
            vec![fence("m")],
        ),
        (
            "a slave is replaced at once",
            1,
            seen(Some("m"), &[master("m", 1), slow.clone()]),
            vec![fence("a"), StartSlave],
        ),
        (
            "others do not wait for it",
            2,
            seen(Some("m"), &[exited("m"), slow.clone(), slave("b", 3)]),
            vec![fence("a"), elect("b")],
        ),
        (
            "nothing is removed or drained under a suspected master",
            1,
            seen(
                Some("m"),
                &[suspected(master("m", 1)), slave("a", 2), slave("b", 3), exited("c")],
            ),
            vec![fence("m")],
        ),
        (
            "not what is dead already",
            1,
            seen(Some("m"), &[master("m", 1), slave("a", 2), suspected(exited("c"))]),
            vec![remove("c")],
        ),
        (
            "not what is not ours",
            1,
            seen(Some("m"), &[master("m", 1), slave("a", 2), suspected(unmanaged(slave("u", 3)))]),
            vec![],
        ),
    ]);
}

#[test]
fn leader_has_its_time_to_take_office() {
    let waiting = [
        joining("m", 1),
        silent("m", 1),
        slave("m", 1),
        running("m", 1, Role::Promoting),
        unmanaged(joining("m", 1)),
    ];
    for leader in waiting {
        let observed = seen(Some("m"), &[leader, slave("a", 2), exited("b")]);
        assert_plans(vec![("nobody else is elected", 3, observed, vec![])]);
    }
}

#[test]
fn with_nobody_to_succeed_the_dead_are_started_again() {
    assert_plans(vec![
        (
            "the machine was rebooted",
            2,
            seen(Some("m"), &[exited("m"), exited("a"), exited("b")]),
            vec![restart("m"), restart("a"), restart("b")],
        ),
        (
            "one that joins may need what they have",
            2,
            seen(Some("m"), &[exited("m"), exited("a"), joining("b", 3)]),
            vec![restart("m"), restart("a")],
        ),
        (
            "the leader never comes and the only copy is dead",
            1,
            seen(Some("m"), &[passed_over(joining("m", 1)), exited("a")]),
            vec![restart("a")],
        ),
        (
            "the leader is gone altogether",
            1,
            seen(Some("gone"), &[joining("b", 3), exited("a")]),
            vec![restart("a")],
        ),
        (
            "not before their time",
            1,
            seen(Some("m"), &[backing_off(exited("m")), exited("a")]),
            vec![restart("a")],
        ),
        ("nobody's time has come", 1, seen(Some("m"), &[backing_off(exited("m"))]), vec![]),
        ("nothing to start", 1, seen(Some("gone"), &[joining("b", 3)]), vec![]),
    ]);
}

#[test]
fn who_was_passed_over_gets_another_turn_when_everyone_was() {
    let all = |leader| {
        seen(
            Some(leader),
            &[passed_over(slave("a", 1)), passed_over(slave("b", 2)), passed_over(slave("c", 3))],
        )
    };
    assert_plans(vec![
        ("after the first the second", 2, all("a"), vec![elect("b")]),
        ("after the second the third", 2, all("b"), vec![elect("c")]),
        ("after the last the first", 2, all("c"), vec![elect("a")]),
        (
            "and the dead are started as well",
            2,
            seen(
                Some("a"),
                &[passed_over(joining("a", 1)), passed_over(slave("b", 2)), exited("c")],
            ),
            vec![restart("c"), elect("b")],
        ),
        (
            "alone, for a new epoch",
            1,
            seen(Some("a"), &[passed_over(slave("a", 1))]),
            vec![elect("a")],
        ),
        ("unless it is not caught up", 1, seen(Some("a"), &[passed_over(joining("a", 1))]), vec![]),
        (
            "one that was not comes first",
            2,
            seen(
                Some("a"),
                &[passed_over(slave("a", 1)), passed_over(slave("b", 2)), slave("d", 9)],
            ),
            vec![elect("d")],
        ),
    ]);
}

#[test]
fn master_that_took_office_late_is_master() {
    let late = passed_over(master("m", 1));
    assert_plans(vec![("it is kept", 1, seen(Some("m"), &[late, slave("a", 2)]), vec![])]);
}

#[test]
fn master_that_no_record_names_is_named_when_there_is_nobody_else() {
    assert_plans(vec![
        ("alone", 1, seen(None, &[master("m", 5)]), vec![elect("m")]),
        (
            "the named one is dead",
            1,
            seen(Some("x"), &[exited("x"), master("m", 5)]),
            vec![restart("x"), elect("m")],
        ),
        ("a slave comes first", 1, seen(None, &[master("m", 1), slave("a", 2)]), vec![elect("a")]),
    ]);
}

#[test]
fn dead_are_removed_and_replaced_once_a_master_is_in_office() {
    assert_plans(vec![
        (
            "a slave died",
            2,
            seen(Some("m"), &[master("m", 1), slave("a", 2), exited("b")]),
            vec![remove("b"), StartSlave],
        ),
        (
            "the old master too",
            1,
            seen(Some("a"), &[exited("m"), master("a", 2)]),
            vec![remove("m"), StartSlave],
        ),
        (
            "more are desired",
            3,
            seen(Some("m"), &[master("m", 1), slave("a", 2)]),
            vec![StartSlave, StartSlave],
        ),
        (
            "a drained one is only removed",
            1,
            seen(Some("m"), &[master("m", 1), slave("a", 2), draining(exited("b"))]),
            vec![remove("b")],
        ),
        (
            "who dies again and again keeps its place for a while",
            2,
            seen(Some("m"), &[master("m", 1), slave("a", 2), backing_off(exited("b"))]),
            vec![],
        ),
        (
            "but not one that was to go",
            1,
            seen(Some("m"), &[master("m", 1), slave("a", 2), backing_off(draining(exited("b")))]),
            vec![remove("b")],
        ),
        (
            "somebody drains a slave by hand",
            1,
            seen(Some("m"), &[master("m", 1), running("a", 2, Role::Draining)]),
            vec![StartSlave],
        ),
        (
            "one of a stranger counts",
            1,
            seen(Some("m"), &[master("m", 1), unmanaged(slave("u", 2))]),
            vec![],
        ),
    ]);
}

#[test]
fn highest_pids_are_drained_and_the_last_that_serves_never() {
    let m = || master("m", 50);
    assert_plans(vec![
        (
            "two too many",
            1,
            seen(Some("m"), &[m(), slave("b", 20), slave("c", 99), slave("a", 10)]),
            vec![drain("c"), drain("b")],
        ),
        (
            "none is never desired",
            0,
            seen(Some("m"), &[m(), slave("a", 10), slave("b", 20)]),
            vec![drain("b")],
        ),
        (
            "the lowest does not serve yet",
            1,
            seen(Some("m"), &[m(), joining("a", 10), slave("b", 20), slave("c", 30)]),
            vec![drain("c")],
        ),
        (
            "the only one that serves stays",
            1,
            seen(Some("m"), &[m(), joining("a", 10), slave("b", 20)]),
            vec![],
        ),
        (
            "one that joins goes before it",
            1,
            seen(Some("m"), &[m(), joining("a", 10), slave("b", 20), joining("c", 30)]),
            vec![drain("c")],
        ),
        (
            "nobody serves yet",
            1,
            seen(Some("m"), &[m(), joining("a", 10), joining("b", 20)]),
            vec![],
        ),
        (
            "one of a stranger cannot be stopped",
            1,
            seen(Some("m"), &[m(), slave("a", 10), slave("b", 20), unmanaged(slave("u", 30))]),
            vec![drain("b")],
        ),
        (
            "who goes already is not counted",
            1,
            seen(Some("m"), &[m(), slave("a", 10), slave("b", 20), draining(slave("c", 30))]),
            vec![drain("b")],
        ),
    ]);
}

#[test]
fn workers_are_renewed_one_by_one_and_the_master_last() {
    let drain = |name: &str| vec![Action::Drain(node(name))];
    let switch_over = |name: &str| vec![Action::SwitchOver { node: node(name), epoch: Epoch(4) }];
    let (m, a, b) = (master("m", 1), slave("a", 2), slave("b", 3));
    let renew = ["m", "a", "b", "gone"].map(node).into();
    let desired = Desired { renew, ..wanted(2) };
    let new = |name: &str, pid| slave(name, pid);
    for (workers, expected) in [
        // One more is started before anybody goes, and nobody goes before it serves.
        (vec![m.clone(), a.clone(), b.clone()], vec![Action::StartSlave]),
        (vec![m.clone(), a.clone(), b.clone(), joining("x", 4)], vec![]),
        (vec![m.clone(), a.clone(), b.clone(), new("x", 4)], drain("b")),
        (vec![m.clone(), a.clone(), draining(b.clone()), new("x", 4)], vec![Action::StartSlave]),
        (
            vec![m.clone(), a.clone(), exited("b"), new("x", 4)],
            vec![remove("b"), Action::StartSlave],
        ),
        (vec![m.clone(), a.clone(), new("x", 4), new("y", 5)], drain("a")),
        // The master comes last; then it is a slave like others.
        (vec![m.clone(), new("x", 4), new("y", 5)], vec![Action::StartSlave]),
        (vec![m.clone(), new("x", 5), new("y", 4), new("z", 6)], switch_over("y")),
        (vec![m.clone(), new("x", 5), passed_over(new("y", 4)), new("z", 6)], switch_over("x")),
        // Nothing of it while anything else is wrong.
        (
            vec![m.clone(), a.clone(), b.clone(), suspected(new("x", 4))],
            vec![fence("x"), Action::StartSlave],
        ),
        (vec![m.clone(), a.clone(), b.clone(), backing_off(exited("x"))], vec![]),
        (vec![m.clone(), a.clone(), draining(b.clone()), new("x", 4), new("y", 5)], vec![]),
    ] {
        assert_eq!(plan(&desired, &seen(Some("m"), &workers)), expected, "{workers:?}");
    }
    // The old master went on as a slave.
    let after = [master("y", 4), slave("m", 1), new("x", 5), new("z", 6)];
    let after = seen(Some("y"), &after);
    assert_eq!(plan(&desired, &after), drain("m"));
    assert!(!desired.is_renewed(&after));
    let done = seen(Some("y"), &[master("y", 4), new("x", 5), new("z", 6)]);
    assert_eq!(plan(&desired, &done), []);
    assert!(desired.is_renewed(&done));
    // Whom nobody here started, nobody here renews.
    let by_hand = [unmanaged(m), new("x", 5), unmanaged(slave("b", 3))];
    assert_eq!(plan(&desired, &seen(Some("m"), &by_hand)), []);
}
