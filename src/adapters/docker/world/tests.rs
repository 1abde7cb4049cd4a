use super::*;

const NODE: &str = "n1";
const SECOND_NS: i64 = 1_000_000_000;
/// When the containers of these tests were made.
const MADE_MS: u64 = 100_000;
/// Nobody may still be making them.
const LATER_MS: u64 = MADE_MS + START_LIMIT_MS;
const CREATED: State = State::Created;
const RUNS: State = State::Running { pid: 7 };
const FAILED: State = State::Exited { code: 3 };

fn found(part: Part, state: State) -> Found {
    let id = if part == Part::Worker { "w" } else { "d" };
    Found {
        id: id.to_owned(),
        name: format!("p-{id}"),
        node: NodeId::new(NODE),
        part,
        state,
        created_at_ms: MADE_MS,
        changed_at_ns: i64::try_from(MADE_MS).expect("small") * 1_000_000,
    }
}

fn look(worker: Option<State>, database: Option<State>, has_volume: bool) -> Look {
    let worker = worker.map(|state| found(Part::Worker, state));
    let database = database.map(|state| found(Part::Database, state));
    Look {
        containers: worker.into_iter().chain(database).collect(),
        volumes: has_volume.then(|| (NodeId::new(NODE), MADE_MS)).into_iter().collect(),
        aside: BTreeMap::new(),
    }
}

fn world(look: Look) -> World {
    let mut world = World::default();
    let number = world.begin_look();
    world.apply(number, look);
    world
}

fn state(world: &World) -> Option<ContainerState> {
    world.assess(LATER_MS).workers.first().map(|it| it.state)
}

const fn exited(code: i32) -> Option<ContainerState> {
    Some(ContainerState::Exited { code })
}

const fn running(pid: u32) -> Option<ContainerState> {
    Some(ContainerState::Running { pid: Pid(pid) })
}

#[test]
fn halves_make_a_worker() {
    let killed = exited(KILLED);
    // The worker, its database, what is listed of the two, and who is to be killed.
    let table = [
        (Some(RUNS), Some(RUNS), running(7), None),
        (Some(RUNS), Some(FAILED), running(7), Some("w")),
        (Some(RUNS), None, running(7), Some("w")),
        (Some(RUNS), Some(CREATED), running(7), Some("w")),
        (Some(FAILED), Some(RUNS), exited(3), Some("d")),
        (Some(FAILED), Some(FAILED), exited(3), None),
        (Some(FAILED), None, exited(3), None),
        (Some(CREATED), Some(RUNS), killed, Some("d")),
        (Some(CREATED), Some(CREATED), killed, None),
        (None, Some(RUNS), killed, Some("d")),
        (None, Some(FAILED), killed, None),
        (None, None, killed, None),
    ];
    for (worker, database, listed, doomed) in table {
        let assessment = world(look(worker, database, true)).assess(LATER_MS);
        let states: Vec<_> = assessment.workers.iter().map(|it| it.state).collect();
        assert_eq!(states, Vec::from_iter(listed), "{worker:?} {database:?}");
        let expected = doomed.map(str::to_owned);
        assert_eq!(assessment.doomed, Vec::from_iter(expected), "{worker:?} {database:?}");
    }
}

#[test]
fn pair_that_somebody_may_be_making_is_let_alone_for_its_time() {
    let unfinished = [
        look(None, None, true),
        look(None, Some(CREATED), true),
        look(Some(CREATED), Some(CREATED), true),
        look(Some(CREATED), Some(RUNS), true),
    ];
    for look in unfinished {
        let world = world(look);
        assert_eq!(world.assess(LATER_MS - 1), Assessment::default(), "{world:?}");
        assert_eq!(world.assess(LATER_MS).workers.len(), 1, "{world:?}");
    }
}

#[test]
fn containers_made_anew_on_an_old_volume_have_their_time_too() {
    let mut anew = look(Some(CREATED), Some(RUNS), true);
    anew.volumes.insert(NodeId::new(NODE), 1);
    assert!(world(anew).assess(LATER_MS - 1).doomed.is_empty());
}

#[test]
fn worker_that_is_worked_on_is_shown_as_before_and_nobody_of_it_killed() {
    let node = NodeId::new(NODE);
    let before = Container {
        node: node.clone(),
        state: ContainerState::Exited { code: 1 },
        changed_at_ms: 5,
    };
    for listed in [None, Some(before)] {
        let mut world = world(look(Some(RUNS), None, true));
        assert!(world.occupy(&node, listed.clone()));
        assert!(!world.occupy(&node, None), "by one at a time");
        let assessment = world.assess(LATER_MS);
        assert_eq!(assessment.workers, Vec::from_iter(listed));
        assert!(assessment.doomed.is_empty());
        world.release(&node);
        assert_eq!(state(&world), running(7));
    }
}

#[test]
fn name_is_taken_by_any_part_and_by_work() {
    let node = NodeId::new(NODE);
    let parts =
        [look(Some(FAILED), None, false), look(None, Some(CREATED), false), look(None, None, true)];
    for look in parts {
        assert!(world(look).knows(&node));
    }
    let mut empty = World::default();
    assert!(!empty.knows(&node));
    empty.occupy(&node, None);
    assert!(empty.knows(&node));
}

#[test]
fn death_is_certain_from_the_moment_it_is_told() {
    let mut world = world(look(Some(RUNS), Some(RUNS), true));
    let at_ns = 200 * SECOND_NS;
    assert!(world.note_death("w", 3, at_ns));
    let assessment = world.assess(LATER_MS);
    let (state, changed_at_ms) = (ContainerState::Exited { code: 3 }, 200_000);
    let worker = Container { node: NodeId::new(NODE), state, changed_at_ms };
    assert_eq!(assessment, Assessment { workers: vec![worker], doomed: vec!["d".to_owned()] });
    assert!(!world.note_death("w", 3, at_ns), "told twice");
}

#[test]
fn death_outlives_a_look_that_was_under_way() {
    let mut world = world(look(Some(RUNS), Some(RUNS), true));
    let under_way = world.begin_look();
    world.note_death("w", 3, 200 * SECOND_NS);
    world.apply(under_way, look(Some(RUNS), Some(RUNS), true));
    assert_eq!(state(&world), exited(3), "the look may have been older");
    let later = world.begin_look();
    world.apply(later, look(Some(RUNS), Some(RUNS), true));
    assert_eq!(state(&world), running(7), "it was started again");
}

#[test]
fn look_that_was_overtaken_changes_nothing() {
    let mut world = World::default();
    let (slow, fast) = (world.begin_look(), world.begin_look());
    world.apply(fast, look(Some(FAILED), Some(FAILED), true));
    world.apply(slow, look(Some(RUNS), Some(RUNS), true));
    assert_eq!(state(&world), exited(3));
}

#[test]
fn old_story_is_not_a_death() {
    let started_at_ns = found(Part::Worker, RUNS).changed_at_ns;
    let mut world = world(look(Some(RUNS), Some(CREATED), true));
    assert!(!world.note_death("w", 3, started_at_ns - 1), "of its life before");
    assert!(!world.note_death("d", 3, 200 * SECOND_NS), "it never ran");
    assert!(!world.note_death("unknown", 3, 200 * SECOND_NS));
    assert_eq!(state(&world), running(7));
}
