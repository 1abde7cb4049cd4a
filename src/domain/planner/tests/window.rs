//! What is remembered of earlier requests, and for how long.

use super::super::window::WindowLimits;
use super::model::Store;
use super::*;

fn entry(id: &str, outcome: Outcome) -> Entry {
    Entry { request_id: RequestId::from(id), outcome, changes: Vec::new() }
}

fn deleted(count: u64) -> Outcome {
    Outcome::Deleted { deleted: count }
}

fn window(limits: WindowLimits) -> DuplicateWindow {
    DuplicateWindow::with_limits(Offset(10), limits)
}

fn remembered(window: &DuplicateWindow) -> Vec<&'static str> {
    let names = ["a", "b", "c", "d", "e"];
    names.into_iter().filter(|name| window.find(&RequestId::from(*name)).is_some()).collect()
}

#[test]
fn window_is_empty_until_something_is_recorded() {
    let mut window = DuplicateWindow::starting_at(Offset(0));
    assert!(window.is_empty());
    window.record(Offset(1), &[]);
    assert!(window.is_empty());
    window.record(Offset(2), &[entry("a", deleted(1))]);
    assert!(!window.is_empty());
}

#[test]
fn repetition_gets_the_outcome_of_the_first_time() {
    let mut window = DuplicateWindow::starting_at(Offset(0));
    window.record(Offset(4), &[entry("old", deleted(7))]);
    let requests = [
        request("new", insert(&[json!({"_id": 1})])),
        request("old", insert(&[json!({"_id": 2})])),
        request("new", insert(&[json!({"_id": 3})])),
        request("last", insert(&[json!({"_id": 1})])),
    ];
    let requests: Vec<&WriteRequest> = requests.iter().collect();
    let view = Store::default().view(&needs(&requests));
    let plan = plan(&requests, view, &window);
    assert_eq!(plan.entries.len(), 2);
    let told: Vec<Recorded> =
        plan.answers.into_iter().map(|answer| answer.resolve(Offset(9), &plan.entries)).collect();
    let recorded = |offset, outcome| Recorded { offset: Offset(offset), outcome };
    assert_eq!(
        told,
        [
            recorded(9, inserted(&[1])),
            recorded(4, deleted(7)),
            recorded(9, inserted(&[1])),
            recorded(9, Outcome::Refused(conflict(&[1]))),
        ]
    );
}

#[test]
fn request_from_before_the_window_is_not_carried_out() {
    let window = DuplicateWindow::starting_at(Offset(5));
    let table = [(4, true), (5, false), (6, false)];
    for (seen, forgotten) in table {
        let delete = delete(json!({"_id": 1}), false);
        let late = WriteRequest { seen: Offset(seen), ..request("late", delete) };
        let view = Store::default().view(&needs(&[&late]));
        let plan = plan(&[&late], view, &window);
        assert_eq!(plan.answers == [Answer::Unrecorded(Refusal::Forgotten)], forgotten, "{seen}");
        assert_eq!(plan.entries.is_empty(), forgotten, "{seen}");
    }
    let told = Answer::Unrecorded(Refusal::Forgotten).resolve(Offset(9), &[]);
    assert_eq!(told.outcome, Outcome::Refused(Refusal::Forgotten));
}

#[test]
fn oldest_records_are_forgotten_first_and_whole() {
    let roomy = WindowLimits { records: 100, requests: 100, bytes: 100_000 };
    let large = Outcome::Refused(Refusal::Unfit { detail: "x".repeat(60_000) });
    let table = [
        (roomy, deleted(1), vec!["a", "b", "c", "d"], 10),
        (WindowLimits { records: 2, ..roomy }, deleted(1), vec!["c", "d"], 13),
        (WindowLimits { requests: 3, ..roomy }, deleted(1), vec!["c", "d"], 13),
        (roomy, large, vec!["d"], 15),
    ];
    for (limits, outcome, expected, floor) in table {
        let mut window = window(limits);
        window.record(Offset(11), &[]);
        window.record(Offset(12), &[entry("a", deleted(1)), entry("b", deleted(1))]);
        window.record(Offset(14), &[entry("c", outcome.clone())]);
        window.record(Offset(15), &[entry("d", outcome)]);
        assert_eq!(remembered(&window), expected);
        assert_eq!((window.floor(), window.len()), (Offset(floor), expected.len()));
    }
}

#[test]
fn record_larger_than_the_window_is_forgotten_at_once_and_known_to_be() {
    let mut window = window(WindowLimits { records: 9, requests: 1, bytes: 9_000 });
    window.record(Offset(12), &[entry("a", deleted(1)), entry("b", deleted(1))]);
    assert!(window.is_empty());
    assert_eq!(window.floor(), Offset(13));
}

#[test]
fn request_recorded_twice_is_remembered_as_long_as_its_last_record() {
    let mut window = window(WindowLimits { records: 2, requests: 9, bytes: 9_000 });
    window.record(Offset(11), &[entry("a", deleted(1))]);
    window.record(Offset(12), &[entry("a", deleted(2))]);
    window.record(Offset(13), &[entry("b", deleted(1))]);
    assert_eq!(remembered(&window), ["a", "b"]);
    assert_eq!(window.find(&RequestId::from("a")).map(|found| found.offset), Some(Offset(12)));
    window.record(Offset(14), &[entry("c", deleted(1))]);
    assert_eq!(remembered(&window), ["b", "c"]);
    // Nothing is left behind in the count of bytes: the window still takes what fits.
    for offset in 15..1_000 {
        window.record(Offset(offset), &[entry("d", deleted(1))]);
        window.record(Offset(offset), &[entry("e", deleted(1))]);
    }
    assert_eq!(remembered(&window), ["d", "e"]);
}
